// A device that refuses, or is away, shows why in words beside the control, and no spinner without end.

const POINTS = '[[point]]\nid = 1\ncode = "switch_1"\ntype = "bool"\n';

export default async function refused(at) {
  const { page } = at;
  const id = `page${Math.random().toString(36).slice(2, 14)}`;
  const name = at.unique("Away");
  // Nobody lives at this address.
  await at.api("POST", "/devices", { id, name, key: "0123456789abcdef", address: "127.66.250.9", version: "3.3" });
  await at.api("PATCH", `/devices/${id}`, { definition: POINTS });
  await at.enter(`#/devices/${id}`);
  at.expect(409, /\/state$/, "PATCH");
  // It was never heard: nobody knows whether it is on, so there is no switch that shows it off.
  const group = page.getByRole("group", { name: "Switch 1" });
  await group.getByRole("button", { name: "On" }).click();
  const said = page.locator('[data-control="switch_1"]');
  await at.until("an end in words", async () => ["refused", "unconfirmed"].includes(await said.getAttribute("data-outcome")));
  const words = (await said.innerText()).trim();
  at.check(words.length > 10, `it says why: ${words}`);
  at.equal(await said.getAttribute("role"), "alert", "screen readers hear it");
  at.equal(await group.locator('[aria-pressed="true"]').count(), 0, "it shows what is known, not what was wished");
  await at.axe("a refusal");
  await said.getByRole("button", { name: "Close" }).click();
  await page.locator('[data-control="switch_1"][data-outcome=""]').waitFor({ state: "attached" });
  await at.api("DELETE", `/devices/${id}`);
}
