// The activation window: open, counting down, closed early; who joins appears.

export default async function activation(at) {
  const { page } = at;
  const open = () => at.api("GET", "/windows").then((w) => w.windows.length);
  if (await open()) await at.api("DELETE", "/windows");
  await at.enter("#/window");
  await page.getByRole("heading", { name: "Open the window" }).waitFor();
  await page.getByLabel("For how long").selectOption("300");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  const clock = page.getByRole("timer");
  await clock.waitFor();
  at.equal(await open(), 1, "open windows");
  const left = async () => {
    const [min, s] = (await clock.textContent()).split(":").map(Number);
    return 60 * min + s;
  };
  const first = await left();
  at.check(first > 280 && first <= 300, `5 minutes are left, not ${first} s`);
  await at.until("it counts down", async () => (await left()) < first);

  // Whoever joins is shown.
  const id = `bfjoin${Math.random().toString(36).slice(2, 12).padEnd(10, "0")}`;
  const name = at.unique("Joined plug");
  await at.api("POST", "/devices", { id, name });
  await page.locator(".joined").getByRole("link", { name }).waitFor();
  await at.axe("an open window");
  await at.shot("page-window", "phone light");
  await at.api("DELETE", `/devices/${id}?forget=true`);

  await page.getByRole("button", { name: "Close now" }).click();
  await page.getByRole("heading", { name: "Open the window" }).waitFor();
  at.equal(await open(), 0, "open windows after it was closed");
}
