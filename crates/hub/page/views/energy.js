// Energy and what it costs, of the home or of one device: hours of a day, days of a month, months of a year, each beside the time before.

import { html, nothing } from '../vendor/lit.js';
import '../app/bars.js';
import { api, path } from '../app/api.js';
import { DeviceElement, define, sheet, vars } from '../app/element.js';
import { energy, money } from '../app/format.js';
import { home, now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { deviceHash } from '../app/routes.js';
import { locale, t } from '../app/text.js';
import { busy, problem } from '../app/ui.js';
import { calendar, homeZone, inZone, startOf } from '../app/zone.js';

/** @typedef {'day' | 'month' | 'year'} Span */
/** @typedef {{from_ms: number, to_ms: number, used_kwh: number}} Bar */

/** What a span is made of. @type {Record<Span, 'hour' | 'day' | 'month'>} */
const PARTS = { day: 'hour', month: 'day', year: 'month' };
/** Bars are asked for anew at most this often. */
const FRESH = 60_000;

/** The span that lies `back` spans before the one of now. @param {Span} span @param {number} back @param {string} zone */
function bounds(span, back, zone) {
  const today = calendar(now(), zone);
  const at = (/** @type {number} */ n) => {
    if (span === 'day') return startOf({ ...today, day: today.day - n }, zone);
    if (span === 'month') return startOf({ year: today.year, month: today.month - n, day: 1 }, zone);
    return startOf({ year: today.year - n, month: 1, day: 1 }, zone);
  };
  return { before: at(back + 1), from: at(back), to: at(back - 1) };
}

class LfEnergy extends DeviceElement {
  static properties = { span: { state: true }, back: { state: true }, shown: { state: true }, problem: { state: true }, price: { state: true } };

  constructor() {
    super();
    /** @type {Span} */
    this.span = 'month';
    /** How many spans before the one of now. */
    this.back = 0;
    /** @type {any} */
    this.shown = null;
    /** @type {unknown} */
    this.problem = null;
    /** What a kWh costs. */
    this.price = 0;
    /** Its currency's code. */
    this.currency = '';
    /** What `shown` looks like as bars. @type {any} */
    this.made = null;
    /** @type {AbortController | null} */
    this.asking = null;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/plots.css');
    if (!this.device) this.follow('*');
    this.every(FRESH, () => this.load());
    this.until(() => this.asking?.abort());
    this.until(home.tap((change) => change.type === 'reload' && void this.load()));
    void this.load();
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    if (changed.has('device') && changed.get('device')) void this.load();
  }

  async load() {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const { span, back, device } = this;
    try {
      const [zone, config] = await Promise.all([homeZone(), api.get('/config', { signal: asking.signal })]);
      const time = bounds(span, back, zone);
      const query = { from: time.before, to: Math.min(time.to, Math.ceil(now())), by: PARTS[span] };
      const told = await api.get(device ? path`/devices/${device}/energy` : '/energy', { query, signal: asking.signal });
      // Who used it: within this span alone.
      const who = device ? [] : (await api.get('/energy', { query: { ...query, from: time.from }, signal: asking.signal })).devices;
      if (asking !== this.asking) return;
      this.price = Number(config.home?.price ?? 0);
      this.currency = String(config.home?.currency ?? '');
      this.shown = { span, back, zone, ...time, bars: told.bars, who };
      this.problem = null;
    } catch (e) {
      if (!asking.signal.aborted) this.problem = e;
    }
  }

  /** @param {Span} span @param {number} back */
  choose(span, back) {
    this.span = span;
    this.back = Math.max(0, back);
    void this.load();
  }

  render() {
    const body = html`${this.tiles()}
      <div class="plots-bar">
        <div class="segments" role="group" aria-label=${t('energy.span')}>
          ${/** @type {Span[]} */ (['day', 'month', 'year']).map((s) => html`<button type="button" aria-pressed=${s === this.span ? 'true' : 'false'} @click=${() => this.choose(s, 0)}>${t(`energy.${s}`)}</button>`)}
        </div>
        <div class="plots-move" role="group" aria-label=${t('plots.move')}>
          <button type="button" class="icon-button" aria-label=${t('energy.earlier')} title=${t('energy.earlier')} @click=${() => this.choose(this.span, this.back + 1)}>${icon('back')}</button>
          <b class="energy-which">${this.shown ? this.name(this.shown.from) : nothing}</b>
          <button type="button" class="icon-button" aria-label=${t('energy.later')} title=${t('energy.later')} ?disabled=${this.back === 0} @click=${() => this.choose(this.span, this.back - 1)}>${icon('forward')}</button>
        </div>
      </div>
      ${this.problem ? problem(this.problem) : nothing}
      ${this.shown ? this.drawing() : this.problem ? nothing : busy()}`;
    if (this.device) return html`<section class="energy" aria-label=${t('energy.title')}>${body}</section>`;
    return html`<div class="head"><h1>${t('energy.title')}</h1></div><section class="energy">${body}</section>`;
  }

  /** An amount in the home's currency. @param {number} amount @param {number} [digits] */
  paid(amount, digits = 2) {
    try {
      return new Intl.NumberFormat(locale, { style: 'currency', currency: this.currency, maximumFractionDigits: digits }).format(amount);
    } catch {
      // The owner's word for it is none of the codes that are known.
      return `${money(amount)} ${this.currency}`.trim();
    }
  }

  /** The accounts of now: of the device, or of all. */
  tiles() {
    const own = this.device ? [this.view?.energy] : [...home.devices.values()].map((d) => d.energy);
    const all = own.filter((e) => !!e);
    if (all.length === 0) return home.connection === 'live' ? html`<p class="empty">${t(this.device ? 'energy.none' : 'energy.nobody')}</p>` : nothing;
    const sum = (/** @type {'today_kwh' | 'yesterday_kwh' | 'month_kwh' | 'total_kwh' | 'cost_today' | 'cost_month'} */ what) => all.reduce((n, e) => n + (e?.[what] ?? 0), 0);
    const cost = all.some((e) => e?.cost_today !== null && e?.cost_today !== undefined);
    const tile = (/** @type {string} */ key, /** @type {number} */ kwh, /** @type {number | null} */ paid) => html`<div class="tile"><dt>${t(key)}</dt>
      <dd>${energy(kwh)}${paid === null ? nothing : html`<small>${this.paid(paid)}</small>`}</dd></div>`;
    return html`<dl class="tiles">
      ${tile('energy.today', sum('today_kwh'), cost ? sum('cost_today') : null)}
      ${tile('energy.yesterday', sum('yesterday_kwh'), cost ? sum('yesterday_kwh') * this.price : null)}
      ${tile('energy.this_month', sum('month_kwh'), cost ? sum('cost_month') : null)}
      ${tile('energy.total', sum('total_kwh'), null)}
    </dl>`;
  }

  /** The name of a span: `November 2026`. @param {number} from */
  name(from) {
    const { zone, span } = this.shown;
    if (span === 'day') return inZone(from, zone, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
    if (span === 'month') return inZone(from, zone, { month: 'long', year: 'numeric' });
    return inZone(from, zone, { year: 'numeric' });
  }

  /** The bars of this span beside those of the span before: hour by hour, day by day, month by month. */
  series() {
    const { span, zone, from, to, bars } = this.shown;
    /** @type {Map<string, {now?: Bar, before?: Bar, at: number}>} */
    const slots = new Map();
    const slot = (/** @type {number} */ ms) => {
      if (span === 'day') return inZone(ms, zone, { hour: '2-digit', hourCycle: 'h23' });
      const date = calendar(ms, zone);
      return String(span === 'month' ? date.day : date.month).padStart(2, '0');
    };
    const own = bars.filter((/** @type {Bar} */ b) => b.from_ms >= from);
    const old = bars.filter((/** @type {Bar} */ b) => b.from_ms < from);
    for (const bar of own) put(slots, slot(bar.from_ms), bar, 'now');
    for (const bar of old) put(slots, slot(bar.from_ms), bar, 'before');
    const keys = [...slots.keys()].sort();
    const kwh = (/** @type {Bar | undefined} */ b) => (b ? `${energy(b.used_kwh)}${this.price ? `, ${this.paid(b.used_kwh * this.price)}` : ''}` : '');
    const shown = keys.map((key) => {
      const { now: bar, before } = /** @type {any} */ (slots.get(key));
      const at = bar?.from_ms ?? before.from_ms;
      return {
        short: span === 'year' ? inZone(at, zone, { month: 'short' }) : span === 'month' ? String(Number(key)) : key,
        label: this.label(bar?.from_ms ?? before.from_ms, bar !== undefined),
        value: bar ? bar.used_kwh : null,
        before: before ? before.used_kwh : null,
        text: kwh(bar),
        beforeText: kwh(before),
        partial: bar ? bar.to_ms > now() : false,
      };
    });
    // A span that is not over is compared with as much of the one before.
    const fair = keys.filter((key) => slots.get(key)?.now);
    const total = own.reduce((/** @type {number} */ n, /** @type {Bar} */ b) => n + b.used_kwh, 0);
    const running = to > now();
    const last = fair.at(-1);
    const share = (/** @type {string} */ key) => {
      const bar = /** @type {Bar} */ (slots.get(key)?.now);
      const length = /** @type {any} */ (slots.get(key)).before;
      if (!running || key !== last || !length) return 1;
      return Math.min(1, (now() - bar.from_ms) / (length.to_ms - length.from_ms));
    };
    const before = fair.reduce((n, key) => n + (slots.get(key)?.before?.used_kwh ?? 0) * share(key), 0);
    return { shown, total, before, running };
  }

  /** @param {number} ms @param {boolean} own */
  label(ms, own) {
    const { span, zone } = this.shown;
    if (span === 'day') return inZone(ms, zone, { hour: '2-digit', minute: '2-digit' });
    if (span === 'month') return own ? inZone(ms, zone, { weekday: 'short', day: 'numeric', month: 'short' }) : inZone(ms, zone, { day: 'numeric' });
    return inZone(ms, zone, own ? { month: 'long', year: 'numeric' } : { month: 'long' });
  }

  drawing() {
    const { before: from, zone, who } = this.shown;
    // Once for each answer: accounts of the home change far more often than bars.
    if (this.made?.of !== this.shown) this.made = { of: this.shown, ...this.series() };
    const { shown, total, before, running } = this.made;
    const was = this.name(from);
    if (shown.length === 0) return html`<p class="empty">${t('energy.nothing')}</p>`;
    const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 });
    const change = before > 0.0005 ? (total - before) / before : null;
    return html`<div class="card stack energy-bars">
      <p class="energy-sum"><b>${energy(total)}</b>${this.price ? html` <b>${this.paid(total * this.price)}</b>` : nothing}
        ${change === null ? nothing : html`<span class="energy-change ${change > 0 ? 'more' : 'less'}">${t(`energy.${change > 0 ? 'more' : 'less'}${running ? '.running' : ''}`, { share: percent.format(Math.abs(change)), was })}</span>`}</p>
      <lf-bars .bars=${shown} .unit=${'kWh'} .was=${was} .label=${t('energy.label', { what: this.device ? (this.view?.name ?? this.device) : t('energy.home'), span: this.name(this.shown.from) })}></lf-bars>
      <p class="plots-span soft">${t('energy.legend', { was })} ${this.price ? t('energy.price', { price: this.paid(this.price, 4) }) : t('energy.no_price')} ${t('energy.zone', { zone })}</p></div>
      ${who.length ? this.users(who, total, percent) : nothing}`;
  }

  /** Who used it. @param {{device: string, name: string, used_kwh: number}[]} who @param {number} total @param {Intl.NumberFormat} percent */
  users(who, total, percent) {
    const most = Math.max(...who.map((w) => w.used_kwh), 1e-9);
    return html`<section class="card stack"><h2>${t('energy.who')}</h2><ol class="energy-who">${who.map((w) => html`<li><a href=${deviceHash(w.device, 'energy')}>
      <span class="name">${w.name}</span><span class="share" aria-hidden="true"><i ${vars({ width: `${(w.used_kwh / most) * 100}%` })}></i></span>
      <span class="value">${energy(w.used_kwh)}</span><span class="value soft">${total > 0 ? percent.format(w.used_kwh / total) : ''}</span></a></li>`)}</ol></section>`;
  }
}

/** @param {Map<string, any>} slots @param {string} key @param {Bar} bar @param {'now' | 'before'} side */
function put(slots, key, bar, side) {
  const slot = slots.get(key) ?? {};
  // The hour that comes twice in autumn.
  const old = slot[side];
  slot[side] = old ? { ...old, to_ms: bar.to_ms, used_kwh: old.used_kwh + bar.used_kwh } : bar;
  slots.set(key, slot);
}

define('lf-energy', LfEnergy);
