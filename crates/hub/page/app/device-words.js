// What a device is and how it does, in words: the same wherever it is shown.

import { home, now } from './home.js';
import { ago, label, number, reading, span, watts, word } from './format.js';
import { t } from './text.js';

/** @typedef {import('./home.js').Device} Device */

/** Names of the switches of a device: `switch`, or `switch_1`, `switch_2`... @param {Device} device */
export function switches(device) {
  return Object.keys(device.state).filter((name) => /^(switch|fan)(_(usb)?\d+)?$/.test(name) && typeof device.state[name] === 'boolean');
}

/** The one switch of a device that has one. @param {Device} device */
export function mainSwitch(device) {
  if (device.class === 'sensor' || device.class === 'gateway' || device.class === 'infrared') return undefined;
  const all = switches(device);
  return all.length === 1 ? all[0] : undefined;
}

/** Power in watts, if it tells any that holds. @param {Device} device @returns {number | undefined} */
export function power(device) {
  const there = device.presence.state !== 'offline' && typeof device.state.power === 'number' && !device.stale.includes('power');
  return there ? device.state.power : undefined;
}

/** Whether it is on, moves, heats: shines in the list. @param {Device} device */
export function isOn(device) {
  if (device.presence.state === 'offline') return false;
  if (device.class === 'cover') return device.state.state === 'opening' || device.state.state === 'closing';
  return switches(device).some((name) => device.state[name] === true);
}

/** Whether readings are old without the device being away. @param {Device} device */
export function isStale(device) {
  return device.stale.length > 0 && device.presence.state !== 'offline';
}

/** Presence in a word or two, with its colour. @param {Device} device @returns {{kind: string, text: string}} */
export function presence(device) {
  const state = device.presence.state;
  const since = device.presence.since_ms;
  switch (state) {
    case 'online':
      return isStale(device) ? { kind: 'warn', text: t('presence.stale') } : { kind: 'ok', text: t('presence.online') };
    case 'offline':
      return { kind: 'bad', text: since ? t('presence.offline.since', { span: span(now() - since) }) : t('presence.offline') };
    case 'asleep':
      return { kind: '', text: device.heard_ms ? t('presence.asleep.heard', { ago: ago(device.heard_ms, now()) }) : t('presence.asleep') };
    default:
      return { kind: 'warn', text: t('presence.unknown') };
  }
}

/** Readings of sensors that are worth a line, in this order. */
const READINGS = ['temperature', 'humidity', 'co2', 'pm25', 'voc', 'illuminance', 'contact', 'water_leak', 'smoke', 'presence', 'battery'];
/** @type {Record<string, string>} */
const UNITS = { temperature: '°C', humidity: '%', co2: 'ppm', pm25: 'µg/m³', illuminance: 'lx', battery: '%' };

/** Two percentages would look alike, so the battery's has its name. @param {string} name @param {unknown} value */
function said(name, value) {
  const text = typeof value === 'number' ? reading(value, UNITS[name]) : word(value);
  return name in UNITS && name !== 'battery' ? text : `${label(name)} ${text}`;
}

/** What it does, in a line. @param {Device} device */
export function summary(device) {
  const s = device.state;
  if (device.presence.state === 'offline' || device.presence.state === 'unknown') return presence(device).text;
  const asleep = device.presence.state === 'asleep';
  const stale = isStale(device);
  /** @type {string[]} */
  const parts = asleep ? [t('presence.asleep')] : stale ? [t('presence.stale')] : [];
  const all = switches(device);
  const main = mainSwitch(device);
  if (device.class === 'cover') {
    if (s.state) parts.push(t(`cover.${s.state}`));
    if (typeof s.position === 'number' && s.position > 0 && s.position < 100) parts.push(`${number(s.position, 0)}\u00a0%`);
  } else if (main) {
    parts.push(s[main] ? t('on') : t('off'));
  } else if (all.length > 1) {
    parts.push(t('overview.some_on', { n: all.filter((name) => s[name]).length, all: all.length }));
  }
  if (main && s[main] && typeof s.brightness === 'number') parts.push(`${number((s.brightness / 255) * 100, 0)}\u00a0%`);
  const w = power(device);
  if (w !== undefined) parts.push(watts(w));
  if (device.class === 'thermostat') {
    if (typeof s.temperature === 'number') parts.push(reading(s.temperature, '°C'));
    if (typeof s.target_temperature === 'number') parts.push(t('overview.target', { target: reading(s.target_temperature, '°C') }));
  }
  if (device.class === 'sensor') {
    for (const name of READINGS) if (name in s && parts.length < 3) parts.push(said(name, s[name]));
  }
  if (device.class === 'gateway') {
    let n = 0;
    for (const other of home.devices.values()) if (other.parent === device.id) n += 1;
    parts.push(t('overview.children', { n }));
  }
  return parts.join(' · ') || presence(device).text;
}
