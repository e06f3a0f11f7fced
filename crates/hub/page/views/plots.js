// Plots of a device: any reading, an hour to a year, zoomed as deep as reports go, beside other devices or an earlier time.

import { html, nothing, repeat } from '../vendor/lit.js';
import '../app/plot.js';
import { DeviceElement, define, sheet } from '../app/element.js';
import { label, reading } from '../app/format.js';
import { home, now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { PERIODS, SHORTEST, aligned, columns, history, numeric, stepFor, summary } from '../app/series.js';
import { t } from '../app/text.js';
import { busy, problem } from '../app/ui.js';
import { fromTo, homeZone } from '../app/zone.js';

/** Other devices beside one: more lines can't be told apart. */
const MOST_OTHERS = 4;
/** Readings are asked for anew at most this often while they change. */
const FRESH = 4000;
/** What people look for first. */
const FAVOURITES = ['power', 'temperature', 'humidity', 'co2', 'current_temperature', 'brightness', 'position', 'voltage'];

/** @typedef {{dp: number, name: string, unit: string, kind: string}} Point */
/** @typedef {{of: string, point: Point, series: any, steady: number | null, shift: number, label: string, dashed: boolean}} Part */

/** A device's points that are numbers, and those that are on or off. @param {any} definition */
function points(definition) {
  /** @type {Point[]} */
  const all = Object.entries(definition.points).map(([dp, p]) => ({ dp: Number(dp), name: p.name, unit: p.unit ?? '', kind: p.kind }));
  const rank = (/** @type {Point} */ p) => (FAVOURITES.includes(p.name) ? FAVOURITES.indexOf(p.name) : FAVOURITES.length);
  return {
    numbers: all.filter((p) => p.kind === 'value').sort((a, b) => rank(a) - rank(b) || a.dp - b.dp),
    switches: all.filter((p) => p.kind === 'bool' && definition.points[String(p.dp)].access !== 'wr'),
  };
}

class LfPlots extends DeviceElement {
  static properties = {
    dp: { state: true },
    period: { state: true },
    range: { state: true },
    others: { state: true },
    earlier: { state: true },
    banded: { state: true },
    shown: { state: true },
    problem: { state: true },
    loading: { state: true },
    known: { state: true },
  };

  constructor() {
    super();
    /** The point that is shown. */
    this.dp = 0;
    /** @type {import('../app/series.js').Period} */
    this.period = 'day';
    /** A time that was zoomed to; the last hour, day... up to now otherwise. @type {{from: number, to: number} | null} */
    this.range = null;
    /** Other devices: their ids. @type {string[]} */
    this.others = [];
    /** Whether the time before is drawn too. */
    this.earlier = false;
    /** Whether it is drawn when it was on. */
    this.banded = true;
    /** What is drawn. @type {any} */
    this.shown = null;
    /** @type {unknown} */
    this.problem = null;
    this.loading = false;
    /** @type {{numbers: Point[], switches: Point[]} | null} */
    this.known = null;
    /** @type {AbortController | null} */
    this.asking = null;
    this.read = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.due = undefined;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/plots.css');
    this.until(home.tap((change) => this.hear(change)));
    this.every(30_000, () => this.range || this.load());
    this.until(() => this.asking?.abort());
    this.until(() => clearTimeout(this.due));
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    super.willUpdate(changed);
    if (changed.has('device')) {
      this.known = null;
      this.shown = null;
      this.range = null;
      this.others = [];
      this.dp = 0;
      void this.meet();
    }
  }

  /** Learns what there is to show. */
  async meet() {
    const id = this.device;
    if (!id) return;
    try {
      const known = points(await home.definition(id));
      if (id !== this.device) return;
      this.known = known;
      const state = this.view?.state ?? {};
      // What was reported comes before what could be.
      const first = known.numbers.find((p) => typeof state[p.name] === 'number') ?? known.numbers[0] ?? known.switches[0];
      if (!first) return;
      this.dp = first.dp;
      await this.load();
    } catch (e) {
      if (id === this.device) this.problem = e;
    }
  }

  /** @param {import('../app/home.js').Change} change */
  hear(change) {
    const mine = change.type === 'reload' || (change.type === 'points' && (change.device === this.device || this.others.includes(change.device ?? '')));
    if (!mine || this.range || document.hidden || this.due) return;
    this.due = setTimeout(() => {
      this.due = undefined;
      if (!this.range && this.isConnected) void this.load();
    }, Math.max(0, this.read + FRESH - Date.now()));
  }

  /** The time that is asked for, in the hub's clock. */
  get time() {
    if (this.range) return this.range;
    const to = now();
    return { from: to - PERIODS[this.period], to };
  }

  get point() {
    const known = this.known;
    return known && [...known.numbers, ...known.switches].find((p) => p.dp === this.dp);
  }

  /** Asks for everything that is to be drawn. Whatever was asked before is not waited for. */
  async load() {
    const { known, point } = this;
    if (!known || !point) return;
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    this.loading = true;
    this.read = Date.now();
    const { signal } = asking;
    const { from, to } = this.time;
    const span = to - from;
    const step = Math.max(stepFor(span, this.clientWidth || 600), 1000);
    const part = async (/** @type {string} */ of, /** @type {Point} */ p, /** @type {number} */ shift, /** @type {string} */ name) => {
      const series = await history(of, p.dp, { from: from - shift, to: to - shift, step, signal });
      // Nothing listed means that nothing changed: then it is what it is now.
      const steady = series || shift ? null : numeric(home.device(of)?.state[p.name]);
      return { of, point: p, series, steady, shift, label: name, dashed: shift > 0 };
    };
    try {
      /** @type {Promise<Part>[]} */
      const lines = [part(this.device, point, 0, this.others.length ? (this.view?.name ?? this.device) : label(point.name))];
      if (this.earlier) lines.push(part(this.device, point, span, t('plots.before')));
      for (const other of this.others) {
        const found = points(await home.definition(other));
        const same = [...found.numbers, ...found.switches].find((p) => p.name === point.name);
        if (same) lines.push(part(other, same, 0, home.device(other)?.name ?? other));
      }
      const bands = this.banded ? known.switches.filter((p) => p !== point).slice(0, 4).map((p) => part(this.device, p, 0, label(p.name))) : [];
      const [zone, ...parts] = await Promise.all([homeZone(), ...lines, ...bands]);
      if (asking !== this.asking) return;
      this.show(parts.slice(0, lines.length), parts.slice(lines.length), { from, to, step, zone });
      this.problem = null;
    } catch (e) {
      if (signal.aborted) return;
      this.problem = e;
    } finally {
      if (asking === this.asking) this.loading = false;
    }
  }

  /** @param {Part[]} lines @param {Part[]} bands @param {{from: number, to: number, step: number, zone: string}} time */
  show(lines, bands, { from, to, step, zone }) {
    const clock = now();
    const cols = (/** @type {Part} */ p) => columns(p.series, { from: from - p.shift, to: to - p.shift, step, now: clock, steady: p.steady });
    const { x, lines: drawn } = aligned(lines.map(cols), lines.map((p) => p.shift / 1000));
    const one = lines.length === 1;
    this.shown = {
      x,
      from,
      to,
      zone,
      lines: lines.map((p, i) => ({
        label: p.label,
        unit: p.series?.unit ?? p.point.unit ?? '',
        mean: drawn[i].mean,
        ...(one ? { min: drawn[i].min, max: drawn[i].max } : {}),
        dashed: p.dashed,
      })),
      sums: lines.map((p, i) => ({ label: p.label, unit: p.series?.unit ?? p.point.unit ?? '', ...summary(drawn[i].mean, drawn[i].min, drawn[i].max) })),
      bands: bands
        .map((p) => ({ label: t('plots.on', { name: p.label }), ...cols(p) }))
        .filter((b) => b.mean.some((v) => v))
        .map((b) => ({ label: b.label, x: b.x, step: b.step, share: b.mean })),
    };
  }

  /** Shows another time. What is newer than now, or shorter than reports come, is not there to be seen. @param {{from: number, to: number}} range */
  zoom({ from, to }) {
    const most = PERIODS.year;
    const span = Math.min(most, Math.max(SHORTEST, to - from));
    const middle = (from + to) / 2;
    const end = Math.min(now(), middle + span / 2);
    this.range = { from: end - span, to: end };
    void this.load();
  }

  /** @param {import('../app/series.js').Period} period */
  choose(period) {
    this.period = period;
    this.range = null;
    void this.load();
  }

  /** @param {number} factor @param {number} shift */
  turn(factor, shift) {
    const { from, to } = this.time;
    const span = (to - from) * factor;
    const middle = (from + to) / 2 + (to - from) * shift;
    this.zoom({ from: middle - span / 2, to: middle + span / 2 });
  }

  render() {
    const { known } = this;
    if (!known) return this.problem ? problem(this.problem) : busy();
    const { numbers, switches } = known;
    if (!this.point) return html`<p class="empty">${t('plots.none')}</p>`;
    return html`<section class="plots card" aria-label=${t('plots.title')}>
      <div class="plots-bar">
        <label class="inline-field"><span>${t('plots.what')}</span>
          <select name="plot-what" @change=${(/** @type {any} */ e) => { this.dp = Number(e.target.value); void this.load(); }}>
            ${[...numbers, ...switches].map((p) => html`<option value=${p.dp} ?selected=${p.dp === this.dp}>${label(p.name)}${p.unit ? ` (${p.unit})` : ''}</option>`)}
          </select></label>
        <div class="segments" role="group" aria-label=${t('plots.period')}>
          ${Object.keys(PERIODS).map((p) => html`<button type="button" aria-pressed=${!this.range && p === this.period ? 'true' : 'false'}
            @click=${() => this.choose(/** @type {any} */ (p))}>${t(`plots.${p}`)}</button>`)}
        </div>
        <div class="plots-move" role="group" aria-label=${t('plots.move')}>
          ${this.button('back', t('plots.earlier'), () => this.turn(1, -0.5))}
          ${this.button('minus', t('plots.out'), () => this.turn(2, 0))}
          ${this.button('add', t('plots.in'), () => this.turn(0.5, 0))}
          ${this.button('forward', t('plots.later'), () => this.turn(1, 0.5), !this.range)}
          ${this.range ? html`<button type="button" class="button small" @click=${() => this.choose(this.period)}>${t('plots.now')}</button>` : nothing}
        </div>
      </div>
      ${this.problem ? problem(this.problem) : nothing}
      ${this.drawing()}
      ${this.compare()}
    </section>`;
  }

  /** @param {string} name @param {string} text @param {() => void} act @param {boolean} [off] */
  button(name, text, act, off = false) {
    return html`<button type="button" class="icon-button" title=${text} aria-label=${text} ?disabled=${off} @click=${act}>${icon(name)}</button>`;
  }

  drawing() {
    const { shown, point } = this;
    if (!shown || !point) return busy();
    const name = this.view?.name ?? this.device;
    const span = fromTo(shown.from, shown.to, shown.zone);
    return html`
      <lf-plot .x=${shown.x} .lines=${shown.lines} .bands=${shown.bands} .from=${shown.from} .to=${shown.to} .zone=${shown.zone} .busy=${this.loading}
        .label=${t('plots.label', { what: label(point.name), device: name, span })}
        @plot-range=${(/** @type {any} */ e) => this.zoom(e.detail)} @plot-reset=${() => this.choose(this.period)}></lf-plot>
      <p class="plots-span">${span} <span class="soft">${shown.zone}</span></p>
      <ul class="plots-sums">${shown.sums.map((/** @type {any} */ s, /** @type {number} */ i) => html`<li>
        <b class="plot-paint-${(i % 6) + 1} ${shown.lines[i].dashed ? 'dashed' : ''}">${s.label}</b>
        ${s.min === undefined ? html`<span>${t('plots.nothing')}</span>` : html`
          <span>${t('plots.low')} <b>${reading(s.min, s.unit)}</b></span>
          <span>${t('plots.mean')} <b>${reading(s.mean, s.unit)}</b></span>
          <span>${t('plots.high')} <b>${reading(s.max, s.unit)}</b></span>`}
      </li>`)}</ul>`;
  }

  /** Devices with the same reading, by name. */
  comparable() {
    const { point } = this;
    if (!point) return [];
    return [...home.devices.values()]
      .filter((d) => d.id !== this.device && !this.others.includes(d.id) && numeric(d.state[point.name]) !== null)
      .sort((a, b) => a.name.localeCompare(b.name));
  }

  compare() {
    const others = this.comparable();
    return html`<fieldset class="plots-compare"><legend>${t('plots.compare')}</legend>
      <label class="check"><input type="checkbox" name="plot-earlier" .checked=${this.earlier}
        @change=${(/** @type {any} */ e) => { this.earlier = e.target.checked; void this.load(); }}>${t('plots.with_before')}</label>
      ${this.known?.switches.some((p) => p.dp !== this.dp) ? html`<label class="check"><input type="checkbox" name="plot-bands" .checked=${this.banded}
        @change=${(/** @type {any} */ e) => { this.banded = e.target.checked; void this.load(); }}>${t('plots.bands')}</label>` : nothing}
      ${repeat(this.others, (id) => id, (id) => html`<button type="button" class="tag" aria-label=${t('plots.without', { name: home.device(id)?.name ?? id })}
        @click=${() => { this.others = this.others.filter((o) => o !== id); void this.load(); }}>${home.device(id)?.name ?? id}${icon('close')}</button>`)}
      ${others.length && this.others.length < MOST_OTHERS ? html`<label class="inline-field"><span>${t('plots.other')}</span>
        <select name="plot-other" .value=${''} @change=${(/** @type {any} */ e) => {
          const id = e.target.value;
          e.target.value = '';
          if (id) this.others = [...this.others, id];
          void this.load();
        }}><option value="">${t('plots.choose')}</option>${others.map((d) => html`<option value=${d.id}>${d.name}</option>`)}</select></label>` : nothing}
    </fieldset>`;
  }
}

define('lf-plots', LfPlots);
