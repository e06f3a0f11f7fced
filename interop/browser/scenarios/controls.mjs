// Toggle, dim, colour, colour temperature, cover and thermostat: what is done with finger, mouse and keys reaches the device.

/** Waits until the control's command ended well, and gives the device's state. */
async function confirmed(at, control, name, holds) {
  await at.page.locator(`[data-control="${control}"][data-outcome="confirmed"]`).first().waitFor();
  return at.until(`${name}: ${control} as wanted`, async () => {
    const { state } = await at.device(name);
    return holds(state) && state;
  });
}

async function open(at, name) {
  const { id } = await at.device(name);
  await at.go(`#/devices/${id}`);
  await at.page.getByRole("heading", { level: 1, name }).waitFor();
}

export default async function controls(at) {
  const { page } = at;
  await at.enter("#/");

  // In the overview, of which a phone shows the beginning only.
  await page.getByPlaceholder("Filter devices").fill("Kettle");
  const kettle = page.locator("article.device", { hasText: "Kettle" });
  const toggle = kettle.getByRole("switch");
  const before = (await at.device("Kettle")).state.switch_1;
  await at.until("the card shows the state", async () => (await toggle.getAttribute("aria-checked")) === String(before));
  await toggle.click();
  await at.until("the kettle is toggled", async () => (await at.device("Kettle")).state.switch_1 === !before);
  await at.until("the card shows it", async () => (await toggle.getAttribute("aria-checked")) === String(!before));

  // What somebody else does is seen without asking.
  await at.api("PATCH", "/devices/Kettle/state", { switch_1: before });
  await at.until("the change of another is seen", async () => (await toggle.getAttribute("aria-checked")) === String(before));
  await page.getByPlaceholder("Filter devices").fill("");
  await at.axe("overview");

  // A light. It begins white and bright, whoever was here before.
  await at.api("PATCH", "/devices/Bedroom%20light/state", { switch: true, color_temp: 261, brightness: 255 });
  await open(at, "Bedroom light");
  const dim = page.getByRole("slider", { name: "Brightness" });
  const box = await dim.boundingBox();
  let writes = 0;
  page.on("request", (r) => { writes += r.method() === "PATCH" ? 1 : 0; });
  if (at.phone) {
    await dim.focus();
    await dim.press("Home");
  } else {
    // A slow drag over many pixels is one command: the last value.
    await page.mouse.move(box.x + box.width * 0.95, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.25, box.y + box.height / 2, { steps: 25 });
    await page.mouse.up();
  }
  const dimmed = await confirmed(at, "brightness", "Bedroom light", (s) => s.brightness <= 90);
  at.equal(writes, 1, "writes of one drag");
  at.check(dimmed.brightness > 0, "it is dimmed, not off");

  await page.getByRole("button", { name: "Blue", exact: true }).click();
  await confirmed(at, "color", "Bedroom light", (s) => s.color?.hue === 230 && s.color_mode === "hs");
  const wheel = page.getByRole("slider", { name: "Colour", exact: true });
  await page.locator('[data-control="color"][data-outcome=""]').waitFor({ state: "attached" });
  const round = await wheel.boundingBox();
  // Straight down is 90 degrees; half way out is half saturated.
  await page.mouse.click(round.x + round.width / 2, round.y + round.height * 0.75);
  await confirmed(at, "color", "Bedroom light", (s) => Math.abs(s.color.hue - 90) <= 1 && Math.abs(s.color.saturation - 50) <= 2);
  await page.locator('[data-control="color"][data-outcome=""]').waitFor({ state: "attached" });
  await wheel.focus();
  await wheel.press("ArrowRight");
  await wheel.press("ArrowRight");
  await confirmed(at, "color", "Bedroom light", (s) => Math.abs(s.color.hue - 100) <= 1);
  await at.axe("a light");
  await at.shot("page-light");

  const warmth = page.getByRole("slider", { name: "Colour temperature" });
  await warmth.focus();
  await warmth.press("Home");
  await confirmed(at, "color_temp", "Bedroom light", (s) => s.color_temp === 370 && s.color_mode !== "hs");

  // A cover.
  await open(at, "Curtain");
  const position = page.getByRole("slider", { name: "Position" });
  await position.focus();
  await position.press(Number(await position.inputValue()) > 50 ? "PageDown" : "PageUp");
  await page.locator('[data-control="position"][data-outcome="confirmed"]').waitFor();
  await page.getByRole("button", { name: "Open Curtain" }).click();
  await page.locator('[data-control="control"][data-outcome="confirmed"]').waitFor();
  await page.getByRole("button", { name: "Stop Curtain" }).click();
  await confirmed(at, "control", "Curtain", (s) => s.control === "stop");
  await at.axe("a cover");

  // A thermostat: twice warmer is one degree.
  await open(at, "Bathroom heating");
  const start = (await at.device("Bathroom heating")).state.target_temperature;
  const step = start >= 30 ? "Colder" : "Warmer";
  await page.getByRole("button", { name: step }).click();
  await page.getByRole("button", { name: step }).click();
  await page.locator('[data-control="target_temperature"][data-outcome="confirmed"]').waitFor();
  await at.until("the target moved", async () => (await at.device("Bathroom heating")).state.target_temperature !== start);

  // A feeder acts at each write: it asks first, and does nothing when one thinks better of it.
  await open(at, "Cat feeder");
  await page.getByLabel("Feed", { exact: true }).fill("99");
  const act = page.locator("form.sender", { hasText: "Feed" }).getByRole("button");
  await act.click();
  await page.getByText("99 is not within 1 and 12.").waitFor();
  await page.getByLabel("Feed", { exact: true }).fill("2");
  const asked = writes;
  await act.click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await act.click();
  await page.getByRole("dialog").getByRole("button", { name: "Do it" }).click();
  await page.locator('[data-control="feed"][data-outcome="accepted"], [data-control="feed"][data-outcome="confirmed"]').waitFor();
  at.equal(writes, asked + 1, "portions of food");

  // What a plug measures, and why volts times amperes are not watts.
  await open(at, "Fridge");
  await page.getByText("Apparent power", { exact: true }).waitFor();
  await page.getByText("Why are volts times amps not watts?").click();
  await page.getByText("the apparent power, in VA").waitFor();
}
