// The page of a device: what it is, how it does, and its tabs.

import { html } from '../vendor/lit.js';
import { DeviceElement, define } from '../app/element.js';
import { t } from '../app/text.js';

class DevicePage extends DeviceElement {
  static properties = { ...DeviceElement.properties, tab: { type: String } };

  render() {
    const device = this.view;
    if (!device) return html`<p class="empty">${t('device.unknown', { id: this.device })}</p>`;
    return html`<header class="head"><h1>${device.name}</h1></header>`;
  }
}

define('lf-device', DevicePage);
