// A colour wheel: hue around, saturation outwards. By finger, mouse and arrow keys.

import { html } from '../vendor/lit.js';
import { Element, define, vars } from '../app/element.js';
import { t } from '../app/text.js';

/** Of the canvas, in its own pixels. */
const SIZE = 440;
/** How far an arrow key goes: degrees, and per cent. */
const HUE = 5;
const SATURATION = 5;
/** Arrow keys say where they came to when they rest, in ms. */
const REST = 350;

/** @typedef {{hue: number, saturation: number}} Color */

class ColorWheel extends Element {
  static properties = { color: { attribute: false }, label: { type: String }, disabled: { type: Boolean } };

  constructor() {
    super();
    /** @type {Color | undefined} */
    this.color = undefined;
    this.label = '';
    this.disabled = false;
    /** @type {Color | undefined} */
    this.held = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.rest = undefined;
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#tell();
  }

  firstUpdated() {
    const canvas = /** @type {HTMLCanvasElement} */ (this.querySelector('canvas'));
    const draw = canvas.getContext('2d');
    if (!draw) return;
    const middle = SIZE / 2;
    const hues = draw.createConicGradient(0, middle, middle);
    for (let i = 0; i <= 12; i += 1) hues.addColorStop(i / 12, `hsl(${i * 30} 100% 50%)`);
    const white = draw.createRadialGradient(middle, middle, 0, middle, middle, middle);
    white.addColorStop(0, 'rgb(255 255 255 / 100%)');
    white.addColorStop(1, 'rgb(255 255 255 / 0%)');
    draw.beginPath();
    draw.arc(middle, middle, middle, 0, Math.PI * 2);
    for (const fill of [hues, white]) {
      draw.fillStyle = fill;
      draw.fill();
    }
  }

  /** @param {PointerEvent} e */
  #point(e) {
    const box = /** @type {HTMLElement} */ (e.currentTarget).getBoundingClientRect();
    const x = ((e.clientX - box.left) / box.width) * 2 - 1;
    const y = ((e.clientY - box.top) / box.height) * 2 - 1;
    const hue = Math.round((Math.atan2(y, x) / Math.PI) * 180 + 360) % 360;
    this.#hold({ hue, saturation: Math.min(100, Math.round(Math.hypot(x, y) * 100)) });
  }

  /** @param {PointerEvent} e */
  #down(e) {
    if (this.disabled || e.button !== 0) return;
    const wheel = /** @type {HTMLElement} */ (e.currentTarget);
    wheel.setPointerCapture(e.pointerId);
    this.#point(e);
  }

  /** @param {PointerEvent} e */
  #move(e) {
    if (/** @type {HTMLElement} */ (e.currentTarget).hasPointerCapture(e.pointerId)) this.#point(e);
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    const { hue, saturation } = this.held ?? this.color ?? { hue: 0, saturation: 0 };
    /** @type {Record<string, Color>} */
    const to = {
      ArrowRight: { hue: (hue + HUE) % 360, saturation },
      ArrowLeft: { hue: (hue + 360 - HUE) % 360, saturation },
      ArrowUp: { hue, saturation: Math.min(100, saturation + SATURATION) },
      ArrowDown: { hue, saturation: Math.max(0, saturation - SATURATION) },
      Home: { hue: 0, saturation },
      End: { hue, saturation: 100 },
    };
    if (!(e.key in to) || this.disabled) return;
    e.preventDefault();
    this.#hold(to[e.key]);
    this.rest = setTimeout(() => this.#tell(), REST);
  }

  /** @param {Color} color */
  #hold(color) {
    clearTimeout(this.rest);
    this.held = color;
    this.requestUpdate();
  }

  #tell() {
    clearTimeout(this.rest);
    if (!this.held) return;
    const detail = this.held;
    this.held = undefined;
    this.dispatchEvent(new CustomEvent('pick', { detail }));
    this.requestUpdate();
  }

  render() {
    const { hue, saturation } = this.held ?? this.color ?? { hue: 0, saturation: 0 };
    const angle = (hue / 180) * Math.PI;
    const handle = {
      left: `${50 + (Math.cos(angle) * saturation) / 2}%`,
      top: `${50 + (Math.sin(angle) * saturation) / 2}%`,
      'background-color': `hsl(${hue} 100% ${100 - saturation / 2}%)`,
    };
    return html`<div class="wheel" role="slider" tabindex="0" aria-label=${this.label} aria-valuemin="0" aria-valuemax="360" aria-valuenow=${Math.round(hue)} aria-disabled=${this.disabled}
      aria-valuetext=${t('light.color.is', { hue: Math.round(hue), saturation: Math.round(saturation) })} @keydown=${this.#key} @pointerdown=${this.#down} @pointermove=${this.#move}
      @pointerup=${() => this.#tell()} @pointercancel=${() => this.#tell()}><canvas width=${SIZE} height=${SIZE}></canvas><span class="wheel-handle" ${vars(handle)}></span></div>`;
  }
}

define('lf-color-wheel', ColorWheel);
