// Everything by keyboard: from the top of the page to a switch, without a mouse.

export default async function keyboard(at) {
  const { page } = at;
  await at.enter("#/");
  await page.locator("article.device").first().waitFor();
  const before = (await at.device("Heat pump")).state.switch_1;

  await page.keyboard.press("/");
  at.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Filter devices", "the slash key leads to the filter");
  await page.keyboard.type("heat pump");
  await at.until("one device is left", async () => (await page.locator("article.device").count()) === 1);
  await page.getByText("1 of ").waitFor();
  await page.keyboard.press("Tab");
  at.equal(await page.evaluate(() => document.activeElement?.textContent), "Heat pump", "the tab key leads to the device");
  await page.keyboard.press("Tab");
  at.equal(await page.evaluate(() => document.activeElement?.getAttribute("role")), "switch", "and to its switch");
  const seen = await page.evaluate(() => getComputedStyle(/** @type {Element} */ (document.activeElement)).outlineStyle);
  at.check(seen !== "none", "the focus can be seen");
  await page.keyboard.press("Space");
  await at.until("the space key toggles", async () => (await at.device("Heat pump")).state.switch_1 === !before);
  await page.keyboard.press("Enter");
  await at.until("the enter key toggles back", async () => (await at.device("Heat pump")).state.switch_1 === before);

  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Heat pump" }).waitFor();
  at.equal(await page.evaluate(() => document.activeElement?.tagName), "MAIN", "the focus is in the new view");

  // From the very top: the first tab stop jumps over the menu.
  await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "Heat pump" }).waitFor();
  await page.keyboard.press("Tab");
  at.equal(await page.evaluate(() => document.activeElement?.textContent), "To the content", "the first tab stop");
  await page.keyboard.press("Enter");
  at.equal(await page.evaluate(() => document.activeElement?.tagName), "MAIN", "it leads to the content");
}
