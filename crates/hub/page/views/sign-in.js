// Sign-in by token: the whole page at first, a dialog over the page when a token has expired.

import { html, nothing } from '../vendor/lit.js';
import { ApiError, session } from '../app/api.js';
import { Element, define } from '../app/element.js';
import { t } from '../app/text.js';
import { field, problem, toWrong } from '../app/ui.js';

class SignIn extends Element {
  static properties = { again: { type: Boolean }, trouble: { attribute: false } };

  constructor() {
    super();
    /** Somebody was signed in until a moment ago. */
    this.again = false;
    /** @type {unknown} */
    this.trouble = null;
    this.busy = false;
    this.error = '';
  }

  firstUpdated() {
    const dialog = this.querySelector('dialog');
    if (dialog) {
      dialog.showModal();
      // Escape would leave a page that can do nothing.
      dialog.addEventListener('cancel', (e) => e.preventDefault());
    }
    this.querySelector('input')?.focus();
  }

  /** @param {SubmitEvent} e */
  async #submit(e) {
    e.preventDefault();
    if (this.busy) return;
    const input = /** @type {HTMLInputElement} */ (this.querySelector('input[name=token]'));
    const token = input.value.trim();
    this.trouble = null;
    this.error = token ? '' : t('signin.missing');
    if (!token) {
      this.requestUpdate();
      return toWrong(this);
    }
    this.busy = true;
    this.requestUpdate();
    try {
      await session.signIn(token);
      input.value = '';
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        this.error = error.hint ? `${error.message}. ${error.hint}` : error.message;
        toWrong(this);
      } else {
        this.trouble = error;
      }
    } finally {
      this.busy = false;
      this.requestUpdate();
    }
  }

  render() {
    const form = html`<form class="sign-in" novalidate @submit=${this.#submit}>
      <p>${t(this.again ? 'signin.again' : 'signin.text')}</p>
      ${field({ name: 'token', label: t('signin.token'), type: 'password', autocomplete: 'current-password', mono: true, error: this.error, hint: t('signin.hint') })}
      ${problem(this.trouble)}
      <button class="button primary wide" type="submit" aria-disabled=${this.busy ? 'true' : nothing}>${t('signin.go')}</button>
    </form>`;
    if (this.again) return html`<dialog class="dialog" aria-labelledby="sign-in-title"><header><h2 id="sign-in-title">${t('signin.title')}</h2></header><div class="dialog-body">${form}</div></dialog>`;
    return html`<section class="card narrow"><img src="icon.svg" alt="" width="56" height="56"><h1>${t('app')}</h1>${form}</section>`;
  }
}

define('lf-sign-in', SignIn);
