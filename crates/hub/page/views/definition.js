// The owner's own definition of a device's points, as the TOML that the hub takes. It stands over all other sources, so it holds only
// what the owner said.

/** @typedef {{name: string, code: string, kind: string, access: string, min?: number | null, max?: number | null, step?: number | null,
 *   scale?: number | null, unit?: string | null, words?: string[], action: boolean, event: boolean, source: string, source_detail?: string | null}} Meaning */

/** @typedef {{code: string, type: string, access: string, name: string, min?: number, max?: number, step?: number, scale?: number, unit?: string,
 *   range?: string[], labels?: string[], action?: boolean}} Row */

/** Names of attributes: what MQTT topics and commands can hold. @param {string} name */
export const isName = (name) => /^[a-z][a-z0-9_]{0,63}$/.test(name);

/** @param {string} text */
const list = (text) => text.split(',').map((w) => w.trim()).filter(Boolean);

/** What a form says of a point. @param {Record<string, string>} said @param {{action?: boolean}} is @returns {Row} */
export function rowOf(said, is) {
  const number = (/** @type {string} */ name) => (said[name]?.trim() ? Number(said[name]) : undefined);
  return {
    code: said.code.trim(),
    type: said.kind,
    access: said.access,
    name: said.name,
    ...(said.kind === 'value' ? { min: number('min'), max: number('max'), step: number('step'), scale: number('scale') ?? 0, unit: said.unit.trim() || undefined } : {}),
    ...(said.kind === 'enum' ? { range: list(said.words) } : {}),
    ...(said.kind === 'bitmap' ? { labels: list(said.words) } : {}),
    ...(is.action ? { action: true } : {}),
  };
}

/** What is known of a point, as a row. @param {Meaning} m @returns {Row} */
function known(m) {
  const limited = m.min != null && m.max != null && m.min > -1e15;
  return {
    code: m.code,
    type: m.kind,
    access: m.access,
    name: m.name,
    ...(m.kind === 'value'
      ? { ...(limited ? { min: m.min ?? undefined, max: m.max ?? undefined, step: m.step ?? undefined } : {}), scale: m.scale ?? 0, unit: m.unit || undefined }
      : {}),
    ...(m.kind === 'enum' ? { range: m.words ?? [] } : {}),
    ...(m.kind === 'bitmap' ? { labels: m.words ?? [] } : {}),
    ...(m.action ? { action: true } : {}),
  };
}

/** What the owner said so far. @param {{points: Record<string, Meaning>}} definition */
function owned(definition) {
  return Object.fromEntries(Object.entries(definition.points).filter(([, m]) => m.source === 'owner').map(([id, m]) => [id, known(m)]));
}

/** The owner's definition with these rows in it. @param {{points: Record<string, Meaning>}} definition @param {Record<string, Row>} rows */
export function definitionOf(definition, rows) {
  return toml({ ...owned(definition), ...rows });
}

/** The owner's definition without this point. @param {{points: Record<string, Meaning>}} definition @param {number} id */
export function lessOf(definition, id) {
  const { [id]: _gone, ...rest } = owned(definition);
  return toml(rest);
}

/** @param {Record<string, Row>} rows */
function toml(rows) {
  const one = (/** @type {[string, Row]} */ [id, row]) => [`[[point]]`, `id = ${id}`, ...Object.entries(row).filter(([, v]) => v !== undefined).map(([k, v]) => `${k} = ${literal(v)}`)].join('\n');
  return Object.entries(rows).map(one).join('\n\n');
}

/** A value as TOML has it: its basic strings are JSON's, but for one character. @param {unknown} value @returns {string} */
function literal(value) {
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  return typeof value === 'string' ? JSON.stringify(value).replaceAll('\u007f', '\\u007f') : String(value);
}
