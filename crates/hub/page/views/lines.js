// The two lines to a device: how each stands, and how far it came with the stand-in cloud.

import { html, nothing } from '../vendor/lit.js';
import { ApiError, api, path, sentence } from '../app/api.js';
import { DeviceElement, define } from '../app/element.js';
import { ago, fullTime } from '../app/format.js';
import { home, now } from '../app/home.js';
import { has, t } from '../app/text.js';
import { chip, problem } from '../app/ui.js';

/** @typedef {import('../app/home.js').Line} Line */

/** How a state of a line looks. @type {Record<Line['state'], string>} */
const KINDS = { up: 'ok', opening: 'warn', down: 'bad', unused: '' };

class Lines extends DeviceElement {
  /** @type {any} */
  #cloud = null;
  /** @type {unknown} */
  #error = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #soon;

  connectedCallback() {
    super.connectedCallback();
    void this.#read();
    this.every(10_000);
    const later = () => (this.#soon ??= setTimeout(() => ((this.#soon = undefined), void this.#read()), 1000));
    this.until(home.tap((c) => (c.type === 'reload' || (c.type === 'line' && c.device === this.device)) && later()));
    this.until(() => clearTimeout(this.#soon));
  }

  async #read() {
    try {
      this.#cloud = await api.get(path`/devices/${this.device}/cloud`);
      this.#error = null;
    } catch (e) {
      // A home without its stand-in cloud has nothing to tell here.
      const without = e instanceof ApiError && (e.status === 404 || e.status === 409);
      this.#cloud = null;
      this.#error = without ? null : e;
    }
    this.requestUpdate();
  }

  /** @param {'lan' | 'cloud'} name @param {Line} line @param {boolean} next */
  #line(name, line, next) {
    return html`<section class="card"><div class="row spread"><h2>${t(`line.${name}`)}</h2>${chip(KINDS[line.state], t(`line.state.${line.state}`))}</div>
      <p class="hint">${t(`line.${name}.text`)}</p>
      <dl class="facts">
        ${line.why ? html`<dt>${t('line.why')}</dt><dd>${sentence(line.why)}</dd>` : nothing}
        ${line.address ? html`<dt>${t('line.address')}</dt><dd class="mono">${line.address}</dd>` : nothing}
        ${line.since_ms ? html`<dt>${t('line.since')}</dt><dd title=${fullTime(line.since_ms)}>${ago(line.since_ms, now())}</dd>` : nothing}
        <dt>${t('line.route')}</dt><dd>${next ? t('yes') : t('no')}</dd>
      </dl></section>`;
  }

  #steps() {
    const cloud = this.#cloud;
    if (!cloud?.steps?.length) return nothing;
    const step = (/** @type {any} */ s) => html`<li><span class="step-name">${has(`step.${s.step}`) ? t(`step.${s.step}`) : s.step}</span>
      <span class="hint" title=${fullTime(s.at * 1000)}>${ago(s.at * 1000, now())}${s.count > 1 ? ` · ${t('step.count', { n: s.count })}` : ''} · ${s.over}</span></li>`;
    return html`<section class="card"><h2>${t('lines.handshake')}</h2><p class="hint">${t('lines.handshake.text')}</p>
      <ol class="steps">${cloud.steps.map(step)}</ol>
      <dl class="facts">${cloud.generation ? html`<dt>${t('lines.generation')}</dt><dd>${cloud.generation}</dd>` : nothing}
        ${cloud.lacks ? html`<dt>${t('lines.lacks')}</dt><dd>${typeof cloud.lacks === 'string' ? cloud.lacks : JSON.stringify(cloud.lacks)}</dd>` : nothing}</dl></section>`;
  }

  render() {
    const device = this.view;
    if (!device) return nothing;
    return html`<div class="cards">${this.#line('lan', device.lan, device.route === 'lan')}${this.#line('cloud', device.cloud, device.route === 'cloud')}
      ${this.#steps()}
      <section class="card"><h2>${t('lines.identity')}</h2><dl class="facts">
        <dt>${t('fact.id')}</dt><dd class="mono">${device.id}</dd>
        ${device.uuid ? html`<dt>${t('fact.uuid')}</dt><dd class="mono">${device.uuid}</dd>` : nothing}
        ${device.version ? html`<dt>${t('fact.version')}</dt><dd>${device.version}</dd>` : nothing}
        ${device.product_id ? html`<dt>${t('fact.product')}</dt><dd class="mono">${device.product_id}</dd>` : nothing}
        ${device.category ? html`<dt>${t('fact.category')}</dt><dd class="mono">${device.category}</dd>` : nothing}
        ${device.software ? html`<dt>${t('fact.software')}</dt><dd>${device.software}</dd>` : nothing}
        ${device.mac ? html`<dt>${t('fact.mac')}</dt><dd class="mono">${device.mac}</dd>` : nothing}
        ${device.cid ? html`<dt>${t('fact.cid')}</dt><dd class="mono">${device.cid}</dd>` : nothing}
        <dt>${t('fact.key')}</dt><dd>${device.has_key ? t('fact.key.known') : t('fact.key.missing')}</dd>
        ${device.aliases.length ? html`<dt>${t('fact.aliases')}</dt><dd class="mono">${device.aliases.join(', ')}</dd>` : nothing}
      </dl></section></div>${problem(this.#error)}`;
  }
}

define('lf-lines', Lines);
