// The protocol, live: frames of both lines as the hub decoded them, keys and tokens hidden by the hub. The list is bounded.

import { html, nothing, repeat } from '../vendor/lit.js';
import { api } from '../app/api.js';
import { Element, define, sheet } from '../app/element.js';
import { number } from '../app/format.js';
import { home } from '../app/home.js';
import { icon } from '../app/icons.js';
import { locale, t } from '../app/text.js';
import { problem } from '../app/ui.js';

/** @typedef {{n: number, at_ms: number, device?: string | null, line: 'lan' | 'cloud', direction: 'in' | 'out', what: string, seq?: number | null, bytes: number, body: unknown}} Frame */

/** Frames that are kept; older ones go. */
const MOST = 500;
/** The page is drawn this often at most, however many frames come. */
const DRAW = 200;

class LfConsole extends Element {
  static properties = { device: { state: true }, line: { state: true }, paused: { state: true }, problem: { state: true } };

  constructor() {
    super();
    /** Frames of this device alone; of all when empty. */
    this.device = '';
    /** @type {'' | 'lan' | 'cloud'} */
    this.line = '';
    /** New frames wait behind the page while somebody reads. */
    this.paused = false;
    /** @type {unknown} */
    this.problem = null;
    /** Newest first. @type {Frame[]} */
    this.frames = [];
    /** Frames that came while paused, bounded as well. @type {Frame[]} */
    this.waiting = [];
    this.count = 0;
    /** Frames that the hub left out, because this browser was too slow. */
    this.lost = 0;
    /** @type {EventSource | null} */
    this.stream = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.due = undefined;
  }

  connectedCallback() {
    super.connectedCallback();
    void sheet('style/views.css');
    void sheet('style/plots.css');
    this.device = new URLSearchParams(location.hash.split('?')[1] ?? '').get('device') ?? '';
    this.open();
    this.follow('shape');
    this.until(() => this.shut());
    this.until(() => clearTimeout(this.due));
  }

  open() {
    this.shut();
    const stream = new EventSource(api.url('/console', { device: this.device || undefined }));
    this.stream = stream;
    stream.addEventListener('frame', (e) => this.take(JSON.parse(e.data)));
    stream.addEventListener('lost', (e) => {
      this.lost += Number(JSON.parse(e.data).count);
      this.draw();
    });
    stream.onopen = () => {
      this.problem = null;
    };
    // It connects again by itself, unless the hub refused it.
    stream.onerror = () => {
      if (stream !== this.stream) return;
      this.problem = new Error(t(stream.readyState === EventSource.CLOSED ? 'console.refused' : 'console.broken'));
      if (stream.readyState === EventSource.CLOSED) void this.why();
    };
  }

  /** A stream doesn't tell why it was refused. */
  async why() {
    try {
      await api.get('/session');
    } catch (e) {
      this.problem = e;
    }
  }

  shut() {
    this.stream?.close();
    this.stream = null;
  }

  /** @param {Omit<Frame, 'n'>} frame */
  take(frame) {
    this.count += 1;
    const into = this.paused ? this.waiting : this.frames;
    into.unshift({ ...frame, n: this.count });
    if (into.length > MOST) into.length = MOST;
    this.draw();
  }

  draw() {
    this.due ??= setTimeout(() => {
      this.due = undefined;
      this.requestUpdate();
    }, DRAW);
  }

  pause() {
    this.paused = !this.paused;
    if (this.paused) return;
    this.frames = [...this.waiting, ...this.frames].slice(0, MOST);
    this.waiting = [];
  }

  clear() {
    this.frames = [];
    this.waiting = [];
    this.lost = 0;
    this.requestUpdate();
  }

  /** @param {string} device */
  choose(device) {
    this.device = device;
    this.clear();
    this.open();
  }

  render() {
    const shown = this.line ? this.frames.filter((f) => f.line === this.line) : this.frames;
    const devices = [...home.devices.values()].filter((d) => !d.cid).sort((a, b) => a.name.localeCompare(b.name));
    return html`<div class="head"><h1>${t('console.title')}</h1>
        <button type="button" class="button" aria-pressed=${this.paused ? 'true' : 'false'} @click=${() => this.pause()}>${t(this.paused ? 'console.go_on' : 'console.pause')}</button>
        <button type="button" class="button" @click=${() => this.clear()}>${icon('trash')}${t('console.clear')}</button></div>
      <p class="lead">${t('console.text')}</p>
      <div class="plots-bar console-bar">
        <label class="inline-field"><span>${t('console.device')}</span><select name="console-device" @change=${(/** @type {any} */ e) => this.choose(e.target.value)}>
          <option value="" ?selected=${!this.device}>${t('console.all')}</option>${devices.map((d) => html`<option value=${d.id} ?selected=${d.id === this.device}>${d.name}</option>`)}</select></label>
        <div class="segments" role="group" aria-label=${t('console.line')}>${/** @type {const} */ (['', 'lan', 'cloud']).map((l) => html`<button type="button" aria-pressed=${l === this.line ? 'true' : 'false'} @click=${() => { this.line = l; }}>${t(l ? `lines.${l}` : 'console.both')}</button>`)}</div>
        <p class="soft num">${t('console.count', { n: number(shown.length), all: number(this.count) })}${this.waiting.length ? ` ${t('console.waiting', { n: this.waiting.length })}` : ''}${this.lost ? ` ${t('console.lost', { n: this.lost })}` : ''}</p>
      </div>
      ${this.problem ? problem(this.problem) : nothing}
      <div class="frames" role="log" aria-live="off" aria-label=${t('console.title')} tabindex="0">
        ${shown.length ? repeat(shown, (f) => f.n, (f) => this.frame(f)) : html`<p class="empty">${t('console.nothing')}</p>`}
      </div>`;
  }

  /** @param {Frame} f */
  frame(f) {
    const name = f.device ? (home.device(f.device)?.name ?? f.device) : t('console.somebody');
    const body = f.body === null || f.body === undefined || f.body === '' ? '' : typeof f.body === 'string' ? f.body : JSON.stringify(f.body);
    return html`<article class="frame ${f.direction}"><p class="frame-head">
      <time datetime=${new Date(f.at_ms).toISOString()}>${time(f.at_ms)}</time>
      <span class="way" title=${t(`console.${f.direction}`)}><span aria-hidden="true">${f.direction === 'in' ? '←' : '→'}</span><span class="sr">${t(`console.${f.direction}`)}</span></span>
      <span class="from">${name}</span><span class="soft">${t(`lines.${f.line}`)}</span><b>${f.what}</b>
      <span class="soft num">${f.seq === null || f.seq === undefined ? '' : `#${f.seq} `}${t('console.bytes', { n: f.bytes })}</span></p>
      ${body ? html`<pre>${body}</pre>` : nothing}</article>`;
  }
}

/** @type {Intl.DateTimeFormat | undefined} */
let format;

/** Time of day with milliseconds. @param {number} ms */
function time(ms) {
  format ??= new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });
  return format.format(ms);
}

define('lf-console', LfConsole);
