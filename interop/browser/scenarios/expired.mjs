// A token that ends leads to the sign-in over the page; what was typed is still there, and what was asked for is then done.

export default async function expired(at) {
  const { page } = at;
  const id = `page${Math.random().toString(36).slice(2, 14)}`;
  await at.api("POST", "/devices", { id, name: at.unique("Expiring"), key: "0123456789abcdef" });
  const { id: token, token: secret } = await at.api("POST", "/tokens", { name: at.unique("short"), scope: "admin" });
  await at.signIn(secret);
  await at.go(`#/devices/${id}/settings`);
  const name = page.getByLabel("Name", { exact: true });
  const wanted = at.unique("Typed before");
  await name.fill(wanted);

  at.expect(401, /^\/api\/v1\//);
  await at.api("DELETE", `/tokens/${token}`);
  const dialog = page.getByRole("dialog", { name: "Sign in" });
  await dialog.waitFor();
  await at.axe("an expired token");
  await page.keyboard.press("Escape");
  at.check(await dialog.isVisible(), "the page can do nothing without a token");
  await dialog.getByLabel("Token").fill(at.config.token);
  await dialog.getByRole("button", { name: "Sign in" }).click();
  await dialog.waitFor({ state: "detached" });
  at.equal(await name.inputValue(), wanted, "what was typed");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { level: 1, name: wanted }).waitFor();
  await at.api("DELETE", `/devices/${id}`);
}
