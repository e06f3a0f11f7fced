// All controls of a device, fit to what it is.

import { html, nothing } from '../vendor/lit.js';
import '../app/device-card.js';
import { DeviceElement, define } from '../app/element.js';
import { home } from '../app/home.js';
import { t } from '../app/text.js';
import { busy, problem } from '../app/ui.js';
import { climate } from './climate.js';
import { cover } from './cover.js';
import { fan } from './fan.js';
import { generic } from './generic.js';
import { light } from './light.js';
import { plan } from './plan.js';
import { readings } from './readings.js';

const GROUPS = { light, cover, climate, fan };

class Controls extends DeviceElement {
  /** @type {import('./plan.js').Plan | null} */
  #plan = null;
  #wanted = '';
  /** @type {unknown} */
  #error = null;

  connectedCallback() {
    super.connectedCallback();
    // The list may grow under a gateway.
    this.follow('shape');
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    super.willUpdate(changed);
    // What was removed has no definition.
    if (this.view) void this.#read();
  }

  /** A definition is read again once the device was edited: the store has then forgotten it. */
  async #read() {
    const id = this.device;
    if (!this.view) return;
    const asked = home.definition(id);
    const key = `${id} ${this.view?.product} ${this.view?.class}`;
    if (key === this.#wanted && asked === this.#asked) return;
    this.#wanted = key;
    this.#asked = asked;
    try {
      const definition = await asked;
      if (this.#asked !== asked) return;
      this.#plan = plan(definition);
      this.#error = null;
    } catch (e) {
      if (this.#asked !== asked) return;
      this.#error = e;
    }
    this.requestUpdate();
  }

  /** @type {Promise<any> | null} */
  #asked = null;

  render() {
    const device = this.view;
    if (!device) return nothing;
    if (this.#error) return problem(this.#error);
    const made = this.#plan;
    if (!made) return busy();
    const children = [...home.devices.values()].filter((d) => d.parent === device.id).sort((a, b) => a.name.localeCompare(b.name));
    const act = (/** @type {import('./plan.js').Expose} */ e) => generic(device.id, e, made.actions.has(e.property));
    const infrared = device.class === 'infrared';
    const nothingKnown = !made.groups.length && !made.controls.length && !made.settings.length && !made.readings.length && !children.length && !device.energy;
    return html`<div class="controls">
      <div class="stack">
        ${made.groups.map((g) => GROUPS[g.kind](device.id, g.has))}
        ${made.controls.length ? html`<section class="card">${infrared ? html`<p class="hint">${t('infrared.text')}</p>` : nothing}${made.controls.map(act)}</section>` : nothing}
        ${children.length
          ? html`<section><h2>${t('children')}</h2><ul class="children">${children.map((c) => html`<li><lf-device-card .device=${c.id}></lf-device-card></li>`)}</ul></section>`
          : nothing}
        ${nothingKnown ? html`<section class="card"><p>${t('controls.none')}</p></section>` : nothing}
      </div>
      <div class="stack">
        ${readings(device, made.readings)}
        ${made.settings.length || made.notes.length
          ? html`<details class="card folded"><summary><h2>${t('controls.settings')}</h2></summary>${made.settings.map(act)}${made.notes.map(act)}</details>`
          : nothing}
      </div></div>`;
  }
}

define('lf-controls', Controls);
