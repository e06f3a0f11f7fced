// A thermostat: how warm it is, how warm it should be.

import { html, nothing } from '../vendor/lit.js';
import { session } from '../app/api.js';
import { commands } from '../app/commands.js';
import { label, number, reading } from '../app/format.js';
import { home } from '../app/home.js';
import { t } from '../app/text.js';
import { choice, line, outcome, toggle } from './parts.js';
import './slider.js';

/** @typedef {import('./plan.js').Expose} Expose */

/** @param {string} device @param {Record<string, Expose>} has */
export function climate(device, has) {
  const state = home.device(device)?.state ?? {};
  const is = has.temperature ? state[has.temperature.property] : undefined;
  return html`<section class="card climate">
    <div class="climate-now">${typeof is === 'number' ? html`<span class="soft">${t('climate.now')}</span> <strong class="num">${reading(is, has.temperature.unit)}</strong>` : nothing}
      ${has.running ? html`<span class="chip ${state[has.running.property] ? 'accent' : ''}">${state[has.running.property] ? t('climate.heats') : t('climate.rests')}</span>` : nothing}</div>
    ${has.target_temperature ? target(device, has.target_temperature) : nothing}
    ${has.mode ? line(device, has.mode.property, label(has.mode.property), choice(device, has.mode)) : nothing}
    ${has.switch ? line(device, has.switch.property, label(has.switch.property), toggle(device, has.switch.property, label(has.switch.property))) : nothing}
  </section>`;
}

/** @param {string} device @param {Expose} expose */
function target(device, expose) {
  const { property, unit, value_min: min = 5, value_max: max = 35, value_step: step = 1 } = expose;
  const may = session.allows('control');
  const value = commands.value(device, property, property);
  const known = typeof value === 'number';
  const set = (/** @type {number} */ n) => {
    const on = min + Math.round((n - min) / step) * step;
    // A sum of tenths is no tenth in binary.
    void commands.set(device, { [property]: Number(Math.min(max, Math.max(min, on)).toFixed(3)) }, property);
  };
  const places = Number.isInteger(step) ? 0 : 1;
  const say = (/** @type {number} */ n) => `${number(n, places, places)}\u00a0${unit ?? ''}`;
  return html`<div class="control">
    <div class="target"><button type="button" class="button step" aria-label=${t('climate.colder')} ?disabled=${!may || !known} @click=${() => set(value - step)}>−</button>
      <output class="num" aria-label=${label(property)}>${known ? say(value) : '–'}</output>
      <button type="button" class="button step" aria-label=${t('climate.warmer')} ?disabled=${!may || !known} @click=${() => set(value + step)}>+</button></div>
    <lf-slider .value=${known ? value : undefined} .min=${min} .max=${max} .step=${step} .label=${label(property)} .disabled=${!may} .say=${say} @pick=${(/** @type {CustomEvent<number>} */ e) => set(e.detail)}></lf-slider>
    ${outcome(device, property)}</div>`;
}
