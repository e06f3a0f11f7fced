// A fan: on, speed, direction, mode.

import { html, nothing } from '../vendor/lit.js';
import { label } from '../app/format.js';
import { generic } from './generic.js';
import { line, toggle } from './parts.js';

/** @typedef {import('./plan.js').Expose} Expose */

/** @param {string} device @param {Record<string, Expose>} has */
export function fan(device, has) {
  const { switch: power = has.fan, ...others } = has;
  const rest = Object.values(others).filter((e) => e !== power);
  return html`<section class="card">
    ${power ? line(device, power.property, html`<h2>${label(power.property)}</h2>`, toggle(device, power.property, label(power.property))) : nothing}
    ${rest.map((expose) => generic(device, expose, false))}
  </section>`;
}
