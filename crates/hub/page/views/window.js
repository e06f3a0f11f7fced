// The activation window: while it is open, devices that reach this hub instead of the vendor's cloud may join it.

import { html, nothing, repeat } from '../vendor/lit.js';
import { ApiError, api } from '../app/api.js';
import { Element, define, sheet, vars } from '../app/element.js';
import { ago, countdown } from '../app/format.js';
import { home, now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { deviceHash } from '../app/routes.js';
import { t } from '../app/text.js';
import { chip, field, problem, toWrong, toast, values } from '../app/ui.js';

/** Lengths to choose from, in seconds. */
const LENGTHS = [300, 600, 1800, 3600, 14_400];
/** Others may open or close windows as well. */
const EVERY = 5000;
/** Newcomers that are shown. */
const MOST = 50;

/** @typedef {{who?: string | null, until_ms: number}} Open */

class LfWindow extends Element {
  static properties = { windows: { state: true }, problem: { state: true }, errors: { state: true }, working: { state: true }, joined: { state: true } };

  constructor() {
    super();
    /** @type {Open[] | null} */
    this.windows = null;
    /** @type {unknown} */
    this.problem = null;
    /** @type {Record<string, string>} */
    this.errors = {};
    this.working = false;
    /** Who joined while somebody looked, newest first. @type {{id: string, at: number}[]} */
    this.joined = [];
    this.length = 0;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/views.css');
    this.every(1000);
    this.follow('shape');
    this.every(EVERY, () => this.read());
    this.until(home.tap((change) => this.hear(change)));
    void this.read();
  }

  /** @param {import('../app/home.js').Change} change */
  hear(change) {
    // Somebody else opened or closed it.
    if (change.type === 'hub' && String(change.code).startsWith('window.')) void this.read();
    if (change.type !== 'added' || !change.device) return;
    const id = change.device;
    this.joined = [{ id, at: change.at_ms }, ...this.joined.filter((j) => j.id !== id)].slice(0, MOST);
    void this.read();
  }

  async read() {
    try {
      this.take((await api.get('/windows')).windows);
      this.problem = null;
    } catch (e) {
      this.problem = e;
    }
  }

  /** @param {Open[]} windows */
  take(windows) {
    this.windows = windows;
    const left = Math.max(0, ...windows.map((w) => w.until_ms)) - now();
    // How long it was opened for is not told: the ring begins with what was left when it was seen first.
    this.length = windows.length === 0 ? 0 : Math.max(this.length, left);
  }

  /** @param {SubmitEvent} e */
  async open(e) {
    e.preventDefault();
    if (this.working) return;
    const f = values(/** @type {HTMLFormElement} */ (e.target));
    this.working = true;
    this.errors = {};
    this.problem = null;
    try {
      this.length = 0;
      this.take((await api.post('/windows', { seconds: Number(f.seconds), who: f.who?.trim() || undefined })).windows);
      toast(t('window.opened'));
    } catch (error) {
      const at = error instanceof ApiError ? { 'window.seconds': 'seconds', 'window.who': 'who' }[error.code] : undefined;
      if (at && error instanceof ApiError) {
        this.errors = { [at]: `${error.message}${error.hint ? `. ${error.hint}` : ''} (${error.code})` };
        toWrong(this);
      } else {
        this.problem = error;
      }
    } finally {
      this.working = false;
    }
  }

  async shut() {
    if (this.working) return;
    this.working = true;
    try {
      await api.del('/windows');
      this.take([]);
      toast(t('window.closed'));
    } catch (e) {
      this.problem = e;
    } finally {
      this.working = false;
    }
  }

  render() {
    const open = (this.windows ?? []).filter((w) => w.until_ms > now());
    return html`<div class="head"><h1>${t('window.title')}</h1></div>
      <p class="lead">${t('window.text')}</p>
      ${this.problem ? problem(this.problem) : nothing}
      <div class="window-grid">
        ${open.length ? this.counting(open) : nothing}
        <form class="card stack" novalidate @submit=${this.open}>
          <h2>${t(open.length ? 'window.another' : 'window.open.title')}</h2>
          ${field({ name: 'seconds', label: t('window.length'), value: 600, error: this.errors.seconds, options: LENGTHS.map((s) => ({ value: String(s), label: s < 3600 ? t('window.minutes', { n: s / 60 }) : t('window.hours', { n: s / 3600 }) })) })}
          ${field({ name: 'who', label: t('window.who'), mono: true, maxlength: 64, error: this.errors.who, hint: t('window.who.hint') })}
          <p class="row"><button type="submit" class="button primary" aria-disabled=${this.working ? 'true' : 'false'}>${icon('window')}${t('window.open')}</button></p>
        </form>
        <section class="card stack" aria-label=${t('window.joined')} aria-live="polite">
          <h2>${t('window.joined')}</h2>
          ${this.joined.length === 0 ? html`<p class="soft">${t(open.length ? 'window.waiting' : 'window.nobody')}</p>` : html`<ul class="joined">${repeat(this.joined, (j) => j.id, (j) => {
            const device = home.device(j.id);
            return html`<li class="row">${icon(device?.class ?? 'other')}<a href=${deviceHash(j.id)}>${device?.name ?? j.id}</a>
              ${device ? chip(device.presence.state === 'online' ? 'ok' : '', t(`window.is.${device.presence.state}`)) : nothing}<span class="soft">${ago(j.at, now())}</span></li>`;
          })}</ul>`}
        </section>
      </div>
      <details class="card"><summary>${t('window.how')}</summary><ol class="steps">${[1, 2, 3].map((n) => html`<li>${t(`window.how.${n}`)}</li>`)}</ol></details>`;
  }

  /** @param {Open[]} open */
  counting(open) {
    const last = open.reduce((a, b) => (a.until_ms >= b.until_ms ? a : b));
    const left = last.until_ms - now();
    const names = open.filter((w) => w.who).map((w) => w.who);
    return html`<section class="card stack window-open" aria-label=${t('window.is_open')}>
      <div class="ring" ${vars({ '--part': `${Math.min(1, left / Math.max(1, this.length)) * 360}deg` })}><div>
        <p class="time" role="timer" aria-label=${t('window.left', { time: countdown(left) })}>${countdown(left)}</p><p class="soft">${t('window.is_open')}</p></div></div>
      <p class="soft">${names.length === open.length ? t('window.for', { who: names.join(', ') }) : t('window.for_all')}</p>
      <button type="button" class="button" aria-disabled=${this.working ? 'true' : 'false'} @click=${() => void this.shut()}>${icon('close')}${t('window.close')}</button>
    </section>`;
  }
}

define('lf-window', LfWindow);
