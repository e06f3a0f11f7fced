// Which view stands behind which hash. Views are loaded when somebody goes there.

/** @typedef {object} Route
 * @property {string} path the hash; `:id` and `:tab` are parameters
 * @property {string} tag the view's element
 * @property {() => Promise<unknown>} load
 * @property {string} [menu] key of its text in the menu
 * @property {string} [icon]
 * @property {'read' | 'control' | 'admin'} [scope] what the token must allow
 * @property {string} [under] the view under which the menu shows it
 */

/** All of them, in the menu's order. @type {Route[]} */
export const routes = [
  { path: '#/', tag: 'lf-overview', load: () => import('../views/overview.js'), menu: 'nav.home', icon: 'home' },
  { path: '#/energy', tag: 'lf-energy', load: () => import('../views/energy.js'), menu: 'nav.energy', icon: 'energy' },
  { path: '#/events', tag: 'lf-events', load: () => import('../views/events.js'), menu: 'nav.events', icon: 'events' },
  { path: '#/add', tag: 'lf-add', load: () => import('../views/add.js'), menu: 'nav.add', icon: 'add' },
  { path: '#/window', tag: 'lf-window', load: () => import('../views/window.js'), menu: 'nav.window', icon: 'window', scope: 'admin' },
  { path: '#/console', tag: 'lf-console', load: () => import('../views/console.js'), menu: 'nav.console', icon: 'console', scope: 'admin' },
  { path: '#/tokens', tag: 'lf-tokens', load: () => import('../views/tokens.js'), menu: 'nav.tokens', icon: 'tokens', scope: 'admin' },
  { path: '#/backup', tag: 'lf-backup', load: () => import('../views/backup.js'), menu: 'nav.backup', icon: 'backup', scope: 'admin' },
  { path: '#/settings', tag: 'lf-settings', load: () => import('../views/settings.js'), menu: 'nav.settings', icon: 'settings' },
  { path: '#/welcome', tag: 'lf-first-visit', load: () => import('../views/first-visit.js'), under: 'lf-overview' },
  { path: '#/devices/:id', tag: 'lf-device', load: () => import('../views/device.js'), under: 'lf-overview' },
  { path: '#/devices/:id/:tab', tag: 'lf-device', load: () => import('../views/device.js'), under: 'lf-overview' },
];

/**
 * The route of a hash and its parameters. What stands behind `?` is the view's own business.
 * @param {string} hash
 * @returns {{route: Route | undefined, params: Record<string, string>}}
 */
export function routeOf(hash) {
  const parts = (hash.split('?')[0] || '#/').split('/').filter((p) => p !== '');
  for (const route of routes) {
    const wanted = route.path.split('/').filter((p) => p !== '');
    if (wanted.length !== parts.length) continue;
    /** @type {Record<string, string>} */
    const params = {};
    const fits = wanted.every((w, i) => {
      if (!w.startsWith(':')) return w === parts[i];
      params[w.slice(1)] = decoded(parts[i]);
      return true;
    });
    if (fits) return { route, params };
  }
  return { route: undefined, params: {} };
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    // Somebody typed a lone percent sign: that is then its name.
    return part;
  }
}

/** The hash of a device's page. @param {string} id @param {string} [tab] */
export const deviceHash = (id, tab) => `#/devices/${encodeURIComponent(id)}${tab ? `/${tab}` : ''}`;
