// What `vendor/lit.js` exports: types come from npm's `lit`.
export * from 'lit';
export { repeat } from 'lit/directives/repeat.js';
export { classMap } from 'lit/directives/class-map.js';
export { live } from 'lit/directives/live.js';
export { ifDefined } from 'lit/directives/if-defined.js';
export { guard } from 'lit/directives/guard.js';
export { ref, createRef } from 'lit/directives/ref.js';
export { directive, Directive, PartType } from 'lit/directive.js';
export { AsyncDirective } from 'lit/async-directive.js';
