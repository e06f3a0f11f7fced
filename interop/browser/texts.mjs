// Looks whether every text that the page's modules ask for is there, and whether every text is asked for. Says what is not, a line each.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import process from "node:process";

const page = new URL("../../crates/hub/page/", import.meta.url);
const texts = Object.keys((await import(new URL("text/en.js", page).href)).default);
const folders = ["app", "views", "controls"].filter((folder) => existsSync(new URL(folder, page)));
const modules = folders.flatMap((folder) =>
  readdirSync(new URL(folder, page)).filter((f) => f.endsWith(".js")).map((f) => `${folder}/${f}`));

/** Whole keys, and beginnings of keys that are put together: t(`plots.${period}`). Ends that follow are not looked at. */
const whole = new Set();
const begun = new Set();
const missing = [];
for (const file of modules) {
  const source = readFileSync(new URL(file, page), "utf8");
  // Any literal may be a key on its way to t().
  for (const [, key] of source.matchAll(/['"`]([a-z][\w]*(?:\.[\w-]+)*)['"`]/g)) whole.add(key);
  for (const [, start] of source.matchAll(/`([a-z]\w*(?:\.[\w-]+)*\.)\$\{/g)) begun.add(start);
  for (const [, args] of source.matchAll(/\bt\(([^`\n]*?)\)/g)) {
    for (const [, key] of args.split("{")[0].matchAll(/'([a-z][\w.-]*)'/g)) if (!texts.includes(key)) missing.push(`${file} asks for ${key}`);
  }
  for (const [, start] of source.matchAll(/\bt\([^)\n]*?`([a-z]\w*(?:\.[\w-]+)*\.)\$\{/g)) {
    if (!texts.some((key) => key.startsWith(start))) missing.push(`${file} asks for ${start}...`);
  }
}
const idle = texts.filter((key) => !whole.has(key) && ![...begun].some((start) => key.startsWith(start)));
for (const line of [...missing, ...idle.map((key) => `nobody asks for ${key}`)]) process.stdout.write(`${line}\n`);
