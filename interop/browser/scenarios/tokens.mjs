// A token is made, shown once, works as far as it allows, and is revoked.

export default async function tokens(at) {
  const { page } = at;
  const name = at.unique("Wall tablet");
  await at.enter("#/tokens");
  await page.locator(".token").first().waitFor();

  await page.getByRole("button", { name: "Make" }).click();
  await page.locator("#field-name-error").waitFor();
  await page.getByLabel("What it is for").fill(name);
  await page.getByLabel("It may").selectOption("read");
  await page.getByRole("button", { name: "Make" }).click();
  const dialog = page.getByRole("dialog");
  const secret = (await dialog.locator("#fresh-token").textContent()).trim();
  at.check(/^lf_[0-9a-f]+_[0-9a-f]+$/.test(secret), "a token begins with lf_");
  await at.axe("the dialog with a new token");
  const ask = (path, method = "GET") => fetch(`${at.url}/api/v1${path}`, { method, headers: { Authorization: `Bearer ${secret}` } }).then((r) => r.status);
  at.equal(await ask("/devices"), 200, "what it may");
  at.equal(await ask("/backup", "POST"), 403, "what it may not");
  await dialog.getByRole("button", { name: "I have it" }).click();
  await dialog.waitFor({ state: "detached" });
  await at.until("it is shown this once", async () => !(await at.everything()).includes(secret));

  const own = page.locator(".token").filter({ hasText: name });
  await own.getByText("may look").waitFor();
  await own.getByRole("button", { name: /Revoke/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke", exact: true }).click();
  await own.waitFor({ state: "detached" });
  at.equal(await ask("/devices"), 401, "after it was revoked");
}
