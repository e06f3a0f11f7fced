// Icons, drawn as lines on a field of 24 by 24.

import { html, svg } from '../vendor/lit.js';

/** @type {Record<string, import('../vendor/lit.js').TemplateResult>} */
const SHAPES = {
  home: svg`<path d="M4 11.5 12 5l8 6.5M6.5 10v9h11v-9"/>`,
  energy: svg`<path d="M13 3 6 13.5h5L10.5 21 18 10h-5.2z"/>`,
  events: svg`<path d="M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01"/>`,
  add: svg`<path d="M12 5v14M5 12h14"/>`,
  minus: svg`<path d="M5 12h14"/>`,
  forward: svg`<path d="M5 12h14m-6-6 6 6-6 6"/>`,
  settings: svg`<path d="M4 7h9m5 0h2M4 17h3m5 0h8"/><circle cx="15.5" cy="7" r="2.3"/><circle cx="9.5" cy="17" r="2.3"/>`,
  console: svg`<rect x="3" y="5" width="18" height="14" rx="2.5"/><path d="m7 9.5 3 2.7-3 2.7M12.5 15H17"/>`,
  tokens: svg`<circle cx="8" cy="14.5" r="4"/><path d="m11 11.5 8-8M16 6.5l2.5 2.5M13.5 9l2 2"/>`,
  backup: svg`<path d="M4 8h16v11H4zM6 4.5h12L20 8H4z"/><path d="M12 11v5m0 0-2.2-2.2M12 16l2.2-2.2"/>`,
  window: svg`<circle cx="12" cy="13" r="7.5"/><path d="M12 9v4l2.5 2M9.5 3h5"/>`,
  more: svg`<path d="M5 12h.01M12 12h.01M19 12h.01"/>`,
  search: svg`<circle cx="10.5" cy="10.5" r="6"/><path d="m15 15 5 5"/>`,
  close: svg`<path d="m6 6 12 12M18 6 6 18"/>`,
  back: svg`<path d="M19 12H5m6-6-6 6 6 6"/>`,
  edit: svg`<path d="m5 19 .8-3.8L15.5 5.5a2 2 0 0 1 3 3L8.8 18.2z"/>`,
  trash: svg`<path d="M5 7h14M9.5 7V4.5h5V7M7 7l.8 12.5h8.4L17 7M10.2 10.5v5.5m3.6-5.5v5.5"/>`,
  check: svg`<path d="m5 12.5 4.5 4.5L19 7.5"/>`,
  warn: svg`<path d="M12 4.5 3.5 19h17zM12 10v4.2m0 2.3v.01"/>`,
  info: svg`<circle cx="12" cy="12" r="8.5"/><path d="M12 11v5m0-8.2v.01"/>`,
  up: svg`<path d="m6 14.5 6-6 6 6"/>`,
  down: svg`<path d="m6 9.5 6 6 6-6"/>`,
  stop: svg`<rect x="7" y="7" width="10" height="10" rx="1.5"/>`,
  refresh: svg`<path d="M19 12a7 7 0 1 1-2.1-5M19 4v4h-4"/>`,
  power: svg`<path d="M12 4v8M7.3 6.8a7 7 0 1 0 9.4 0"/>`,
  offline: svg`<path d="M4 4l16 16M8.5 15.2a5 5 0 0 1 5.3-1.1M5.4 11.8a9.5 9.5 0 0 1 4-2.3m4.4.1a9.5 9.5 0 0 1 4.8 2.2M12 18.5v.01"/>`,
  asleep: svg`<path d="M19 14.5A8 8 0 0 1 9.5 5a7.5 7.5 0 1 0 9.5 9.5z"/>`,
  plug: svg`<path d="M8.5 3v5m7-5v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4"/>`,
  switch: svg`<rect x="6" y="3.5" width="12" height="17" rx="2.5"/><rect x="9.5" y="7" width="5" height="10" rx="1.5"/><path d="M9.5 12h5"/>`,
  light: svg`<path d="M9 17.5h6M10 20.5h4M8.8 14.5a6 6 0 1 1 6.4 0c-.5.4-.7.9-.7 1.5v1.5h-5V16c0-.6-.2-1.1-.7-1.5z"/>`,
  cover: svg`<path d="M4 4.5h16M6 4.5V15m12-10.5V15M6 8h12M6 11.5h12M6 15h12M12 15v4.5"/>`,
  fan: svg`<circle cx="12" cy="12" r="1.8"/><path d="M12 10.2c-2-3.5-1.5-6.7.8-6.7 3 0 3 4.5 0 6.7m.6 2.7c4-.1 6.5 2 5.3 4-1.5 2.6-5.4.3-6-3m-2.3-1.4c-2 3.5-5 4.6-6.2 2.6-1.5-2.6 2.4-4.9 5.5-3.7"/>`,
  thermostat: svg`<path d="M10 13.8V5.5a2 2 0 1 1 4 0v8.3a4 4 0 1 1-4 0zM12 9v8"/>`,
  dimmer: svg`<circle cx="12" cy="12" r="4"/><path d="M12 3.5v2m0 13v2M3.5 12h2m13 0h2M6 6l1.4 1.4m9.2 9.2L18 18M6 18l1.4-1.4m9.2-9.2L18 6"/>`,
  sensor: svg`<circle cx="12" cy="12" r="2.2"/><path d="M8 8a5.7 5.7 0 0 0 0 8m8-8a5.7 5.7 0 0 1 0 8M5.3 5.3a9.5 9.5 0 0 0 0 13.4m13.4-13.4a9.5 9.5 0 0 1 0 13.4"/>`,
  gateway: svg`<rect x="4" y="13" width="16" height="6.5" rx="2"/><path d="M8 16.3h.01M11 16.3h.01M15 13V9.5M12.3 7.5a4 4 0 0 1 5.4 0M10.5 5a7 7 0 0 1 9 0"/>`,
  infrared: svg`<rect x="8" y="9" width="8" height="12" rx="2"/><path d="M12 12.5v.01M10.5 17h3M8.5 5.8a5 5 0 0 1 7 0M6 3.3a8.5 8.5 0 0 1 12 0"/>`,
  actor: svg`<path d="M12 3.5v5m0 7v5M3.5 12h5m7 0h5"/><circle cx="12" cy="12" r="3.5"/>`,
  other: svg`<rect x="5" y="5" width="14" height="14" rx="3"/><path d="M12 9v3.5m0 2.5v.01"/>`,
  sun: svg`<circle cx="12" cy="12" r="4"/><path d="M12 3.5v2m0 13v2M3.5 12h2m13 0h2M6 6l1.4 1.4m9.2 9.2L18 18M6 18l1.4-1.4m9.2-9.2L18 6"/>`,
  exit: svg`<path d="M14 4.5H6v15h8M10.5 12H20m-3.5-3.5L20 12l-3.5 3.5"/>`,
  import: svg`<path d="M12 4v10m0 0-3.5-3.5M12 14l3.5-3.5M5 15.5V19h14v-3.5"/>`,
  eye: svg`<path d="M3 12c2.3-4 5.3-6 9-6s6.7 2 9 6c-2.3 4-5.3 6-9 6s-6.7-2-9-6z"/><circle cx="12" cy="12" r="2.6"/>`,
};

/** An icon beside a text, or in a control that has a label: the icon itself says nothing. @param {string} name @param {string} [more] classes */
export function icon(name, more = '') {
  return html`<svg class="icon ${more}" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${SHAPES[name] ?? SHAPES.other}</svg>`;
}
