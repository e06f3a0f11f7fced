// The home by rooms: what is on, what it takes now, who is away.

import { html, nothing } from '../vendor/lit.js';
import '../app/device-card.js';
import { power, presence } from '../app/device-words.js';
import { Element, define, vars } from '../app/element.js';
import { watts } from '../app/format.js';
import { home } from '../app/home.js';
import { icon } from '../app/icons.js';
import { t } from '../app/text.js';
import { busy } from '../app/ui.js';
import '../app/virtual-list.js';

/** @typedef {import('../app/home.js').Device} Device */

const CARD = 84;
const GAP = 12;
const HEAD = 50;
/** Cards are at least so wide. */
const WIDE = 290;
/** How often sums are made anew, in ms. */
const SUMS = 1000;

/** Power of a room, or of all. */
class PowerSum extends Element {
  static properties = { devices: { attribute: false }, text: { attribute: false } };

  constructor() {
    super();
    /** @type {string[]} */
    this.devices = [];
  }

  connectedCallback() {
    super.connectedCallback();
    this.every(SUMS);
  }

  render() {
    let sum = 0;
    let any = false;
    for (const id of this.devices) {
      const device = home.device(id);
      const w = device && power(device);
      if (w === undefined) continue;
      any = true;
      sum += w;
    }
    return any ? html`${t('overview.power', { power: watts(sum) })}` : nothing;
  }
}

class Overview extends Element {
  filter = new URLSearchParams(location.hash.split('?')[1] ?? '').get('q') ?? '';
  #columns = 1;
  #shape = -1;
  #made = '';
  /** @type {import('../app/virtual-list.js').Row[]} */
  #rows = [];
  /** @type {string[]} */
  #shown = [];

  connectedCallback() {
    super.connectedCallback();
    this.follow('shape');
    this.follow('connection');
    const sizes = new ResizeObserver(() => {
      const columns = Math.max(1, Math.floor((this.clientWidth + GAP) / (WIDE + GAP)));
      if (columns !== this.#columns) {
        this.#columns = columns;
        this.requestUpdate();
      }
    });
    sizes.observe(this);
    this.until(() => sizes.disconnect());
    const slash = (/** @type {KeyboardEvent} */ e) => {
      const typing = e.target instanceof HTMLElement && e.target.matches('input, textarea, select');
      if (e.key !== '/' || typing || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault();
      this.querySelector('input')?.focus();
    };
    addEventListener('keydown', slash);
    this.until(() => removeEventListener('keydown', slash));
  }

  /** Devices by room, as rows of cards. Made anew only when the list itself changed. */
  #list() {
    const made = `${this.filter}\n${this.#columns}`;
    if (this.#shape === home.shape && this.#made === made) return;
    this.#shape = home.shape;
    this.#made = made;
    const wanted = this.filter.toLowerCase().split(/\s+/).filter(Boolean);
    /** @type {Map<string, Device[]>} */
    const rooms = new Map();
    this.#shown = [];
    for (const device of home.devices.values()) {
      const text = `${device.name} ${device.room ?? ''} ${device.product} ${device.class} ${device.id} ${presence(device).text}`.toLowerCase();
      if (!wanted.every((w) => text.includes(w))) continue;
      this.#shown.push(device.id);
      const room = device.room ?? '';
      const there = rooms.get(room);
      if (there) there.push(device);
      else rooms.set(room, [device]);
    }
    const order = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
    const sorted = [...rooms].sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : order.compare(a, b)));
    this.#rows = [];
    let at = 0;
    for (const [room, devices] of sorted) {
      devices.sort((a, b) => order.compare(a.name, b.name));
      if (sorted.length > 1 || room) this.#rows.push(this.#roomRow(room, devices.map((d) => d.id)));
      for (let i = 0; i < devices.length; i += this.#columns) {
        const ids = devices.slice(i, i + this.#columns).map((d) => d.id);
        this.#rows.push(this.#cardRow(ids, at));
        at += ids.length;
      }
    }
  }

  /** @param {string} room @param {string[]} ids */
  #roomRow(room, ids) {
    const draw = () => html`<div class="room" role="listitem"><h2>${room || t('overview.elsewhere')}</h2><lf-power-sum class="soft" .devices=${ids}></lf-power-sum></div>`;
    return { key: `room ${room}`, height: HEAD, draw };
  }

  /** @param {string[]} ids @param {number} at */
  #cardRow(ids, at) {
    const all = this.#shown.length;
    const card = (/** @type {string} */ id, /** @type {number} */ i) => html`<lf-device-card role="listitem" aria-setsize=${all} aria-posinset=${at + i + 1} .device=${id}></lf-device-card>`;
    const draw = () => html`<div class="grid-row" role="presentation" ${vars({ '--columns': String(this.#columns) })}>${ids.map(card)}</div>`;
    return { key: `${this.#columns} ${ids[0]}`, height: CARD + GAP, draw };
  }

  /** @param {InputEvent} e */
  #input(e) {
    this.filter = /** @type {HTMLInputElement} */ (e.target).value;
    // What is looked for stays when one comes back from a device.
    history.replaceState(null, '', this.filter ? `#/?q=${encodeURIComponent(this.filter)}` : '#/');
    this.requestUpdate();
  }

  render() {
    if (home.connection === 'starting' || (home.connection === 'lost' && home.devices.size === 0)) return busy();
    this.#list();
    const n = this.#shown.length;
    const all = home.devices.size;
    return html`<header class="overview-head">
        <h1>${t('overview.title')}</h1>
        <lf-power-sum class="sum" .devices=${this.#shown}></lf-power-sum>
        <div class="search">${icon('search')}<input type="search" aria-label=${t('overview.filter')} placeholder=${t('overview.filter')} .value=${this.filter} @input=${this.#input}></div>
        <p class="hint" role="status">${n === all ? t('overview.count', { n }) : t('overview.some', { n, all })}</p>
      </header>
      ${n === 0 ? html`<p class="empty">${all ? t('overview.none', { filter: this.filter }) : t('first.text')}</p>` : html`<lf-virtual-list .rows=${this.#rows} .label=${t('overview.title')}></lf-virtual-list>`}`;
  }
}

define('lf-power-sum', PowerSum);
define('lf-overview', Overview);
