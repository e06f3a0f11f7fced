// Energy of the home and of a device: accounts, bars by hour, day and month, cost, and who used it.

export default async function energy(at) {
  const { page } = at;
  await at.enter("#/energy");
  const sum = page.locator(".energy-sum");
  await sum.waitFor();
  const bars = page.locator("lf-bars");
  const count = () => bars.evaluate((b) => b.bars.length);
  at.check((await count()) >= 28, `a month has its days: ${await count()}`);
  at.check(/€\d/.test(await sum.textContent()), `the cost of the month is told: ${await sum.textContent()}`);

  // What the bars say is what the API says, and what the tiles say is the sum of all accounts.
  const { zone } = await at.api("GET", "/status");
  const from = await bars.evaluate((b) => b.closest("lf-energy").shown.from);
  const told = await at.api("GET", `/energy?by=day&from=${from}`);
  at.equal(told.zone, zone, "the zone of the home");
  const drawn = await bars.evaluate((b) => b.bars.reduce((n, bar) => n + (bar.value ?? 0), 0));
  const used = told.bars.reduce((n, bar) => n + bar.used_kwh, 0);
  at.check(Math.abs(drawn - used) < 0.05 * Math.max(1, used), `bars tell ${drawn} kWh, the API ${used}`);
  at.check(drawn > 10, `the demo's month used ${drawn} kWh`);
  await at.shot("page-energy");

  // Keys go from bar to bar, and a reader hears which.
  await bars.locator(".bars").focus();
  await page.keyboard.press("Home");
  const readout = bars.locator(".bars-readout");
  await at.until("the first day is told", async () => /\b1\b.*kWh/.test(await readout.textContent()));
  await page.keyboard.press("ArrowRight");
  await at.until("then the second", async () => /\b2\b.*kWh/.test(await readout.textContent()));

  await page.getByRole("button", { name: "Year", exact: true }).click();
  await at.until("a year has months", async () => (await count()) <= 12 && /Jan|Oct|Nov/.test(await bars.locator(".bar-name").allTextContents().then((all) => all.join())));
  await page.getByRole("button", { name: "Day", exact: true }).click();
  await at.until("a day has hours", async () => (await count()) >= 23);
  const today = await page.locator(".energy-which").textContent();
  await page.getByRole("button", { name: "The one before" }).click();
  await at.until("the day before", async () => (await page.locator(".energy-which").textContent()) !== today && (await count()) >= 23);
  at.check(await page.getByRole("button", { name: "The one after" }).isEnabled(), "and back again");
  await bars.getByText("As a table").click();
  await at.until("the table has rows", async () => (await bars.locator("tbody tr").count()) >= 23);

  // From who used it to its own page.
  await page.locator(".energy-who a").first().click();
  await page.locator("lf-device .energy-sum").waitFor();
  at.check((await page.locator("lf-device .tile").count()) >= 4, "the device has its accounts");
}
