// The protocol console: frames of both lines, filtered, paused, cleared; a key stands in none of them.

export default async function protocol(at) {
  const { page } = at;
  // Keys that were given out by the cloud stand in no file: ask for each.
  const { devices } = await at.api("GET", "/devices?limit=1000");
  for (const device of devices.filter((d) => d.has_key && !d.cid)) {
    const { key } = await at.api("GET", `/devices/${device.id}/key`);
    if (key) at.config.secrets.push(key);
  }
  at.check(at.config.secrets.length > 10, "there are keys to look for");
  await at.enter("#/console");
  await page.locator(".frame").first().waitFor();
  const heads = () => page.locator(".frame .frame-head").allTextContents();

  // Both ways: something is set, the device answers.
  const plug = await at.device("Workshop plug");
  const set = async (on) => at.api("PATCH", `/devices/${plug.id}/state`, { switch_1: on });
  await set(!plug.state.switch_1);
  await set(plug.state.switch_1);
  await at.until("the command and its answer are seen", async () => {
    const own = (await heads()).filter((h) => h.includes("Workshop plug"));
    return own.some((h) => h.includes("→") && /CONTROL/.test(h)) && own.some((h) => h.includes("←"));
  });
  await at.until("frames have bodies", async () => (await page.locator(".frame pre").count()) > 0);
  await at.shot("page-console", "desktop dark", { clip: { x: 244, y: 0, width: 1036, height: 500 } });
  await at.secretsHidden();

  await page.locator("[name=console-device]").selectOption(plug.id);
  await at.until("the others are gone", async () => (await heads()).every((h) => h.includes("Workshop plug")));
  await set(!plug.state.switch_1);
  await set(plug.state.switch_1);
  await at.until("frames of this one", async () => {
    const all = await heads();
    return all.length > 1 && all.every((h) => h.includes("Workshop plug"));
  });

  // While paused nothing moves, but it is counted.
  await page.getByRole("button", { name: "Pause" }).click();
  const paused = await page.locator(".frame").count();
  await set(!plug.state.switch_1);
  await set(plug.state.switch_1);
  await at.until("frames wait", async () => /waiting/.test(await page.locator(".console-bar").textContent()));
  at.equal(await page.locator(".frame").count(), paused, "frames while paused");
  await page.getByRole("button", { name: "Go on" }).click();
  await at.until("they came", async () => (await page.locator(".frame").count()) > paused);
  await page.getByRole("button", { name: "Cloud", exact: true }).click();
  await at.until("LAN frames are left out", async () => (await heads()).every((h) => !h.includes("LAN")));
  await page.getByRole("button", { name: "Both", exact: true }).click();
  await page.getByRole("button", { name: "Clear" }).click();
  await at.until("it is empty", async () => (await page.locator(".frame").count()) < paused);
}
