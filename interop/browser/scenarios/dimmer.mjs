// A dimmer: off and on, and bright by the slider. The virtual device itself says how bright.

const NAME = "Dining table";

export default async function dimmer(at) {
  const { page } = at;
  const { id } = await at.device(NAME);
  await at.api("PATCH", `/devices/${id}/state`, { switch: true, brightness: 255 });
  await at.enter(`#/devices/${id}`);
  await page.getByRole("heading", { level: 1, name: NAME }).waitFor();
  const slider = page.getByRole("slider", { name: "Brightness", exact: true });
  await at.until("the page shows the brightness", async () => (await slider.inputValue()) === "100");
  await slider.focus();
  await slider.press("Home");
  await page.locator('[data-control="brightness"][data-outcome="confirmed"]').waitFor();
  const dim = (await at.direct(NAME))[2];
  at.check(dim >= 10 && dim <= 30, `the dimmer itself is at its least, not at ${dim} of 1000`);
  await page.locator('[data-control="brightness"][data-outcome=""]').waitFor({ state: "attached" });
  await slider.press("End");
  await at.until("the dimmer itself is bright", async () => (await at.direct(NAME))[2] === 1000);
  await page.getByRole("switch", { name: "Switch", exact: true }).click();
  await page.locator('[data-control="switch"][data-outcome="confirmed"]').waitFor();
  const off = await at.direct(NAME);
  at.equal(JSON.stringify([off[1], off[2]]), "[false,1000]", "off, and as bright as before once it is on again");
  await at.axe("a dimmer");
}
