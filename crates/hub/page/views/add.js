// Three ways to a device: found on the network, imported from another tool, typed by hand.

import { html, nothing, repeat } from '../vendor/lit.js';
import { ApiError, api, sentence, session } from '../app/api.js';
import { Element, define, sheet } from '../app/element.js';
import { ago } from '../app/format.js';
import { home, now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { deviceHash } from '../app/routes.js';
import { has, t } from '../app/text.js';
import { busy, chip, field, problem, toWrong, toast } from '../app/ui.js';

/** @typedef {'watch' | 'import' | 'key'} By */
/** @typedef {{id: string, address?: string | null, version?: string | null, product_id?: string | null, seen_by: string[], heard_ms: number,
 *   missing: string, hint: string}} Stranger */
/** @typedef {{id: string, name: string, what: 'added' | 'updated' | 'unchanged' | 'former', changes: string[]}} Imported */

/** @type {By[]} */
const WAYS = ['watch', 'import', 'key'];
/** Who was heard is asked for this often while somebody looks. */
const EVERY = 3000;
/** A scan listens for a while. */
const SCAN = 60_000;
/** The hub takes a file of 8 MiB at most. */
const LARGEST = 8 * 1024 * 1024;

/** Which field a code speaks of. @type {Record<string, string>} */
const FIELDS = {
  'device.bad_id': 'id',
  'device.exists': 'id',
  'name.taken': 'name',
  'name.invalid': 'name',
  'device.bad_port': 'port',
  'device.bad_version': 'version',
  'gateway.unknown': 'parent',
  'gateway.missing': 'parent',
};

class LfAdd extends Element {
  static properties = {
    by: { state: true }, strangers: { state: true }, scanning: { state: true }, problem: { state: true }, file: { state: true }, preview: { state: true },
    working: { state: true }, errors: { state: true }, form: { state: true },
  };

  constructor() {
    super();
    /** @type {By} */
    this.by = 'watch';
    /** @type {Stranger[] | null} */
    this.strangers = null;
    this.scanning = false;
    /** @type {unknown} */
    this.problem = null;
    /** What shall be imported. @type {{name: string, text: string} | null} */
    this.file = null;
    /** What the import would do. @type {{applied: boolean, devices: Imported[]} | null} */
    this.preview = null;
    this.working = false;
    /** What is wrong, by field. @type {Record<string, string>} */
    this.errors = {};
    /** What stands in the form of one device. @type {Record<string, string>} */
    this.form = {};
    /** Found by a scan, and not heard by itself. @type {Map<string, Stranger>} */
    this.scanned = new Map();
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/views.css');
    this.route();
    const routed = () => this.route();
    addEventListener('hashchange', routed);
    this.until(() => removeEventListener('hashchange', routed));
    this.follow('shape');
    this.every(EVERY, () => this.by === 'watch' && this.listen());
    void this.listen();
  }

  /** The way is part of the address, so that a link leads to it. */
  route() {
    const wanted = new URLSearchParams(location.hash.split('?')[1] ?? '').get('by');
    const by = WAYS.find((w) => w === wanted);
    if (by) this.by = by;
  }

  /** @param {By} by */
  go(by) {
    location.hash = `#/add?by=${by}`;
  }

  async listen() {
    try {
      this.strangers = (await api.get('/strangers')).strangers;
      if (this.problem instanceof ApiError && this.by === 'watch') this.problem = null;
    } catch (e) {
      this.problem = e;
    }
  }

  async scan() {
    this.scanning = true;
    this.problem = null;
    try {
      const { found } = await api.post('/scan', undefined, { timeout: SCAN });
      for (const f of found) {
        if (f.name) continue;
        this.scanned.set(f.id, { ...f, seen_by: ['scan'], heard_ms: now(), missing: 'local_key', hint: f.missing ? sentence(f.missing) : t('add.hint.local_key') });
      }
      await this.listen();
      const known = found.filter((/** @type {any} */ f) => f.name).length;
      toast(t('add.scanned', { n: found.length, known }));
    } catch (e) {
      this.problem = e;
    } finally {
      this.scanning = false;
    }
  }

  render() {
    const admin = session.allows('admin');
    const ways = WAYS.filter((w) => admin || w === 'watch');
    return html`<div class="head"><h1>${t('add.title')}</h1>
        <div class="segments" role="group" aria-label=${t('add.ways')}>${ways.map((w) => html`<button type="button" aria-pressed=${w === this.by ? 'true' : 'false'} @click=${() => this.go(w)}>${t(`add.${w}`)}</button>`)}</div></div>
      ${this.by === 'import' && admin ? this.importing() : this.by === 'key' && admin ? this.byKey() : this.watching(admin)}`;
  }

  /** Who was heard, and what is missing. @param {boolean} admin */
  watching(admin) {
    const heard = new Set((this.strangers ?? []).map((s) => s.id));
    const all = [...(this.strangers ?? []), ...[...this.scanned.values()].filter((s) => !heard.has(s.id))].filter((s) => !home.device(s.id));
    return html`<p class="lead">${t('add.watch.text')}</p>
      <p class="row"><button type="button" class="button" aria-disabled=${this.scanning ? 'true' : 'false'} @click=${() => this.scanning || void this.scan()}>${icon('refresh')}${t(this.scanning ? 'add.scanning' : 'add.scan')}</button></p>
      ${this.problem ? problem(this.problem) : nothing}
      ${this.strangers === null && !this.problem ? busy() : all.length === 0 ? html`<p class="empty">${t('add.nobody')}</p>`
        : html`<ul class="cards strangers">${repeat(all, (s) => s.id, (s) => html`<li class="card stack">
          <div class="row spread"><h2 class="mono">${s.id}</h2>${chip('warn', t(has(`add.missing.${s.missing}`) ? `add.missing.${s.missing}` : 'add.missing.other', { what: s.missing }))}</div>
          <dl class="facts">
            ${s.address ? html`<dt>${t('add.address')}</dt><dd class="mono">${s.address}</dd>` : nothing}
            ${s.version ? html`<dt>${t('add.version')}</dt><dd>${s.version}</dd>` : nothing}
            ${s.product_id ? html`<dt>${t('add.product')}</dt><dd class="mono">${s.product_id}</dd>` : nothing}
            <dt>${t('add.heard')}</dt><dd>${ago(s.heard_ms, now())} ${s.seen_by.map((b) => chip('', has(`add.by.${b}`) ? t(`add.by.${b}`) : b))}</dd>
          </dl>
          <p>${s.hint}</p>
          ${admin ? html`<p class="row">${s.missing === 'local_key' || s.seen_by.includes('beacon') || s.seen_by.includes('scan') ? html`<button type="button" class="button" @click=${() => this.take(s)}>${t('add.this')}</button>` : nothing}
            ${s.missing === 'window' || s.missing === 'pairing' ? html`<a class="button" href="#/window">${t('nav.window')}</a>` : nothing}</p>` : nothing}
        </li>`)}</ul>`}`;
  }

  /** Fills the form with what was heard. @param {Stranger} s */
  take(s) {
    this.form = { id: s.id, address: s.address ?? '', version: s.version ?? '' };
    this.errors = {};
    this.problem = null;
    this.go('key');
    void this.updateComplete.then(() => requestAnimationFrame(() => /** @type {HTMLElement | null} */ (this.querySelector('[name=key]'))?.focus()));
  }

  importing() {
    const { preview } = this;
    return html`<p class="lead">${t('add.import.text')}</p>
      <form class="card stack" @submit=${(/** @type {Event} */ e) => { e.preventDefault(); void this.send(false); }}>
        <div class="field ${this.errors.file ? 'wrong' : ''}"><label for="import-file">${t('add.file')}</label>
          <input id="import-file" type="file" name="file" accept=".json,application/json" aria-describedby="import-file-hint ${this.errors.file ? 'import-file-error' : ''}"
            aria-invalid=${this.errors.file ? 'true' : 'false'} @change=${(/** @type {any} */ e) => void this.choose(e.target.files?.[0])}>
          <p class="hint" id="import-file-hint">${t('add.file.hint')}</p>
          ${this.errors.file ? html`<p class="error" id="import-file-error" role="alert">${icon('warn')}${this.errors.file}</p>` : nothing}</div>
        ${field({ name: 'text', label: t('add.paste'), rows: 5, mono: true, value: this.file?.name ? '' : (this.file?.text ?? ''), error: this.errors.text, placeholder: '[{"name": …, "id": …, "key": …}]',
          onInput: (e) => this.paste(/** @type {any} */ (e.target).value) })}
        <p class="row"><button type="submit" class="button primary" aria-disabled=${this.working ? 'true' : 'false'}>${t('add.preview')}</button></p>
      </form>
      ${this.problem ? problem(this.problem) : nothing}
      ${preview ? this.outcome(preview) : nothing}`;
  }

  /** @param {string} text */
  paste(text) {
    this.file = text.trim() ? { name: '', text } : null;
    this.preview = null;
    this.errors = {};
  }

  /** @param {File | undefined} file */
  async choose(file) {
    this.preview = null;
    this.problem = null;
    this.errors = {};
    if (!file) {
      this.file = null;
      return;
    }
    if (file.size > LARGEST) {
      this.errors = { file: t('add.too_large', { name: file.name }) };
      this.file = null;
      return;
    }
    this.file = { name: file.name, text: await file.text() };
    await this.send(false);
  }

  /** Tells what the import would change, or does it. @param {boolean} apply */
  async send(apply) {
    if (this.working) return;
    this.problem = null;
    if (!this.file) {
      this.errors = { file: t('add.nothing') };
      return toWrong(this);
    }
    this.working = true;
    try {
      const body = new Blob([this.file.text]);
      this.preview = await api.post('/devices/import', body, { query: { apply } });
      this.errors = {};
      if (apply) {
        // The keys are in the book; they need not stay in the page.
        this.file = null;
        /** @type {HTMLFormElement | null} */ (this.querySelector('form'))?.reset();
        toast(t('add.imported', { n: this.preview?.devices.filter((d) => d.what === 'added').length ?? 0 }));
      }
    } catch (e) {
      this.preview = null;
      if (e instanceof ApiError && (e.code === 'import.invalid' || e.status === 400 || e.status === 413 || e.status === 422)) {
        this.errors = { [this.file?.name ? 'file' : 'text']: said(e) };
        toWrong(this);
      } else {
        this.problem = e;
      }
    } finally {
      this.working = false;
    }
  }

  /** @param {{applied: boolean, devices: Imported[]}} preview */
  outcome(preview) {
    const { applied, devices } = preview;
    const count = (/** @type {string} */ what) => devices.filter((d) => d.what === what).length;
    const changes = count('added') + count('updated') + count('former');
    const kinds = { added: 'ok', updated: 'warn', unchanged: '', former: '' };
    return html`<section class="card stack import-outcome" aria-label=${t(applied ? 'add.done' : 'add.would')}>
      <h2>${t(applied ? 'add.done' : 'add.would')}</h2>
      <p>${t('add.counts', { added: count('added'), updated: count('updated'), unchanged: count('unchanged') })}</p>
      <div class="table-wrap" tabindex="0" role="region" aria-label=${t('add.would')}><table><thead><tr><th scope="col">${t('add.device')}</th><th scope="col">${t('add.what')}</th><th scope="col">${t('add.changes')}</th></tr></thead>
        <tbody>${devices.map((d) => html`<tr><td>${applied ? html`<a href=${deviceHash(d.id)}>${d.name}</a>` : html`<b>${d.name}</b>`}<br><span class="mono soft">${d.id}</span></td>
          <td>${chip(kinds[d.what] ?? '', t(`add.what.${d.what}`))}</td>
          <td>${d.changes.length ? html`<ul>${d.changes.map((c) => html`<li>${c}</li>`)}</ul>` : html`<span class="soft">–</span>`}</td></tr>`)}</tbody></table></div>
      ${applied ? html`<p class="row"><a class="button" href="#/">${t('add.home')}</a></p>`
        : html`<p class="row"><button type="button" class="button primary" ?disabled=${changes === 0 || this.working} @click=${() => void this.send(true)}>${t('add.apply')}</button>
          <button type="button" class="button" @click=${() => { this.preview = null; }}>${t('cancel')}</button>
          ${changes === 0 ? html`<span class="soft">${t('add.no_change')}</span>` : nothing}</p>`}
    </section>`;
  }

  byKey() {
    const f = this.form;
    const e = this.errors;
    const put = (/** @type {string} */ name) => (/** @type {any} */ event) => { this.form[name] = event.target.value; };
    const one = (/** @type {string} */ name, /** @type {any} */ more = {}) => field({ name, label: t(`add.field.${name}`), value: f[name] ?? '', error: e[name], onInput: put(name), ...more });
    return html`<p class="lead">${t('add.key.text')}</p>
      <form class="card stack by-key" novalidate @submit=${(/** @type {Event} */ event) => { event.preventDefault(); void this.add(); }}>
        ${one('id', { mono: true, required: true, hint: t('add.field.id.hint') })}
        ${one('key', { type: 'password', mono: true, maxlength: 64, autocomplete: 'off', hint: t('add.field.key.hint') })}
        ${one('name', { hint: t('add.field.name.hint') })}
        <div class="pair">${one('address', { mono: true, placeholder: '192.168.1.40', hint: t('add.field.address.hint') })}
          ${one('version', { options: ['', '3.1', '3.2', '3.3', '3.4', '3.5'].map((v) => ({ value: v, label: v || t('add.version.auto') })) })}</div>
        <details ?open=${Boolean(e.parent || e.cid || e.port)}><summary>${t('add.more')}</summary><div class="pair">
          ${one('parent', { options: [{ value: '', label: t('none') }, ...this.gateways().map((d) => ({ value: d.id, label: d.name }))], hint: t('add.field.parent.hint') })}
          ${one('cid', { mono: true })}
          ${one('port', { type: 'number', min: 1, max: 65535, placeholder: '6668' })}</div></details>
        ${this.problem ? problem(this.problem) : nothing}
        <p class="row"><button type="submit" class="button primary" aria-disabled=${this.working ? 'true' : 'false'}>${t('add.add')}</button></p>
      </form>`;
  }

  /** What may have sub-devices. */
  gateways() {
    return [...home.devices.values()].filter((d) => !d.cid).sort((a, b) => a.name.localeCompare(b.name));
  }

  /** What is plainly wrong is said without asking the hub. @param {Record<string, string>} f */
  check(f) {
    /** @type {Record<string, string>} */
    const errors = {};
    if (!f.id?.trim()) errors.id = t('add.wrong.id');
    const key = f.key ?? '';
    if (key && key.length !== 16) errors.key = t('add.wrong.key', { n: key.length });
    else if (key && !/^[ -~]*$/.test(key)) errors.key = t('add.wrong.key_characters');
    if (f.address?.trim() && !/^(\d{1,3}(\.\d{1,3}){3}|[0-9a-f:.]*:[0-9a-f:.]*)$/i.test(f.address.trim())) errors.address = t('add.wrong.address', { address: f.address.trim() });
    if (f.port && !(Number(f.port) >= 1 && Number(f.port) <= 65535)) errors.port = t('add.wrong.port');
    if (f.parent && !f.cid?.trim()) errors.cid = t('add.wrong.cid');
    if (!f.parent && f.cid?.trim()) errors.parent = t('add.wrong.parent');
    return errors;
  }

  async add() {
    if (this.working) return;
    const f = this.form;
    this.problem = null;
    this.errors = this.check(f);
    if (Object.keys(this.errors).length) return toWrong(this);
    this.working = true;
    const text = (/** @type {string} */ name) => f[name]?.trim() || undefined;
    const body = { id: text('id'), key: f.key || undefined, name: text('name'), address: text('address'), version: text('version'), parent: text('parent'), cid: text('cid'), port: f.port ? Number(f.port) : undefined };
    try {
      const device = await api.post('/devices', body);
      home.put(device);
      this.form = {};
      toast(t('add.added', { name: device.name }));
      location.hash = deviceHash(device.id);
    } catch (e) {
      const at = e instanceof ApiError ? (FIELDS[e.code] ?? (e.code === 'request.body' ? spoken(e.message) : '')) : '';
      if (at) {
        this.errors = { [at]: said(/** @type {ApiError} */ (e)) };
        toWrong(this);
      } else {
        this.problem = e;
      }
    } finally {
      this.working = false;
    }
  }
}

/** Which field a refused body speaks of. @param {string} message */
function spoken(message) {
  if (/key/.test(message)) return 'key';
  if (/IP address/.test(message)) return 'address';
  if (/port|u16/.test(message)) return 'port';
  return '';
}

/** A problem beside its field: what, the next step, and its code for those who look it up. @param {ApiError} e */
function said(e) {
  return `${sentence(e.message)}${e.hint ? ` ${sentence(e.hint)}` : ''} (${e.code})`;
}

define('lf-add', LfAdd);
