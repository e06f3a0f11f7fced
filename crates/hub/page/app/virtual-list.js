// A long list of which only the rows near the window are in the page.

import { html, repeat } from '../vendor/lit.js';
import { Element, define, vars } from './element.js';

/** @typedef {{key: string, height: number, draw: () => unknown}} Row */

/** How far beyond the window rows are made, in px, so that scrolling and the tab key find them. */
const BEYOND = 500;
/** A list this short is there as a whole: searching in the page then finds everything. */
const SHORT = 24;

class VirtualList extends Element {
  static properties = { rows: { attribute: false }, label: { type: String } };

  constructor() {
    super();
    /** @type {Row[]} */
    this.rows = [];
    /** What the list is, for screen readers. */
    this.label = '';
    this.first = 0;
    this.last = 0;
    /** @type {number[]} */
    this.tops = [];
    this.frame = 0;
    /** Where the list begins in the page. */
    this.top = 0;
  }

  connectedCallback() {
    super.connectedCallback();
    const look = () => (this.frame ||= requestAnimationFrame(() => this.#look()));
    addEventListener('scroll', look, { passive: true });
    this.until(() => removeEventListener('scroll', look));
    // Where the list begins moves with what stands above it.
    const sizes = new ResizeObserver(() => {
      this.top = this.getBoundingClientRect().top + window.scrollY;
      look();
    });
    sizes.observe(document.body);
    this.until(() => sizes.disconnect());
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has('rows')) {
      let at = 0;
      this.tops = this.rows.map((row) => {
        const top = at;
        at += row.height;
        return top;
      });
      this.tops.push(at);
      [this.first, this.last] = this.#range();
    }
  }

  firstUpdated() {
    this.top = this.getBoundingClientRect().top + window.scrollY;
  }

  /** The rows that are to be in the page. @returns {[number, number]} */
  #range() {
    const n = this.rows.length;
    if (n <= SHORT) return [0, n];
    const from = window.scrollY - this.top - BEYOND;
    const to = window.scrollY - this.top + window.innerHeight + BEYOND;
    return [Math.max(0, this.#at(from)), Math.min(n, this.#at(to) + 1)];
  }

  /** The row at this height. @param {number} y */
  #at(y) {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.tops[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #look() {
    this.frame = 0;
    const [first, last] = this.#range();
    if (first === this.first && last === this.last) return;
    this.first = first;
    this.last = last;
    this.requestUpdate();
  }

  render() {
    const shown = this.rows.slice(this.first, this.last).map((row, i) => ({ row, at: this.first + i }));
    // The row with the focus stays, wherever the window is.
    const held = document.activeElement?.closest('[data-row]')?.getAttribute('data-row');
    if (held) {
      const at = this.rows.findIndex((row) => row.key === held);
      if (at >= 0 && at < this.first) shown.unshift({ row: this.rows[at], at });
      if (at >= this.last) shown.push({ row: this.rows[at], at });
    }
    return html`<div class="virtual" role="list" aria-label=${this.label} ${vars({ height: `${this.tops.at(-1) ?? 0}px` })}>
      ${repeat(
        shown,
        ({ row }) => row.key,
        ({ row, at }) => html`<div role="presentation" data-row=${row.key} ${vars({ transform: `translateY(${this.tops[at]}px)`, height: `${row.height}px` })}>${row.draw()}</div>`,
      )}
    </div>`;
  }
}

define('lf-virtual-list', VirtualList);
