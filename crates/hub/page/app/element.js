// What all elements of the page share. They live in the page's own tree, so that `style/` reaches them and labels find their fields.

import { Directive, LitElement, directive, noChange } from '../vendor/lit.js';
import { home } from './home.js';

/** An element of the page. */
export class Element extends LitElement {
  /** @type {(() => void)[]} */
  #ends = [];

  createRenderRoot() {
    return this;
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    for (const end of this.#ends.splice(0)) end();
  }

  /** Ends with the element's stay in the page. @param {(() => unknown)} end */
  until(end) {
    this.#ends.push(end);
  }

  /** Draws anew when this changes: a device's id, `*`, `shape`, `connection`. @param {string} what */
  follow(what) {
    this.until(home.subscribe(what, () => this.requestUpdate()));
  }

  /**
   * Does this every so many ms, while the page is seen; draws anew where nothing is named.
   * @param {number} ms
   * @param {() => unknown} [does]
   */
  every(ms, does = () => this.requestUpdate()) {
    const timer = setInterval(() => document.hidden || void does(), ms);
    this.until(() => clearInterval(timer));
  }
}

/**
 * An element that asks the hub again every so many ms: `ask` tells what of the element is new, and `problem` why it could not be had. Of
 * several questions the last one's answer counts.
 * @template {new (...args: any[]) => Element} T
 * @param {T} Base
 * @param {number} ms
 */
export const asking = (Base, ms) =>
  class extends Base {
    /** @type {import('../vendor/lit.js').PropertyDeclarations} */
    static properties = { problem: { state: true } };

    /** @param {any[]} all */
    constructor(...all) {
      super(...all);
      /** @type {unknown} */
      this.problem = null;
      this.asked = 0;
    }

    connectedCallback() {
      super.connectedCallback();
      this.every(ms, () => this.read());
    }

    /** @returns {Promise<object>} */
    async ask() {
      return {};
    }

    async read() {
      const turn = ++this.asked;
      try {
        const told = await this.ask();
        if (turn === this.asked) Object.assign(this, told, { problem: null });
      } catch (e) {
        if (turn === this.asked) this.problem = e;
      }
    }
  };

/** An element that shows one device: `.device` is its id. It is drawn anew when that device changes, and at no other time. */
export class DeviceElement extends Element {
  /** @type {import('../vendor/lit.js').PropertyDeclarations} */
  static properties = { device: { type: String } };

  constructor() {
    super();
    /** Id of the device. */
    this.device = '';
  }

  /** @type {(() => void) | undefined} */
  #end;

  connectedCallback() {
    super.connectedCallback();
    this.#join();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#end?.();
    this.#end = undefined;
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has('device')) this.#join();
  }

  /** The device as it is now. */
  get view() {
    return home.device(this.device);
  }

  #join() {
    this.#end?.();
    this.#end = this.device && this.isConnected ? home.subscribe(this.device, () => this.requestUpdate()) : undefined;
  }
}

/** Sets custom properties by script: the content security policy forbids `style` attributes. */
class Vars extends Directive {
  /** @type {Record<string, string>} */
  #last = {};

  /** @param {Record<string, string>} _values */
  render(_values) {
    return noChange;
  }

  /** @param {any} part @param {[Record<string, string>]} values */
  update(part, [values]) {
    for (const [name, value] of Object.entries(values)) {
      if (this.#last[name] !== value) part.element.style.setProperty(name, value);
    }
    this.#last = values;
    return noChange;
  }
}

/** `<div ${vars({'--level': '40%', 'height': '3px'})}>` */
export const vars = directive(Vars);

/** @type {Map<string, Promise<void>>} */
const sheets = new Map();

/** Loads a style sheet of a view, once. Resolves when it is in force. @param {string} href */
export function sheet(href) {
  let loading = sheets.get(href);
  if (!loading) {
    loading = new Promise((done) => {
      const link = document.createElement('link');
      link.rel = 'stylesheet';
      link.href = href;
      // A view without its style is still a view.
      link.onload = link.onerror = () => done();
      document.head.append(link);
    });
    sheets.set(href, loading);
  }
  return loading;
}

/** Registers an element once. @param {string} tag @param {CustomElementConstructor} element */
export function define(tag, element) {
  if (!customElements.get(tag)) customElements.define(tag, element);
}
