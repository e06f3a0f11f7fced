// A cover: open, stop, close, and where it stands. 0 is closed, 100 open.

import { html, nothing } from '../vendor/lit.js';
import { session } from '../app/api.js';
import { commands } from '../app/commands.js';
import { vars } from '../app/element.js';
import { number } from '../app/format.js';
import { home } from '../app/home.js';
import { icon } from '../app/icons.js';
import { t } from '../app/text.js';
import { outcome } from './parts.js';
import { canSet } from './plan.js';
import './slider.js';

/** @typedef {import('./plan.js').Expose} Expose */

/** @type {Record<string, string>} */
const SIGNS = { open: 'up', stop: 'stop', close: 'down' };

/** @param {string} device @param {Record<string, Expose>} has */
export function cover(device, has) {
  const may = session.allows('control');
  const view = home.device(device);
  const state = view?.state ?? {};
  const key = has.control?.property ?? 'control';
  const position = has.position?.property ?? 'position';
  const is = has.state ? state[has.state.property] : undefined;
  const at = state[position];
  const words = is ? t(`cover.${is}`) : t('cover.unknown');
  const percent = (/** @type {number} */ n) => t('cover.percent', { n: number(n, 0) });
  const button = (/** @type {string} */ to) => html`<button type="button" class="button" ?disabled=${!may} aria-label=${t(`cover.do.${to}`, { name: view?.name ?? '' })}
    @click=${() => void commands.set(device, { [key]: to }, key)}>${icon(SIGNS[to])}<span>${t(`cover.${to}.do`)}</span></button>`;
  return html`<section class="card cover">
    <div class="cover-line"><h2>${words}</h2>${typeof at === 'number' ? html`<span class="soft num">${percent(at)}</span>` : nothing}</div>
    ${typeof at === 'number' ? html`<div class="cover-picture" aria-hidden="true" ${vars({ '--shut': String(1 - at / 100) })}></div>` : nothing}
    ${has.control ? html`<div class="cover-buttons">${['open', 'stop', 'close'].filter((w) => has.control.values?.includes(w)).map(button)}</div>${outcome(device, key)}` : nothing}
    ${has.position && canSet(has.position)
      ? html`<div class="control"><span class="control-name">${t('cover.position')}</span>
        <lf-slider .value=${commands.of(device, position)?.phase === 'pending' ? commands.value(device, position, position) : at} .min=${0} .max=${100} .label=${t('cover.position')}
          .disabled=${!may} .say=${percent} @pick=${(/** @type {CustomEvent<number>} */ e) => void commands.set(device, { [position]: e.detail }, position)}></lf-slider>
        ${outcome(device, position)}</div>`
      : nothing}
  </section>`;
}
