// A fan: on, speed, direction, swing. What is clicked is what the virtual device itself says afterwards.

const NAME = "Ceiling fan";

export default async function fan(at) {
  const { page } = at;
  const { id } = await at.device(NAME);
  await at.api("PATCH", `/devices/${id}/state`, { switch: false, fan_speed: "low", fan_direction: "forward", fan_horizontal: false });
  await at.enter(`#/devices/${id}`);
  await page.getByRole("heading", { level: 1, name: NAME }).waitFor();
  const done = (control) => page.locator(`[data-control="${control}"][data-outcome="confirmed"]`).waitFor();
  const power = page.getByRole("switch", { name: "Switch", exact: true });
  await at.until("the page shows that it is off", async () => (await power.getAttribute("aria-checked")) === "false");
  await power.click();
  await done("switch");
  await page.getByRole("group", { name: "Fan speed" }).getByRole("button", { name: "High" }).click();
  await done("fan_speed");
  await page.getByRole("group", { name: "Fan direction" }).getByRole("button", { name: "Reverse" }).click();
  await done("fan_direction");
  await page.getByRole("switch", { name: "Fan horizontal" }).click();
  await done("fan_horizontal");
  const points = await at.direct(NAME);
  at.equal(JSON.stringify([points[1], points[3], points[5], points[8]]), '[true,"high",true,"reverse"]', "what the fan itself says");
  at.equal(await power.getAttribute("aria-checked"), "true", "and the page");
  await at.axe("a fan");
}
