// The hub's API: session cookie, CSRF header, problems as errors. Only what reads is tried again by itself.

import { t } from './text.js';

/** What the hub refused, or that it could not be had at all (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code stable dotted code
   * @param {string} message value and cause, in words
   * @param {string} [hint] the next step
   */
  constructor(status, code, message, hint = '') {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.hint = hint;
  }

  /** The hub did not answer. */
  get unreachable() {
    return this.status === 0;
  }
}

/** @typedef {{scope: 'read' | 'control' | 'admin', name: string, csrf: string, expires_ms?: number, token?: string}} Session `token`: its id */

/** @typedef {object} Options
 * @property {unknown} [body] sent as JSON; bytes and files as they are
 * @property {Record<string, string | number | boolean | null | undefined>} [query]
 * @property {AbortSignal} [signal]
 * @property {Record<string, string>} [headers]
 * @property {number} [timeout] in ms; 20 s when missing
 * @property {boolean} [quiet] a 401 is the caller's: nobody is asked to sign in
 */

const BASE = 'api/v1';
const TIMEOUT = 20_000;
/** Pauses before what reads is tried again. */
const PAUSES = [250, 1000];
const RANK = { read: 0, control: 1, admin: 2 };

/** Who is signed in here, and who waits for it. */
class Sessions extends EventTarget {
  /** @type {Session | null} */
  now = null;
  /** @type {Promise<void> | null} */
  #asking = null;
  /** @type {{done: () => void, off: (e: unknown) => void} | null} */
  #waiting = null;

  /** Whether the token allows so much. @param {'read' | 'control' | 'admin'} scope */
  allows(scope) {
    return this.now !== null && RANK[this.now.scope] >= RANK[scope];
  }

  /** Looks for a session that the cookie still opens. */
  async resume() {
    this.#set(await call('GET', '/session', { quiet: true }));
  }

  /** @param {string} token */
  async signIn(token) {
    this.#set(await call('POST', '/session', { body: { token }, quiet: true }));
    this.#waiting?.done();
  }

  async signOut() {
    await call('DELETE', '/session', { quiet: true });
    this.#set(null);
  }

  /** Asks for a token, once for everybody who waits. Resolves when somebody signed in. */
  again() {
    this.#asking ??= new Promise((done, off) => {
      this.#waiting = { done: () => done(undefined), off };
      this.dispatchEvent(new Event('expired'));
    }).finally(() => {
      this.#asking = null;
      this.#waiting = null;
    });
    return this.#asking;
  }

  /** Nobody will sign in: those who wait get the error. @param {unknown} error */
  giveUp(error) {
    this.#waiting?.off(error);
  }

  /** @param {Session | null} session */
  #set(session) {
    this.now = session;
    this.dispatchEvent(new Event('change'));
  }
}

/** The session of this page. */
export const session = new Sessions();

/** @param {string} path @param {Options['query']} query */
function url(path, query) {
  const asked = Object.entries(query ?? {}).filter(([, v]) => v !== undefined && v !== null && v !== '');
  const text = new URLSearchParams(asked.map(([k, v]) => [k, String(v)])).toString();
  const whole = path.startsWith('/healthz') ? path.slice(1) : `${BASE}${path}`;
  return text ? `${whole}?${text}` : whole;
}

/** @param {number} ms @param {AbortSignal} [signal] */
function pause(ms, signal) {
  return new Promise((done, off) => {
    const timer = setTimeout(() => done(undefined), ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), off(signal.reason)), { once: true });
  });
}

