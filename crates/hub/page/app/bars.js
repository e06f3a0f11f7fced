// Bars over time, beside those of the time before: chosen by pointer or by arrow keys, told in words, and the same as a table.

import { html, nothing } from '../vendor/lit.js';
import { Element, define, sheet, vars } from './element.js';
import { number } from './format.js';
import { t } from './text.js';
import { newId } from './ui.js';

/** A bar: `short` stands under it, `label` is its whole name, `value` is missing while it lies ahead.
 * @typedef {{short: string, label: string, value: number | null, before: number | null, text: string, beforeText: string, partial?: boolean}} Bar */

class LfBars extends Element {
  static properties = {
    bars: { attribute: false },
    unit: { type: String },
    label: { type: String },
    was: { type: String },
    chosen: { state: true },
    table: { state: true },
  };

  constructor() {
    super();
    /** @type {Bar[]} */
    this.bars = [];
    this.unit = '';
    /** What they are bars of. */
    this.label = '';
    /** What the paler bars are. */
    this.was = '';
    this.chosen = -1;
    this.table = false;
    this.keys = newId('bars-keys');
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/plots.css');
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has('bars') && this.chosen >= this.bars.length) this.chosen = -1;
  }

  /** Round steps up to the highest bar. */
  get scale() {
    const most = Math.max(0, ...this.bars.flatMap((b) => [b.value ?? 0, b.before ?? 0]));
    if (most <= 0) return { top: 1, marks: [0, 1] };
    const rough = most / 4;
    const size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((n) => n * size).find((n) => n >= rough) ?? rough;
    const count = Math.ceil(most / step);
    return { top: count * step, marks: Array.from({ length: count + 1 }, (_, i) => i * step) };
  }

  render() {
    const { top, marks } = this.scale;
    const part = (/** @type {number | null} */ v) => `${((v ?? 0) / top) * 100}%`;
    const every = Math.ceil(this.bars.length / 12);
    const said = this.bars[this.chosen];
    const digits = marks[1] >= 1 ? (marks[1] % 1 ? 1 : 0) : Math.ceil(-Math.log10(marks[1])) + (marks.some((m) => String(m).includes('5')) ? 1 : 0);
    return html`
      <p class="bars-readout" role="status">${said ? html`<b>${said.label}</b> ${said.text}${said.before === null ? nothing : html` <span class="soft">${this.was}: ${said.beforeText}</span>`}` : html`<span class="soft">${this.label}</span>`}</p>
      <div class="bars" tabindex="0" role="group" aria-roledescription=${t('bars.role')} aria-label=${this.label} aria-describedby=${this.keys}
        @keydown=${this.onKey} @pointerleave=${() => this.choose(-1)} @blur=${() => this.choose(-1)}>
        <div class="bars-marks" aria-hidden="true">${marks.map((m, i) => html`<span ${vars({ bottom: part(m) })}>${number(m, digits)}${i === marks.length - 1 ? ` ${this.unit}` : ''}</span>`)}</div>
        <div class="bars-field" aria-hidden="true">
          ${marks.map((m) => html`<i class="bars-line" ${vars({ bottom: part(m) })}></i>`)}
          ${this.bars.map((b, i) => html`<div class="bar ${i === this.chosen ? 'chosen' : ''} ${b.partial ? 'partial' : ''}" @pointerenter=${() => this.choose(i)} @click=${() => this.choose(i)}>
            ${b.before === null ? nothing : html`<i class="bar-before" ${vars({ height: part(b.before) })}></i>`}
            ${b.value === null ? nothing : html`<i class="bar-value" ${vars({ height: part(b.value) })}></i>`}
            <span class="bar-name">${i % every === 0 ? b.short : ''}</span></div>`)}
        </div>
      </div>
      <p id=${this.keys} class="sr">${t('bars.keys')}</p>
      <details class="plot-table" @toggle=${(/** @type {any} */ e) => { this.table = e.currentTarget.open; }}>
        <summary>${t('plot.table')}</summary>
        ${this.table ? html`<div class="table-wrap" tabindex="0" role="region" aria-label=${this.label}><table>
          <thead><tr><th scope="col">${t('plot.time')}</th><th scope="col">${t('bars.value')}</th><th scope="col">${this.was}</th></tr></thead>
          <tbody>${this.bars.map((b) => html`<tr><th scope="row">${b.label}</th><td>${b.value === null ? '–' : b.text}</td><td>${b.before === null ? '–' : b.beforeText}</td></tr>`)}</tbody>
        </table></div>` : nothing}
      </details>`;
  }

  /** @param {number} index */
  choose(index) {
    this.chosen = index;
  }

  /** @param {KeyboardEvent} e */
  onKey(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const last = this.bars.length - 1;
    /** @type {Record<string, number>} */
    const to = { ArrowLeft: this.chosen < 0 ? last : Math.max(0, this.chosen - 1), ArrowRight: Math.min(last, this.chosen + 1), Home: 0, End: last, Escape: -1 };
    if (!(e.key in to)) return;
    e.preventDefault();
    this.choose(to[e.key]);
  }
}

define('lf-bars', LfBars);
