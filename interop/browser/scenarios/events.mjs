// The log is live, can be filtered, and a device has its own part of it.

export default async function events(at) {
  const { page } = at;
  const plug = await at.device("Workshop plug");
  await at.enter("#/events");
  await page.locator(".event").first().waitFor();
  const rows = () => page.locator(".event").allTextContents();

  // Something happens: it stands on top without a reload.
  const name = at.unique("Bench plug");
  await at.api("PATCH", `/devices/${plug.id}`, { name });
  await at.until("the new name is told", async () => (await rows()).some((r) => r.includes("was renamed") && r.includes(`is called ${name} now`)));
  await at.api("PATCH", `/devices/${plug.id}`, { name: plug.name });

  await page.getByRole("button", { name: "Warnings" }).click();
  await at.until("only warnings are left", async () => (await page.locator(".event.info").count()) === 0);
  await page.getByRole("button", { name: "Everything" }).click();
  await page.locator(".event.info").first().waitFor();
  await page.getByLabel("Commands that went well").uncheck();
  await at.until("no command that went well", async () => !(await rows()).some((r) => r.includes("command.confirmed")));

  await at.go(`#/devices/${plug.id}/events`);
  await at.until("its own log", async () => {
    const own = await rows();
    return own.length > 0 && own.some((r) => r.includes(name));
  });
}
