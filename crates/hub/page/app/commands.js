// Commands under way: what was asked for, and how it ended. A control shows the wanted value until the device shows it or says no.

import { ApiError, api, path, sentence } from './api.js';
import { home } from './home.js';
import { t } from './text.js';

/** @typedef {object} Command
 * @property {'pending' | 'confirmed' | 'accepted' | 'refused' | 'unconfirmed'} phase
 * @property {Record<string, any>} wanted
 * @property {string} text how it ended, in words
 * @property {string} hint the next step
 * @property {Record<string, any> | null} next what was asked for meanwhile
 */

/** How long a good end is shown, in ms. */
const SHOWN = 2500;
/** The hub gives up by itself before this. */
const PATIENCE = 30_000;

class Commands {
  /** By device and control. @type {Map<string, Command>} */
  #all = new Map();

  /** How the last command of a control stands. @param {string} device @param {string} key @returns {Command | undefined} */
  of(device, key) {
    return this.#all.get(`${device}\n${key}`);
  }

  /** What a control shows: what is wanted while a command is under way, else what the device said. @param {string} device @param {string} key @param {string} name */
  value(device, key, name) {
    const command = this.of(device, key);
    if (command?.phase === 'pending') {
      const wanted = { ...command.wanted, ...command.next };
      if (name in wanted) return wanted[name];
    }
    return home.device(device)?.state[name];
  }

  /**
   * Sets attributes. Of what is asked for while a command is under way, only the last is sent.
   * @param {string} device
   * @param {Record<string, any>} wanted attributes and their values
   * @param {string} key the control
   */
  set(device, wanted, key) {
    return this.#run(device, key, wanted, (values) => api.patch(path`/devices/${device}/state`, values, { timeout: PATIENCE }));
  }

  /** Sets one point, unscaled. @param {string} device @param {number} dp @param {unknown} value @param {string} key */
  setPoint(device, dp, value, key) {
    return this.#run(device, key, { value }, (values) => api.put(path`/devices/${device}/dps/${dp}`, values, { timeout: PATIENCE }));
  }

  /** Takes the end of a command off the page. @param {string} device @param {string} key */
  forget(device, key) {
    if (this.of(device, key)?.phase !== 'pending') this.#put(device, key, null);
  }

  /** @param {string} device @param {string} key @param {Record<string, any>} wanted @param {(values: Record<string, any>) => Promise<any>} send */
  async #run(device, key, wanted, send) {
    const before = this.of(device, key);
    if (before?.phase === 'pending') {
      before.next = wanted;
      home.touch(device);
      return;
    }
    /** @type {Record<string, any> | null} */
    let values = wanted;
    while (values) {
      /** @type {Command} */
      const command = { phase: 'pending', wanted: values, text: '', hint: '', next: null };
      this.#put(device, key, command);
      const sent = values;
      /** @type {Command} */
      let end;
      try {
        const outcome = await send(sent);
        end = { ...command, phase: outcome.outcome, text: said(outcome) };
      } catch (e) {
        end = { ...command, phase: 'refused', text: sentence(e instanceof Error ? e.message : String(e)), hint: '' };
        if (e instanceof ApiError) {
          end.phase = e.unreachable ? 'unconfirmed' : 'refused';
          end.hint = e.hint ? sentence(e.hint) : '';
        }
      }
      values = command.next;
      if (values) continue;
      this.#put(device, key, end);
      if (end.phase === 'confirmed' || end.phase === 'accepted') {
        setTimeout(() => this.of(device, key) === end && this.#put(device, key, null), SHOWN);
      }
    }
  }

  /** @param {string} device @param {string} key @param {Command | null} command */
  #put(device, key, command) {
    const at = `${device}\n${key}`;
    if (command) this.#all.set(at, command);
    else this.#all.delete(at);
    home.touch(device);
  }
}

/** @param {any} outcome */
function said(outcome) {
  const why = outcome.why ? ` ${sentence(outcome.why)}` : '';
  return t(`outcome.${outcome.outcome}`) + why;
}

/** The commands of this page. */
export const commands = new Commands();
