// History of points as columns for plots: which step suits a time, and how sparse steps become a line.

import { api, path } from './api.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Times that a plot can show, by their word. */
export const PERIODS = /** @type {const} */ ({ hour: HOUR, day: DAY, week: 7 * DAY, month: 30 * DAY, year: 365 * DAY });
/** @typedef {keyof typeof PERIODS} Period */

/** The shortest time that can be zoomed to: reports come a few seconds apart. */
export const SHORTEST = 30 * SECOND;

/** Widths of steps, each a multiple of one before, as the hub keeps its roll-ups. */
const STEPS = [
  SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY,
];

/** Steps of a plot at most: as many as a wide screen can tell apart, and far below what the hub gives. */
const MOST = 800;

/** A sample of the hub: a change, or what was within a step.
 * @typedef {{at_ms: number, value?: unknown, mean?: number, min?: number, max?: number, last?: number, count?: number}} Sample */
/** @typedef {{dp: number, name?: string, unit?: string, step_ms?: number | null, cut: boolean, samples: Sample[]}} Series */

/** Columns of one line: time in seconds as uPlot has it, and lowest, mean and highest of each step.
 * @typedef {{x: number[], mean: (number | null)[], min: (number | null)[], max: (number | null)[], step: number}} Columns */

/**
 * The narrowest step that shows this time in no more steps than fit.
 * @param {number} span in ms
 * @param {number} width of the plot in pixels
 */
export function stepFor(span, width) {
  const most = Math.max(60, Math.min(MOST, Math.floor(width / 1.5)));
  return STEPS.find((step) => span / step <= most) ?? DAY;
}

/**
 * Asks for the history of one point.
 * @param {string} device
 * @param {number} dp
 * @param {{from: number, to: number, step: number, signal?: AbortSignal}} what
 * @returns {Promise<Series | null>} nothing where nothing changed in this time
 */
export async function history(device, dp, { from, to, step, signal }) {
  const query = { from: Math.floor(from), to: Math.ceil(to), step: `${step}ms`, dps: dp, limit: 5000 };
  const answer = await api.get(path`/devices/${device}/history`, { query, signal });
  return answer.series.find((/** @type {Series} */ s) => s.dp === dp) ?? null;
}

/**
 * What a value is as a number: a switch is 0 or 1.
 * @param {unknown} value
 */
export function numeric(value) {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/**
 * A line over the whole time. The hub lists only steps in which something changed; in between the value stayed what it was.
 * @param {Series | null} series
 * @param {{from: number, to: number, step: number, now: number, steady?: number | null}} what
 *   `steady`: the value now, where it is known to be older than `from`
 * @returns {Columns}
 */
export function columns(series, { from, to, step, now, steady = null }) {
  const width = Math.max(step, series?.step_ms ?? 0);
  /** @type {Columns} */
  const line = { x: [], mean: [], min: [], max: [], step: width };
  const samples = series?.samples ?? [];
  const known = new Map(samples.map((s) => [Math.floor(s.at_ms / width), s]));
  let last = samples.length === 0 ? steady : null;
  const end = Math.min(to, now);
  for (let slot = Math.floor(from / width); slot * width <= end; slot += 1) {
    const sample = known.get(slot);
    let low = last;
    let mid = last;
    let high = last;
    if (sample) {
      // What is no number has no steps: the change itself.
      const value = numeric(sample.value);
      low = sample.min ?? value;
      mid = sample.mean ?? value;
      high = sample.max ?? value;
      last = sample.last ?? value;
    }
    line.x.push((slot * width) / SECOND);
    line.min.push(low);
    line.mean.push(mid);
    line.max.push(high);
  }
  return line;
}

/**
 * Brings lines onto one column of times, each value standing from its step on.
 * @param {Columns[]} lines
 * @param {number[]} [shifts] seconds by which each line is moved to the right
 */
export function aligned(lines, shifts = []) {
  const times = new Set(lines.flatMap((line, i) => line.x.map((x) => x + (shifts[i] ?? 0))));
  const x = [...times].sort((a, b) => a - b);
  const take = (/** @type {Columns} */ line, /** @type {(number | null)[]} */ values, /** @type {number} */ shift) => {
    let at = -1;
    const until = (line.x.at(-1) ?? 0) + shift + line.step / SECOND;
    return x.map((time) => {
      while (at + 1 < line.x.length && line.x[at + 1] + shift <= time) at += 1;
      return at < 0 || time >= until ? null : values[at];
    });
  };
  return {
    x,
    lines: lines.map((line, i) => {
      const shift = shifts[i] ?? 0;
      return { mean: take(line, line.mean, shift), min: take(line, line.min, shift), max: take(line, line.max, shift) };
    }),
  };
}

/** What a line shows, in four numbers: for people who don't see it, and for the line under the plot.
 * @param {(number | null)[]} mean @param {(number | null)[]} min @param {(number | null)[]} max */
export function summary(mean, min, max) {
  const there = (/** @type {(number | null)[]} */ all) => all.filter((v) => v !== null);
  const lows = there(min);
  const highs = there(max);
  const means = there(mean);
  if (means.length === 0) return null;
  return {
    min: lows.reduce((a, b) => Math.min(a, b)),
    max: highs.reduce((a, b) => Math.max(a, b)),
    mean: means.reduce((a, b) => a + b, 0) / means.length,
    last: means[means.length - 1],
  };
}
