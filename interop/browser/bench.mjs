// How fast the page is, in headless Chromium, beside a bare page of the same server. Run it by `just bench-page` or:
//
//   LANDFALL_INTEROP_NODE_MODULES=target/interop/npm/node_modules node interop/browser/bench.mjs [--url http://127.0.0.1:8099 --token-file FILE]
//
// With an address it measures the first load and a year's plot on that hub (`landfall demo` has a year behind it). The home of a
// thousand devices is always `fake-hub.mjs`. It ends with status 1 when a limit is missed.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";

import { start } from "./fake-hub.mjs";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    "token-file": { type: "string" },
    device: { type: "string", default: "Fridge" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    seconds: { type: "string", default: "20" },
    runs: { type: "string", default: "5" },
  },
});
const modules = process.env.LANDFALL_INTEROP_NODE_MODULES ?? "target/interop/npm/node_modules";
const { chromium } = createRequire(resolve(modules, "from-here.js"))("playwright-core");

/** What must hold. */
const LIMITS = { bytes: 150_000, interactive_ms: 1000, frames: 3, cpu: 0.5, plot_ms: 300 };
const DEVICES = 1000;
/** Ticks a second in /proc, on every Linux of today. */
const TICK = 100;

const results = [];
function tell(what, value, unit, limit, bare) {
  const ok = limit === undefined || value <= limit;
  results.push(ok);
  const beside = bare === undefined ? "" : `   bare page ${bare} ${unit}`;
  process.stdout.write(`${ok ? "ok  " : "MISS"} ${what.padEnd(44)} ${String(value).padStart(9)} ${unit}${limit === undefined ? "" : `  (limit ${limit})`}${beside}\n`);
}
const median = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];
const round = (n, digits = 0) => Number(n.toFixed(digits));

/** CPU seconds of a process and all below it. */
function cpu(root) {
  const stat = (pid) => {
    try {
      const text = readFileSync(`/proc/${pid}/stat`, "utf8");
      const parts = text.slice(text.lastIndexOf(")") + 2).split(" ");
      return { ppid: Number(parts[1]), ticks: Number(parts[11]) + Number(parts[12]) };
    } catch {
      return null;
    }
  };
  const children = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
    } catch {
      return [];
    }
  };
  let ticks = 0;
  const open = [root];
  while (open.length) {
    const pid = open.pop();
    ticks += stat(pid)?.ticks ?? 0;
    open.push(...children(pid));
  }
  return ticks / TICK;
}

async function launch() {
  const args = ["--disable-background-networking", "--disable-component-update"];
  if (process.getuid?.() === 0) args.push("--no-sandbox");
  const server = await chromium.launchServer({ executablePath: options.chromium, headless: true, args });
  const browser = await chromium.connect(server.wsEndpoint());
  return { browser, pid: server.process().pid, close: async () => (await browser.close(), await server.close()) };
}

/** A cold load: bytes over the wire, and ms from the first byte until `ready` is in the page. */
async function load(browser, url, ready, prepare) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  await prepare?.(context);
  const page = await context.newPage();
  const wire = await context.newCDPSession(page);
  await wire.send("Network.enable");
  let bytes = 0;
  const kinds = new Map();
  wire.on("Network.responseReceived", (e) => kinds.set(e.requestId, e.response.url));
  wire.on("Network.loadingFinished", (e) => {
    // The home's own data is no part of the page.
    if (!/\/api\/|\/healthz/.test(kinds.get(e.requestId) ?? "")) bytes += e.encodedDataLength;
  });
  await page.addInitScript((selector) => {
    const look = () => {
      if (document.querySelector(selector)) window.__ready = performance.now();
      else requestAnimationFrame(look);
    };
    look();
  }, ready);
  await page.goto(url);
  await page.waitForFunction(() => window.__ready !== undefined);
  // Interactive: what stands there can be used, so the main thread has to come to rest.
  const took = await page.evaluate(async () => {
    await new Promise((idle) => requestIdleCallback(idle, { timeout: 2000 }));
    const [navigation] = performance.getEntriesByType("navigation");
    return { ready: window.__ready - navigation.responseStart, rest: performance.now() - navigation.responseStart };
  });
  await context.close();
  return { bytes, ...took };
}

async function loads(url, prepare, bareUrl, title) {
  const runs = Number(options.runs);
  const own = [];
  const bare = [];
  const { browser, close } = await launch();
  for (let i = 0; i < runs; i += 1) {
    own.push(await load(browser, url, "article.device .toggle", prepare));
    bare.push(await load(browser, bareUrl, "p, svg", prepare));
  }
  await close();
  const m = (all, key) => round(median(all.map((r) => r[key])));
  tell(`${title}: first load, compressed`, m(own, "bytes"), "B", LIMITS.bytes, m(bare, "bytes"));
  tell(`${title}: first byte to first device`, m(own, "ready"), "ms", LIMITS.interactive_ms, m(bare, "ready"));
  tell(`${title}: first byte to interactive`, m(own, "rest"), "ms", LIMITS.interactive_ms, m(bare, "rest"));
}

