// A light: on, brightness, colour temperature, colour.

import { html, nothing } from '../vendor/lit.js';
import { session } from '../app/api.js';
import { commands } from '../app/commands.js';
import { vars } from '../app/element.js';
import { label, number } from '../app/format.js';
import { home } from '../app/home.js';
import { t } from '../app/text.js';
import { line, outcome, toggle } from './parts.js';
import './color-wheel.js';
import './slider.js';

/** @typedef {import('./plan.js').Expose} Expose */

/** Colours that many people look for. @type {{name: string, hue: number, saturation: number}[]} */
const SWATCHES = [
  { name: 'red', hue: 0, saturation: 100 },
  { name: 'orange', hue: 30, saturation: 100 },
  { name: 'yellow', hue: 55, saturation: 95 },
  { name: 'green', hue: 120, saturation: 100 },
  { name: 'cyan', hue: 180, saturation: 100 },
  { name: 'blue', hue: 230, saturation: 100 },
  { name: 'violet', hue: 275, saturation: 100 },
  { name: 'pink', hue: 330, saturation: 70 },
];

/** Mired and kelvin are each other's reciprocal. @param {number} n */
const turned = (n) => 1_000_000 / n;
/** @param {number} k */
const kelvin = (k) => `${number(Math.round(k / 50) * 50, 0)}\u00a0K`;

/** @param {string} device @param {Record<string, Expose>} has */
export function light(device, has) {
  const off = !session.allows('control');
  const main = has.switch;
  const state = home.device(device)?.state ?? {};
  const coloured = has.color_mode ? state[has.color_mode.property] === 'hs' : false;
  return html`<section class="card light">
    ${main ? line(device, main.property, html`<h2>${label(main.property)}</h2>`, toggle(device, main.property, label(main.property))) : nothing}
    ${has.brightness ? brightness(device, has.brightness, off) : nothing}
    ${has.color_temp ? warmth(device, has.color_temp, off) : nothing}
    ${has.color_hs ? color(device, has.color_hs, coloured, off) : nothing}
  </section>`;
}

/** Brightness is told from 1 to 255; people say per cent. @param {string} device @param {Expose} expose @param {boolean} off */
function brightness(device, expose, off) {
  const { property, value_min: min = 1, value_max: max = 255 } = expose;
  const value = commands.value(device, property, property);
  const percent = typeof value === 'number' ? Math.max(1, Math.round((value / max) * 100)) : undefined;
  const pick = (/** @type {CustomEvent<number>} */ e) => void commands.set(device, { [property]: Math.max(min, Math.round((e.detail / 100) * max)) }, property);
  return html`<div class="control"><span class="control-name">${label(property)}</span>
    <lf-slider kind="light" .value=${percent} .min=${1} .max=${100} .label=${label(property)} .disabled=${off} .say=${(/** @type {number} */ n) => `${n}\u00a0%`} @pick=${pick}></lf-slider>
    ${outcome(device, property)}</div>`;
}

/** @param {string} device @param {Expose} expose @param {boolean} off */
function warmth(device, expose, off) {
  const { property, value_min: cold = 153, value_max: warm = 370 } = expose;
  const value = commands.value(device, property, property);
  const pick = (/** @type {CustomEvent<number>} */ e) => {
    const mired = Math.min(warm, Math.max(cold, Math.round(turned(e.detail))));
    void commands.set(device, { [property]: mired }, property);
  };
  return html`<div class="control"><span class="control-name">${t('light.warmth')}</span>
    <lf-slider kind="warmth" .value=${typeof value === 'number' ? turned(value) : undefined} .min=${Math.round(turned(warm))} .max=${Math.round(turned(cold))} .step=${50}
      .label=${t('light.warmth')} .disabled=${off} .say=${kelvin} @pick=${pick}></lf-slider>
    ${outcome(device, property)}</div>`;
}

/** @param {string} device @param {Expose} expose @param {boolean} coloured @param {boolean} off */
function color(device, expose, coloured, off) {
  const { property } = expose;
  const value = commands.value(device, property, property);
  const set = (/** @type {{hue: number, saturation: number}} */ c) => void commands.set(device, { [property]: { hue: c.hue, saturation: c.saturation } }, property);
  return html`<div class="control"><span class="control-name">${label(property)}${coloured ? nothing : html` <span class="hint">${t('light.white_now')}</span>`}</span>
    <div class="wheel-row">
      <lf-color-wheel .color=${value} .label=${label(property)} .disabled=${off} @pick=${(/** @type {CustomEvent<any>} */ e) => set(e.detail)}></lf-color-wheel>
      <div class="swatches" role="group" aria-label=${t('light.swatches')}>${SWATCHES.map(
        (s) => html`<button type="button" aria-label=${t(`color.${s.name}`)} title=${t(`color.${s.name}`)} ?disabled=${off} ${vars({ '--swatch': `hsl(${s.hue} 100% ${100 - s.saturation / 2}%)` })} @click=${() => set(s)}></button>`,
      )}</div>
    </div>${outcome(device, property)}</div>`;
}
