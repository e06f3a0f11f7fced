// A plot: uPlot in the page's colours, with zoom by drag, by buttons and by keys, a line that tells the values under the cursor, and
// the same numbers as a table.

import { html, nothing } from '../vendor/lit.js';
import uPlot from '../vendor/uplot.js';
import { Element, define, sheet } from './element.js';
import { number } from './format.js';
import { t } from './text.js';
import { newId } from './ui.js';
import { inZone, moment } from './zone.js';

/** A line of a plot. Lines with a unit other than the first one's stand on an axis of their own.
 * @typedef {{label: string, unit: string, mean: (number | null)[], min?: (number | null)[], max?: (number | null)[], dashed?: boolean}} Line */
/** Times at which something was on: `share` of each step.
 * @typedef {{label: string, x: number[], step: number, share: (number | null)[]}} Band */

const HEIGHT = { small: 230, large: 320 };
/** Rows of the table: a reader of a table wants to hear the course, not every step. */
const ROWS = 48;
/** Keys move the cursor by so many parts of the width. */
const STRIDE = 60;

/** A colour of the page's style as it is now: the scheme may change at any time. @param {HTMLElement} of @param {string} name */
function colour(of, name) {
  // A custom property tells its text, which a canvas does not understand; a colour that it was used for is resolved.
  const probe = document.createElement('i');
  probe.style.color = `var(${name})`;
  of.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** @param {number} index of a line */
export const paint = (index) => `--plot-${(index % 6) + 1}`;

/** A colour that lets through what is behind it. @param {string} of as it was resolved: `rgb(1, 2, 3)` @param {number} share */
const thin = (of, share) => of.replace(/^rgb\(/, 'rgba(').replace(/\)$/, `, ${share.toFixed(3)})`);

/** A value with as many digits as its size needs. @param {number | null | undefined} value */
function figure(value) {
  if (value === null || value === undefined) return '–';
  const size = Math.abs(value);
  return number(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

class LfPlot extends Element {
  static properties = {
    x: { attribute: false },
    lines: { attribute: false },
    bands: { attribute: false },
    from: { type: Number },
    to: { type: Number },
    zone: { type: String },
    label: { type: String },
    busy: { type: Boolean },
  };

  constructor() {
    super();
    /** Times in seconds. @type {number[]} */
    this.x = [];
    /** @type {Line[]} */
    this.lines = [];
    /** @type {Band[]} */
    this.bands = [];
    /** What is shown, in ms. */
    this.from = 0;
    this.to = 1;
    this.zone = 'UTC';
    /** What it is a plot of. */
    this.label = '';
    /** New data are under way. */
    this.busy = false;
    /** @type {uPlot | null} */
    this.plot = null;
    /** What the plot was made for: another shape is made anew. */
    this.made = '';
    this.table = false;
    this.keys = newId('plot-keys');
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('vendor/uplot.css').then(() => this.requestUpdate());
    void sheet('style/plots.css');
    const look = matchMedia('(prefers-color-scheme: dark)');
    const again = () => this.remake();
    look.addEventListener('change', again);
    this.until(() => look.removeEventListener('change', again));
    // The page's own choice of a scheme.
    const chosen = new MutationObserver(again);
    chosen.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    this.until(() => chosen.disconnect());
    const sized = new ResizeObserver(() => this.fit());
    sized.observe(this);
    this.until(() => sized.disconnect());
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.plot?.destroy();
    this.plot = null;
    this.made = '';
  }

  render() {
    return html`
      <div class="plot-readout" aria-hidden="true"></div>
      <div class="plot-stage" tabindex="0" role="group" aria-roledescription=${t('plot.role')} aria-label=${this.label}
        aria-describedby=${this.keys} aria-busy=${this.busy ? 'true' : 'false'} @keydown=${this.onKey} @blur=${() => this.leave()}></div>
      <p id=${this.keys} class="sr">${t('plot.keys')}</p>
      <p class="sr plot-said" role="status"></p>
      <details class="plot-table" @toggle=${(/** @type {any} */ e) => { this.table = e.currentTarget.open; this.requestUpdate(); }}>
        <summary>${t('plot.table')}</summary>
        ${this.table ? this.rows() : nothing}
      </details>`;
  }

  rows() {
    const every = Math.max(1, Math.ceil(this.x.length / ROWS));
    const at = this.x.map((_, i) => i).filter((i) => i % every === 0);
    return html`<div class="table-wrap" tabindex="0" role="region" aria-label=${this.label}><table>
      <thead><tr><th scope="col">${t('plot.time')}</th>${this.lines.map((l) => html`<th scope="col">${l.label}${l.unit ? ` (${l.unit})` : ''}</th>`)}</tr></thead>
      <tbody>${at.map((i) => html`<tr><th scope="row">${moment(this.x[i] * 1000, this.zone, this.to - this.from)}</th>
        ${this.lines.map((l) => html`<td>${figure(l.mean[i])}</td>`)}</tr>`)}</tbody></table></div>`;
  }

  updated() {
    this.draw();
    this.tell();
  }

  get stage() {
    return /** @type {HTMLElement} */ (this.querySelector('.plot-stage'));
  }

  /** Units in the order of their axes. */
  get units() {
    return [...new Set(this.lines.map((l) => l.unit))];
  }

  /** Draws the data; makes the plot anew where its shape is another. */
  draw() {
    const width = Math.floor(this.stage.clientWidth);
    if (width < 50) return;
    const shape = JSON.stringify([this.lines.map((l) => [l.unit, !!l.dashed, !!l.min]), this.zone]);
    const data = /** @type {any} */ ([this.x, ...this.lines.flatMap((l) => [l.mean, l.max ?? l.mean, l.min ?? l.mean])]);
    if (this.plot && shape === this.made) {
      this.plot.setData(data, false);
      this.plot.setScale('x', { min: this.from / 1000, max: this.to / 1000 });
      return;
    }
    this.plot?.destroy();
    this.made = shape;
    this.plot = new uPlot(this.options(width), data, this.stage);
  }

  remake() {
    this.made = '';
    this.requestUpdate();
  }

  fit() {
    const width = Math.floor(this.stage?.clientWidth ?? 0);
    if (!this.plot) return this.requestUpdate();
    const height = width < 520 ? HEIGHT.small : HEIGHT.large;
    if (width >= 50 && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }

  /** @param {number} width @returns {any} */
  options(width) {
    const text = colour(this, '--soft');
    const grid = colour(this, '--line');
    const surface = colour(this, '--card');
    const font = `12px ${getComputedStyle(this).fontFamily}`;
    const paints = this.lines.map((_, i) => colour(this, paint(i)));
    const stepped = /** @type {any} */ (uPlot.paths).stepped({ align: 1 });
    const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 5 } };
    const scaleOf = (/** @type {Line} */ l) => `y${this.units.indexOf(l.unit)}`;
    const series = this.lines.flatMap((line, i) => [
      { scale: scaleOf(line), stroke: paints[i], width: 1.75, dash: line.dashed ? [5, 4] : undefined, paths: stepped, points: { show: false } },
      { scale: scaleOf(line), stroke: 'transparent', paths: stepped, points: { show: false } },
      { scale: scaleOf(line), stroke: 'transparent', paths: stepped, points: { show: false } },
    ]);
    return {
      width,
      height: width < 520 ? HEIGHT.small : HEIGHT.large,
      legend: { show: false },
      tzDate: (/** @type {number} */ s) => /** @type {any} */ (uPlot).tzDate(new Date(s * 1000), this.zone),
      padding: [10, this.units.length > 1 ? 0 : 12, 0, 0],
      scales: {
        x: { time: true, range: () => [this.from / 1000, this.to / 1000] },
        ...Object.fromEntries(this.units.map((_, i) => [`y${i}`, { range: rangeOf }])),
      },
      axes: [
        { ...axis, space: width < 520 ? 60 : 80, values: (/** @type {any} */ _u, /** @type {number[]} */ splits, /** @type {number} */ _i, /** @type {number} */ _s, /** @type {number} */ incr) => this.times(splits, incr) },
        ...this.units.map((unit, i) => ({
          ...axis,
          scale: `y${i}`,
          side: i === 0 ? 3 : 1,
          show: i < 2,
          grid: { ...axis.grid, show: i === 0 },
          size: (/** @type {any} */ _u, /** @type {string[]} */ values) => 18 + 7 * Math.max(2, ...(values ?? []).map((v) => v.length)),
          values: (/** @type {any} */ _u, /** @type {number[]} */ splits) => marks(splits, unit),
        })),
      ],
      series: [{}, ...series],
      bands: this.lines.flatMap((line, i) => (line.min ? [{ series: [2 + 3 * i, 3 + 3 * i], fill: thin(paints[i], 0.22) }] : [])),
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        points: {
          size: 9,
          width: 2,
          show: (/** @type {any} */ _u, /** @type {number} */ i) => ((i - 1) % 3 === 0 ? undefined : false),
          stroke: (/** @type {any} */ _u, /** @type {number} */ i) => paints[Math.floor((i - 1) / 3)],
          fill: surface,
        },
      },
      select: { show: true, left: 0, top: 0, width: 0, height: 0 },
      hooks: {
        drawClear: [(/** @type {any} */ u) => this.shade(u)],
        setCursor: [() => this.tell()],
        setSelect: [(/** @type {any} */ u) => this.onSelect(u)],
      },
    };
  }

  /** Times under the axis. @param {number[]} splits in seconds @param {number} incr seconds between two */
  times(splits, incr) {
    const seen = { day: '', year: '' };
    return splits.map((s) => {
      const ms = s * 1000;
      const year = inZone(ms, this.zone, { year: 'numeric' });
      const day = inZone(ms, this.zone, { day: 'numeric', month: 'short' });
      const newYear = year !== seen.year;
      const newDay = day !== seen.day;
      seen.year = year;
      seen.day = day;
      if (incr >= 28 * 86_400) return `${inZone(ms, this.zone, { month: 'short' })}${newYear ? `\n${year}` : ''}`;
      if (incr >= 86_400) return `${day}${newYear ? `\n${year}` : ''}`;
      const time = inZone(ms, this.zone, incr < 60 ? { hour: '2-digit', minute: '2-digit', second: '2-digit' } : { hour: '2-digit', minute: '2-digit' });
      return `${time}${newDay ? `\n${day}` : ''}`;
    });
  }

  /** Paints the times at which something was on. @param {any} u */
  shade(u) {
    const { ctx, bbox } = u;
    const fill = colour(this, '--plot-band');
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const rows = this.bands.length;
    const height = Math.min(bbox.height, rows === 1 ? bbox.height : bbox.height / rows);
    this.bands.forEach((band, row) => {
      const top = bbox.top + row * height;
      let begun = -1;
      for (let i = 0; i <= band.x.length; i += 1) {
        const share = band.share[i] ?? 0;
        const same = begun >= 0 && share === (band.share[begun] ?? 0);
        if (same) continue;
        if (begun >= 0) {
          const left = u.valToPos(band.x[begun], 'x', true);
          const right = u.valToPos(i < band.x.length ? band.x[i] : band.x[i - 1] + band.step / 1000, 'x', true);
          ctx.fillStyle = thin(fill, 0.06 + 0.22 * (band.share[begun] ?? 0));
          ctx.fillRect(left, top + (rows > 1 ? 1 : 0), Math.max(1, right - left), height - (rows > 1 ? 2 : 0));
        }
        begun = share > 0 ? i : -1;
      }
    });
    ctx.restore();
  }

  /** @param {any} u */
  onSelect(u) {
    const { left, width } = u.select;
    if (width < 6) return;
    const from = u.posToVal(left, 'x') * 1000;
    const to = u.posToVal(left + width, 'x') * 1000;
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.ask(from, to);
  }

  /** Asks whoever gives the data for another time. @param {number} from @param {number} to */
  ask(from, to) {
    this.dispatchEvent(new CustomEvent('plot-range', { detail: { from, to }, bubbles: true }));
  }

  /** @param {KeyboardEvent} e */
  onKey(e) {
    const u = this.plot;
    if (!u || e.ctrlKey || e.metaKey || e.altKey) return;
    const width = u.over.clientWidth;
    const at = u.cursor.left === undefined || u.cursor.left < 0 ? width : u.cursor.left;
    const stride = width / STRIDE;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.move(Math.max(0, at - stride)),
      ArrowRight: () => this.move(Math.min(width, at + stride)),
      Home: () => this.move(0),
      End: () => this.move(width),
      PageUp: () => this.shift(-0.5),
      PageDown: () => this.shift(0.5),
      '+': () => this.zoom(0.5, at / width),
      '=': () => this.zoom(0.5, at / width),
      '-': () => this.zoom(2, at / width),
      0: () => this.dispatchEvent(new CustomEvent('plot-reset', { bubbles: true })),
    };
    const act = keys[e.key];
    if (!act) return;
    e.preventDefault();
    act();
  }

  /** @param {number} left */
  move(left) {
    this.plot?.setCursor({ left, top: 10 });
    const said = this.querySelector('.plot-said');
    if (said) said.textContent = this.words();
  }

  leave() {
    this.plot?.setCursor({ left: -10, top: -10 });
  }

  /** Zooms around a part of the width. @param {number} factor @param {number} [around] */
  zoom(factor, around = 0.5) {
    const middle = this.from + (this.to - this.from) * around;
    const left = (middle - this.from) * factor;
    const right = (this.to - middle) * factor;
    this.ask(middle - left, middle + right);
  }

  /** Moves by a part of the width. @param {number} part */
  shift(part) {
    const by = (this.to - this.from) * part;
    this.ask(this.from + by, this.to + by);
  }

  /** Index under the cursor; the last known value where there is no cursor. */
  index() {
    const under = this.plot?.cursor.idx;
    // The data may have become shorter since the pointer moved.
    if (under !== null && under !== undefined && under < this.x.length) return { at: under, cursor: true };
    let at = this.x.length - 1;
    while (at > 0 && this.lines.every((l) => l.mean[at] === null || l.mean[at] === undefined)) at -= 1;
    return { at, cursor: false };
  }

  words() {
    const { at } = this.index();
    if (at < 0) return t('plot.nothing');
    const values = this.lines.map((l) => `${l.label} ${figure(l.mean[at])} ${l.unit}`.trim());
    return `${moment(this.x[at] * 1000, this.zone, this.to - this.from)}: ${values.join(', ')}`;
  }

  /** The line above the plot. Written by hand: the cursor moves faster than templates should. */
  tell() {
    const out = this.querySelector('.plot-readout');
    if (!out) return;
    const { at, cursor } = this.index();
    const parts = [];
    const time = document.createElement('time');
    time.textContent = at < 0 ? '' : moment(this.x[at] * 1000, this.zone, this.to - this.from);
    parts.push(time);
    this.lines.forEach((line, i) => {
      const part = document.createElement('span');
      part.className = `plot-value plot-paint-${(i % 6) + 1}${line.dashed ? ' dashed' : ''}`;
      const name = document.createElement('span');
      name.textContent = line.label;
      const value = document.createElement('b');
      value.textContent = at < 0 ? '–' : `${figure(line.mean[at])}${line.unit ? `\u00a0${line.unit}` : ''}`;
      part.append(name, value);
      const low = line.min?.[at];
      const high = line.max?.[at];
      if (cursor && low !== null && low !== undefined && high !== null && high !== undefined && low !== high) {
        const spread = document.createElement('small');
        spread.textContent = `${figure(low)}–${figure(high)}`;
        part.append(spread);
      }
      parts.push(part);
    });
    for (const band of this.bands) {
      const part = document.createElement('span');
      part.className = 'plot-value plot-paint-band';
      part.textContent = band.label;
      parts.push(part);
    }
    out.replaceChildren(...parts);
  }
}

/** Readings that are never negative and come near nothing stand on nothing, others in their own range.
 * @param {any} _u @param {number | null} min @param {number | null} max */
function rangeOf(_u, min, max) {
  if (min === null || max === null || min === undefined || max === undefined) return [0, 1];
  if (min >= 0 && min <= 0.4 * max) return [0, max === 0 ? 1 : max * 1.08];
  const room = max === min ? Math.max(Math.abs(max) * 0.05, 0.5) : (max - min) * 0.1;
  return [min - room, max + room];
}

/** Numbers beside the axis, with as many digits as tell them apart; the unit stands at the highest. @param {number[]} splits @param {string} unit */
function marks(splits, unit) {
  const apart = splits.length > 1 ? Math.abs(splits[1] - splits[0]) : 1;
  const digits = Math.max(0, Math.min(4, Math.ceil(-Math.log10(apart))));
  return splits.map((v, i) => `${number(v, digits, digits)}${i === splits.length - 1 && unit ? ` ${unit}` : ''}`);
}

define('lf-plot', LfPlot);