async function thousand() {
  const hub = await start({ devices: DEVICES, perSecond: 1 });
  try {
    await loads(`${hub.url}/`, undefined, `${hub.url}/bare`, "1,000 devices");
    const share = async (url, ready) => {
      const { browser, pid, close } = await launch();
      const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
      await page.addInitScript(() => {
        const Stream = globalThis.EventSource;
        globalThis.EventSource = class extends Stream {
          constructor(...args) {
            super(...args);
            // Registered first, so called first.
            this.addEventListener("points", (e) => globalThis.__points?.(e));
          }
        };
      });
      await page.goto(url);
      await page.waitForSelector(ready);
      await page.waitForTimeout(3000);
      const [from, sent, at] = [cpu(pid), hub.sent(), performance.now()];
      await page.waitForTimeout(Number(options.seconds) * 1000);
      const seconds = (performance.now() - at) / 1000;
      const used = (cpu(pid) - from) / seconds;
      const pace = (hub.sent() - sent) / seconds;
      const frames = ready === "#last" ? undefined : await latency(page);
      const smooth = ready === "#last" ? undefined : await scroll(page);
      await close();
      return { used, pace, frames, smooth };
    };
    const bare = await share(`${hub.url}/bare`, "#last");
    const own = await share(`${hub.url}/`, "article.device");
    process.stdout.write(`     ${DEVICES} devices, ${round(own.pace)} changes a second; all of Chromium's processes\n`);
    tell("CPU", round(own.used, 3), "cores", LIMITS.cpu, round(bare.used, 3));
    tell("frames from event to screen, median", own.frames.median, "frames", LIMITS.frames);
    tell("frames from event to screen, worst of 100", own.frames.worst, "frames", LIMITS.frames);
    tell("scrolling: cards in the page at most", own.smooth.cards, "cards", 120);
    tell("scrolling: frames later than 50 ms", own.smooth.late, "frames");
  } finally {
    hub.stop();
  }
}

/** Frames that pass between a change's event and its text in the document. The frame that shows it counts. */
function latency(page) {
  return page.evaluate(async () => {
    let frame = 0;
    const count = () => { frame += 1; requestAnimationFrame(count); };
    requestAnimationFrame(count);
    const shown = [...document.querySelectorAll("lf-device-card")].slice(0, 8).map((card) => ({ id: card.device, says: card.querySelector(".says") }));
    const heard = new Map();
    const all = [];
    // The page's own stream: another one would get the same change at another moment.
    globalThis.__points = (e) => {
      const id = shown.find((s) => e.data.includes(s.id))?.id;
      if (id) heard.set(id, frame);
    };
    for (const one of shown) {
      new MutationObserver(() => {
        const at = heard.get(one.id);
        if (at === undefined) return;
        heard.delete(one.id);
        all.push(frame - at + 1);
      }).observe(one.says, { characterData: true, childList: true, subtree: true });
    }
    const end = performance.now() + 30_000;
    while (all.length < 100 && performance.now() < end) await new Promise((again) => setTimeout(again, 100));
    all.sort((a, b) => a - b);
    return { median: all[Math.floor(all.length / 2)], worst: all.at(-1), samples: all.length };
  });
}

/** Scrolls through the whole list while it changes. */
function scroll(page) {
  return page.evaluate(async () => {
    let [late, cards, last] = [0, 0, performance.now()];
    const bottom = document.documentElement.scrollHeight - innerHeight;
    for (let y = 0; y < bottom; y += 150) {
      scrollTo(0, y);
      const now = await new Promise((done) => requestAnimationFrame(done));
      if (now - last > 50) late += 1;
      last = now;
      cards = Math.max(cards, document.querySelectorAll("article.device").length);
    }
    return { late, cards };
  });
}

/** The hub's own page: load, and a year's plot from the click until it is drawn. */
async function hub(url, token) {
  const signIn = async (context) => {
    const answer = await context.request.post(`${url}/api/v1/session`, { data: { token } });
    if (!answer.ok()) throw new Error(`POST /session: ${answer.status()} ${await answer.text()}`);
  };
  await loads(`${url}/`, signIn, `${url}/icon.svg`, "hub");
  const { browser, close } = await launch();
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  await signIn(context);
  const page = await context.newPage();
  const answer = await context.request.get(`${url}/api/v1/devices/${encodeURIComponent(options.device)}`);
  await page.goto(`${url}/#/devices/${(await answer.json()).id}/plots`);
  await page.waitForSelector("lf-plot .u-over");
  const all = [];
  for (let i = 0; i < Number(options.runs); i += 1) {
    await page.waitForTimeout(500);
    all.push(await page.evaluate(async () => {
      const periods = [...document.querySelectorAll(".plots .segments button")];
      const frame = () => new Promise((next) => { requestAnimationFrame(next); });
      // What uPlot has drawn, not what was asked for.
      const days = () => {
        const { plot, busy } = document.querySelector("lf-plot");
        return busy || !plot ? NaN : (plot.scales.x.max - plot.scales.x.min) / 86_400;
      };
      periods[0].click();
      while (!(days() < 1)) await frame();
      const at = performance.now();
      periods.at(-1).click();
      while (!(days() > 300)) await frame();
      await frame();
      return performance.now() - at;
    }));
  }
  await close();
  tell("a year's plot, from the click", round(median(all)), "ms", LIMITS.plot_ms);
}

if (options.url) await hub(options.url.replace(/\/$/, ""), readFileSync(options["token-file"] ?? "admin-token", "utf8").trim());
await thousand();
process.exitCode = results.every(Boolean) ? 0 : 1;
