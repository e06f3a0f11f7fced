// What the owner says of a data point, as the hub takes it: the words of a profile's `[[point]]`. What else the owner wrote of a device
// stays in the hub.

/** @typedef {{name: string, code: string, kind: string, access: string, min?: number | null, max?: number | null, step?: number | null,
 *   scale?: number | null, unit?: string | null, words?: string[], action: boolean, event: boolean, source: string, source_detail?: string | null}} Meaning */

/** What is `null` is taken back. @typedef {{code: string, type: string, access: string, name: string, min: number | null, max: number | null,
 *   step: number | null, scale: number | null, unit: string | null, range: string[] | null, labels: string[] | null, maxlen?: null}} Row */

/** Names of attributes: what MQTT topics and commands can hold. @param {string} name */
export const isName = (name) => /^[a-z][a-z0-9_]{0,63}$/.test(name);

/** @param {string} text */
const list = (text) => text.split(',').map((w) => w.trim()).filter(Boolean);

/** What a form says of a point. @param {Record<string, string>} said @returns {Row} */
export function rowOf(said) {
  const value = said.kind === 'value';
  const number = (/** @type {string} */ name) => (value && said[name]?.trim() ? Number(said[name]) : null);
  return {
    code: said.code.trim(),
    type: said.kind,
    access: said.access,
    name: said.name,
    min: number('min'),
    max: number('max'),
    step: number('step'),
    scale: value ? (number('scale') ?? 0) : null,
    unit: value ? said.unit.trim() || null : null,
    range: said.kind === 'enum' ? list(said.words) : null,
    labels: said.kind === 'bitmap' ? list(said.words) : null,
    // The form does not ask for it, and other types have none.
    ...(said.kind === 'string' || said.kind === 'raw' ? {} : { maxlen: null }),
  };
}
