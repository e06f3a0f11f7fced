// Somebody knocks at the stand-in cloud and is not in the book: the page says who, what is missing, and where to go. And a scan.

export default async function found(at) {
  const { page } = at;
  if ((await at.api("GET", "/windows")).windows.length) await at.api("DELETE", "/windows");
  await at.enter("#/add?by=watch");
  await page.getByRole("button", { name: "Scan the network" }).waitFor();

  const id = `bfknock${Math.random().toString(36).slice(2, 12).padEnd(10, "0")}`;
  const { cloud } = await at.api("GET", "/status");
  await fetch(`http://${cloud.http}/gw.json?a=s.gw.dev.pk.active&gwId=${id}&t=1790000000&v=4.0&sign=0`, { method: "POST", body: "data=00" });
  const card = page.locator(".strangers li").filter({ hasText: id });
  await card.waitFor();
  const text = await card.textContent();
  for (const part of ["needs an open window", "at the cloud", "127.0.0.1", "open one"]) at.check(text.includes(part), `${part}: ${text}`);
  at.equal(await card.getByRole("link", { name: "Activation window" }).getAttribute("href"), "#/window", "where it leads");

  await page.getByRole("button", { name: "Scan the network" }).click();
  await page.getByRole("button", { name: "Scanning" }).waitFor();
  await page.getByText(/\d+ devices? answered|One device answered/).first().waitFor({ timeout: 40_000 });
}
