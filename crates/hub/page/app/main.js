// The frame around all views: menu, route in the hash, sign-in, connection banner, short notices.

import { html, nothing } from '../vendor/lit.js';
import { ApiError, session } from './api.js';
import { Element, define } from './element.js';
import { home } from './home.js';
import { icon } from './icons.js';
import { loadTexts, t } from './text.js';
import { routeOf, routes } from './routes.js';
import { toast } from './ui.js';

/** How long a broken line may heal by itself before it is told, in ms. */
const GRACE = 600;
/** How long a notice stays. */
const NOTICE = 5000;
/** Entries of the menu that a phone shows at once; the others are under "More". */
const FIRST = 4;

/** The appearance that the owner chose, if any. */
function theme() {
  const chosen = localStorage.getItem('landfall.theme');
  return chosen === 'dark' || chosen === 'light' ? chosen : undefined;
}

/** Puts it on. */
function wear() {
  const chosen = theme();
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
}

class App extends Element {
  /** @type {'starting' | 'out' | 'in'} */
  #who = 'starting';
  /** @type {unknown} */
  #trouble = null;
  #lost = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #grace;
  /** @type {{id: number, text: string, kind: string}[]} */
  #notices = [];
  #notice = 0;
  /** @type {HTMLElement | null} */
  #view = null;
  #viewKey = '';
  #more = false;
  #again = false;
  /** A view was shown before this one. */
  #visited = false;

