// Runs one scenario of the page in headless Chromium, at every size and in both colour schemes, and says a JSON line for each.
//
// Standard input (one JSON text; the token stands in no argument):
//   {"scenario": "sign-in", "url": "http://127.0.0.1:8099", "token": "lf_...", "secrets": ["..."], "chromium": "/usr/bin/chromium",
//    "landfall": "target/debug/landfall", "devices": "the demo's devices.json",
//    "shots": "docs/images" | null, "failed": "folder for pictures of what failed", "only": ["phone light"] | null}
// A line: {"variant": "phone light", "ok": true, "took_ms": 812, "problems": [], "measured": {}}

import { readFileSync } from "node:fs";
import process from "node:process";

import { VARIANTS, launch, visit } from "./browser.mjs";

const config = JSON.parse(readFileSync(0, "utf8"));
const scenario = await import(new URL(`./scenarios/${config.scenario}.mjs`, import.meta.url).href);
const wanted = (config.only ?? scenario.variants ?? Object.keys(VARIANTS)).filter((name) => name in VARIANTS);
if (wanted.length === 0) {
  throw new Error(`none of ${config.only} is a variant; there are ${Object.keys(VARIANTS).join(", ")}`);
}

const browser = await launch(config);
let failed = false;
try {
  for (const variant of wanted) {
    const begun = Date.now();
    const at = await visit(browser, config, variant);
    try {
      await scenario.default(at);
      await at.done();
    } catch (error) {
      at.problem(error instanceof Error ? (error.stack ?? error.message) : String(error));
      await at.picture(`${config.scenario} ${variant}`);
    } finally {
      await at.close();
    }
    failed ||= at.problems.length > 0;
    const line = { variant, ok: at.problems.length === 0, took_ms: Date.now() - begun, problems: at.problems, measured: at.measured };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
} finally {
  await browser.close();
}
process.exitCode = failed ? 1 : 0;
