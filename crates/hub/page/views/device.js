// The page of a device: what it is, how it does, and its tabs.

import { html, nothing } from '../vendor/lit.js';
import { api, path, session, words } from '../app/api.js';
import { presence } from '../app/device-words.js';
import { DeviceElement, define, sheet } from '../app/element.js';
import { ago, fullTime } from '../app/format.js';
import { home, now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { deviceHash } from '../app/routes.js';
import { t } from '../app/text.js';
import { busy, chip, problem, toast } from '../app/ui.js';

/** Tabs, and what is loaded when somebody opens one. @type {Record<string, {load: () => Promise<unknown>, draw: (id: string) => unknown, admin?: boolean, energy?: boolean}>} */
const TABS = {
  controls: { load: () => import('../controls/controls.js'), draw: (id) => html`<lf-controls .device=${id}></lf-controls>` },
  plots: { load: () => import('./plots.js'), draw: (id) => html`<lf-plots .device=${id}></lf-plots>` },
  energy: { load: () => import('./energy.js'), draw: (id) => html`<lf-energy .device=${id}></lf-energy>`, energy: true },
  points: { load: () => import('./points.js'), draw: (id) => html`<lf-points .device=${id}></lf-points>` },
  lines: { load: () => Promise.all([import('./lines.js'), import('./doctor.js')]), draw: (id) => html`<lf-lines .device=${id}></lf-lines><lf-doctor .device=${id}></lf-doctor>` },
  events: { load: () => import('./events.js'), draw: (id) => html`<lf-events .device=${id}></lf-events>` },
  settings: { load: () => import('./device-settings.js'), draw: (id) => html`<lf-device-settings .device=${id}></lf-device-settings>`, admin: true },
};

class DevicePage extends DeviceElement {
  static properties = { ...DeviceElement.properties, tab: { type: String } };

  constructor() {
    super();
    this.tab = 'controls';
    this.styled = false;
    /** @type {Set<string>} */
    this.loaded = new Set();
    /** @type {unknown} */
    this.trouble = null;
  }

  connectedCallback() {
    super.connectedCallback();
    this.follow('connection');
    // "5 min ago" grows old.
    this.every(10_000);
    void sheet('style/device.css').then(() => {
      this.styled = true;
      this.requestUpdate();
    });
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    super.willUpdate(changed);
    if (changed.has('tab')) void this.#load();
  }

  async #load() {
    const tab = this.tab;
    this.trouble = null;
    try {
      await TABS[tab]?.load();
      this.loaded.add(tab);
    } catch {
      if (this.tab === tab) this.trouble = new Error(t('error.view'));
    }
    this.requestUpdate();
    await this.updateComplete;
    // On a phone the tabs scroll sideways.
    this.querySelector('.tabs [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  async #refresh() {
    try {
      await api.post(path`/devices/${this.device}/refresh`);
      toast(t('device.asked'));
    } catch (e) {
      toast(words(e), 'bad');
    }
  }

  render() {
    const device = this.view;
    if (!device && home.connection !== 'live') return busy();
    if (!device) return html`<h1 class="sr">${t('device')}</h1><p class="empty">${t('device.unknown', { id: this.device })} <a href="#/">${t('nav.home')}</a></p>`;
    if (!this.styled) return html`<h1>${device.name}</h1>${busy()}`;
    const state = presence(device);
    const parent = device.parent ? home.device(device.parent) : undefined;
    const tabs = Object.keys(TABS).filter((name) => (!TABS[name].admin || session.allows('admin')) && (!TABS[name].energy || device.energy));
    const tab = TABS[this.tab];
    return html`<header class="device-head">
        <a class="icon-button" href="#/" aria-label=${t('nav.home')}>${icon('back')}</a>
        <span class="badge">${icon(device.class)}</span>
        <div class="device-title"><h1>${device.name}</h1>
          <p class="device-facts">${chip(state.kind, state.text)}${device.room ? chip('', device.room) : nothing}
            <span class="soft">${device.product}</span>
            ${parent ? html`<a href=${deviceHash(parent.id)}>${t('device.behind', { name: parent.name })}</a>` : nothing}</p></div>
        ${session.allows('control') ? html`<button type="button" class="icon-button" title=${t('device.refresh')} aria-label=${t('device.refresh')} @click=${() => void this.#refresh()}>${icon('refresh')}</button>` : nothing}
      </header>
      ${this.#why(device)}
      <nav class="segments tabs" aria-label=${t('device.tabs')}>${tabs.map(
        (name) => html`<a href=${deviceHash(device.id, name === 'controls' ? '' : name)} aria-current=${name === this.tab ? 'page' : nothing}>${t(`tab.${name}`)}</a>`,
      )}</nav>
      <div class="tab">${!tab ? html`<p class="empty">${t('route.unknown')}</p>` : this.trouble ? problem(this.trouble) : this.loaded.has(this.tab) ? tab.draw(device.id) : busy()}</div>`;
  }

  /** Why it is away, or since when nothing was heard. @param {import('../app/home.js').Device} device */
  #why(device) {
    const heard = device.heard_ms ? html`<span title=${fullTime(device.heard_ms)}>${t('device.heard', { ago: ago(device.heard_ms, now()) })}</span>` : t('device.never');
    if (device.presence.state === 'online' && !device.stale.length) return html`<p class="device-why hint">${heard}</p>`;
    return html`<p class="device-why ${device.presence.state === 'offline' ? 'bad' : ''}">${device.presence.why ? html`${device.presence.why}. ` : nothing}${heard}.
      ${device.presence.state === 'asleep' ? t('device.asleep.text') : device.presence.state === 'offline' || device.presence.state === 'unknown' ? html`<a href=${deviceHash(device.id, 'lines')}>${t('device.ask_doctor')}</a>` : nothing}</p>`;
  }
}

define('lf-device', DevicePage);
