// The first visit: three doors.

import { html } from '../vendor/lit.js';
import { session } from '../app/api.js';
import { Element, define } from '../app/element.js';
import { icon } from '../app/icons.js';
import { t } from '../app/text.js';

class FirstVisit extends Element {
  render() {
    const door = (/** @type {string} */ name, /** @type {string} */ href, /** @type {string} */ sign) => html`<li><a class="card door-card" href=${href}>
      ${icon(sign)}<h2>${t(`first.${name}`)}</h2><p>${t(`first.${name}.text`)}</p></a></li>`;
    return html`<header class="head"><h1>${t('first.title')}</h1></header><p class="lead">${t('first.text')}</p>
      <ul class="doors">
        ${session.allows('admin') ? [door('import', '#/add?by=import', 'import'), door('window', '#/window', 'window')] : ''}
        ${door('watch', '#/add?by=watch', 'eye')}
      </ul>`;
  }
}

define('lf-first-visit', FirstVisit);
