// An import shows what it would change, changes nothing before it is told to, and then does just that.

export default async function importing(at) {
  const { page } = at;
  const id = `bfimport${Math.random().toString(36).slice(2, 12).padEnd(10, "0")}`;
  const key = "1mp0rt'K#y&<0=\"x";
  at.config.secrets.push(key);
  const name = at.config.shots ? "Porch light" : at.unique("Porch light");
  const fridge = await at.device("Fridge");
  const before = (await at.api("GET", "/devices?limit=1")).total;
  await at.enter("#/add?by=import");

  // What is no list of devices is refused beside the field.
  at.expect(422, /\/devices\/import$/, "POST");
  at.expect(400, /\/devices\/import$/, "POST");
  await page.getByLabel("or paste its text").fill("{ not a list");
  await page.getByRole("button", { name: "Show what would change" }).click();
  await page.locator("#field-text-error").waitFor();
  at.check((await page.locator("#field-text-error").textContent()).includes("import.invalid"), "the code of the problem is told");

  const text = JSON.stringify([{ name, id, key, ip: "127.9.9.9", version: "3.3" }, { name: "Fridge", id: fridge.id }]);
  await page.getByLabel("or paste its text").fill(text);
  await page.getByRole("button", { name: "Show what would change" }).click();
  const outcome = page.locator(".import-outcome");
  await outcome.getByText(name).waitFor();
  at.check((await outcome.textContent()).includes("new"), "the new device is called new");
  at.equal((await at.api("GET", "/devices?limit=1")).total, before, "devices before the import is applied");
  await at.axe("the preview of an import");
  await at.shot("page-import", "desktop dark", { of: outcome });

  await outcome.getByRole("button", { name: "Import" }).click();
  await outcome.getByRole("link", { name }).waitFor();
  at.equal((await at.api("GET", "/devices?limit=1")).total, before + 1, "devices after it");
  const device = await at.device(id);
  at.equal(device.has_key, true, "whether the key is known");
  at.equal(await page.getByLabel("or paste its text").inputValue(), "", "the keys have left the page");
  await at.api("DELETE", `/devices/${id}?forget=true`);
}
