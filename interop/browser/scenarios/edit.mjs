// Name, room, removal: with errors beside the fields, and nothing done by a slip of the finger.

export default async function edit(at) {
  const { page } = at;
  const id = `page${Math.random().toString(36).slice(2, 14)}`;
  const [name, other] = [at.unique("Lamp"), at.unique("Cellar lamp")];
  await at.api("POST", "/devices", { id, name, key: "0123456789abcdef" });
  await at.enter(`#/devices/${id}/settings`);
  const field = page.getByLabel("Name", { exact: true });
  await field.fill("");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("A device needs a name.").waitFor();
  at.equal(await field.getAttribute("aria-invalid"), "true", "the field is marked");
  await page.getByLabel("New local key").fill("too short");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("this has 9.").waitFor();
  await at.axe("errors beside fields");
  await page.getByLabel("New local key").fill("");

  // The hub's own refusal stands beside its field too.
  at.expect(409, /^\/api\/v1\/devices\//, "PATCH");
  at.expect(422, /^\/api\/v1\/devices\//, "PATCH");
  await field.fill("Fridge");
  await page.getByRole("button", { name: "Save" }).click();
  const refused = page.locator("#field-name-error, .problem");
  await refused.first().waitFor();
  at.check(/fridge|name/i.test(await refused.first().innerText()), "the refusal says why");

  await field.fill(other);
  await page.getByLabel("Room", { exact: true }).fill("Cellar");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { level: 1, name: other }).waitFor();
  await page.locator(".device-facts", { hasText: "Cellar" }).waitFor();
  const told = await at.device(id);
  at.equal(`${told.name}, ${told.room}`, `${other}, Cellar`, "what the hub has");

  await at.go("#/");
  await page.getByRole("heading", { name: "Cellar" }).waitFor();
  await page.getByRole("link", { name: other }).click();
  await page.getByRole("link", { name: "Settings" }).last().click();
  await page.getByRole("button", { name: "Remove this device…" }).click();
  await at.axe("before a removal");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  at.equal((await at.device(id)).id, id, "thinking better of it keeps the device");
  await page.getByRole("button", { name: "Remove this device…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.getByRole("heading", { name: "Home" }).waitFor();
  await at.until("the device is gone", async () => (await at.api("GET", `/devices/${id}`, undefined, { ok: false })).code === "device.unknown");
  at.equal(await page.getByRole("link", { name: other }).count(), 0, "it is gone from the list");
}
