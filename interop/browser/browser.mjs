// Headless Chromium, and a visit to the page in it. A visit fails by itself on what no visitor may see: an error on the console, an
// exception, a request to another host, a key or token in the document, a serious finding of axe.

import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";

import { simulate } from "./simulation.mjs";

const modules = process.env.LANDFALL_INTEROP_NODE_MODULES;
if (!modules) {
  throw new Error("LANDFALL_INTEROP_NODE_MODULES is not set: run this by interop/run");
}
const load = createRequire(join(modules, "from-here.js"));
const { chromium } = load("playwright-core");
const axe = load("axe-core");

/** How long a condition may take to come true, in ms. The machine may be busy. */
export const PATIENCE = 25_000;

const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
const DESKTOP = { viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1 };

/** Every scenario is run in each of these. */
export const VARIANTS = {
  "phone light": { ...PHONE, colorScheme: "light" },
  "phone dark": { ...PHONE, colorScheme: "dark" },
  "desktop light": { ...DESKTOP, colorScheme: "light" },
  "desktop dark": { ...DESKTOP, colorScheme: "dark" },
};

/** Starts the browser. Names of other hosts lead nowhere, so that a foreign request fails even where one isn't seen. */
export function launch(config) {
  const args = ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--disable-component-update", "--disable-background-networking"];
  // Chromium has no sandbox for root.
  if (process.getuid?.() === 0) args.push("--no-sandbox");
  return chromium.launch({ executablePath: config.chromium, headless: true, args });
}

