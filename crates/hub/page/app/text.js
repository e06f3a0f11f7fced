// Texts for people, from one file per language in `text/`.

/** @typedef {string | {one: string, other: string}} Text */

/** Languages and where their texts are. @type {Record<string, () => Promise<{default: Record<string, Text>}>>} */
const LANGUAGES = {
  en: () => import('../text/en.js'),
};

/** What is written when nobody chose: also what other languages fall back to. */
const FIRST = 'en';

/** @type {Record<string, Text>} */
let texts = {};
let plural = new Intl.PluralRules(FIRST);

/** The language in force. */
export let language = FIRST;

/** How numbers and times are written: the browser's way of writing the language in force. */
export let locale = FIRST;

/** Languages to choose from. */
export const languages = Object.keys(LANGUAGES);

/** Loads the texts of the owner's language, else of the browser's, else English. */
export async function loadTexts() {
  const wished = [localStorage.getItem('landfall.language'), ...navigator.languages];
  language = wished.map((l) => l?.split('-')[0] ?? '').find((l) => l in LANGUAGES) ?? FIRST;
  const [first, own] = await Promise.all([LANGUAGES[FIRST](), LANGUAGES[language]()]);
  texts = { ...first.default, ...own.default };
  plural = new Intl.PluralRules(language);
  locale = navigator.languages.find((l) => l.split('-')[0] === language) ?? language;
  document.documentElement.lang = language;
}

/**
 * The text with this key, `{name}` replaced by the value of that name. Where the text has forms, `n` chooses one.
 * A key without a text shows itself, which a test looks for.
 * @param {string} key
 * @param {Record<string, unknown>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const found = texts[key];
  if (found === undefined) return key;
  const text = typeof found === 'string' ? found : plural.select(Number(values.n)) === 'one' ? found.one : found.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Whether there is a text with this key. @param {string} key */
export function has(key) {
  return key in texts;
}
