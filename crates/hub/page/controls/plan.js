// Which controls a device gets, from what its definition exposes. Nothing here knows products: what has no control of its own gets
// the one of its type.

/** What can be read and written, as zigbee2mqtt's `exposes` has it.
 * @typedef {object} Expose
 * @property {string} type
 * @property {string} name
 * @property {string} property the attribute
 * @property {string} [label]
 * @property {number} access 1 told in the state, 2 can be set, 4 can be asked for
 * @property {string} [category] `config`, `diagnostic`
 * @property {string} [unit]
 * @property {number} [value_min]
 * @property {number} [value_max]
 * @property {number} [value_step]
 * @property {string[]} [values]
 * @property {Expose[]} [features]
 */

/** @typedef {object} Plan
 * @property {Group[]} groups controls of several attributes together
 * @property {Expose[]} controls what can be set
 * @property {Expose[]} readings what is only told
 * @property {Expose[]} settings what is set once
 * @property {Expose[]} notes what is only told, and seldom of interest
 * @property {Set<string>} actions attributes of which each write makes something happen
 */

/** @typedef {{kind: 'light' | 'cover' | 'climate' | 'fan', has: Record<string, Expose>}} Group */

const GROUPS = ['light', 'cover', 'climate', 'fan'];

/** Whether it can be set. @param {Expose} expose */
export const canSet = (expose) => (expose.access & 2) !== 0;
/** Whether its value is told. @param {Expose} expose */
export const canRead = (expose) => (expose.access & 1) !== 0;

/** The features of a group by what they are: `brightness_2` of a second light is its `brightness`. @param {Expose[]} features */
function byRole(features) {
  /** @type {Record<string, Expose>} */
  const has = {};
  for (const feature of features) has[feature.name.replace(/_\d+$/, '')] = feature;
  return has;
}

/**
 * @param {{exposes: Expose[], points: Record<string, {name: string, action: boolean}>}} definition
 * @returns {Plan}
 */
export function plan(definition) {
  const actions = new Set(Object.values(definition.points).filter((p) => p.action).map((p) => p.name));
  /** @type {Plan} */
  const made = { groups: [], controls: [], readings: [], settings: [], notes: [], actions };
  const sort = (/** @type {Expose} */ expose) => {
    if (!canSet(expose)) (expose.category === 'diagnostic' ? made.notes : made.readings).push(expose);
    else if (expose.category === 'config' || isSetting(expose)) made.settings.push(expose);
    else made.controls.push(expose);
  };
  for (const expose of definition.exposes) {
    if (GROUPS.includes(expose.type) && expose.features) {
      made.groups.push({ kind: /** @type {Group['kind']} */ (expose.type), has: byRole(expose.features) });
    } else if (expose.features && !expose.property) {
      expose.features.forEach(sort);
    } else {
      sort(expose);
    }
  }
  return made;
}

/** Vendors write whole programs into one text, and there is a countdown beside each switch: not what one looks for first. @param {Expose} expose */
function isSetting(expose) {
  return (expose.type === 'text' && !expose.name.startsWith('ir_')) || /^countdown/.test(expose.name);
}
