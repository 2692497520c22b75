// The sidebar tab: memory, what is loaded and can be freed, and the registry to browse.
// @ts-check
import { app } from "../../scripts/app.js";
import { ask } from "./api.mjs";
import { terms } from "./cost_panel.mjs";
import { el, gb, gib, root } from "./dom.mjs";
import { everyWhileVisible } from "./memory_gauge.mjs";

const EVERY_MS = 2000;

/** Register the tab. */
export function addSidebarTab() {
  app.extensionManager.registerSidebarTab({
    id: "advanced-models",
    icon: "pi pi-box",
    title: "Advanced Models",
    tooltip: "Advanced Models: memory, loaded components, models",
    type: "custom",
    render: (/** @type {HTMLElement} */ place) => place.replaceChildren(tab()),
  });
}

function tab() {
  const memory = el("section", { "aria-label": "Memory" });
  const loaded = el("section", { "aria-label": "Loaded components" });
  const models = el("section", { "aria-label": "Models" }, el("p", { class: "quiet" }, "Reading the registry …"));
  const page = root("div", { class: "sidebar" }, el("h3", {}, "Memory"), memory, el("h3", {}, "Loaded"), loaded, el("h3", {}, "Models"), models);
  let shown = "";
  const refresh = everyWhileVisible(page, EVERY_MS, async () => {
    const status = await ask("status");
    memory.replaceChildren(...(status.memory.card ? gauge("VRAM", status.memory.card) : []), ...gauge("RAM", status.memory.main));
    const state = JSON.stringify(status.store.map((/** @type {any} */ entry) => ({ ...entry, idle_seconds: minutes(entry.idle_seconds) })));
    if (state === shown) return; // rows that stay keep the keyboard's focus
    shown = state;
    loaded.replaceChildren(...entries(status.store, () => refresh()));
  });
  ask("models").then(
    (architectures) => models.replaceChildren(...architectures.map(architecture)),
    (/** @type {Error} */ error) => models.replaceChildren(el("p", { class: "state danger" }, error.message)),
  );
  return page;
}

/**
 * @param {string} name
 * @param {{ used_bytes: number, total_bytes: number }} memory
 */
function gauge(name, memory) {
  const text = `${name} ${gib(memory.used_bytes)} of ${gib(memory.total_bytes)}`;
  return [el("p", {}, text), el("meter", { min: 0, max: memory.total_bytes, value: memory.used_bytes, high: memory.total_bytes * 0.9, optimum: 0, "aria-label": text })];
}

/**
 * @param {any[]} store
 * @param {() => void} changed
 */
function entries(store, changed) {
  if (!store.length) return [el("p", { class: "quiet" }, "Nothing: a component is loaded when a node first computes with it.")];
  return store.map((entry) => {
    const note = el("span", { class: "quiet" }, entry.in_use ? "in use" : `unused for ${minutes(entry.idle_seconds)}`);
    const free = async () => {
      try {
        await ask("free", { id: entry.id });
        changed();
      } catch (error) {
        note.textContent = /** @type {Error} */ (error).message;
      }
    };
    const button = el("button", { type: "button", "aria-label": `Free the ${entry.component}`, disabled: entry.in_use, onclick: free }, "Free");
    return el("div", { class: "row" }, el("div", {}, el("div", {}, `${entry.component}, ${entry.precision}, ${gib(entry.bytes)}`), note), button);
  });
}

/** @param {number} seconds */
function minutes(seconds) {
  return seconds < 60 ? "less than a minute" : `${Math.round(seconds / 60)} min`;
}

/** @param {any} entry */
function architecture(entry) {
  return el("details", {}, el("summary", {}, `${entry.name} (${entry.models.length})`), ...entry.models.map(model));
}

/** @param {any} entry */
function model(entry) {
  const sizes = entry.download_bytes === null ? "no weights to download for this pack" : `download ${gb(entry.download_bytes)}, weights ${gib(entry.memory_bytes)} in bf16`;
  return el("details", { style: "margin-inline-start: 12px" }, el("summary", {}, entry.name), el("p", {}, sizes), ...terms(entry));
}
