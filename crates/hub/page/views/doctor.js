// What is wrong with a device, in words: the verdict, what was seen, what to do.

import { html, nothing } from '../vendor/lit.js';
import { api, path, sentence, session } from '../app/api.js';
import { DeviceElement, define, sheet } from '../app/element.js';
import { fullTime } from '../app/format.js';
import { now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { has, t } from '../app/text.js';
import { problem } from '../app/ui.js';

/** An examination listens and asks for a while. */
const LONGEST = 60_000;

/** @typedef {{code: string, text: string, evidence: string[], next: string}} Verdict */

class LfDoctor extends DeviceElement {
  static properties = { verdict: { state: true }, problem: { state: true }, working: { state: true } };

  constructor() {
    super();
    /** @type {(Verdict & {at: number}) | null} */
    this.verdict = null;
    /** @type {unknown} */
    this.problem = null;
    this.working = false;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/views.css');
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    super.willUpdate(changed);
    if (changed.has('device')) {
      this.verdict = null;
      this.problem = null;
    }
  }

  async examine() {
    if (this.working) return;
    const id = this.device;
    this.working = true;
    this.problem = null;
    try {
      const verdict = await api.post(path`/devices/${id}/doctor`, undefined, { timeout: LONGEST });
      if (id === this.device) this.verdict = { ...verdict, at: now() };
    } catch (e) {
      if (id === this.device) this.problem = e;
    } finally {
      this.working = false;
    }
  }

  render() {
    const { verdict } = this;
    return html`<section class="doctor card stack" aria-label=${t('doctor.title')}><h2>${t('doctor.title')}</h2>
      <p class="soft">${t('doctor.text')}</p>
      <p class="row"><button type="button" class="button primary" aria-disabled=${this.working || !session.allows('control') ? 'true' : 'false'}
        @click=${() => session.allows('control') && void this.examine()}>${icon('search')}${t(this.working ? 'doctor.working' : verdict ? 'doctor.again' : 'doctor.go')}</button>
        ${session.allows('control') ? nothing : html`<span class="soft">${t('doctor.scope')}</span>`}</p>
      <div aria-live="polite" class="stack">${this.problem ? problem(this.problem) : nothing}${verdict ? this.says(verdict) : nothing}</div>
    </section>`;
  }

  /** @param {Verdict & {at: number}} verdict */
  says(verdict) {
    const good = HEALTHY.has(verdict.code);
    const key = `doctor.is.${verdict.code}`;
    return html`<article class="verdict stack ${good ? 'good' : 'ill'}">
      <h3>${icon(good ? 'check' : 'warn')}${has(key) ? t(key) : sentence(verdict.text)}</h3>
      ${has(key) ? html`<p>${sentence(verdict.text)}</p>` : nothing}
      ${verdict.next ? html`<div class="next"><h4>${t('doctor.next')}</h4><p>${sentence(verdict.next)}</p></div>` : nothing}
      ${verdict.evidence.length ? html`<div><h4>${t('doctor.evidence')}</h4><ul class="evidence">${verdict.evidence.map((e) => html`<li>${sentence(e)}</li>`)}</ul></div>` : nothing}
      <p class="soft">${t('doctor.at', { when: fullTime(verdict.at) })} · <code>${verdict.code}</code></p>
    </article>`;
  }
}

/** Verdicts with which nothing is wrong. */
const HEALTHY = new Set(['ok', 'healthy', 'asleep']);

define('lf-doctor', LfDoctor);
