// Virtual devices beside the demo's: `landfall simulate` with a home file of the scenario's own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Starts them, and resolves once they run; fails with what the command said when it ends before. */
export async function simulate(landfall, home, options) {
  const folder = mkdtempSync(join(tmpdir(), "landfall-page-"));
  const file = join(folder, "home.toml");
  writeFileSync(file, home);
  const argv = ["--data-dir", join(folder, "data"), "simulate", "--home", file, "--no-discovery", "--json", ...options];
  const child = spawn(landfall, argv, { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env.PATH ?? "" } });
  const ended = once(child, "exit");
  let [said, listed] = ["", ""];
  child.stderr.setEncoding("utf8");
  child.stdout.setEncoding("utf8");
  await new Promise((runs, failed) => {
    // Two pipes: what was printed first may be read last.
    const look = () => {
      const [, all] = /(\d+) virtual devices? running/.exec(said) ?? [];
      if (all && listed.split("\n").length > Number(all)) runs();
    };
    child.stderr.on("data", (text) => {
      said += text;
      look();
    });
    child.stdout.on("data", (text) => {
      listed += text;
      look();
    });
    child.on("error", failed);
    child.on("exit", () => failed(new Error(`landfall simulate ended: ${said}`)));
  });
  return {
    /** What is simulated: ids, names, addresses. */
    devices: listed.trim().split("\n").map((line) => JSON.parse(line)),
    async end() {
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
