// A back-up, written while everything runs, and how to move house with it.

import { html, nothing } from '../vendor/lit.js';
import { api } from '../app/api.js';
import { Element, define, sheet } from '../app/element.js';
import { fullTime } from '../app/format.js';
import { now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { t } from '../app/text.js';
import { problem, toast } from '../app/ui.js';

/** A large history takes its time. */
const LONGEST = 300_000;

class LfBackup extends Element {
  static properties = { written: { state: true }, problem: { state: true }, working: { state: true } };

  constructor() {
    super();
    /** Those that were written in this visit, newest first. @type {{directory: string, files: string[], at: number}[]} */
    this.written = [];
    /** @type {unknown} */
    this.problem = null;
    this.working = false;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/views.css');
  }

  async write() {
    if (this.working) return;
    this.working = true;
    this.problem = null;
    try {
      const made = await api.post('/backup', undefined, { timeout: LONGEST });
      this.written = [{ ...made, at: now() }, ...this.written].slice(0, 30);
      toast(t('backup.done'));
    } catch (e) {
      this.problem = e;
    } finally {
      this.working = false;
    }
  }

  render() {
    return html`<div class="head"><h1>${t('backup.title')}</h1></div>
      <p class="lead">${t('backup.text')}</p>
      <section class="card stack">
        <p class="row"><button type="button" class="button primary" aria-disabled=${this.working ? 'true' : 'false'} @click=${() => void this.write()}>${icon('backup')}${t(this.working ? 'backup.working' : 'backup.go')}</button></p>
        ${this.problem ? problem(this.problem) : nothing}
        <div role="status" class="stack">${this.written.map((b) => html`<article class="backup"><p><b>${t('backup.at', { when: fullTime(b.at) })}</b></p>
          <p>${t('backup.where')} <code>${b.directory}</code></p><ul class="row files">${b.files.map((f) => html`<li><code>${f}</code></li>`)}</ul></article>`)}</div>
        <p class="soft">${t('backup.secret')}</p>
      </section>
      <section class="card stack"><h2>${t('backup.restore')}</h2><ol class="steps">${[1, 2, 3].map((n) => html`<li>${t(`backup.restore.${n}`)}</li>`)}</ol></section>`;
  }
}

define('lf-backup', LfBackup);
