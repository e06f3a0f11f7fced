// Signing in and out: a wrong token is told beside its field, the right one opens the home, and nothing of it stays in the page.

/** Rooms, as an owner would have them. */
const ROOMS = {
  Bath: ["Bathroom heating"],
  Bedroom: ["Bedroom light", "Curtain"],
  Kitchen: ["Fridge", "Kettle", "Kitchen light", "Washing machine", "Cat feeder"],
  "Living room": ["Living room heating", "Reading lamp", "Television", "Desk"],
};

export default async function signIn(at) {
  const { page } = at;
  for (const [room, names] of Object.entries(ROOMS)) {
    for (const name of names) await at.api("PATCH", `/devices/${encodeURIComponent(name)}`, { room });
  }
  await page.goto(at.url);
  const token = page.getByLabel("Token", { exact: true });
  await token.waitFor();
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("it begins with lf_").waitFor();
  at.equal(await token.getAttribute("aria-invalid"), "true", "an empty token is wrong");

  at.expect(401, /^\/api\/v1\/session$/, "POST");
  await token.fill("lf_this-is-no-token-of-this-hub");
  await token.press("Enter");
  const error = page.locator("#field-token-error");
  await at.until("the refusal beside the field", async () => ((await error.count()) ? /token/.test(await error.innerText()) : false));
  await at.axe("a wrong token");

  await token.fill(at.config.token);
  await token.press("Enter");
  await page.getByRole("heading", { name: "Home" }).waitFor();
  await page.locator("article.device").first().waitFor();
  await at.secretsHidden();
  const rooms = await page.locator(".room h2").allInnerTexts();
  at.equal(rooms.slice(0, 4).join(", "), "Bath, Bedroom, Kitchen, Living room", "rooms in order");
  await at.shot("page-home");
  await at.shot("page-home-phone", "phone dark");

  // A reload stays signed in: the cookie does that.
  await page.reload();
  await page.locator("article.device").first().waitFor();

  if (at.phone) await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await token.waitFor();
  at.expect(401, /^\/api\/v1\/devices$/, "GET");
  const { status } = await page.evaluate(async () => ({ status: (await fetch("api/v1/devices")).status }));
  at.equal(status, 401, "the cookie is worth nothing after signing out");
}
