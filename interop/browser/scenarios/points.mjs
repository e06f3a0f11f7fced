// Data points: raw values, what they mean and who said so; the owner says it better, and takes it back. What the owner wrote by hand
// beside it stays as it was written.

const BY_HAND = '# The USB socket feeds a strip of light.\n[[entity]]\nkind = "light"\nswitch = 7 # switch_usb1\n';

export default async function points(at) {
  const { page } = at;
  const { id } = await at.device("Desk");
  const own = () => at.api("GET", `/devices/${id}/definition?format=own`);
  await at.api("PATCH", `/devices/${id}`, { definition: BY_HAND });
  await at.enter(`#/devices/${id}/points`);
  const row = page.locator("tr", { has: page.getByRole("button", { name: "Say what data point 101 means" }) });
  await row.waitFor();
  at.check((await row.innerText()).includes("maker_101"), "the point has the vendor's code");
  at.check((await row.innerText()).includes("a profile"), "and says where it is known from");
  await at.axe("points");
  await row.getByRole("button").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Attribute").fill("Not a name!");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByText("is no name").waitFor();
  await at.axe("the form of a point");
  await dialog.getByLabel("Attribute").fill("lamp_hours");
  await dialog.getByLabel("Unit").fill("h");
  await dialog.getByLabel("Decimal places").fill("1");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  await at.until("the row says who said it", async () => /lamp_hours[^]*you/.test(await row.innerText()));
  const said = (await at.api("GET", `/devices/${id}/definition`)).points["101"];
  at.equal(`${said.name} ${said.unit} ${said.scale} ${said.source}`, "lamp_hours h 1 owner", "what the hub has");
  const written = await own();
  at.check(written.startsWith(BY_HAND) && written.includes('name = "lamp_hours"'), `the owner's words are all there: ${written}`);
  await at.shot("page-points");
  await row.getByRole("button").click();
  await dialog.getByRole("button", { name: "Take back" }).click();
  await dialog.waitFor({ state: "detached" });
  await at.until("the other sources count again", async () => (await at.api("GET", `/devices/${id}/definition`)).points["101"].source === "profile");
  at.equal((await own()).trimEnd(), BY_HAND.trimEnd(), "what was written by hand outlives it");
  // An entity alone is the owner's word as well.
  await page.getByRole("button", { name: "Take all back" }).click();
  await dialog.getByRole("button", { name: "Forget it" }).click();
  await dialog.waitFor({ state: "detached" });
  await at.until("nothing of the owner's is left", async () => (await own()) === null);
  await page.getByRole("button", { name: "Take all back" }).waitFor({ state: "detached" });
}