/** A visitor with an empty profile. */
export async function visit(browser, config, variant) {
  const context = await browser.newContext({
    ...VARIANTS[variant],
    locale: "en-GB",
    // Not the home's zone: what the page shows of the home is told in the home's own.
    timezoneId: "Pacific/Auckland",
    reducedMotion: "reduce",
    serviceWorkers: "block",
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  return new Visit(context, page, config, variant);
}

/** One visitor at one size and colour scheme. */
export class Visit {
  constructor(context, page, config, variant) {
    this.context = context;
    this.page = page;
    this.config = config;
    this.variant = variant;
    this.url = config.url;
    this.phone = variant.startsWith("phone");
    /** What went wrong. */
    this.problems = [];
    /** What was measured: name and number. */
    this.measured = {};
    this.expected = [{ status: 401, method: "GET", path: /^\/api\/v1\/session$/ }];
    this.answers = [];
    /** Virtual devices of this visit's own. */
    this.simulations = [];
    /** The network is cut on purpose: failed requests are no problem then. */
    this.offline = false;
    this.#watch();
  }

  #watch() {
    const { page } = this;
    page.on("pageerror", (error) => this.problem(`an exception on the page: ${error.stack ?? error.message}`));
    page.on("crash", () => this.problem("the page crashed"));
    page.on("console", (message) => {
      // Answers that are no success are judged below, with status and method.
      const answer = message.text().startsWith("Failed to load resource: the server responded with a status of");
      const cut = this.offline && message.text().startsWith("Failed to load resource: net::ERR_");
      if (["error", "warning"].includes(message.type()) && !answer && !cut) {
        this.problem(`on the console (${message.type()}): ${message.text()} at ${message.location().url}`);
      }
    });
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (!["data:", "blob:"].includes(protocol) && origin !== this.url) {
        this.problem(`a request to another host: ${request.url()}`);
      }
    });
    page.on("response", (response) => {
      const status = response.status();
      const method = response.request().method();
      const path = new URL(response.url()).pathname;
      this.answers.push(`${method} ${path} ${status}`);
      const fits = (e) => e.status === status && (!e.method || e.method === method) && e.path.test(path);
      if (status >= 400 && !this.expected.some(fits)) {
        this.problem(`${method} ${path} was answered by ${status}`);
      }
    });
  }

  /** Something went wrong: the scenario goes on, and fails at its end. */
  problem(what) {
    this.problems.push(what);
  }

  /** An answer that is no success and belongs to this scenario. `path`: of the URL, as a regular expression. */
  expect(status, path, method) {
    this.expected.push({ status, path, method });
  }

  /** A name that no other run has. */
  unique(name) {
    return `${name} ${this.variant.replace(" ", "-")} ${Math.random().toString(36).slice(2, 7)}`;
  }

  /** Asks the API beside the page, with the admin token: what JSON says, or the text that is none; null when there is nothing. */
  async api(method, path, body, { ok = true } = {}) {
    const headers = { Authorization: `Bearer ${this.config.token}` };
    const raw = typeof body === "string";
    if (body !== undefined) headers["Content-Type"] = raw ? "application/octet-stream" : "application/json";
    const answer = await fetch(`${this.url}/api/v1${path}`, { method, headers, body: raw || body === undefined ? body : JSON.stringify(body) });
    const text = await answer.text();
    if (ok && !answer.ok) {
      throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    }
    if (!(answer.headers.get("content-type") ?? "").includes("json")) return text || null;
    return text ? JSON.parse(text) : null;
  }

  /** The device of this name or id, by the API. */
  device(name) {
    return this.api("GET", `/devices/${encodeURIComponent(name)}`);
  }

  /** What a virtual device of the demo says of its points, by number: asked of the device itself, past the hub. */
  async direct(name) {
    const { landfall, devices } = this.config;
    const { stdout } = await promisify(execFile)(landfall, ["--devices", devices, "get", name, "--direct", "--json"]);
    return JSON.parse(stdout).dps;
  }

  /** Runs virtual devices (a home file in TOML) until the visit ends; `options` are those of `landfall simulate`. */
  async simulate(home, ...options) {
    const simulation = await simulate(this.config.landfall, home, options);
    this.simulations.push(simulation);
    return simulation;
  }

  /** Signs in without the form, as a visitor who was here before. */
  async signIn(token = this.config.token) {
    const answer = await this.context.request.post(`${this.url}/api/v1/session`, { data: { token } });
    if (!answer.ok()) {
      throw new Error(`POST /session: ${answer.status()} ${await answer.text()}`);
    }
    return answer.json();
  }

  /** Goes to a route of the page: `#/`, `#/devices/ID`. Waits until the view has drawn its heading. */
  async go(route) {
    const hash = route.startsWith("#") ? route : `#${route}`;
    if (this.page.url().startsWith(this.url)) {
      await this.page.evaluate((to) => { location.hash = to; }, hash);
    } else {
      await this.page.goto(`${this.url}/${hash}`, { waitUntil: "domcontentloaded" });
    }
    await this.page.locator("main h1, main h2").first().waitFor();
  }

  /** Signs in and goes there. */
  async enter(route) {
    await this.signIn();
    await this.go(route);
  }

  /** Waits until `wanted` gives something true, and gives it. Asked again and again: there is no event for it. */
  async until(what, wanted, patience = PATIENCE) {
    const end = Date.now() + patience;
    let last;
    while (Date.now() < end) {
      last = await wanted();
      if (last) return last;
      await new Promise((again) => { setTimeout(again, 50); });
    }
    throw new Error(`not within ${patience} ms: ${what}; last ${JSON.stringify(last)}`);
  }

  /** Fails unless this holds. */
  check(holds, what) {
    if (!holds) throw new Error(what);
  }

  /** Fails unless these are equal. */
  equal(is, should, what) {
    this.check(is === should, `${what}: ${JSON.stringify(is)} instead of ${JSON.stringify(should)}`);
  }

  /** Looks at the page as axe does: serious and critical findings are problems. */
  async axe(where = this.page.url()) {
    await this.page.evaluate(axe.source);
    const found = await this.page.evaluate(async () => {
      const run = await globalThis.axe.run(document, { resultTypes: ["violations"] });
      return run.violations
        .filter((v) => ["serious", "critical"].includes(v.impact))
        .map((v) => `${v.id}: ${v.help}; ${v.nodes.slice(0, 4).map((n) => `${n.target.flat().join(" ")} (${n.failureSummary})`).join("; ")}`);
    });
    for (const finding of found) this.problem(`axe on ${where}: ${finding}`);
  }

  /** Nothing hangs over the side: a phone must not scroll sideways. */
  async fits(where = this.page.url()) {
    const over = await this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (over > 0) this.problem(`${where} is ${over} pixels too wide`);
  }

  /** A picture for the docs, when pictures were asked for: at this variant only; of a part of the page where one is given. */
  async shot(name, variant = "desktop light", { of, ...options } = {}) {
    if (!this.config.shots || this.variant !== variant) return;
    await this.page.mouse.move(0, 0);
    await (of ?? this.page).screenshot({ path: join(this.config.shots, `${name}.png`), scale: "css", animations: "disabled", ...options });
  }

  /** A picture of what failed. */
  async picture(name) {
    if (!this.config.failed) return;
    mkdirSync(this.config.failed, { recursive: true });
    const path = join(this.config.failed, `${name.replaceAll(" ", "-")}.png`);
    await this.page.screenshot({ path }).then(
      () => this.problem(`see ${path}`),
      (error) => this.problem(`no picture: ${error.message}`),
    );
  }

  /** Everything that stands in the document, shadow roots and fields included. */
  async everything() {
    return this.page.evaluate(() => {
      const parts = [];
      const walk = (/** @type {any} */ node) => {
        if (node.nodeType === Node.TEXT_NODE) parts.push(node.data);
        if (node.attributes) for (const a of node.attributes) parts.push(a.value);
        if (typeof node.value === "string") parts.push(node.value);
        if (node.shadowRoot) walk(node.shadowRoot);
        for (const child of node.childNodes) walk(child);
      };
      walk(document.documentElement);
      return `${parts.join("\n")}\n${location.href}\n${JSON.stringify({ ...localStorage, ...sessionStorage })}`;
    });
  }

  /** No key of the home stands anywhere. */
  async secretsHidden() {
    const all = await this.everything();
    const seen = this.config.secrets.filter((secret) => secret && all.includes(secret));
    if (seen.length > 0) this.problem(`${seen.length} secrets stand in the document at ${this.page.url()}`);
  }

  /** The looks that every scenario ends with. */
  async done() {
    await this.fits();
    await this.axe();
    await this.secretsHidden();
  }

  async close() {
    await this.context.close();
    for (const simulation of this.simulations) await simulation.end();
  }
}