  connectedCallback() {
    super.connectedCallback();
    const on = (/** @type {EventTarget} */ who, /** @type {string} */ what, /** @type {(e: any) => void} */ then) => {
      who.addEventListener(what, then);
      this.until(() => who.removeEventListener(what, then));
    };
    on(window, 'hashchange', () => this.#route());
    on(window, 'lf-toast', (e) => this.#tell(e.detail));
    on(session, 'expired', () => this.#expired());
    on(session, 'change', () => this.#signed());
    this.until(home.subscribe('connection', () => this.#connection()));
    this.until(home.subscribe('shape', () => this.#shape()));
    void this.#resume();
  }

  async #resume() {
    try {
      await session.resume();
    } catch (e) {
      this.#trouble = e instanceof ApiError && e.status !== 401 ? e : null;
      this.#out();
    }
  }

  #out() {
    this.#who = 'out';
    void import('../views/sign-in.js');
    this.requestUpdate();
  }

  #signed() {
    this.#again = false;
    if (session.now) {
      this.#trouble = null;
      this.#who = 'in';
      this.#route();
    } else {
      this.#view = null;
      this.#viewKey = '';
      this.#out();
    }
    this.requestUpdate();
  }

  /** The token is worth nothing any more: a dialog over the page, so that what was typed stays. */
  async #expired() {
    if (this.#who !== 'in') return session.giveUp(new ApiError(401, 'token.missing', t('signin.text')));
    if (this.#again) return;
    this.#again = true;
    await import('../views/sign-in.js');
    this.requestUpdate();
  }

  #connection() {
    const lost = home.connection === 'lost';
    clearTimeout(this.#grace);
    if (lost && !this.#lost) {
      this.#grace = setTimeout(() => {
        this.#lost = true;
        this.requestUpdate();
      }, GRACE);
    } else if (home.connection === 'live' && this.#lost) {
      this.#lost = false;
      toast(t('connection.back'));
    } else if (home.connection === 'off') {
      this.#lost = false;
    }
    this.requestUpdate();
  }

  /** A home without devices opens at the three doors. */
  #shape() {
    if (home.connection === 'starting' && home.devices.size === 0 && /^#?\/?$/.test(location.hash)) location.hash = '#/welcome';
  }

  /** @param {{text: string, kind: string}} notice */
  #tell(notice) {
    const id = ++this.#notice;
    this.#notices = [...this.#notices.slice(-2), { id, ...notice }];
    setTimeout(() => {
      this.#notices = this.#notices.filter((n) => n.id !== id);
      this.requestUpdate();
    }, NOTICE);
    this.requestUpdate();
  }

  /** Makes the view that the hash names. A view stays as long as only its parameters change. */
  async #route() {
    if (this.#who !== 'in') return;
    this.#more = false;
    const { route, params } = routeOf(location.hash);
    const key = route ? `${route.tag}/${params.id ?? ''}` : 'unknown';
    if (key === this.#viewKey && this.#view) {
      if ('tab' in this.#view) this.#view.tab = params.tab ?? 'controls';
      this.requestUpdate();
      return;
    }
    this.#viewKey = key;
    this.requestUpdate();
    if (!route) {
      this.#view = null;
      return;
    }
    try {
      await route.load();
    } catch {
      if (this.#viewKey === key) {
        this.#view = null;
        this.#viewKey = 'broken';
        this.requestUpdate();
      }
      return;
    }
    if (this.#viewKey !== key) return;
    const view = document.createElement(route.tag);
    if (params.id !== undefined) Object.assign(view, { device: params.id });
    if ('tab' in view) view.tab = params.tab ?? 'controls';
    this.#view = view;
    this.requestUpdate();
    await this.updateComplete;
    const main = this.querySelector('main');
    window.scrollTo(0, 0);
    // Who came by the menu or a link goes on reading in the new view.
    if (this.#visited) main?.focus({ preventScroll: true });
    this.#visited = true;
  }

  #menu() {
    const here = routeOf(location.hash).route;
    const all = routes.filter((r) => r.menu && session.allows(r.scope ?? 'read'));
    const entry = (/** @type {import('./routes.js').Route} */ r) => html`<a href=${r.path} aria-current=${here === r || here?.under === r.tag ? 'page' : nothing}
      @click=${() => this.#fold()}>${icon(r.icon ?? 'other')}<span>${t(r.menu ?? '')}</span></a>`;
    return html`<nav class="menu ${this.#more ? 'open' : ''}" aria-label=${t('nav')}>
      <a class="brand" href="#/" @click=${() => this.#fold()}><img src="icon.svg" alt="" width="28" height="28"><span>${t('app')}</span></a>
      <div class="first">${all.slice(0, FIRST).map(entry)}
        <button type="button" class="more" aria-expanded=${this.#more} aria-controls="menu-rest" @click=${() => this.#unfold()}>${icon('more')}<span>${t('nav.more')}</span></button>
      </div>
      <div class="rest" id="menu-rest">${all.slice(FIRST).map(entry)}
        <label class="theme">${icon('sun')}<span>${t('nav.theme')}</span><select @change=${this.#theme}>
          ${['auto', 'light', 'dark'].map((name) => html`<option value=${name} ?selected=${name === (theme() ?? 'auto')}>${t(`theme.${name}`)}</option>`)}</select></label>
        <button type="button" @click=${() => void this.#leave()}>${icon('exit')}<span>${t('nav.signout')}</span></button></div>
    </nav>`;
  }

  #theme = (/** @type {Event} */ e) => {
    const chosen = /** @type {HTMLSelectElement} */ (e.target).value;
    if (chosen === 'auto') localStorage.removeItem('landfall.theme');
    else localStorage.setItem('landfall.theme', chosen);
    wear();
  };

  #unfold() {
    this.#more = !this.#more;
    this.requestUpdate();
  }

  #fold() {
    if (this.#more) this.#unfold();
  }

  async #leave() {
    try {
      await session.signOut();
    } catch (e) {
      toast(e instanceof Error ? e.message : String(e), 'bad');
    }
  }

  render() {
    if (this.#who === 'starting') return html`<p class="boot" role="status">${t('app')}</p>`;
    if (this.#who === 'out') return html`<main class="door" id="content"><lf-sign-in .trouble=${this.#trouble}></lf-sign-in></main>${this.#notes()}`;
    return html`<a class="skip" href="#content" @click=${this.#skip}>${t('nav.skip')}</a>
      ${this.#menu()}
      <div class="page">
        <div role="status" aria-live="assertive">${this.#lost && !this.#again ? html`<p class="banner">${icon('offline')}${t('connection.lost')}</p>` : nothing}</div>
        <main id="content" tabindex="-1">${this.#content()}</main>
      </div>
      ${this.#notes()}
      ${this.#again ? html`<lf-sign-in again></lf-sign-in>` : nothing}`;
  }

  #content() {
    if (this.#viewKey === 'unknown') return html`<p class="empty">${t('route.unknown')} <a href="#/">${t('nav.home')}</a></p>`;
    if (this.#viewKey === 'broken') {
      const again = () => ((this.#viewKey = ''), void this.#route());
      return html`<div class="empty"><p role="alert">${t('error.view')}</p><button class="button" type="button" @click=${again}>${t('error.retry')}</button></div>`;
    }
    return this.#view ?? nothing;
  }

  #notes() {
    return html`<div class="notices" role="status" aria-live="polite">${this.#notices.map(
      (n) => html`<p class="notice ${n.kind}">${icon(n.kind === 'bad' ? 'warn' : 'check')}${n.text}</p>`,
    )}</div>`;
  }

  #skip = (/** @type {Event} */ e) => {
    e.preventDefault();
    this.querySelector('main')?.focus();
  };
}

wear();
await loadTexts();
document.querySelector('lf-app')?.replaceChildren();
define('lf-app', App);
