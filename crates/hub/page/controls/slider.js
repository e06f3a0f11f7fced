// A slider that shows where the finger is, and says only where it was let go.

import { html, ifDefined, live } from '../vendor/lit.js';
import { Element, define, vars } from '../app/element.js';

/** Arrow keys say where they came to when they rest, in ms. */
const REST = 350;

class Slider extends Element {
  static properties = {
    value: { type: Number },
    min: { type: Number },
    max: { type: Number },
    step: { type: Number },
    label: { type: String },
    kind: { type: String },
    disabled: { type: Boolean },
    say: { attribute: false },
  };

  constructor() {
    super();
    /** @type {number | undefined} */
    this.value = undefined;
    this.min = 0;
    this.max = 100;
    this.step = 1;
    this.label = '';
    /** `plain`, `light`, `warmth`. */
    this.kind = 'plain';
    this.disabled = false;
    /** The value in words. @type {(value: number) => string} */
    this.say = String;
    /** @type {number | undefined} */
    this.held = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.rest = undefined;
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#tell();
  }

  /** @param {InputEvent} e */
  #input(e) {
    this.held = Number(/** @type {HTMLInputElement} */ (e.target).value);
    // Keys have no moment at which they are let go; a finger's is `change`.
    clearTimeout(this.rest);
    if (!this.pressed) this.rest = setTimeout(() => this.#tell(), REST);
    this.requestUpdate();
  }

  pressed = false;

  #tell() {
    clearTimeout(this.rest);
    this.rest = undefined;
    if (this.held === undefined) return;
    const value = this.held;
    this.held = undefined;
    this.dispatchEvent(new CustomEvent('pick', { detail: value }));
    this.requestUpdate();
  }

  #release() {
    this.pressed = false;
    this.#tell();
  }

  /** The finger turned out to scroll the page: nothing was meant. */
  #drop() {
    this.pressed = false;
    this.held = undefined;
    this.requestUpdate();
  }

  render() {
    const value = this.held ?? this.value;
    const known = value !== undefined && Number.isFinite(value);
    const at = known ? value : this.min;
    const level = (at - this.min) / (this.max - this.min || 1);
    return html`<span class="slider ${this.kind} ${known ? '' : 'unknown'}" ${vars({ '--level': String(level) })}>
      <input type="range" min=${this.min} max=${this.max} step=${this.step} .value=${live(String(at))} aria-label=${this.label} ?disabled=${this.disabled}
        aria-valuetext=${ifDefined(known ? this.say(at) : undefined)} @input=${this.#input} @pointerdown=${() => (this.pressed = true)}
        @pointerup=${() => this.#release()} @pointercancel=${() => this.#drop()} @change=${() => this.pressed || this.rest || this.#tell()}>
      <output>${known ? this.say(at) : '–'}</output></span>`;
  }
}

define('lf-slider', Slider);
