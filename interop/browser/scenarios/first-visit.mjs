// The three doors of a first visit, and what a token that may only look is not offered.

export default async function firstVisit(at) {
  const { page } = at;
  await at.enter("#/welcome");
  await page.getByRole("heading", { name: "Welcome" }).waitFor();
  await at.axe("three doors");
  for (const [door, hash] of [["Import keys", "#/add?by=import"], ["Open the activation window", "#/window"], ["Just watch", "#/add?by=watch"]]) {
    await page.getByRole("link", { name: door }).click();
    at.equal(new URL(page.url()).hash, hash, `behind the door ${door}`);
    await page.locator("main h1").first().waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "Welcome" }).waitFor();
  }

  const { token, id } = await at.api("POST", "/tokens", { name: at.unique("looks"), scope: "read" });
  await at.context.clearCookies();
  await at.signIn(token);
  await page.reload();
  await page.getByRole("heading", { name: "Welcome" }).waitFor();
  at.equal(await page.locator(".door-card").count(), 1, "doors for a token that only looks");
  await at.go("#/");
  await page.locator("article.device").first().waitFor();
  at.equal(await page.getByRole("switch").count(), 0, "switches for a token that only looks");
  const { id: fridge } = await at.device("Fridge");
  await at.go(`#/devices/${fridge}`);
  await page.getByText("Apparent power", { exact: true }).waitFor();
  at.equal(await page.getByRole("link", { name: "Settings", exact: true }).count(), at.phone ? 0 : 1, "settings of the device are no tab");
  at.equal(await page.getByRole("switch").first().getAttribute("aria-disabled"), "true", "the switch shows, and does nothing");
  // Its stream ends with the token.
  at.expect(401, /^\/api\/v1\//);
  await at.api("DELETE", `/tokens/${id}`);
  await page.getByRole("dialog", { name: "Sign in" }).waitFor();
}
