// The home's clock: days, months and plots follow the time zone of the home, wherever the visitor is.

import { api } from './api.js';
import { locale } from './text.js';

/** @type {Promise<string> | null} */
let asked = null;

/** The home's time zone, which is asked for once. Where the browser doesn't know it, UTC.
 * @returns {Promise<string>} */
export function homeZone() {
  asked ??= api.get('/status').then(
    (status) => known(status.zone),
    (error) => {
      asked = null;
      throw error;
    },
  );
  return asked;
}

/** @param {string} zone */
function known(zone) {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return zone;
  } catch {
    return 'UTC';
  }
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * A moment in a time zone.
 * @param {number} ms
 * @param {string} zone
 * @param {Intl.DateTimeFormatOptions} options
 */
export function inZone(ms, zone, options) {
  const key = `${locale} ${zone} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat(locale, { ...options, timeZone: zone });
    formats.set(key, format);
  }
  return format.format(ms);
}

/** Hour and minute are enough for a reader of a plot of a day, days for one of a year.
 * @param {number} ms @param {string} zone @param {number} span how much is shown, in ms */
export function moment(ms, zone, span) {
  if (span <= 2 * 3_600_000) return inZone(ms, zone, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
  if (span <= 2 * 86_400_000) return inZone(ms, zone, { weekday: 'short', hour: '2-digit', minute: '2-digit' });
  if (span <= 93 * 86_400_000) return inZone(ms, zone, { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
  return inZone(ms, zone, { day: 'numeric', month: 'short', year: 'numeric' });
}

/** From one moment to another: `Mon 2 Mar, 14:00 – 15:00`. @param {number} from @param {number} to @param {string} zone */
export function fromTo(from, to, zone) {
  const fine = to - from < 3_600_000;
  /** @type {Intl.DateTimeFormatOptions} */
  const time = fine ? { hour: '2-digit', minute: '2-digit', second: '2-digit' } : { hour: '2-digit', minute: '2-digit' };
  /** @type {Intl.DateTimeFormatOptions} */
  const day = { day: 'numeric', month: 'short', year: 'numeric' };
  const format = new Intl.DateTimeFormat(locale, { ...day, ...(to - from < 45 * 86_400_000 ? time : {}), timeZone: zone });
  return format.formatRange(from, to);
}

/** The calendar day of a moment: `{year: 2026, month: 3, day: 1}`. @param {number} ms @param {string} zone */
export function calendar(ms, zone) {
  let format = formats.get(`calendar ${zone}`);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, year: 'numeric', month: 'numeric', day: 'numeric', calendar: 'gregory' });
    formats.set(`calendar ${zone}`, format);
  }
  const of = Object.fromEntries(format.formatToParts(ms).map((p) => [p.type, Number(p.value)]));
  return { year: of.year, month: of.month, day: of.day };
}

/** How far a zone is ahead of UTC at a moment, in ms. @param {number} ms @param {string} zone */
function ahead(ms, zone) {
  let format = formats.get(`clock ${zone}`);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric',
    });
    formats.set(`clock ${zone}`, format);
  }
  const of = Object.fromEntries(format.formatToParts(ms).map((p) => [p.type, Number(p.value)]));
  return Date.UTC(of.year, of.month - 1, of.day, of.hour, of.minute, of.second) - Math.floor(ms / 1000) * 1000;
}

/** The first moment of a calendar day; days and months may run over (`month: 0`, `day: 32`).
 * @param {{year: number, month: number, day: number}} date @param {string} zone */
export function startOf({ year, month, day }, zone) {
  const wall = Date.UTC(year, month - 1, day);
  // Twice: the first guess may lie on the other side of a change of the clock.
  const guess = wall - ahead(wall, zone);
  return wall - ahead(guess, zone);
}
