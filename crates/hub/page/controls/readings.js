// What a device tells: tiles with values, and what the energy account says beside them.

import { html, nothing } from '../vendor/lit.js';
import { chip } from '../app/ui.js';
import { energy as kwh, label, money, number, reading } from '../app/format.js';
import { t } from '../app/text.js';
import { shown } from './generic.js';
import { nameOf } from './parts.js';

/** @typedef {import('./plan.js').Expose} Expose */
/** @typedef {import('../app/home.js').Device} Device */

/** @param {string} name @param {unknown} value @param {boolean} [stale] */
const tile = (name, value, stale = false) => html`<div class="tile"><dt class="name">${name}</dt><dd class="value">${value}${stale ? html` ${chip('warn', t('presence.stale'))}` : nothing}</dd></div>`;

/** @param {Device} device @param {Expose[]} exposes */
export function readings(device, exposes) {
  const told = exposes.filter((e) => device.state[e.property] !== undefined);
  const parts = told.flatMap((e) => {
    const value = device.state[e.property];
    const stale = device.stale.includes(e.property);
    // Voltage, current and power that a meter tells together.
    if (e.features && value && typeof value === 'object') return e.features.map((f) => tile(`${nameOf(e)}: ${label(f.name)}`, shown(f, value[f.name]), stale));
    return [tile(nameOf(e), shown(e, value), stale)];
  });
  const energy = device.energy;
  if (!parts.length && !energy) return nothing;
  return html`<section class="card"><h2>${t('readings')}</h2><dl class="tiles">${parts}
    ${energy?.apparent_power != null ? tile(t('energy.apparent'), reading(energy.apparent_power, 'VA')) : nothing}
    ${energy?.power_factor != null ? tile(t('energy.factor'), number(energy.power_factor, 2)) : nothing}</dl>
    ${energy?.apparent_power != null || energy?.power_factor != null ? html`<details class="explain"><summary>${t('energy.why')}</summary><p>${t('energy.why.text')}</p></details>` : nothing}
    ${energy ? html`<h3>${t('energy.used')}</h3><dl class="tiles">
      ${tile(t('energy.today'), html`${kwh(energy.today_kwh)}${energy.cost_today != null ? html`<span class="hint"> ${money(energy.cost_today)}</span>` : nothing}`)}
      ${tile(t('energy.yesterday'), kwh(energy.yesterday_kwh))}
      ${tile(t('energy.this_month'), html`${kwh(energy.month_kwh)}${energy.cost_month != null ? html`<span class="hint"> ${money(energy.cost_month)}</span>` : nothing}`)}
      ${tile(t('energy.total'), kwh(energy.total_kwh))}</dl>` : nothing}
  </section>`;
}
