// What the owner may say of a device: name, room, address, key. And taking it out of the home.

import { html, nothing } from '../vendor/lit.js';
import { ApiError, api, path, words } from '../app/api.js';
import { DeviceElement, define } from '../app/element.js';
import { home } from '../app/home.js';
import { t } from '../app/text.js';
import { dialog, field, problem, toast, toWrong, values } from '../app/ui.js';

/** Which field a refusal of the hub belongs to. @type {[RegExp, string][]} */
const FIELDS = [
  [/name/, 'name'],
  [/room/, 'room'],
  [/address/, 'address'],
  [/version/, 'version'],
  [/key/, 'key'],
];

class DeviceSettings extends DeviceElement {
  /** @type {Record<string, string>} */
  #wrong = {};
  /** @type {unknown} */
  #error = null;
  #busy = false;
  /** What is typed and not saved: values that come meanwhile do not overwrite it. @type {Record<string, string>} */
  #typed = {};
  #sleeper = false;
  #etag = '';

  connectedCallback() {
    super.connectedCallback();
    this.#sleeper = this.view?.sleeper ?? false;
    void this.#mark();
  }

  /** Remembers which state of the device is edited here: who changed it meanwhile is not overwritten unseen. */
  async #mark() {
    try {
      const answer = await api.response(path`/devices/${this.device}`);
      this.#etag = answer.headers.get('etag') ?? '';
    } catch {
      // Without it the last one to save wins, as everywhere else.
      this.#etag = '';
    }
  }

  /** @param {SubmitEvent} e */
  async #save(e) {
    e.preventDefault();
    const device = this.view;
    if (!device || this.#busy) return;
    const form = /** @type {HTMLFormElement} */ (e.target);
    const said = values(form);
    this.#wrong = {};
    if (!said.name.trim()) this.#wrong.name = t('edit.name.missing');
    if (said.key && !/^[ -~]{16}$/.test(said.key)) this.#wrong.key = t('edit.key.wrong', { n: said.key.length });
    this.#error = null;
    this.requestUpdate();
    if (Object.keys(this.#wrong).length) return toWrong(this);
    /** @type {Record<string, unknown>} */
    const change = {};
    if (said.name.trim() !== device.name) change.name = said.name.trim();
    if (said.room.trim() !== (device.room ?? '')) change.room = said.room.trim();
    if (said.address?.trim()) change.address = said.address.trim();
    if (said.version && said.version !== (device.version ?? '')) change.version = said.version;
    if (said.key) change.key = said.key;
    if (this.#sleeper !== device.sleeper) change.sleeper = this.#sleeper;
    if (!Object.keys(change).length) return toast(t('edit.nothing'));
    this.#busy = true;
    try {
      home.put(await api.patch(path`/devices/${device.id}`, change, { headers: this.#etag ? { 'If-Match': this.#etag } : {} }));
      this.#typed = {};
      const key = /** @type {HTMLInputElement | null} */ (this.querySelector('[name=key]'));
      if (key) key.value = '';
      toast(t('edit.saved'));
      await this.#mark();
    } catch (error) {
      this.#refused(error);
    } finally {
      this.#busy = false;
      this.requestUpdate();
    }
  }

  /** @param {unknown} error */
  #refused(error) {
    const place = error instanceof ApiError && error.status !== 412 && error.status < 500 ? FIELDS.find(([code]) => code.test(/** @type {ApiError} */ (error).code)) : undefined;
    if (place) this.#wrong = { [place[1]]: words(error) };
    else this.#error = error;
    if (error instanceof ApiError && error.status === 412) {
      home.reread(this.device);
      void this.#mark();
    }
    toWrong(this);
  }

  async #remove() {
    const device = this.view;
    if (!device) return;
    const children = [...home.devices.values()].filter((d) => d.parent === device.id).length;
    const how = await dialog({
      title: t('remove.title', { name: device.name }),
      body: (close) => html`<div class="stack text"><p>${t('remove.text')}</p>${children ? html`<p>${t('remove.children', { n: children })}</p>` : nothing}
        <label class="check"><input type="checkbox" name="forget"> ${t('remove.forget')}</label></div>
        <footer><button type="button" class="button" autofocus @click=${() => close(undefined)}>${t('cancel')}</button>
        <button type="button" class="button danger" @click=${(/** @type {Event} */ e) => {
          const box = /** @type {HTMLElement} */ (e.target).closest('dialog')?.querySelector('input');
          close(box?.checked ? 'forget' : 'keep');
        }}>${t('remove.do')}</button></footer>`,
    });
    if (!how) return;
    try {
      await api.del(path`/devices/${device.id}`, { query: { forget: how === 'forget' } });
      toast(t('remove.done', { name: device.name }));
      location.hash = '#/';
    } catch (e) {
      this.#error = e;
      this.requestUpdate();
    }
  }

  render() {
    const device = this.view;
    if (!device) return nothing;
    const rooms = [...new Set([...home.devices.values()].map((d) => d.room).filter(Boolean))];
    const typed = (/** @type {string} */ name) => (/** @type {Event} */ e) => (this.#typed[name] = /** @type {HTMLInputElement} */ (e.target).value);
    const told = (/** @type {string} */ name, /** @type {string | null | undefined} */ is) => this.#typed[name] ?? is ?? '';
    const child = Boolean(device.parent);
    return html`<form class="card narrow-form" novalidate @submit=${this.#save}>
        <h2>${t('tab.settings')}</h2>
        ${field({ name: 'name', label: t('edit.name'), value: told('name', device.name), error: this.#wrong.name, hint: t('edit.name.hint'), onInput: typed('name') })}
        ${field({ name: 'room', label: t('edit.room'), value: told('room', device.room), error: this.#wrong.room, list: 'rooms', onInput: typed('room') })}
        <datalist id="rooms">${rooms.map((r) => html`<option value=${r ?? ''}></option>`)}</datalist>
        ${child
          ? nothing
          : html`${field({ name: 'address', label: t('edit.address'), value: told('address', ''), error: this.#wrong.address, placeholder: device.lan.address?.replace(/:\d+$/, '') ?? '', hint: t('edit.address.hint'), mono: true, onInput: typed('address') })}
            ${field({ name: 'version', label: t('edit.version'), value: told('version', device.version), error: this.#wrong.version, options: ['', '3.1', '3.2', '3.3', '3.4', '3.5'].map((v) => ({ value: v, label: v || t('edit.version.auto') })), onInput: typed('version') })}
            ${field({ name: 'key', label: t('edit.key'), type: 'password', autocomplete: 'new-password', error: this.#wrong.key, hint: device.has_key ? t('edit.key.hint') : t('edit.key.missing'), mono: true, maxlength: 64 })}`}
        <label class="check"><input type="checkbox" .checked=${this.#sleeper} @change=${(/** @type {Event} */ e) => (this.#sleeper = /** @type {HTMLInputElement} */ (e.target).checked)}> ${t('edit.sleeper')}</label>
        ${problem(this.#error)}
        <button type="submit" class="button primary" aria-disabled=${this.#busy ? 'true' : nothing}>${t('save')}</button>
      </form>
      <section class="card narrow-form"><h2>${t('remove.head')}</h2><p class="hint">${t('remove.text')}</p>
        <button type="button" class="button" @click=${() => void this.#remove()}>${t('remove.open')}</button></section>`;
  }
}

define('lf-device-settings', DeviceSettings);
