// A plot of a year, zoomed to hours by drag, keys and buttons; beside another device and the time before; as a table.

const DAY = 86_400_000;

export default async function plots(at) {
  const { page } = at;
  const fridge = await at.device("Fridge");
  const kettle = await at.device("Kettle");
  const steps = [];
  page.on("request", (request) => {
    const url = new URL(request.url());
    const step = /^(\d+)ms$/.exec(url.searchParams.get("step") ?? "");
    if (url.pathname.endsWith("/history") && step) steps.push(Number(step[1]));
  });
  await at.enter(`#/devices/${fridge.id}/plots`);
  const plot = page.locator("lf-plot");
  await plot.locator(".u-over").waitFor();
  const shown = () => plot.evaluate((p) => ({ from: p.from, to: p.to, busy: p.busy, values: p.lines[0]?.mean.filter((v) => v !== null).length ?? 0, lines: p.lines.length }));
  const settled = (what, wanted) => at.until(what, async () => {
    const now = await shown();
    return !now.busy && wanted(now) ? now : null;
  });
  const day = await settled("a day is drawn", (s) => s.values > 100);
  at.check(Math.abs(day.to - day.from - DAY) < 1000, `a day is shown, not ${day.to - day.from} ms`);
  await at.shot("page-plots");

  // From the click to the drawn plot, in the page's own clock.
  const took = await page.evaluate(async () => {
    const button = [...document.querySelectorAll(".plots .segments button")].at(-1);
    const drawn = new Promise((done) => {
      const look = () => {
        const p = /** @type {any} */ (document.querySelector("lf-plot"));
        if (p.to - p.from > 300 * 86_400_000 && p.plot?.scales.x.max * 1000 - p.plot?.scales.x.min * 1000 > 300 * 86_400_000) requestAnimationFrame(() => done(performance.now()));
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
    const begun = performance.now();
    button.click();
    return (await drawn) - begun;
  });
  at.measured.year_ms = Math.round(took);
  const year = await settled("a year is drawn", (s) => s.to - s.from > 360 * DAY && s.values > 20);
  const coarse = steps.at(-1);

  // Drag over the last tenth: where the demo has its past.
  steps.length = 0;
  const over = await plot.locator(".u-over").boundingBox();
  if (at.phone) {
    // A finger scrolls the page: on a phone there are buttons.
    for (let i = 0; i < 3; i += 1) await page.getByRole("button", { name: "Zoom in" }).click();
  } else {
    await page.mouse.move(over.x + over.width * 0.93, over.y + 60);
    await page.mouse.down();
    await page.mouse.move(over.x + over.width * 0.97, over.y + 70, { steps: 4 });
    await page.mouse.move(over.x + over.width * 0.999, over.y + 70, { steps: 4 });
    await page.mouse.up();
  }
  const near = await settled("it is zoomed", (s) => s.to - s.from < (year.to - year.from) / 4);
  await at.until("finer steps were asked for", () => steps.some((s) => s < coarse));
  await page.getByRole("button", { name: "Now", exact: true }).waitFor();

  // Keys: plus, minus, the cursor, and back to everything.
  await plot.locator(".plot-stage").focus();
  await page.keyboard.press("+");
  const nearer = await settled("plus zooms in", (s) => s.to - s.from < (near.to - near.from) * 0.6);
  await page.keyboard.press("-");
  await settled("minus zooms out", (s) => s.to - s.from > (nearer.to - nearer.from) * 1.9);
  await page.keyboard.press("PageUp");
  await settled("Page Up goes back", (s) => s.to < nearer.to || s.from < nearer.from);
  await page.keyboard.press("0");
  await settled("0 shows the year again", (s) => s.to - s.from > 360 * DAY);
  await page.getByRole("button", { name: "Day", exact: true }).click();
  await settled("a day again", (s) => Math.abs(s.to - s.from - DAY) < 1000 && s.values > 100);
  await plot.locator(".plot-stage").focus();
  await page.keyboard.press("Home");
  // The raw past of the demo begins a day ago, so that the first minutes may have no value.
  for (let steps = 0; steps < 8; steps += 1) await page.keyboard.press("ArrowRight");
  await at.until("the value under the cursor is told", async () => /Power [\d.,]+ W/.test(await plot.locator(".plot-said").textContent()));

  // Beside another device and the day before.
  await page.locator("[name=plot-other]").selectOption(kettle.id);
  await settled("two lines", (s) => s.lines === 2);
  await page.getByLabel("With the time before").check();
  await settled("three lines", (s) => s.lines === 3);
  await at.until("all are named", async () => {
    const text = await plot.locator(".plot-readout").textContent();
    return ["Fridge", "Kettle", "The time before"].every((name) => text.includes(name));
  });
  await page.getByRole("button", { name: "Leave out Kettle" }).click();
  await settled("two lines again", (s) => s.lines === 2);

  // The same numbers as a table.
  await plot.getByText("As a table").click();
  await at.until("the table has rows", async () => (await plot.locator("tbody tr").count()) > 10);
}
