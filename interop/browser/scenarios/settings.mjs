// Settings without secrets, and how the hub is.

export default async function settings(at) {
  const { page } = at;
  await at.enter("#/settings");
  const status = await at.api("GET", "/status");
  const text = () => page.locator("main").textContent();
  await at.until("version, zone and devices are told", async () => {
    const all = await text();
    return all.includes(`Landfall ${status.version}`) && all.includes(status.zone) && new RegExp(`of ${status.devices} can be reached`).test(all);
  });
  for (const section of await page.locator(".settings-all details").all()) {
    if (!(await section.evaluate((details) => details.open))) await section.locator("summary").click();
  }
  at.check((await text()).includes("raw_days"), "all sections are there");
}
