// Tokens: who may do what. A new one is shown once.

import { html, nothing, repeat } from '../vendor/lit.js';
import { ApiError, api, path, sentence, session } from '../app/api.js';
import { Element, define, sheet } from '../app/element.js';
import { ago, fullTime } from '../app/format.js';
import { now } from '../app/home.js';
import { icon } from '../app/icons.js';
import { t } from '../app/text.js';
import { busy, chip, confirm, copy, dialog, field, problem, toWrong, toast, values } from '../app/ui.js';

/** @typedef {{id: string, name: string, scope: 'read' | 'control' | 'admin', created_ms: number, used_ms?: number | null, expires_ms?: number | null}} Token */

const SCOPES = /** @type {const} */ (['read', 'control', 'admin']);
const DAY = 86_400_000;
/** Days until a token ends; 0 is never. */
const LIVES = [0, 1, 7, 30, 365];

class LfTokens extends Element {
  static properties = { tokens: { state: true }, problem: { state: true }, errors: { state: true }, working: { state: true } };

  constructor() {
    super();
    /** @type {Token[] | null} */
    this.tokens = null;
    /** @type {unknown} */
    this.problem = null;
    /** @type {Record<string, string>} */
    this.errors = {};
    this.working = false;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/views.css');
    void this.read();
  }

  async read() {
    try {
      this.tokens = (await api.get('/tokens')).tokens;
      this.problem = null;
    } catch (e) {
      this.problem = e;
    }
  }

  /** @param {SubmitEvent} e */
  async make(e) {
    e.preventDefault();
    if (this.working) return;
    const form = /** @type {HTMLFormElement} */ (e.target);
    const f = values(form);
    this.errors = f.name.trim() ? {} : { name: t('tokens.wrong.name') };
    this.problem = null;
    if (this.errors.name) return toWrong(this);
    this.working = true;
    try {
      const days = Number(f.life);
      const made = await api.post('/tokens', { name: f.name.trim(), scope: f.scope, expires_ms: days ? Math.round(now() + days * DAY) : undefined });
      form.reset();
      await this.read();
      await this.show(made);
    } catch (error) {
      if (error instanceof ApiError && (error.code === 'token.bad_name' || error.code === 'request.body')) {
        this.errors = { name: `${sentence(error.message)} (${error.code})` };
        toWrong(this);
      } else {
        this.problem = error;
      }
    } finally {
      this.working = false;
    }
  }

  /** Shows what is never shown again. @param {Token & {token: string}} made */
  async show(made) {
    await dialog({
      title: t('tokens.made', { name: made.name }),
      body: (close) => html`<p>${t('tokens.once')}</p>
        <p class="secret"><code id="fresh-token" tabindex="0">${made.token}</code></p>
        <footer><button type="button" class="button" @click=${() => void copy(made.token)}>${t('tokens.copy')}</button>
          <button type="button" class="button primary" @click=${() => close()}>${t('tokens.kept')}</button></footer>`,
    });
  }

  /** @param {Token} token */
  async revoke(token) {
    const own = token.id === session.now?.token;
    const sure = await confirm({ title: t('tokens.revoke.title', { name: token.name }), text: t(own ? 'tokens.revoke.own' : 'tokens.revoke.text'), yes: t('tokens.revoke'), danger: true });
    if (!sure) return;
    this.problem = null;
    try {
      await api.del(path`/tokens/${token.id}`);
      toast(t('tokens.revoked', { name: token.name }));
      await this.read();
    } catch (e) {
      this.problem = e;
    }
  }

  render() {
    return html`<div class="head"><h1>${t('tokens.title')}</h1></div>
      <p class="lead">${t('tokens.text')}</p>
      <form class="card stack" novalidate @submit=${this.make}>
        <h2>${t('tokens.new')}</h2>
        <div class="pair">
          ${field({ name: 'name', label: t('tokens.name'), required: true, maxlength: 64, error: this.errors.name, hint: t('tokens.name.hint') })}
          ${field({ name: 'scope', label: t('tokens.scope'), value: 'read', options: SCOPES.map((s) => ({ value: s, label: t(`tokens.scope.${s}`) })) })}
          ${field({ name: 'life', label: t('tokens.life'), value: '0', options: LIVES.map((d) => ({ value: String(d), label: d ? t('time.d', { n: d }) : t('tokens.forever') })) })}
        </div>
        <p class="row"><button type="submit" class="button primary" aria-disabled=${this.working ? 'true' : 'false'}>${icon('add')}${t('tokens.make')}</button></p>
      </form>
      ${this.problem ? problem(this.problem) : nothing}
      ${this.tokens === null ? (this.problem ? nothing : busy()) : html`<ul class="tokens">${repeat(this.tokens, (x) => x.id, (x) => this.one(x))}</ul>`}`;
  }

  /** @param {Token} token */
  one(token) {
    const over = token.expires_ms !== null && token.expires_ms !== undefined && token.expires_ms <= now();
    return html`<li class="card row spread token">
      <div><h2>${token.name}</h2>
        <p class="row">${chip(token.scope === 'admin' ? 'warn' : token.scope === 'control' ? 'accent' : '', t(`tokens.is.${token.scope}`))}
          ${token.expires_ms ? chip(over ? 'bad' : '', t(over ? 'tokens.over' : 'tokens.until', { when: fullTime(token.expires_ms) })) : nothing}
          <span class="soft">${token.used_ms ? t('tokens.used', { when: ago(token.used_ms, now()) }) : t('tokens.unused')} · ${t('tokens.since', { when: fullTime(token.created_ms) })}</span></p></div>
      <button type="button" class="button" aria-label=${t('tokens.revoke.title', { name: token.name })} @click=${() => void this.revoke(token)}>${icon('trash')}${t('tokens.revoke')}</button>
    </li>`;
  }
}

define('lf-tokens', LfTokens);
