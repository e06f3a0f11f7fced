// The home as the hub tells it: one read of all devices, then one stream of changes. Everything that shows a device reads it here,
// and is told at most once a frame.

import { api, ApiError, path, session } from './api.js';

/** @typedef {{state: 'unused' | 'opening' | 'up' | 'down', since_ms: number, address?: string | null, why?: string | null}} Line */
/** @typedef {{state: 'unknown' | 'online' | 'offline' | 'asleep', since_ms?: number | null, why?: string | null}} Presence */
/** @typedef {{total_kwh: number, today_kwh: number, yesterday_kwh: number, month_kwh: number, integrated_kwh: number, copies: number,
 *   apparent_power?: number | null, power_factor?: number | null, cost_today?: number | null, cost_month?: number | null}} Energy */
/** @typedef {{id: string, name: string, class: string, product: string, room?: string | null, parent?: string | null, cid?: string | null,
 *   sleeper: boolean, has_key: boolean, presence: Presence, lan: Line, cloud: Line, route?: string | null, energy?: Energy | null,
 *   heard_ms?: number | null, seq: number, state: Record<string, any>, stale: string[], aliases: string[], version?: string | null,
 *   product_id?: string | null, category?: string | null, uuid?: string | null, mac?: string | null, software?: string | null}} Device */
/** @typedef {{type: string, seq: number, at_ms: number, device?: string} & Record<string, any>} Change */
/** @typedef {'starting' | 'live' | 'lost' | 'off'} Connection */

/** @typedef {{seq: number, after: number | null, timer?: ReturnType<typeof setTimeout>}} Wish */

/** Types of changes that the stream tells. */
const TYPES = ['points', 'event', 'presence', 'line', 'stale', 'energy', 'energy_note', 'command', 'added', 'removed', 'renamed', 'edited', 'hub'];
const PAGE = 1000;
/** Changes that may wait for the first read of the devices; with more of them the read begins anew. */
const WAITING = 20_000;
/** How long silence may last before the hub is asked whether it is there, and how long it may take to answer. */
const SILENCE = 4000;
const PATIENCE = 3000;
/** Pauses between two attempts to connect. */
const PAUSES = [300, 1000, 2000, 3000];
/** How long it takes until a definition that could not be had is asked for again, in ms. */
const ASK_AGAIN = 5000;
/** How long a device that is to be read anew waits for further wishes, in ms. */
const REREAD = 150;

/** The store. Listeners are called in the frame after a change. */
class Home {
  /** Devices by id. @type {Map<string, Device>} */
  devices = new Map();
  /** @type {Connection} */
  connection = 'off';
  /** Grows when devices come, go, move or change name or presence: lists are then made anew. */
  shape = 0;
  /** How far the hub's clock is ahead of ours, in ms. */
  clockAhead = 0;

  /** @type {Map<string, Set<() => void>>} */
  #listeners = new Map();
  /** @type {Set<(change: Change) => void>} */
  #taps = new Set();
  /** @type {Set<string>} */
  #dirty = new Set();
  #frame = 0;
  /** @type {EventSource | null} */
  #stream = null;
  /** @type {Change[] | null} */
  #waiting = null;
  #round = 0;
  #attempt = 0;
  #heard = 0;
  #probing = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #watch;
  /** Devices that are to be read anew: the number of the change that they are to show at least, once they are asked for of that which
   * came after. @type {Map<string, Wish>} */
  #rereads = new Map();
  /** @type {Map<string, Promise<any>>} */
  #definitions = new Map();

  /** @param {string} id */
  device(id) {
    return this.devices.get(id);
  }

