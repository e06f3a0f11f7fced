// How the hub is and with which settings it runs, without secrets; and what this browser remembers.

import { html, nothing } from '../vendor/lit.js';
import { api, session } from '../app/api.js';
import { Element, asking, define, sheet } from '../app/element.js';
import { fullTime, number, span } from '../app/format.js';
import { home, now } from '../app/home.js';
import { has, t } from '../app/text.js';
import { busy, chip, problem } from '../app/ui.js';

/** The status is asked for this often. */
const EVERY = 5000;
/** Keys that stand on their own line in every section. */
const SECTIONS = ['home', 'page', 'lan', 'cloud', 'store', 'mqtt'];

class LfSettings extends asking(Element, EVERY) {
  static properties = { status: { state: true }, config: { state: true } };

  constructor() {
    super();
    /** @type {any} */
    this.status = null;
    /** @type {any} */
    this.config = null;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/views.css');
    this.follow('connection');
    void this.read();
  }

  async ask() {
    const [status, config] = await Promise.all([api.get('/status'), this.config ?? api.get('/config')]);
    return { status, config };
  }

  render() {
    const { status, config } = this;
    return html`<div class="head"><h1>${t('settings.title')}</h1></div>
      ${this.problem ? problem(this.problem) : nothing}
      ${status && config ? html`<div class="settings-grid">${this.hub(status)}${this.store(status.store)}${this.here()}${this.cloud(status.cloud)}</div>${this.all(config)}` : this.problem ? nothing : busy()}`;
  }

  /** @param {any} s */
  hub(s) {
    return html`<section class="card stack"><h2>${t('settings.hub')}</h2><dl class="facts">
      <dt>${t('settings.version')}</dt><dd>Landfall ${s.version}</dd>
      <dt>${t('settings.up')}</dt><dd title=${fullTime(s.started_ms)}>${span(s.now_ms - s.started_ms)}</dd>
      <dt>${t('settings.clock')}</dt><dd>${fullTime(s.now_ms)}${Math.abs(home.clockAhead) > 5000 ? html` ${chip('warn', t('settings.clock.off', { span: span(Math.abs(home.clockAhead)) }))}` : nothing}</dd>
      <dt>${t('settings.zone')}</dt><dd>${s.zone}</dd>
      <dt>${t('settings.devices')}</dt><dd>${t('settings.devices.of', { n: s.available, all: s.devices })}</dd>
      <dt>${t('settings.streams')}</dt><dd>${s.streams}</dd>
      <dt>${t('settings.dropped')}</dt><dd>${s.inbox_dropped ? chip('warn', number(s.inbox_dropped)) : 0}</dd>
    </dl></section>`;
  }

  /** Whatever the store tells of itself. @param {any} store */
  store(store) {
    if (!store || typeof store !== 'object') return nothing;
    return html`<section class="card stack"><h2>${t('settings.store')}</h2><dl class="facts">${Object.entries(store).map(([k, v]) => {
      const key = `settings.store.${k}`;
      return html`<dt>${has(key) ? t(key) : k.replaceAll('_', ' ')}</dt><dd>${shown(k, v)}</dd>`;
    })}</dl></section>`;
  }

  here() {
    const me = session.now;
    return html`<section class="card stack"><h2>${t('settings.you')}</h2><dl class="facts">
      <dt>${t('settings.token')}</dt><dd>${me?.name}</dd><dt>${t('settings.may')}</dt><dd>${me ? t(`tokens.scope.${me.scope}`) : nothing}</dd>
      ${me?.expires_ms ? html`<dt>${t('settings.until')}</dt><dd>${t('settings.until.in', { span: span(me.expires_ms - now()) })}</dd>` : nothing}
      <dt>${t('settings.connection')}</dt><dd>${chip(home.connection === 'live' ? 'ok' : 'bad', t(`settings.is.${home.connection}`))}</dd>
    </dl></section>`;
  }

  /** Where devices find the stand-in cloud. @param {any} bound */
  cloud(bound) {
    return html`<section class="card stack"><h2>${t('settings.cloud')}</h2>${bound ? html`<dl class="facts">${Object.entries(bound).map(([k, v]) => html`<dt>${k.replaceAll('_', ' ')}</dt><dd class="mono">${v ?? t('off')}</dd>`)}</dl>` : html`<p class="soft">${t('settings.cloud.off')}</p>`}</section>`;
  }

  /** How settings are changed. */
  change() {
    const file = this.status.settings_file;
    return html`<ol class="settings-change"><li>${file ? t('settings.change.edit', { file }) : t('settings.change.demo')}</li>
      ${file ? html`<li>${t('settings.change.check', { file })}</li><li>${t('settings.change.restart')}</li>` : nothing}</ol>`;
  }

  /** All settings, section by section, as they are in force. @param {any} config */
  all(config) {
    const sections = [...SECTIONS.filter((s) => s in config), ...Object.keys(config).filter((s) => !SECTIONS.includes(s))];
    return html`<section class="card stack settings-all"><h2>${t('settings.all')}</h2><p class="soft">${t('settings.all.text')}</p>${this.change()}
      ${sections.map((s) => html`<details ?open=${s === 'home'}><summary><code>[${s}]</code> ${has(`settings.section.${s}`) ? t(`settings.section.${s}`) : nothing}</summary>
        <dl class="facts">${flat(config[s]).map(([k, v]) => html`<dt class="mono">${k}</dt><dd class="mono">${shown(k, v)}</dd>`)}</dl></details>`)}</section>`;
  }
}

/** Tables within tables as dotted keys, as the settings file has them. @param {any} value @param {string} [under] @returns {[string, unknown][]} */
function flat(value, under = '') {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [[under, value]];
  return Object.entries(value).flatMap(([k, v]) => flat(v, under ? `${under}.${k}` : k));
}

/** @param {string} key @param {unknown} value */
function shown(key, value) {
  if (value === null || value === undefined || value === '') return '–';
  if (typeof value === 'boolean') return t(value ? 'yes' : 'no');
  if (typeof value === 'number') return key.endsWith('_ms') && value > 1e12 ? fullTime(value) : /bytes/.test(key) ? `${number(value / 1e6, 1)} MB` : number(value, 4);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

define('lf-settings', LfSettings);
