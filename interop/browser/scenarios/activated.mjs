// A device fresh from the shop is activated at the stand-in cloud while the window is open: it appears by itself, without a reload, and
// can be used.

const letters = (/** @type {number} */ n) => Array.from({ length: n }, () => "abcdefghijklmnopqrstuvwxyz0123456789"[Math.floor(Math.random() * 36)]).join("");

export default async function activated(at) {
  const { page } = at;
  const ports = (await at.api("GET", "/status")).cloud;
  const port = (/** @type {string} */ name) => ports[name].split(":").pop();
  if ((await at.api("GET", "/windows")).windows.length) await at.api("DELETE", "/windows");
  const known = new Set((await at.api("GET", "/devices?limit=1000")).devices.map((d) => d.id));
  await at.enter("#/window");
  await page.getByLabel("For how long").selectOption("300");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByRole("timer").waitFor();

  // Ids and keys are drawn from the seed.
  const home = `name = "shop"\nseed = ${Math.floor(Math.random() * 1e9)}\n[[device]]\nname = "Fresh plug"\nkind = "plug"\nversion = "3.3"\naddress = "127.0.0.1:0"
cloud = { generation = "A", region = "EU", token = "${letters(8)}" }\n`;
  const options = ["http", "https", "mqtt", "mqtts", "mqtt_psk"].filter((name) => ports[name]).flatMap((name) => [`--cloud-${name.replace("_", "-")}`, port(name)]);
  const [{ id }] = (await at.simulate(home, "--cloud", "127.0.0.1", ...options)).devices;
  at.check(!known.has(id), "it was not there before");
  const device = await at.until("the hub has it", async () => (await at.api("GET", "/devices?limit=1000")).devices.find((d) => d.id === id));
  const link = page.locator(".joined").getByRole("link", { name: device.name, exact: true });
  await link.waitFor();
  await at.axe("who joined");
  await link.click();
  await page.getByRole("heading", { level: 1, name: device.name, exact: true }).waitFor();
  // Firmware so old does not say what it is: its points have numbers alone.
  const power = page.getByRole("switch", { name: "Dp 1", exact: true });
  const on = await at.until("it says whether it is on", async () => ((await power.count()) ? power.getAttribute("aria-checked") : null));
  await power.click();
  await page.locator('[data-control="dp_1"][data-outcome="confirmed"]').waitFor();
  const told = await at.api("GET", `/devices/${id}/dps/1`);
  at.equal(`${told.value} ${told.line}`, `${on !== "true"} cloud`, "what the device reported");

  await at.api("DELETE", "/windows");
  await at.api("DELETE", `/devices/${id}?forget=true`);
}
