// Numbers, units and times for people.

import { locale, t } from './text.js';

/** @type {Map<string, Intl.NumberFormat>} */
const numbers = new Map();

/**
 * A number with at most so many digits behind the point.
 * @param {number} n
 * @param {number} [digits]
 * @param {number} [least] digits that are always there
 */
export function number(n, digits = 2, least = 0) {
  const key = `${locale}/${digits}/${least}`;
  let format = numbers.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, { maximumFractionDigits: digits, minimumFractionDigits: least });
    numbers.set(key, format);
  }
  return format.format(n);
}

/** A reading with its unit; few digits for large numbers. @param {number} n @param {string} [unit] */
export function reading(n, unit = '') {
  const size = Math.abs(n);
  const text = number(n, size >= 100 ? 0 : size >= 10 ? 1 : 3);
  return unit ? `${text}\u00a0${unit}` : text;
}

/** Power. @param {number} w */
export function watts(w) {
  return Math.abs(w) >= 10_000 ? `${number(w / 1000, 1)}\u00a0kW` : `${number(w, Math.abs(w) < 10 ? 1 : 0)}\u00a0W`;
}

/** Energy. @param {number} kwh */
export function energy(kwh) {
  const digits = kwh < 10 ? 2 : kwh < 100 ? 1 : 0;
  return `${number(kwh, digits, digits)}\u00a0kWh`;
}

/** Money: the hub knows the amount, not the currency's sign. @param {number} amount */
export function money(amount) {
  return number(amount, 2, 2);
}

/** @param {Intl.DateTimeFormatOptions} options */
function dates(options) {
  /** @type {Intl.DateTimeFormat | undefined} */
  let format;
  return (/** @type {number} */ ms) => (format ??= new Intl.DateTimeFormat(locale, options)).format(ms);
}

/** Time of day. */
export const clock = dates({ hour: '2-digit', minute: '2-digit' });
/** Time of day with seconds. */
export const clockSeconds = dates({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
/** Day and time. */
export const dateTime = dates({ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
/** Day, year and time to the second. */
export const fullTime = dates({ dateStyle: 'medium', timeStyle: 'medium' });
/** Day. */
export const day = dates({ weekday: 'short', day: 'numeric', month: 'short' });
/** Month. */
export const month = dates({ month: 'long', year: 'numeric' });

/** How long, in one unit: `5 min`. @param {number} ms */
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return t('time.s', { n: s });
  if (s < 3600) return t('time.min', { n: Math.round(s / 60) });
  if (s < 86_400 * 2) return t('time.h', { n: Math.round(s / 3600) });
  return t('time.d', { n: Math.round(s / 86_400) });
}

/** How long ago: `just now`, `5 min ago`, and the day where it is long ago. @param {number} ms @param {number} [now] */
export function ago(ms, now = Date.now()) {
  const passed = now - ms;
  if (passed < 10_000) return t('time.now');
  if (passed < 2 * 86_400_000) return t('time.ago', { span: span(passed) });
  return dateTime(ms);
}

/** Minutes and seconds that are left: `4:05`. @param {number} ms */
export function countdown(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000));
  const rest = String(s % 60).padStart(2, '0');
  const min = Math.floor(s / 60) % 60;
  return s >= 3600 ? `${Math.floor(s / 3600)}:${String(min).padStart(2, '0')}:${rest}` : `${min}:${rest}`;
}

/** `target_temperature` as `Target temperature`. @param {string} name */
export function label(name) {
  const key = `attribute.${name}`;
  const own = t(key);
  if (own !== key) return own;
  const words = name.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A word of a device for people: `manual_mode` as `Manual mode`. @param {unknown} value @returns {string} */
export function word(value) {
  if (value === true) return t('on');
  if (value === false) return t('off');
  if (value === null || value === undefined) return '–';
  if (typeof value === 'number') return reading(value);
  if (Array.isArray(value)) return value.length ? value.map(word).join(', ') : t('none');
  if (typeof value === 'object') return JSON.stringify(value);
  const text = String(value);
  return /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(text) ? label(text) : text;
}
