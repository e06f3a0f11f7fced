// An infrared blaster learns a code of a remote control and sends it; the virtual device itself says what it was told last.

const NAME = "Remote control";

export default async function infrared(at) {
  const { page } = at;
  const { id } = await at.device(NAME);
  const code = async () => (await at.device(NAME)).state.ir_code;
  const told = async () => JSON.parse((await at.direct(NAME))[201] || "{}");
  await at.api("PATCH", `/devices/${id}/state`, { ir_learn: false });
  const before = await code();
  await at.enter(`#/devices/${id}`);
  await page.getByRole("heading", { level: 1, name: NAME }).waitFor();
  const learn = page.getByRole("switch", { name: "Learn a code" });
  await at.until("it does not learn", async () => (await learn.getAttribute("aria-checked")) === "false");
  await learn.click();
  // Somebody in the virtual home presses a key two seconds later.
  const learnt = await at.until("another code is learnt", async () => {
    const now = await code();
    return now && now !== before && now;
  });
  await page.locator("dd.value", { hasText: learnt }).waitFor();
  at.equal((await told()).control, "study", "what the blaster was told");
  await learn.click();
  await at.until("it learns no more", async () => (await told()).control === "study_exit");

  await page.getByLabel("Send a code").fill(learnt);
  await page.locator("form.sender", { hasText: "Send a code" }).getByRole("button", { name: "Send" }).click();
  await page.locator('[data-control="ir_send"][data-outcome="accepted"], [data-control="ir_send"][data-outcome="confirmed"]').waitFor();
  const sent = await at.until("the blaster sends", async () => {
    const now = await told();
    return now.control === "send_ir" && now;
  });
  // Without the head of a remote control a code begins with 1 on the wire.
  at.equal(sent.key1, `1${learnt}`, "the code that was sent");
  await at.axe("an infrared blaster");
}
