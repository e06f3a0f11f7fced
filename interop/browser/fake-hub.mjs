// A hub that is not there: the page's files, and just enough of the API to show a home of any size whose devices all change at a
// given pace. It measures the page, so it does as little as it can itself.

import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const PAGE = fileURLToPath(new URL("../../crates/hub/page/", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const ROOMS = ["Attic", "Bathroom", "Bedroom", "Cellar", "Garage", "Garden", "Hall", "Kitchen", "Living room", "Study"];
const SESSION = { scope: "admin", name: "bench", csrf: "bench" };
/** Changes are written so many times a second, as a hub's own frames come in. */
const TICKS = 20;

/** The page that does least with the same stream: one line with the last change. */
const BARE = `<!doctype html><html lang="en"><title>Bare</title><p id="last">-</p><script type="module" src="/bare.js"></script></html>`;
const BARE_SCRIPT = `const last = document.getElementById("last"); let frame = 0;
new EventSource("/api/v1/events").addEventListener("points", (e) => { const c = JSON.parse(e.data); frame ||= requestAnimationFrame(() => { frame = 0; last.textContent = c.device + " " + c.state.power; }); });`;

function device(n) {
  const line = { state: "up", since_ms: 1, address: `127.0.0.1:${10000 + n}` };
  return {
    id: `bench${String(n).padStart(8, "0")}`, aliases: [], name: `Plug ${n}`, room: ROOMS[n % ROOMS.length], class: "plug", product: "Bench Plug",
    product_id: "bench00000000001", sleeper: false, has_key: true, presence: { state: "online" }, lan: line, cloud: { state: "unused", since_ms: 0 },
    route: "lan", heard_ms: Date.now(), seq: 0, stale: [], version: "3.4",
    state: { switch_1: true, power: 40 + (n % 60), voltage: 230.1, current: 0.4, countdown_1: 0, relay_status: "last", child_lock: false, fault: [] },
    energy: { total_kwh: 12.5, today_kwh: 0.4, yesterday_kwh: 0.9, month_kwh: 8.1, integrated_kwh: 12.4, copies: 0, apparent_power: 92, power_factor: 0.62 },
  };
}

/** Reads the page's files once, compressed. */
function files() {
  const all = new Map();
  const walk = (folder, at) => {
    for (const entry of readdirSync(join(folder, at), { withFileTypes: true })) {
      const path = `${at}/${entry.name}`;
      if (entry.isDirectory()) walk(folder, path);
      else all.set(path, { type: TYPES[extname(path)] ?? "text/plain", body: gzipSync(readFileSync(join(folder, path)), { level: 6 }) });
    }
  };
  walk(PAGE, "");
  all.set("/", all.get("/index.html"));
  all.set("/bare", { type: "text/html", body: gzipSync(BARE) });
  all.set("/bare.js", { type: "text/javascript", body: gzipSync(BARE_SCRIPT) });
  return all;
}

/** Starts it: `devices` of them, each changing `perSecond` times a second. */
export async function start({ devices, perSecond }) {
  const served = files();
  const home = Array.from({ length: devices }, (_, n) => device(n));
  const streams = new Set();
  let seq = 0;
  let sent = 0;
  let owed = 0;
  let next = 0;
  const begun = Date.now();
  const timer = setInterval(() => {
    // By the clock, not by the count of ticks: a busy machine must not slow the home down.
    const due = Math.floor(((Date.now() - begun) / 1000) * devices * perSecond);
    const many = Math.min(due - owed, devices);
    owed = due;
    let text = "";
    for (let i = 0; i < many; i += 1) {
      const one = home[next++ % devices];
      one.state.power = Math.round((40 + Math.random() * 60) * 10) / 10;
      one.seq = ++seq;
      const change = { seq, type: "points", at_ms: Date.now(), device: one.id, line: "lan", polled: false, dps: { 19: one.state.power * 10 }, changed: [19], state: { power: one.state.power }, device_ms: null };
      text += `id: ${seq}\nevent: points\ndata: ${JSON.stringify(change)}\n\n`;
    }
    sent += many;
    for (const stream of streams) stream.write(text);
  }, 1000 / TICKS);

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const json = (value) => {
      response.writeHead(200, { "Content-Type": "application/json", "Content-Encoding": "gzip" });
      response.end(gzipSync(JSON.stringify(value), { level: 1 }));
    };
    switch (url.pathname) {
      case "/api/v1/session":
        return json(SESSION);
      case "/api/v1/status":
        return json({ now_ms: Date.now(), zone: "Etc/UTC", seq, devices });
      case "/healthz":
        return json({ status: "ok" });
      case "/api/v1/devices": {
        const offset = Number(url.searchParams.get("offset") ?? 0);
        return json({ devices: home.slice(offset, offset + 1000), total: devices, offset, limit: 1000 });
      }
      case "/api/v1/events":
        response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
        response.write(`event: hello\ndata: {"type":"hello","seq":${seq}}\n\n`);
        streams.add(response);
        response.on("close", () => streams.delete(response));
        return undefined;
      default: {
        const file = served.get(url.pathname);
        response.writeHead(file ? 200 : 404, file ? { "Content-Type": file.type, "Content-Encoding": "gzip" } : {});
        return response.end(file?.body);
      }
    }
  });
  await new Promise((ready) => { server.listen(0, "127.0.0.1", () => ready(undefined)); });
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    sent: () => sent,
    stop() {
      clearInterval(timer);
      for (const stream of streams) stream.destroy();
      server.close();
    },
  };
}
