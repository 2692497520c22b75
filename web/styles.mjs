// Style sheets that a part of the page adds when it is first shown.
// @ts-check

/** @type {Set<string>} */
const added = new Set();

/** @param {string} styles */
export function addStyles(styles) {
  if (added.has(styles)) return;
  added.add(styles);
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(styles);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}
