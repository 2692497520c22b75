// The sidebar tab: memory, what is downloaded just now, what is loaded and can be freed, and the registry to browse.
// @ts-check
import { app } from "../../scripts/app.js";
import { ask } from "./api.mjs";
import { terms } from "./cost_panel.mjs";
import { el, gb, gib, root } from "./dom.mjs";
import { downloadList } from "./downloads.mjs";
import { everyWhileVisible } from "./memory_gauge.mjs";
import { t } from "./words.mjs";

const EVERY_MS = 2000;

/** Register the tab. */
export function addSidebarTab() {
  app.extensionManager.registerSidebarTab({
    id: "advanced-models",
    icon: "pi pi-box",
    title: "Advanced Models",
    tooltip: t("Advanced Models: memory, downloads, loaded components, models"),
    type: "custom",
    render: (/** @type {HTMLElement} */ place) => place.replaceChildren(tab()),
  });
}

function tab() {
  const memory = el("div");
  const downloads = downloadList();
  const loaded = el("div");
  const models = el("div", { "aria-busy": "true" }, el("p", { class: "quiet" }, t("Reading the registry …")));
  const page = root(
    "div",
    { class: "sidebar" },
    section(t("Memory"), memory),
    section(t("Downloads"), downloads.element),
    section(t("Loaded components"), loaded),
    section(t("Models"), models),
  );
  let shown = "";
  const refresh = everyWhileVisible(page, EVERY_MS, async () => {
    const status = await ask("status");
    memory.replaceChildren(...(status.memory.card ? gauge("VRAM", status.memory.card) : []), ...gauge("RAM", status.memory.main));
    downloads.show(status.downloads);
    const state = JSON.stringify(status.store.map((/** @type {any} */ entry) => ({ ...entry, idle_seconds: minutes(entry.idle_seconds) })));
    if (state === shown) return; // rows that stay keep the keyboard's focus
    shown = state;
    loaded.replaceChildren(...entries(status.store, () => refresh()));
  });
  ask("models")
    .then(
      (architectures) => models.replaceChildren(...architectures.map(architecture)),
      (/** @type {Error} */ error) => models.replaceChildren(el("p", { class: "state danger" }, error.message)),
    )
    .finally(() => models.removeAttribute("aria-busy"));
  return page;
}

/**
 * @param {string} title
 * @param {HTMLElement} content
 */
function section(title, content) {
  return el("section", { "aria-label": title }, el("h3", {}, title), content);
}

/**
 * @param {string} name
 * @param {{ used_bytes: number, total_bytes: number }} memory
 */
function gauge(name, memory) {
  const text = t("{name} {used} of {total}", { name, used: gib(memory.used_bytes), total: gib(memory.total_bytes) });
  return [el("p", {}, text), el("meter", { min: 0, max: memory.total_bytes, value: memory.used_bytes, high: memory.total_bytes * 0.9, optimum: 0, "aria-label": text })];
}

/**
 * @param {any[]} store
 * @param {() => void} changed
 */
function entries(store, changed) {
  if (!store.length) return [el("p", { class: "quiet" }, t("Nothing: a component is loaded when a node first computes with it."))];
  return store.map((entry) => {
    const note = el("span", { class: "quiet" }, entry.in_use ? t("in use") : t("unused for {time}", { time: minutes(entry.idle_seconds) }));
    const free = async () => {
      try {
        await ask("free", { id: entry.id });
        changed();
      } catch (error) {
        note.textContent = /** @type {Error} */ (error).message;
      }
    };
    const label = t("Free the {component}", { component: entry.component });
    const button = el("button", { type: "button", "aria-label": label, disabled: entry.in_use, onclick: free }, t("Free"));
    return el("div", { class: "row" }, el("div", {}, el("div", {}, `${entry.component}, ${entry.precision}, ${gib(entry.bytes)}`), note), button);
  });
}

/** @param {number} seconds */
function minutes(seconds) {
  return seconds < 60 ? t("less than a minute") : t("{minutes} min", { minutes: Math.round(seconds / 60) });
}

/** @param {any} entry */
function architecture(entry) {
  return el("details", {}, el("summary", {}, `${entry.name} `, el("span", { class: "quiet" }, `(${entry.models.length})`)), ...entry.models.map(model));
}

/** @param {any} entry */
function model(entry) {
  const sizes =
    entry.download_bytes === null
      ? t("no weights to download for this pack")
      : t("download {download}, weights {memory} in bf16", { download: gb(entry.download_bytes), memory: gib(entry.memory_bytes) });
  return el("details", { class: "model" }, el("summary", {}, entry.name), el("p", {}, sizes), ...terms(entry));
}
