// A lost connection is seen within seconds, and heals by itself; so does a page that was left alone meanwhile.

export default async function lost(at) {
  const { page } = at;
  await at.enter("#/");
  await page.locator("article.device").first().waitFor();
  // A phone shows the beginning of the list only.
  await page.getByPlaceholder("Filter devices").fill("Kettle");
  const banner = page.getByText("No connection to the hub.");
  at.equal(await banner.count(), 0, "banners while all is well");
  const before = (await at.device("Kettle")).state.switch_1;

  // No answer to anything, as when a cable is pulled: connections are not even closed.
  const cut = Date.now();
  at.offline = true;
  await at.context.setOffline(true);
  await banner.waitFor();
  at.measured.seen_ms = Date.now() - cut;
  at.check(at.measured.seen_ms < 8000, `seen after ${at.measured.seen_ms} ms`);
  await at.axe("without a connection");

  // Meanwhile the home goes on.
  await at.api("PATCH", "/devices/Kettle/state", { switch_1: !before });
  const back = Date.now();
  await at.context.setOffline(false);
  await banner.waitFor({ state: "detached" });
  at.measured.healed_ms = Date.now() - back;
  at.check(at.measured.healed_ms < 8000, `healed after ${at.measured.healed_ms} ms`);
  const toggle = page.locator("article.device", { hasText: "Kettle" }).getByRole("switch");
  await at.until("what was missed is there", async () => (await toggle.getAttribute("aria-checked")) === String(!before));
  await at.api("PATCH", "/devices/Kettle/state", { switch_1: before });
  await at.until("the stream goes on", async () => (await toggle.getAttribute("aria-checked")) === String(before));
}
