// A device that is not there: the doctor says so in words, what was seen, and what to do. And one that lives here.

export default async function doctor(at) {
  const { page } = at;
  const id = `bfgone${Math.random().toString(36).slice(2, 12).padEnd(10, "0")}`;
  await at.api("POST", "/devices", { id, name: at.config.shots ? "Workshop heater" : at.unique("Gone plug"), key: "0123456789abcdef", address: "127.251.9.9", version: "3.3" });
  await at.enter(`#/devices/${id}/lines`);
  const examine = page.getByRole("button", { name: /Examine/ });
  await examine.click();
  const verdict = page.locator(".verdict");
  await verdict.waitFor();
  const text = await verdict.textContent();
  at.check(!text.includes("Nothing is wrong"), `it is ill: ${text}`);
  for (const part of ["What to do", "What was seen"]) at.check(text.includes(part), `${part}: ${text}`);
  await page.getByText("It was never seen at the stand-in cloud").or(page.locator(".handshake")).first().waitFor();
  await at.axe("a verdict");
  await at.shot("page-doctor", "desktop light", { of: page.locator("lf-doctor") });
  await at.api("DELETE", `/devices/${id}?forget=true`);

  const heater = (await at.api("GET", "/devices?limit=100")).devices.find((d) => d.cloud.state === "up");
  await at.go(`#/devices/${heater.id}/lines`);
  await page.locator(".handshake .taken").first().waitFor();
  const steps = await page.locator(".handshake .taken").allTextContents();
  at.check(steps.some((s) => s.includes("Logged in on MQTT")), `how far it came: ${steps}`);
}
