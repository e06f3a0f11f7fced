// A back-up is written while everything runs, and the page says where.

export default async function backup(at) {
  const { page } = at;
  await at.enter("#/backup");
  await page.getByRole("button", { name: "Write a back-up" }).click();
  const written = page.locator(".backup").first();
  await written.waitFor();
  const text = await written.textContent();
  at.check(/backups\/\d{8}T\d{9}Z/.test(text), `where it was written: ${text}`);
  for (const file of ["book", "history.db"]) at.check(text.includes(file), `${file} is part of it: ${text}`);
}
