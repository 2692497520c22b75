// Elements, sizes in words, and DOM widgets that only show something.
// @ts-check
import { addStyles } from "./styles.mjs";
import { STYLES } from "./theme.mjs";
import { decimal } from "./words.mjs";

const MB = 1e6;
const GB = 1e9;
const GIB = 2 ** 30;

/**
 * An element: `el("p", { class: "note", onclick }, "text", child)`. Texts are never read as HTML.
 * @param {string} tag
 * @param {Record<string, any>} [attributes] what begins with `on` is a listener; false and null leave an attribute out
 * @param {...(Node | string | number | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child != null && child !== false) element.append(typeof child === "number" ? String(child) : child);
  return element;
}

/**
 * The outermost element of something of ours, with our styles, which hold below it alone.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...any} children
 */
export function root(tag, attributes = {}, ...children) {
  addStyles(STYLES);
  return el(tag, { ...attributes, class: `advanced-models ${attributes.class ?? ""}`.trim() }, ...children);
}

/**
 * A widget that shows an element and holds no value: it is neither saved with the workflow nor sent with the prompt.
 * @param {any} node
 * @param {string} name
 * @param {HTMLElement} element
 * @param {number} height pixels it needs at least; what does not fit is scrolled
 */
export function displayWidget(node, name, element, height) {
  const options = { serialize: false, getMinHeight: () => height, getValue: () => "", setValue: () => {} };
  const widget = node.addDOMWidget(name, "advanced_models_display", element, options);
  widget.serialize = false;
  return widget;
}

/** @param {number} bytes @returns {string} as downloads are counted: 10^9 bytes are a GB, and less than a tenth of one is told in MB */
export function gb(bytes) {
  return bytes < GB / 10 ? `${decimal(bytes / MB)} MB` : `${decimal(bytes / GB)} GB`;
}

/** @param {number} bytes @returns {string} as memory is counted: 2^30 bytes are a GiB */
export function gib(bytes) {
  return `${decimal(bytes / GIB)} GiB`;
}

/** @param {number} bytes @returns {string} the same where the unit stands before */
export function gibNumber(bytes) {
  return decimal(bytes / GIB);
}

/** @param {string} name @returns {string} `text_encoder_2` in words */
export function words(name) {
  return name.replaceAll("_", " ");
}
