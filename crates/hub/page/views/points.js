// Data points: raw values, what they mean, and where the meaning came from. The owner may say it better.

import { html, nothing } from '../vendor/lit.js';
import { api, path, session } from '../app/api.js';
import { DeviceElement, define } from '../app/element.js';
import { ago, fullTime } from '../app/format.js';
import { home, now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { t } from '../app/text.js';
import { busy, chip, confirm, dialog, field, problem, toast, toWrong, values } from '../app/ui.js';
import { isName, rowOf } from './definition.js';

/** @typedef {import('./definition.js').Meaning} Meaning */
/** @typedef {{value: unknown, kind: string, at_ms: number, changed_ms: number, line: string, stale: boolean, name?: string | null}} Point */

/** Values are read anew at most so often, in ms: the stream tells attributes, this view shows points. */
const AT_MOST = 1000;
const KINDS = ['bool', 'value', 'enum', 'string', 'raw', 'bitmap'];

class Points extends DeviceElement {
  /** @type {Record<string, Point> | null} */
  #points = null;
  /** @type {{name: string, class: string, own: boolean, points: Record<string, Meaning>} | null} */
  #definition = null;
  /** @type {unknown} */
  #error = null;
  #reading = false;
  #again = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #soon;

  connectedCallback() {
    super.connectedCallback();
    void this.#read();
    this.until(home.tap((change) => (change.device === this.device || change.type === 'reload') && this.#later()));
    this.until(() => clearTimeout(this.#soon));
    this.every(10_000);
  }

  #later() {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      if (!document.hidden) void this.#read();
    }, AT_MOST);
  }

  async #read() {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    try {
      const [dps, definition] = await Promise.all([api.get(path`/devices/${this.device}/dps`), home.definition(this.device)]);
      this.#points = dps.dps;
      this.#definition = definition;
      this.#error = null;
    } catch (e) {
      this.#error = e;
    } finally {
      this.#reading = false;
    }
    if (this.#again) {
      this.#again = false;
      this.#later();
    }
    this.requestUpdate();
  }

  /** @param {any} changed the device, as the hub answered */
  async #saved(changed) {
    home.put(changed);
    home.forget(this.device);
    await this.#read();
    toast(t('points.saved'));
  }

  /** @param {number} id */
  async #edit(id) {
    const definition = this.#definition;
    if (!definition) return;
    const meaning = definition.points[id];
    const kind = meaning?.kind ?? this.#points?.[id]?.kind ?? 'string';
    const is = meaning ?? { name: `dp_${id}`, code: `dp_${id}`, kind, access: 'rw', action: false, event: false, source: '' };
    /** @type {Record<string, string>} */
    let wrong = {};
    /** @type {unknown} */
    let refused = null;
    let chosen = kind;
    const own = meaning?.source === 'owner';
    await dialog({
      title: t('points.edit', { id }),
      body: (close, redraw) => {
        const submit = async (/** @type {SubmitEvent} */ e) => {
          e.preventDefault();
          const form = /** @type {HTMLFormElement} */ (e.target);
          const said = values(form);
          wrong = check(said);
          refused = null;
          redraw();
          if (Object.keys(wrong).length) return toWrong(form);
          try {
            await this.#saved(await api.patch(path`/devices/${this.device}/definition/points/${id}`, rowOf(said)));
            close(true);
          } catch (error) {
            refused = error;
            redraw();
          }
        };
        const giveUp = async () => {
          try {
            await this.#saved(await api.del(path`/devices/${this.device}/definition/points/${id}`));
            close(true);
          } catch (error) {
            refused = error;
            redraw();
          }
        };
        const change = (/** @type {Event} */ e) => {
          chosen = /** @type {HTMLSelectElement} */ (e.target).value;
          redraw();
        };
        return html`<form novalidate @submit=${submit}>
          <p class="hint">${t('points.edit.text')}</p>
          <div class="two">${field({ name: 'name', label: t('points.name'), value: is.name, error: wrong.name, mono: true })}
          ${field({ name: 'code', label: t('points.code'), value: is.code, error: wrong.code, mono: true })}
          ${field({ name: 'kind', label: t('points.kind'), value: chosen, options: KINDS.map((k) => ({ value: k, label: t(`kind.${k}`) })), onInput: change })}
          ${field({ name: 'access', label: t('points.access'), value: is.access, options: ['rw', 'ro', 'wr'].map((a) => ({ value: a, label: t(`access.${a}`) })) })}</div>
          ${chosen === 'value'
            ? html`<div class="two">${field({ name: 'unit', label: t('points.unit'), value: is.unit, error: wrong.unit })}
                ${field({ name: 'scale', label: t('points.scale'), value: is.scale ?? 0, error: wrong.scale, hint: t('points.scale.hint') })}
                ${field({ name: 'min', label: t('points.min'), value: is.min, error: wrong.min })}${field({ name: 'max', label: t('points.max'), value: is.max, error: wrong.max })}
                ${field({ name: 'step', label: t('points.step'), value: is.step ?? 1, error: wrong.step })}</div>`
            : nothing}
          ${chosen === 'enum' || chosen === 'bitmap' ? field({ name: 'words', label: t('points.words'), value: (is.words ?? []).join(', '), error: wrong.words, hint: t('points.words.hint'), mono: true }) : nothing}
          ${problem(refused)}
          <footer>${own ? html`<button type="button" class="button" @click=${giveUp}>${t('points.drop')}</button>` : nothing}
            <button type="button" class="button" @click=${() => close()}>${t('cancel')}</button><button type="submit" class="button primary">${t('save')}</button></footer></form>`;
      },
    });
  }

  async #clear() {
    if (!(await confirm({ title: t('points.clear'), text: t('points.clear.text'), yes: t('points.clear.do'), danger: true }))) return;
    try {
      await this.#saved(await api.patch(path`/devices/${this.device}`, { definition: '' }));
    } catch (e) {
      this.#error = e;
      this.requestUpdate();
    }
  }

  render() {
    if (!this.#points || !this.#definition) return this.#error ? problem(this.#error) : busy();
    const points = this.#points;
    const meanings = this.#definition.points;
    const ids = [...new Set([...Object.keys(points), ...Object.keys(meanings)])].map(Number).sort((a, b) => a - b);
    const may = session.allows('admin');
    return html`${problem(this.#error)}<section class="card">
      <div class="row spread"><p class="hint">${t('points.text', { product: this.#definition.name })}</p>${may && this.#definition.own ? html`<button type="button" class="button small" @click=${() => void this.#clear()}>${t('points.clear')}</button>` : nothing}</div>
      <div class="table-wrap" tabindex="0" role="region" aria-label=${t('tab.points')}><table class="points">
        <thead><tr><th class="num">${t('points.id')}</th><th>${t('points.meaning')}</th><th>${t('points.raw')}</th><th>${t('points.type')}</th><th>${t('points.source')}</th><th>${t('points.reported')}</th>${may ? html`<th><span class="sr">${t('points.change')}</span></th>` : nothing}</tr></thead>
        <tbody>${ids.map((id) => this.#row(id, points[id], meanings[id], may))}</tbody></table></div></section>`;
  }

  /** @param {number} id @param {Point | undefined} point @param {Meaning | undefined} meaning @param {boolean} may */
  #row(id, point, meaning, may) {
    const shown = this.view?.state[meaning?.name ?? ''];
    const limits = meaning?.min != null && meaning.max != null && meaning.min > -1e15 ? `${meaning.min}…${meaning.max}` : (meaning?.words ?? []).join(', ');
    const kind = meaning?.kind ?? point?.kind ?? '';
    return html`<tr>
      <td class="num"><strong>${id}</strong></td>
      <td>${meaning ? html`<span>${meaning.name}</span>${shown !== undefined && typeof shown !== 'object' ? html` <span class="soft">= ${String(shown)}</span>` : nothing}<div class="hint mono">${meaning.code}</div>` : html`<span class="soft">${t('points.unknown')}</span>`}
        ${meaning?.action ? chip('warn', t('points.action')) : nothing}</td>
      <td class="mono raw">${point ? JSON.stringify(point.value) : html`<span class="soft">–</span>`}${point?.stale ? html` ${chip('warn', t('presence.stale'))}` : nothing}</td>
      <td>${kind ? t(`kind.${kind}`) : nothing}${meaning ? html`<div class="hint">${t(`access.${meaning.access}`)}${meaning.unit ? `, ${meaning.unit}` : ''}${meaning.scale ? `, ÷ ${10 ** meaning.scale}` : ''}</div>` : nothing}${limits ? html`<div class="hint limits">${limits}</div>` : nothing}</td>
      <td>${meaning ? html`${chip(meaning.source === 'owner' ? 'accent' : meaning.source === 'guess' ? 'warn' : '', t(`source.${meaning.source}`))}<div class="hint">${meaning.source_detail ?? ''}</div>` : nothing}</td>
      <td>${point ? html`<span title=${fullTime(point.at_ms)}>${ago(point.at_ms, now())}</span><div class="hint">${t(`lines.${point.line}`)}</div>` : nothing}</td>
      ${may ? html`<td><button type="button" class="icon-button" aria-label=${t('points.edit', { id })} @click=${() => void this.#edit(id)}>${icon('edit')}</button></td>` : nothing}
    </tr>`;
  }
}

/** What is wrong with a form, by field. @param {Record<string, string>} said */
function check(said) {
  /** @type {Record<string, string>} */
  const wrong = {};
  if (!isName(said.name)) wrong.name = t('points.name.wrong', { value: said.name });
  if (!/^\S+$/.test(said.code.trim())) wrong.code = t('points.code.wrong');
  const whole = (/** @type {string} */ name, /** @type {boolean} */ needed) => {
    const text = (said[name] ?? '').trim();
    if ((text === '' && needed) || (text !== '' && !/^-?\d{1,15}$/.test(text))) wrong[name] = t('points.whole.wrong', { value: text });
  };
  if (said.kind === 'value') {
    whole('min', said.max.trim() !== '');
    whole('max', said.min.trim() !== '');
    whole('step', false);
    whole('scale', false);
    if (!wrong.scale && Number(said.scale) > 9) wrong.scale = t('points.scale.wrong', { value: said.scale });
    if (!wrong.min && !wrong.max && said.min !== '' && Number(said.min) >= Number(said.max)) wrong.max = t('points.max.wrong', { min: said.min, max: said.max });
  }
  return wrong;
}

define('lf-points', Points);
