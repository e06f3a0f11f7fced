// Placeholder until this view is here.

import { html } from '../vendor/lit.js';
import { Element, define } from '../app/element.js';

class View extends Element {
  render() {
    return html`<p>backup</p>`;
  }
}

define('lf-backup', View);
