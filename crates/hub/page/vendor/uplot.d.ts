// What `vendor/uplot.js` exports: types come from npm's `uplot`.
export { default } from 'uplot';
