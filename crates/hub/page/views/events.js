// What happened, newest first: the whole home's log or one device's, live, and filtered by how much it matters.

import { html, nothing, repeat } from '../vendor/lit.js';
import { api, path } from '../app/api.js';
import { Element, define, sheet } from '../app/element.js';
import { clock, clockSeconds, day, fullTime } from '../app/format.js';
import { home, now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { deviceHash } from '../app/routes.js';
import { has, t } from '../app/text.js';
import { busy, chip, problem } from '../app/ui.js';

/** @typedef {{seq: number, at_ms: number, device?: string | null, code: string, text: string}} Event */
/** @typedef {'bad' | 'warn' | 'info'} Level */

/** How many are read at a time, and how many stand on the page at most. */
const PAGE = 100;
const MOST = 2000;
/** Changes that end up in the log. */
const LOGGED = ['presence', 'energy_note', 'command', 'added', 'removed', 'renamed', 'hub'];

/** How much codes matter; what is not listed is for information. @type {Record<string, Level>} */
const LEVELS = {
  'presence.offline': 'warn',
  'command.refused': 'bad',
  'command.unconfirmed': 'warn',
  'device.removed': 'warn',
  'energy.handover': 'info',
  'energy.reset': 'warn',
  'clock.jumped': 'warn',
  'store.failed': 'bad',
  'store.dropped': 'bad',
  'save.failed': 'bad',
  'saved.refused': 'bad',
  'points.too_many': 'warn',
  'subdevice.unknown': 'warn',
};

/** @param {string} code @returns {Level} */
function levelOf(code) {
  return LEVELS[code] ?? (code.startsWith('energy.') ? 'warn' : /(failed|lost|refused|dropped|wrong)/.test(code) ? 'bad' : 'info');
}

/** Levels that a filter lets through. @type {Record<string, Level[]>} */
const FILTERS = { all: ['info', 'warn', 'bad'], warn: ['warn', 'bad'], bad: ['bad'] };

class LfEvents extends Element {
  static properties = {
    device: { type: String }, filter: { state: true }, what: { state: true }, events: { state: true }, next: { state: true },
    problem: { state: true }, loading: { state: true },
  };

  constructor() {
    super();
    /** Of this device alone: its id. */
    this.device = '';
    this.filter = 'all';
    /** Commands are many: they may be left out. */
    this.what = true;
    /** Newest first. @type {Event[]} */
    this.events = [];
    /** Where the next page begins. @type {number | null} */
    this.next = null;
    /** @type {unknown} */
    this.problem = null;
    this.loading = false;
    this.round = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.due = undefined;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/views.css');
    this.until(home.tap((change) => this.hear(change)));
    this.until(() => clearTimeout(this.due));
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has('device')) {
      this.events = [];
      void this.read();
    }
  }

  get path() {
    return this.device ? path`/devices/${this.device}/events` : '/events-log';
  }

  /** Reads the newest. What stands there already stays. */
  async read() {
    const round = ++this.round;
    this.loading = true;
    try {
      const told = await api.get(this.path, { query: { limit: PAGE } });
      if (round !== this.round) return;
      const oldest = told.events.at(-1)?.seq ?? 0;
      const joined = this.events.length > 0 && this.events[0].seq >= oldest;
      this.events = joined ? [...told.events, ...this.events.filter((e) => e.seq < oldest)].slice(0, MOST) : told.events;
      if (!joined) this.next = told.next ?? null;
      this.problem = null;
    } catch (e) {
      if (round === this.round) this.problem = e;
    } finally {
      if (round === this.round) this.loading = false;
    }
  }

  /** Something happened: it is read from the log a moment later, in the words of the log. @param {import('../app/home.js').Change} change */
  hear(change) {
    const mine = change.type === 'reload' || (LOGGED.includes(change.type) && (!this.device || change.device === this.device));
    if (!mine || this.due) return;
    this.due = setTimeout(() => {
      this.due = undefined;
      void this.read();
    }, 700);
  }

  async more() {
    if (this.next === null) return;
    const { round } = this;
    this.loading = true;
    try {
      const told = await api.get(this.path, { query: { limit: PAGE, before: this.next } });
      if (round !== this.round) return;
      this.events = [...this.events, ...told.events.filter((/** @type {Event} */ e) => e.seq < (this.events.at(-1)?.seq ?? Infinity))];
      this.next = this.events.length >= MOST ? null : (told.next ?? null);
    } catch (e) {
      this.problem = e;
    } finally {
      this.loading = false;
    }
  }

  get shown() {
    const levels = FILTERS[this.filter];
    return this.events.filter((e) => levels.includes(levelOf(e.code)) && (this.what || !e.code.startsWith('command.') || levelOf(e.code) !== 'info'));
  }

  render() {
    const { shown } = this;
    const body = html`
      <div class="events-bar">
        <div class="segments" role="group" aria-label=${t('events.level')}>
          ${Object.keys(FILTERS).map((f) => html`<button type="button" aria-pressed=${f === this.filter ? 'true' : 'false'} @click=${() => { this.filter = f; }}>${t(`events.${f}`)}</button>`)}
        </div>
        <label class="check"><input type="checkbox" name="events-commands" .checked=${this.what} @change=${(/** @type {any} */ e) => { this.what = e.target.checked; }}>${t('events.commands')}</label>
      </div>
      ${this.problem ? problem(this.problem) : nothing}
      ${shown.length ? html`<div class="events-list">${repeat(days(shown), ([name]) => name, ([name, all]) => html`<h2>${name}</h2><ol>${repeat(all, (e) => e.seq, (e) => this.one(e))}</ol>`)}</div>`
        : this.loading ? busy() : html`<p class="empty">${t(this.events.length ? 'events.filtered' : 'events.none')}</p>`}
      ${this.next === null ? nothing : html`<p class="row"><button type="button" class="button" ?disabled=${this.loading} @click=${() => void this.more()}>${t('events.more')}</button></p>`}`;
    if (this.device) return html`<section class="events" aria-label=${t('events.title')}>${body}</section>`;
    return html`<div class="head"><h1>${t('events.title')}</h1></div><section class="events">${body}</section>`;
  }

  /** @param {Event} e */
  one(e) {
    const level = levelOf(e.code);
    const name = e.device ? (home.device(e.device)?.name ?? e.device) : t('events.hub');
    const key = `events.code.${e.code}`;
    return html`<li class="event ${level}">
      <time datetime=${new Date(e.at_ms).toISOString()} title=${fullTime(e.at_ms)}>${now() - e.at_ms < 3_600_000 ? clockSeconds(e.at_ms) : clock(e.at_ms)}</time>
      <span class="mark">${icon(level === 'info' ? 'info' : 'warn')}<span class="sr">${t(`events.is.${level}`)}</span></span>
      <div><p>${this.device ? nothing : e.device && home.device(e.device) ? html`<a href=${deviceHash(e.device)}>${name}</a> ` : html`<b>${name}</b> `}${has(key) ? html`${t(key)} ` : nothing}${chip('', html`<code>${e.code}</code>`)}</p>
        ${e.text && e.text !== e.code.split('.').at(-1) ? html`<p class="soft">${e.text}</p>` : nothing}</div>
    </li>`;
  }
}

/** Events day by day. @param {Event[]} events @returns {[string, Event[]][]} */
function days(events) {
  /** @type {Map<string, Event[]>} */
  const all = new Map();
  for (const e of events) {
    const name = day(e.at_ms);
    const of = all.get(name);
    if (of) of.push(e);
    else all.set(name, [e]);
  }
  return [...all];
}

define('lf-events', LfEvents);