/** @param {string} method @param {string} path @param {Options} options @returns {Promise<Response>} */
async function once(method, path, options) {
  /** @type {Record<string, string>} */
  const headers = { Accept: 'application/json', ...options.headers };
  /** @type {BodyInit | undefined} */
  let body;
  if (options.body instanceof Blob || options.body instanceof ArrayBuffer) {
    body = options.body;
    headers['Content-Type'] ??= 'application/octet-stream';
  } else if (options.body !== undefined) {
    body = JSON.stringify(options.body);
    headers['Content-Type'] ??= 'application/json';
  }
  if (method !== 'GET' && session.now) headers['X-Landfall-CSRF'] = session.now.csrf;
  const limit = AbortSignal.timeout(options.timeout ?? TIMEOUT);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  try {
    return await fetch(url(path, options.query), { method, headers, body, signal, credentials: 'same-origin', cache: 'no-store' });
  } catch (e) {
    if (options.signal?.aborted) throw e;
    const late = limit.aborted;
    throw new ApiError(0, late ? 'hub.late' : 'hub.unreachable', t(late ? 'error.late' : 'error.unreachable'), t('error.unreachable.hint'));
  }
}

/** What a refusal says. @param {Response} answer */
async function problem(answer) {
  const text = await answer.text().catch(() => '');
  try {
    const told = JSON.parse(text);
    return new ApiError(answer.status, told.code ?? 'unknown', told.detail ?? told.title ?? text, told.hint ?? '');
  } catch {
    // Not the hub's own words: a proxy in between, say.
    return new ApiError(answer.status, `http.${answer.status}`, t('error.http', { status: answer.status }), t('error.http.hint'));
  }
}

/** @param {string} method @param {string} path @param {Options} options @returns {Promise<Response>} */
async function answered(method, path, options) {
  let renewed = false;
  for (let attempt = 0; ; ) {
    /** @type {ApiError} */
    let error;
    try {
      const answer = await once(method, path, options);
      if (answer.ok) return answer;
      error = await problem(answer);
    } catch (e) {
      if (!(e instanceof ApiError)) throw e;
      error = e;
    }
    if (error.status === 401 && !options.quiet) {
      // It was not carried out, whatever it was, so it may be asked again.
      await session.again();
      continue;
    }
    if (error.code === 'csrf.missing' && !renewed && !options.quiet) {
      renewed = true;
      await session.resume();
      continue;
    }
    const passing = error.unreachable || error.status === 502 || error.status === 503 || error.status === 504;
    if (method !== 'GET' || !passing || attempt >= PAUSES.length) throw error;
    await pause(PAUSES[attempt++], options.signal);
  }
}

/** @param {string} method @param {string} path @param {Options} [options] @returns {Promise<any>} */
async function call(method, path, options = {}) {
  const answer = await answered(method, path, options);
  if (answer.status === 204 || answer.status === 202) return null;
  const kind = answer.headers.get('content-type') ?? '';
  return kind.includes('json') ? answer.json() : answer.text();
}

/** A device's id or any other part of a path. @param {TemplateStringsArray} parts @param {...(string | number)} values */
export function path(parts, ...values) {
  return parts.reduce((all, part, i) => all + encodeURIComponent(values[i - 1]) + part);
}

/** Requests. Paths begin after `/api/v1`. */
export const api = {
  /** @param {string} path @param {Options} [options] */
  get: (path, options) => call('GET', path, options),
  /** @param {string} path @param {unknown} [body] @param {Options} [options] */
  post: (path, body, options) => call('POST', path, { ...options, body }),
  /** @param {string} path @param {unknown} [body] @param {Options} [options] */
  put: (path, body, options) => call('PUT', path, { ...options, body }),
  /** @param {string} path @param {unknown} [body] @param {Options} [options] */
  patch: (path, body, options) => call('PATCH', path, { ...options, body }),
  /** @param {string} path @param {Options} [options] */
  del: (path, options) => call('DELETE', path, options),
  /** The answer as it came, for its headers or to save it as a file. @param {string} path @param {Options} [options] */
  response: (path, options = {}) => answered('GET', path, options),
  /** The address of a path, for links and streams. @param {string} path @param {Options['query']} [query] */
  url: (path, query) => url(path, query),
};

/** Any error in words, its hint behind it. @param {unknown} error */
export function words(error) {
  if (error instanceof ApiError) return error.hint ? `${sentence(error.message)} ${sentence(error.hint)}` : sentence(error.message);
  return error instanceof Error ? error.message : String(error);
}

/** @param {string} text */
export function sentence(text) {
  const big = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(big) ? big : `${big}.`;
}
