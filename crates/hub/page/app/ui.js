// Small parts that every view needs: fields with their error beside them, dialogs, short notices, problems in words.

import { html, ifDefined, nothing, render } from '../vendor/lit.js';
import { ApiError, sentence } from './api.js';
import { icon } from './icons.js';
import { t } from './text.js';

/** @typedef {import('../vendor/lit.js').TemplateResult | typeof nothing | string} Part */

let ids = 0;

/** An id that the page has not yet. @param {string} [what] */
export const newId = (what = 'f') => `${what}-${++ids}`;

/**
 * A field with its label, its hint, and its error beside it. The form's error object says what is wrong by field name.
 * @param {{name: string, label: string, value?: string | number | null, type?: string, error?: string, hint?: Part, placeholder?: string,
 *   required?: boolean, min?: number, max?: number, step?: number | 'any', maxlength?: number, autocomplete?: string, list?: string, rows?: number,
 *   options?: {value: string, label: string}[], disabled?: boolean, mono?: boolean, onInput?: (e: Event) => void}} f
 */
export function field(f) {
  const id = `field-${f.name}`;
  const told = [f.hint ? `${id}-hint` : '', f.error ? `${id}-error` : ''].filter(Boolean).join(' ') || undefined;
  const invalid = f.error ? 'true' : undefined;
  const css = f.mono ? 'mono' : '';
  /** @type {Part} */
  let control;
  if (f.options) {
    control = html`<select id=${id} name=${f.name} class=${css} aria-describedby=${ifDefined(told)} aria-invalid=${ifDefined(invalid)}
      ?disabled=${f.disabled} @change=${f.onInput}>${f.options.map((o) => html`<option value=${o.value} ?selected=${o.value === String(f.value ?? '')}>${o.label}</option>`)}</select>`;
  } else if (f.rows) {
    control = html`<textarea id=${id} name=${f.name} class=${css} rows=${f.rows} aria-describedby=${ifDefined(told)} aria-invalid=${ifDefined(invalid)}
      placeholder=${ifDefined(f.placeholder)} ?required=${f.required} ?disabled=${f.disabled} .value=${String(f.value ?? '')} spellcheck="false" @input=${f.onInput}></textarea>`;
  } else {
    control = html`<input id=${id} name=${f.name} class=${css} type=${f.type ?? 'text'} .value=${String(f.value ?? '')} aria-describedby=${ifDefined(told)}
      aria-invalid=${ifDefined(invalid)} placeholder=${ifDefined(f.placeholder)} ?required=${f.required} ?disabled=${f.disabled} min=${ifDefined(f.min)}
      max=${ifDefined(f.max)} step=${ifDefined(f.step)} maxlength=${ifDefined(f.maxlength)} autocomplete=${f.autocomplete ?? 'off'}
      list=${ifDefined(f.list)} autocapitalize="none" spellcheck="false" @input=${f.onInput}>`;
  }
  return html`<div class="field ${f.error ? 'wrong' : ''}">
    <label for=${id}>${f.label}</label>${control}
    ${f.hint ? html`<p class="hint" id="${id}-hint">${f.hint}</p>` : nothing}
    ${f.error ? html`<p class="error" id="${id}-error" role="alert">${icon('warn')}${f.error}</p>` : nothing}
  </div>`;
}

/** What stands in the fields of a form, by name. @param {HTMLFormElement} form @returns {Record<string, string>} */
export function values(form) {
  return Object.fromEntries([...new FormData(form)].map(([k, v]) => [k, String(v)]));
}

/** Moves to the first field that is wrong. @param {ParentNode} root */
export function toWrong(root) {
  requestAnimationFrame(() => /** @type {HTMLElement | null} */ (root.querySelector('[aria-invalid="true"]'))?.focus());
}

/** A problem where it happened: what, and the next step. @param {unknown} error */
export function problem(error) {
  if (!error) return nothing;
  const message = sentence(error instanceof Error ? error.message : String(error));
  const hint = error instanceof ApiError ? error.hint : '';
  return html`<div class="problem" role="alert">${icon('warn')}<div><p>${message}</p>${hint ? html`<p class="hint">${sentence(hint)}</p>` : nothing}</div></div>`;
}

/** Something is on its way. @param {string} [text] */
export function busy(text = t('loading')) {
  return html`<p class="busy" role="status">${text}</p>`;
}

/** A word with a colour: `ok`, `warn`, `bad`, `quiet`. @param {string} kind @param {Part} text */
export function chip(kind, text) {
  return html`<span class="chip ${kind}">${text}</span>`;
}

/**
 * Opens a dialog and resolves with what `close` is given; with `undefined` where it is dismissed.
 * @template T
 * @param {{title: string, wide?: boolean, body: (close: (value?: T) => void, redraw: () => void) => Part}} options
 * @returns {Promise<T | undefined>}
 */
export function dialog({ title, wide = false, body }) {
  const before = document.activeElement;
  const host = document.createElement('dialog');
  const id = newId('dialog');
  host.className = wide ? 'dialog wide' : 'dialog';
  host.setAttribute('aria-labelledby', id);
  document.body.append(host);
  return new Promise((done) => {
    /** @type {T | undefined} */
    let told;
    const close = (/** @type {T | undefined} */ value) => {
      told = value;
      host.close();
    };
    const draw = () =>
      render(
        html`<header><h2 id=${id}>${title}</h2>
          <button type="button" class="icon-button" aria-label=${t('close')} @click=${() => close(undefined)}>${icon('close')}</button></header>
          <div class="dialog-body">${body(close, draw)}</div>`,
        host,
      );
    host.addEventListener('close', () => {
      host.remove();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
      done(told);
    });
    draw();
    host.showModal();
  });
}

/**
 * Asks before something is done that is hard to take back.
 * @param {{title: string, text: Part, yes: string, danger?: boolean}} options
 * @returns {Promise<boolean>}
 */
export async function confirm({ title, text, yes, danger = false }) {
  const answer = await dialog({
    title,
    body: (close) => html`<div class="text">${text}</div>
      <footer><button type="button" class="button" autofocus @click=${() => close(false)}>${t('cancel')}</button>
      <button type="button" class="button ${danger ? 'danger' : 'primary'}" @click=${() => close(true)}>${yes}</button></footer>`,
  });
  return answer === true;
}

/** Says something for a moment, at the edge of the page. @param {string} text @param {'ok' | 'bad'} [kind] */
export function toast(text, kind = 'ok') {
  dispatchEvent(new CustomEvent('lf-toast', { detail: { text, kind } }));
}

/** Puts text on the clipboard. @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(t('copied'));
  } catch {
    // Without TLS a browser gives no clipboard but on this machine.
    toast(t('copy.failed'), 'bad');
  }
}