  /** What a device's points mean. Kept until the device is edited. @param {string} id @returns {Promise<any>} */
  definition(id) {
    let known = this.#definitions.get(id);
    if (!known) {
      const asked = api.get(path`/devices/${id}/definition`);
      known = asked;
      this.#definitions.set(id, asked);
      // A refusal is kept for a while too: whoever draws asks each time.
      asked.catch(() => setTimeout(() => this.#definitions.get(id) === asked && this.#definitions.delete(id), ASK_AGAIN));
    }
    return known;
  }

  /**
   * Calls `listener` in the frame after something changed: a device (its id), `*` any device, `shape` the list of devices,
   * `connection`. Returns what ends it.
   * @param {string} what
   * @param {() => void} listener
   */
  subscribe(what, listener) {
    let all = this.#listeners.get(what);
    if (!all) this.#listeners.set(what, (all = new Set()));
    all.add(listener);
    return () => {
      all.delete(listener);
      if (all.size === 0 && this.#listeners.get(what) === all) this.#listeners.delete(what);
    };
  }

  /** Gives every change to `tap` as it comes, and `{type: 'reload'}` after changes were missed. @param {(change: Change) => void} tap */
  tap(tap) {
    this.#taps.add(tap);
    return () => this.#taps.delete(tap);
  }

  /** Joins the stream. */
  start() {
    if (this.connection !== 'off') return;
    this.#set('starting');
    this.#watch = setInterval(() => this.#look(), 1000);
    addEventListener('online', this.#nudge);
    addEventListener('offline', this.#nudge);
    document.addEventListener('visibilitychange', this.#nudge);
    this.#connect();
  }

  /** Leaves it. */
  stop() {
    this.#round += 1;
    this.#close();
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    removeEventListener('online', this.#nudge);
    removeEventListener('offline', this.#nudge);
    document.removeEventListener('visibilitychange', this.#nudge);
    this.#set('off');
  }

  /**
   * Reads one device anew, soon: many wishes become one question, and none where an answer of the API shows this change meanwhile.
   * @param {string} id
   * @param {number} [seq] the change's number
   */
  reread(id, seq = Infinity) {
    const before = this.#rereads.get(id);
    if (before) {
      if (before.after === null) before.seq = Math.max(before.seq, seq);
      else before.after = Math.max(before.after, seq);
      return;
    }
    /** @type {Wish} */
    const wish = { seq, after: null };
    wish.timer = setTimeout(async () => {
      wish.after = 0;
      /** @type {Device | null} */
      let device = null;
      try {
        device = await api.get(path`/devices/${id}`);
      } catch (e) {
        if (e instanceof ApiError && e.status === 404 && this.#rereads.get(id) === wish) this.#drop(id);
        // Anything else is a lost connection, which the stream notices and heals with a whole read.
      }
      // Removed while the hub answered, it would come back.
      if (this.#rereads.get(id) !== wish) return;
      this.#rereads.delete(id);
      if (device) this.#put(device);
      if (wish.after > (device?.seq ?? 0)) this.reread(id, wish.after);
    }, REREAD);
    this.#rereads.set(id, wish);
  }

  /** Shows what the API answered for a device. @param {Device} device */
  put(device) {
    this.#put(device);
  }

  /** Its definition changed: the next who asks reads it anew. @param {string} id */
  forget(id) {
    this.#definitions.delete(id);
    this.#mark(id);
  }

  /** Tells everybody who shows this device. @param {string} id */
  touch(id) {
    this.#mark(id);
  }

  #nudge = () => this.#look(true);

  #connect() {
    const round = ++this.#round;
    this.#close();
    this.#waiting = [];
    const stream = new EventSource(api.url('/events'));
    this.#stream = stream;
    this.#heard = Date.now();
    stream.addEventListener('hello', () => {
      this.#heard = Date.now();
      void this.#readAll(round);
    });
    stream.addEventListener('gap', () => {
      this.#waiting ??= [];
      void this.#readAll(round);
    });
    const take = (/** @type {MessageEvent<string>} */ e) => {
      this.#heard = Date.now();
      this.#hear(JSON.parse(e.data));
    };
    for (const type of TYPES) stream.addEventListener(type, take);
    stream.onerror = () => round === this.#round && this.#lost();
  }

  #close() {
    this.#stream?.close();
    this.#stream = null;
    this.#waiting = null;
  }

  /** The line broke: says so, and tries again with growing pauses. */
  #lost() {
    this.#round += 1;
    this.#close();
    this.#set('lost');
    clearTimeout(this.#retry);
    const wait = PAUSES[Math.min(this.#attempt++, PAUSES.length - 1)];
    this.#retry = setTimeout(() => void this.#again(), wait);
  }

  /** A stream tells no status, so a question goes ahead of it: an expired token leads to the sign-in. */
  async #again() {
    const round = this.#round;
    try {
      await api.get('/session', { timeout: PATIENCE });
    } catch {
      if (round === this.#round) this.#lost();
      return;
    }
    if (round === this.#round) this.#connect();
  }

  /** Asks the hub whether it is there when nothing was heard for a while: a dead network closes no connection. @param {boolean} [now] */
  async #look(now = false) {
    if (now && this.connection === 'lost') {
      this.#attempt = 0;
      clearTimeout(this.#retry);
      void this.#again();
      return;
    }
    const silent = Date.now() - this.#heard > SILENCE;
    if (this.#probing || !this.#stream || document.hidden || !(silent || now)) return;
    const round = this.#round;
    this.#probing = true;
    try {
      const answer = await fetch(api.url('/healthz'), { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      this.#heard = Date.now();
    } catch {
      if (round === this.#round) this.#lost();
    } finally {
      this.#probing = false;
    }
  }

  /** @param {number} round */
  async #readAll(round) {
    const fresh = new Map();
    try {
      const status = api.get('/status');
      for (let offset = 0, total = 1; offset < total; offset += PAGE) {
        const page = await api.get('/devices', { query: { limit: PAGE, offset } });
        total = page.total;
        for (const device of page.devices) fresh.set(device.id, device);
      }
      this.clockAhead = (await status).now_ms - Date.now();
    } catch {
      if (round === this.#round) this.#lost();
      return;
    }
    if (round !== this.#round) return;
    const waited = this.#waiting ?? [];
    this.#waiting = null;
    this.#attempt = 0;
    for (const id of this.devices.keys()) this.#mark(id);
    this.devices = fresh;
    for (const id of fresh.keys()) this.#mark(id);
    this.#definitions.clear();
    for (const change of waited) this.#apply(change);
    this.#reshape();
    this.#set('live');
    this.#tell({ type: 'reload', seq: 0, at_ms: Date.now() });
  }

  /** @param {Change} change */
  #hear(change) {
    if (this.#waiting) {
      this.#waiting.push(change);
      // Reading takes longer than the home takes to change: begin anew rather than keep ever more.
      if (this.#waiting.length > WAITING) this.#lost();
      return;
    }
    this.#apply(change);
    this.#tell(change);
  }

  /** @param {Change} change */
  #tell(change) {
    for (const tap of this.#taps) tap(change);
  }

  /** @param {Change} change */
  #apply(change) {
    const id = change.device;
    if (!id) return;
    if (change.type === 'removed') return this.#drop(id);
    const device = this.devices.get(id);
    if (!device || change.type === 'added' || change.type === 'renamed' || change.type === 'edited') {
      this.#definitions.delete(id);
      // Whoever adds or edits a device here has the answer to that already.
      if (!device || change.seq > device.seq) this.reread(id, change.seq);
      return;
    }
    if (change.seq <= device.seq) return;
    device.seq = change.seq;
    switch (change.type) {
      case 'points':
        Object.assign(device.state, change.state);
        device.heard_ms = change.at_ms;
        if (device.stale.length) device.stale = device.stale.filter((name) => !(name in change.state));
        break;
      case 'event':
        device.heard_ms = change.at_ms;
        break;
      case 'presence':
        device.presence = change.presence;
        this.#reshape();
        break;
      case 'line':
        if (change.line === 'lan' || change.line === 'cloud') device[/** @type {'lan' | 'cloud'} */ (change.line)] = change.view;
        break;
      case 'energy':
        device.energy = change.energy;
        // A device's state has these beside what it reported itself.
        if (change.energy.apparent_power != null) device.state.apparent_power = change.energy.apparent_power;
        if (change.energy.power_factor != null) device.state.power_factor = change.energy.power_factor;
        break;
      case 'stale':
        // It names points, people see attributes: ask for those.
        this.reread(id, change.seq);
        break;
      default:
        return;
    }
    this.#mark(id);
  }

  /** @param {Device} device */
  #put(device) {
    const wish = this.#rereads.get(device.id);
    if (wish && device.seq >= Math.max(wish.seq, wish.after ?? 0)) this.#unwish(device.id);
    const old = this.devices.get(device.id);
    if (old && old.seq > device.seq) {
      // Values that came meanwhile are newer; who it is and where it stands is not told by the stream.
      device = { ...device, state: old.state, energy: old.energy, presence: old.presence, seq: old.seq };
    }
    this.devices.set(device.id, device);
    this.#mark(device.id);
    this.#reshape();
  }

  /** @param {string} id */
  #drop(id) {
    // What is gone is not asked for any more.
    this.#unwish(id);
    if (!this.devices.delete(id)) return;
    this.#definitions.delete(id);
    this.#mark(id);
    this.#reshape();
  }

  /** @param {string} id */
  #unwish(id) {
    clearTimeout(this.#rereads.get(id)?.timer);
    this.#rereads.delete(id);
  }

  #reshape() {
    this.shape += 1;
    this.#mark('shape');
  }

  /** @param {Connection} connection */
  #set(connection) {
    if (this.connection === connection) return;
    this.connection = connection;
    this.#mark('connection');
  }

  /** @param {string} what */
  #mark(what) {
    this.#dirty.add(what);
    if (this.#frame) return;
    // A page that nobody sees draws no frames, but says when it comes back that the line is lost.
    this.#frame = document.hidden ? setTimeout(() => this.#flush(), 250) : requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#frame = 0;
    const dirty = this.#dirty;
    this.#dirty = new Set();
    let any = false;
    for (const what of dirty) {
      any ||= what !== 'connection';
      for (const listener of this.#listeners.get(what) ?? []) listener();
    }
    if (any) for (const listener of this.#listeners.get('*') ?? []) listener();
  }
}

/** The home of this page. */
export const home = new Home();

// Whoever signs out leaves the stream.
session.addEventListener('change', () => (session.now ? home.start() : home.stop()));

/** The hub's clock. */
export const now = () => Date.now() + home.clockAhead;
