// The two lines to a device, and how far it came in the stand-in cloud: steps, refusals, what it still lacks, timers, firmware questions.

import { html, nothing } from '../vendor/lit.js';
import { api, path, sentence } from '../app/api.js';
import { DeviceElement, asking, define, sheet } from '../app/element.js';
import { ago, fullTime } from '../app/format.js';
import { home, now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { has, t } from '../app/text.js';
import { busy, chip, problem } from '../app/ui.js';

/** Steps in their order. */
const STEPS = ['dns', 'name_service', 'tls', 'token', 'activation_asked', 'activated', 'configured', 'mqtt', 'subscribed', 'reported', 'timers', 'firmware'];
/** Colours of line states. @type {Record<string, string>} */
const STATES = { up: 'ok', opening: 'warn', down: 'bad', unused: '' };
/** The cloud's side is asked for this often: its steps are no changes. */
const EVERY = 5000;

/** @typedef {{step: string, at: number, count: number, over: string, peer?: string | null}} Step */

class LfLines extends asking(DeviceElement, EVERY) {
  static properties = { cloud: { state: true }, known: { state: true } };

  constructor() {
    super();
    /** @type {any} */
    this.cloud = null;
    this.known = false;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/views.css');
    this.until(home.tap((change) => change.device === this.device && change.type === 'line' && void this.read()));
    this.every(10_000);
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    super.willUpdate(changed);
    if (changed.has('device')) {
      this.cloud = null;
      this.known = false;
      void this.read();
    }
  }

  async ask() {
    return this.device ? { cloud: await api.get(path`/devices/${this.device}/cloud`), known: true } : {};
  }

  render() {
    const { view, cloud } = this;
    if (!view) return nothing;
    return html`<section class="lines stack" aria-label=${t('lines.title')}>
      <div class="cards">${this.line('lan', view)}${this.line('cloud', view)}</div>
      ${this.problem ? problem(this.problem) : nothing}
      ${!this.known ? (this.problem ? nothing : busy()) : cloud ? this.handshake(cloud) : html`<p class="soft">${t('lines.never')}</p>`}
      <section class="card stack"><h2>${t('lines.identity')}</h2>${this.identity(view)}</section>
    </section>`;
  }

  /** @param {'lan' | 'cloud'} which @param {import('../app/home.js').Device} view */
  line(which, view) {
    const line = view[which];
    return html`<article class="card stack line"><div class="row spread"><h2>${t(`lines.${which}`)}</h2><span>${view.route === which ? html`${chip('accent', t('lines.route'))} ` : nothing}${chip(STATES[line.state] ?? '', t(`lines.is.${line.state}`))}</span></div>
      <dl class="facts">
        ${line.state === 'unused' ? nothing : html`<dt>${t('lines.since')}</dt><dd title=${fullTime(line.since_ms)}>${ago(line.since_ms, now())}</dd>`}
        ${line.address ? html`<dt>${t('lines.address')}</dt><dd class="mono">${line.address}</dd>` : nothing}
        ${which === 'lan' && view.version ? html`<dt>${t('lines.version')}</dt><dd>${view.version}</dd>` : nothing}
        ${line.why ? html`<dt>${t('lines.why')}</dt><dd>${sentence(line.why)}</dd>` : nothing}
      </dl></article>`;
  }

  /** @param {import('../app/home.js').Device} view */
  identity(view) {
    const fact = (/** @type {string} */ key, /** @type {unknown} */ value) => (value ? html`<dt>${t(key)}</dt><dd class="mono">${value}</dd>` : nothing);
    return html`<dl class="facts">${fact('fact.id', view.id)}${fact('fact.uuid', view.uuid)}${fact('fact.product', view.product_id)}${fact('fact.category', view.category)}
      ${fact('fact.software', view.software)}${fact('fact.mac', view.mac)}${fact('fact.cid', view.cid)}${fact('fact.aliases', view.aliases.join(', '))}
      <dt>${t('fact.key')}</dt><dd>${t(view.has_key ? 'fact.key.known' : 'fact.key.missing')}</dd></dl>`;
  }

  /** @param {any} cloud */
  handshake(cloud) {
    /** @type {Map<string, Step>} */
    const taken = new Map(cloud.steps.map((/** @type {Step} */ s) => [s.step, s]));
    const over = (/** @type {string} */ o) => (has(`lines.over.${o}`) ? t(`lines.over.${o}`) : o);
    return html`
      ${cloud.lacks ? html`<div class="lacks card">${icon('warn')}<div><h2>${t('lines.lacks')}: ${cloud.lacks.what}</h2><p>${sentence(cloud.lacks.next)}</p></div></div>`
        : taken.size ? html`<p class="row">${chip('ok', t('lines.complete'))}</p>` : nothing}
      <section class="card stack"><h2>${t('lines.handshake')}</h2>
        <ol class="handshake">${STEPS.map((step) => {
          const mark = taken.get(step);
          return html`<li class=${mark ? 'taken' : ''}><span class="dot" aria-hidden="true">${mark ? icon('check') : nothing}</span>
            <div><p>${t(`lines.step.${step}`)}<span class="sr">${t(mark ? 'lines.taken' : 'lines.not_taken')}</span></p>
            ${mark ? html`<p class="soft">${ago(mark.at * 1000, now())} · ${t('lines.times', { n: mark.count })} · ${over(mark.over)}${mark.peer ? html` · <span class="mono">${mark.peer}</span>` : nothing}</p>` : nothing}</div></li>`;
        })}</ol></section>
      ${cloud.refusals.length ? html`<section class="card stack"><h2>${t('lines.refusals')}</h2><ul class="refusals">${cloud.refusals.map((/** @type {Step} */ r) => html`<li><code>${r.step}</code>
        <span class="soft">${t('lines.times', { n: r.count })}, ${ago(r.at * 1000, now())}</span></li>`)}</ul></section>` : nothing}
      <section class="card stack"><h2>${t('lines.facts')}</h2><dl class="facts">
        <dt>${t('lines.generation')}</dt><dd>${cloud.generation ? t('lines.generation.is', { name: cloud.generation }) : t('lines.unknown')}</dd>
        <dt>${t('lines.keys')}</dt><dd>${t(`lines.keys.${cloud.keys}`)}${cloud.pinned ? ` ${t('lines.pinned')}` : ''}</dd>
        <dt>${t('lines.reports')}</dt><dd>${cloud.reports}${cloud.lost ? ` ${t('lines.lost', { n: cloud.lost })}` : ''}</dd>
        <dt>${t('lines.firmware')}</dt><dd>${cloud.firmware_questions ? t('lines.firmware.asked', { n: cloud.firmware_questions }) : t('lines.firmware.never')} ${cloud.images.length ? t('lines.images', { n: cloud.images.length }) : t('lines.no_images')}</dd>
        <dt>${t('lines.timers')}</dt><dd>${this.timers(cloud.timers)}</dd>
        ${cloud.elsewhere.length ? html`<dt>${t('lines.elsewhere')}</dt><dd>${cloud.elsewhere.map((/** @type {string} */ n) => html`<span class="mono">${n}</span> `)}</dd>` : nothing}
        ${Object.keys(cloud.questions).length ? html`<dt>${t('lines.questions')}</dt><dd>${Object.entries(cloud.questions).map(([what, n]) => html`<span class="mono">${what}</span> ${n} `)}</dd>` : nothing}
      </dl></section>`;
  }

  /** @param {{id: number, time: string, date: string, loops: number, dps: string}[] | null} timers */
  timers(timers) {
    if (timers === null) return t('lines.timers.own');
    if (timers.length === 0) return t('lines.timers.none');
    return html`<ul>${timers.map((x) => html`<li>${x.time} ${x.date && x.date !== '00000000' ? x.date : this.days(x.loops)} <code>${x.dps}</code></li>`)}</ul>`;
  }

  /** Days of the week as bits, Sunday first. @param {number} loops */
  days(loops) {
    if (loops === 0) return t('lines.timers.once');
    if (loops === 127) return t('lines.timers.daily');
    return [0, 1, 2, 3, 4, 5, 6].filter((d) => loops & (1 << d)).map((d) => t(`lines.day.${d}`)).join(' ');
  }
}

define('lf-lines', LfLines);
