// What controls share: a line with label and outcome, a switch, words to choose from.

import { html, nothing } from '../vendor/lit.js';
import { session } from '../app/api.js';
import { commands } from '../app/commands.js';
import { label as named, word } from '../app/format.js';
import { icon } from '../app/icons.js';
import { t } from '../app/text.js';

/** @typedef {import('./plan.js').Expose} Expose */

/** How the last command of this control stands: on its way, done, or why not. Always there, so that screen readers hear it. @param {string} device @param {string} key */
export function outcome(device, key) {
  const command = commands.of(device, key);
  const bad = command?.phase === 'refused' || command?.phase === 'unconfirmed';
  const told = !command
    ? nothing
    : bad
      ? html`<span class="outcome bad">${icon('warn')}<span>${command.text}${command.hint ? ` ${command.hint}` : ''}</span>
          <button type="button" class="icon-button" aria-label=${t('close')} @click=${() => commands.forget(device, key)}>${icon('close')}</button></span>`
      : command.phase === 'pending'
        ? html`<span class="outcome">${t('outcome.pending')}</span>`
        : html`<span class="outcome ok">${icon('check')}${command.text}</span>`;
  return html`<div class="said" role=${bad ? 'alert' : 'status'} data-outcome=${command?.phase ?? ''} data-control=${key}>${told}</div>`;
}

/** A control in a line: what it is at the left, the control at the right, how it went below. @param {string} device @param {string} key @param {unknown} name @param {unknown} control */
export function line(device, key, name, control) {
  return html`<div class="control"><div class="control-line"><span class="control-name">${name}</span>${control}</div>${outcome(device, key)}</div>`;
}

/** @param {string} device @param {string} name attribute @param {string} label @param {string} [key] */
export function toggle(device, name, label, key = name) {
  const on = commands.value(device, key, name);
  const pending = commands.of(device, key)?.phase === 'pending';
  const may = session.allows('control');
  const put = (/** @type {boolean} */ to) => may && void commands.set(device, { [name]: to }, key);
  if (typeof on !== 'boolean') {
    // Nobody knows how it is: a switch would show something that is not so.
    return html`<div class="segments" role="group" aria-label=${label}>
      ${[true, false].map((to) => html`<button type="button" aria-pressed="false" aria-disabled=${!may} @click=${() => put(to)}>${word(to)}</button>`)}</div>`;
  }
  return html`<button type="button" class="toggle" role="switch" aria-checked=${on} aria-busy=${pending} aria-disabled=${!may} aria-label=${label} @click=${() => put(!on)}></button>`;
}

/** One of a few words; a list where they are many. @param {string} device @param {Expose} expose @param {string} [label] */
export function choice(device, expose, label = named(expose.property)) {
  const { property, values = [] } = expose;
  const is = commands.value(device, property, property);
  const may = session.allows('control');
  const pick = (/** @type {string} */ value) => may && void commands.set(device, { [property]: value }, property);
  if (values.length > 5) {
    return html`<select class="choice" aria-label=${label} ?disabled=${!may} @change=${(/** @type {Event} */ e) => pick(/** @type {HTMLSelectElement} */ (e.target).value)}>
      ${values.includes(is) ? nothing : html`<option value="" selected disabled>${word(is)}</option>`}
      ${values.map((v) => html`<option value=${v} .selected=${v === is}>${word(v)}</option>`)}</select>`;
  }
  return html`<div class="segments" role="group" aria-label=${label}>
    ${values.map((v) => html`<button type="button" aria-pressed=${v === is} aria-disabled=${!may} @click=${() => pick(v)}>${word(v)}</button>`)}</div>`;
}

/** What an attribute is called. @param {Expose} expose */
export const nameOf = (expose) => named(expose.property);
