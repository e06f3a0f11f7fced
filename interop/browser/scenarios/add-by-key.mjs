// A device by its key: what is wrong stands beside the field, what was typed stays, and the key is never shown again.

export default async function addByKey(at) {
  const { page } = at;
  const id = `bfpage${Math.random().toString(36).slice(2, 12).padEnd(10, "0")}`;
  const key = "p4ge'K#y&<0=\"x/Z";
  at.equal(key.length, 16, "the length of a local key");
  at.config.secrets.push(key);
  const name = at.unique("Cellar plug");
  await at.enter("#/add?by=key");
  const field = (label) => page.getByLabel(label, { exact: true });
  await field("Device id").fill(id);
  await field("Local key").fill(key.slice(1));
  await field("Name").fill(name);
  const add = page.getByRole("button", { name: "Add", exact: true });
  await add.click();

  // Beside the field: marked, described, and focused.
  const error = page.locator("#field-key-error");
  await error.waitFor();
  at.check((await error.textContent()).includes("16 characters; this has 15"), await error.textContent());
  at.equal(await field("Local key").getAttribute("aria-invalid"), "true", "the field is marked");
  at.check((await field("Local key").getAttribute("aria-describedby")).includes("field-key-error"), "the field is described by its error");
  await at.until("the field has the focus", () => field("Local key").evaluate((input) => input === document.activeElement));
  at.equal(await field("Device id").inputValue(), id, "what was typed stays");
  await at.axe("a form with an error");

  // What only the hub knows is told beside its field as well.
  await field("Local key").fill(key);
  await field("Name").fill("Fridge");
  at.expect(409, /\/devices$/, "POST");
  await add.click();
  await at.until("the name is taken", async () => /taken/.test((await page.locator("#field-name-error").textContent({ timeout: 2000 }).catch(() => "")) ?? ""));
  await field("Name").fill(name);
  await add.click();
  await page.locator("lf-device h1").getByText(name).waitFor();
  const device = await at.device(id);
  at.equal(device.name, name, "the name in the book");
  at.equal(device.has_key, true, "whether the key is known");
  await at.go("#/add?by=key");
  await at.api("DELETE", `/devices/${id}?forget=true`);
}
