// Settings without secrets, how they are changed, and how the hub is.

const FILE = "/etc/landfall/landfall.toml";

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
  await at.axe("settings");
  at.check((await text()).includes("the demo has its own"), "the demo has no file to edit");
  // A hub that reads a file names it, says what checks it, and that it is read at the start.
  await page.route("**/api/v1/status", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...(await answer.json()), settings_file: FILE } });
  });
  const steps = page.locator(".settings-change li");
  await at.until("the file, the check and the restart", async () => {
    const [edit, check, restart] = await steps.allTextContents();
    return edit?.includes(FILE) && check?.includes(`landfall config check --config ${FILE}`) && restart?.includes("Restart");
  });
  await at.fits("settings");
  await page.unroute("**/api/v1/status");
}
