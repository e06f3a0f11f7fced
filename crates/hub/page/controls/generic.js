// The control of any attribute by its type: what a device has that no other control knows.

import { html, nothing } from '../vendor/lit.js';
import { session } from '../app/api.js';
import { commands } from '../app/commands.js';
import { Element, define } from '../app/element.js';
import { reading, word } from '../app/format.js';
import { home } from '../app/home.js';
import { t } from '../app/text.js';
import { confirm } from '../app/ui.js';
import { choice, line, nameOf, outcome, toggle } from './parts.js';
import { canRead, canSet } from './plan.js';
import './slider.js';

/** @typedef {import('./plan.js').Expose} Expose */

/** More steps than this are typed, not slid. */
const SLIDE = 300;

/** @param {string} device @param {Expose} expose @param {boolean} action each write makes something happen */
export function generic(device, expose, action) {
  const { property } = expose;
  const name = nameOf(expose);
  if (action || !canRead(expose)) {
    return html`<div class="control"><lf-sender .device=${device} .expose=${expose} .action=${action}></lf-sender>${outcome(device, property)}</div>`;
  }
  if (!canSet(expose)) return line(device, property, name, html`<span class="num">${shown(expose, home.device(device)?.state[property])}</span>`);
  if (expose.type === 'binary') return line(device, property, name, toggle(device, property, name));
  if (expose.type === 'enum' && expose.values?.length) return line(device, property, name, choice(device, expose));
  const { value_min: min, value_max: max, value_step: step = 1 } = expose;
  if (expose.type === 'numeric' && min !== undefined && max !== undefined && (max - min) / step <= SLIDE) {
    const value = commands.value(device, property, property);
    return html`<div class="control"><span class="control-name">${name}</span>
      <lf-slider .value=${typeof value === 'number' ? value : undefined} .min=${min} .max=${max} .step=${step} .label=${name} .disabled=${!session.allows('control')}
        .say=${(/** @type {number} */ n) => reading(n, expose.unit)} @pick=${(/** @type {CustomEvent<number>} */ e) => void commands.set(device, { [property]: e.detail }, property)}></lf-slider>
      ${outcome(device, property)}</div>`;
  }
  return html`<div class="control"><lf-sender .device=${device} .expose=${expose} .action=${false}></lf-sender>${outcome(device, property)}</div>`;
}

/** A value with its unit. @param {Expose} expose @param {unknown} value */
export function shown(expose, value) {
  return typeof value === 'number' ? reading(value, expose.unit) : word(value);
}

/** A field and a button: for what is typed, and for what acts at each write and must not happen by a slip of the finger. */
class Sender extends Element {
  static properties = { device: { attribute: false }, expose: { attribute: false }, action: { attribute: false } };

  constructor() {
    super();
    this.device = '';
    /** @type {Expose} */
    this.expose = { type: 'text', name: '', property: '', access: 0 };
    this.action = false;
    /** What is typed and not sent yet. @type {string | undefined} */
    this.typed = undefined;
    this.error = '';
  }

  connectedCallback() {
    super.connectedCallback();
    this.until(home.subscribe(this.device, () => this.requestUpdate()));
  }

  /** @param {Event} e */
  async #send(e) {
    e.preventDefault();
    const { expose } = this;
    const field = /** @type {HTMLInputElement | HTMLSelectElement | null} */ (this.querySelector('[name=value]'));
    const typed = field?.value.trim() ?? '';
    /** @type {unknown} */
    let value = typed;
    this.error = '';
    if (expose.type === 'binary') value = true;
    if (expose.type === 'numeric') {
      value = Number(typed.replace(',', '.'));
      const { value_min: min = -Infinity, value_max: max = Infinity } = expose;
      if (typed === '' || !Number.isFinite(value)) this.error = t('value.number', { value: typed });
      else if (Number(value) < min || Number(value) > max) this.error = t('value.range', { value: typed, min: reading(min, expose.unit), max: reading(max, expose.unit) });
    } else if (expose.type !== 'binary' && typed === '' && this.action) {
      this.error = t('value.missing');
    }
    this.requestUpdate();
    if (this.error) return field?.focus();
    const name = nameOf(expose);
    // Who typed a text meant it; a number that stands there already, or a mere button, may be hit by a slip of the finger.
    if (this.action && expose.type !== 'text') {
      const text = expose.type === 'binary' ? t('action.text.plain', { name }) : t('action.text', { name, value: typed });
      if (!(await confirm({ title: name, text, yes: t('action.do') }))) return;
    }
    this.typed = undefined;
    void commands.set(this.device, { [expose.property]: value }, expose.property);
  }

  render() {
    const { expose, device } = this;
    const name = nameOf(expose);
    const may = session.allows('control');
    const is = canRead(expose) ? commands.value(device, expose.property, expose.property) : undefined;
    const value = this.typed ?? (is === undefined || is === null ? (this.action ? (expose.value_min ?? '') : '') : typeof is === 'object' ? JSON.stringify(is) : String(is));
    const id = `send-${expose.property}`;
    const input = (/** @type {Event} */ e) => (this.typed = /** @type {HTMLInputElement} */ (e.target).value);
    const limits = expose.value_min !== undefined && expose.value_max !== undefined ? t('value.limits', { min: reading(expose.value_min, expose.unit), max: reading(expose.value_max, expose.unit) }) : '';
    const told = this.error ? `${id}-error` : limits ? `${id}-hint` : nothing;
    const field =
      expose.type === 'binary'
        ? nothing
        : expose.values?.length
          ? html`<select id=${id} name="value" ?disabled=${!may} @change=${input}>${expose.values.map((v) => html`<option value=${v} ?selected=${v === value}>${word(v)}</option>`)}</select>`
          : html`<input id=${id} name="value" class=${expose.type === 'text' ? 'mono' : ''} inputmode=${expose.type === 'numeric' ? 'decimal' : nothing} autocomplete="off" spellcheck="false"
              aria-invalid=${this.error ? 'true' : nothing} aria-describedby=${told} ?disabled=${!may} .value=${String(value)} @input=${input}>`;
    return html`<form class="sender" novalidate @submit=${this.#send}>
      ${field === nothing ? html`<span class="control-name">${name}</span>` : html`<label class="control-name" for=${id}>${name}</label>`}
      <div class="sender-line">${field}<button class="button" type="submit" ?disabled=${!may}>${this.action && expose.type !== 'text' ? t('action.do') : t('send')}</button></div>
      ${this.error ? html`<p class="error" id="${id}-error" role="alert">${this.error}</p>` : limits ? html`<p class="hint" id="${id}-hint">${limits}</p>` : nothing}
    </form>`;
  }
}

define('lf-sender', Sender);
