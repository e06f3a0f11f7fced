// One device in a list: what it is, what it does, and its switch.

import { html, nothing } from '../vendor/lit.js';
import { session } from './api.js';
import { commands } from './commands.js';
import { isOn, isStale, mainSwitch, presence, summary } from './device-words.js';
import { DeviceElement, define } from './element.js';
import { icon } from './icons.js';
import { deviceHash } from './routes.js';
import { t } from './text.js';

/** @typedef {import('./home.js').Device} Device */

class DeviceCard extends DeviceElement {
  /** @param {Device} device @param {string} name */
  #toggle(device, name) {
    void commands.set(device.id, { [name]: !commands.value(device.id, name, name) }, name);
  }

  /** @param {Device} device @param {'open' | 'close'} to */
  #cover(device, to) {
    void commands.set(device.id, { control: to }, 'cover');
  }

  /** @param {Device} device */
  #act(device) {
    if (!session.allows('control')) return nothing;
    const main = mainSwitch(device);
    if (main) {
      const on = commands.value(device.id, main, main) === true;
      const pending = commands.of(device.id, main)?.phase === 'pending';
      return html`<div class="act"><button type="button" class="toggle" role="switch" aria-checked=${on} aria-busy=${pending} aria-label=${t('control.switch_of', { name: device.name })}
        @click=${() => this.#toggle(device, main)}></button></div>`;
    }
    if (device.class === 'cover' && 'control' in device.state) {
      const button = (/** @type {'open' | 'close'} */ to, /** @type {string} */ sign) => html`<button type="button" class="icon-button"
        aria-label=${t(`cover.do.${to}`, { name: device.name })} @click=${() => this.#cover(device, to)}>${icon(sign)}</button>`;
      return html`<div class="act">${button('open', 'up')}${button('close', 'down')}</div>`;
    }
    return nothing;
  }

  render() {
    const device = this.view;
    if (!device) return nothing;
    const main = mainSwitch(device) ?? (device.class === 'cover' ? 'cover' : '');
    const command = main ? commands.of(device.id, main) : undefined;
    const failed = command && (command.phase === 'refused' || command.phase === 'unconfirmed') ? command : undefined;
    const state = presence(device);
    const says = failed ? failed.text : summary(device);
    const kind = failed || state.kind === 'bad' ? 'bad' : isStale(device) || state.kind === 'warn' ? 'warn' : '';
    const sign = device.presence.state === 'asleep' ? 'asleep' : device.presence.state === 'offline' ? 'offline' : device.class;
    return html`<article class="device ${isOn(device) ? 'is-on' : ''}">
      <span class="badge">${icon(sign)}</span>
      <div class="who"><a class="name" href=${deviceHash(device.id)} title=${device.name}>${device.name}</a>
        <p class="says ${kind}" title=${says} role=${failed ? 'alert' : nothing}>${says}</p></div>
      ${this.#act(device)}
    </article>`;
  }
}

define('lf-device-card', DeviceCard);
