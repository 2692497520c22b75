// Our words in the language of the page. The English ones stand in the code; `locales/LANGUAGE/main.json` translates them.
// @ts-check
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

/** @type {Record<string, string>} */
let translated = {};
let language = "en";

/** Read the translations once, before anything is shown. English needs none. */
export async function readWords() {
  language = app.extensionManager.setting.get("Comfy.Locale") ?? "en";
  if (language === "en") return;
  const languages = await (await api.fetchApi("/i18n")).json();
  translated = languages[language]?.advancedModels ?? {};
}

/**
 * A text of ours: `t("{size} of it is here", { size: "3 GB" })`. Tests read its first argument from the code, so it is always written out.
 * @param {string} text
 * @param {Record<string, string | number>} [values] what stands for the names in braces
 */
export function t(text, values = {}) {
  return (translated[text] ?? text).replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/**
 * A warning of the registry, which `tools/write_locales.py` reads there: a text, or a template with its values, of which some are texts.
 * @param {{ text: string, template?: string, values?: Record<string, string> }} warning
 */
export function told({ text, template = text, values = {} }) {
  return t(template, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, t(value)])));
}

/** @param {number} value @returns {string} with one decimal, as the language writes it */
export function decimal(value) {
  return value.toLocaleString(language, { minimumFractionDigits: 1, maximumFractionDigits: 1, useGrouping: false });
}
