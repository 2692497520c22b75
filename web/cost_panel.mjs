// What a loader is about to cost, on the loader: download, memory, terms and warnings, before anything runs.
// @ts-check
import { ask } from "./api.mjs";
import { displayWidget, el, gb, gib, root } from "./dom.mjs";
import { partName } from "./plan_words.mjs";
import { t, told } from "./words.mjs";

const HEIGHT = 120;
const WIDTH = 300;
const commercial = () =>
  /** @type {Record<string, string>} */ ({
    yes: t("commercial use allowed"),
    no: t("no commercial use"),
    conditional: t("commercial use under conditions"),
  });

/**
 * Put the panel on a loader, and keep it up to date with the loader's choices.
 * @param {any} node
 */
export function showCost(node) {
  const panel = root("div", { class: "panel", role: "status", "aria-label": t("What this loader costs"), tabindex: "0" });
  const names = Object.keys({ ...node.constructor.nodeData.input.required, ...node.constructor.nodeData.input.optional });
  const choices = node.widgets.filter((/** @type {any} */ widget) => names.includes(widget.name));
  displayWidget(node, "cost", panel, HEIGHT);
  const [width, height] = node.computeSize();
  node.setSize([Math.max(width, WIDTH, node.size[0]), Math.max(height, node.size[1])]);
  let asked = "";

  const refresh = async () => {
    const inputs = Object.fromEntries(choices.map((/** @type {any} */ widget) => [widget.name, widget.value]));
    const question = JSON.stringify(inputs);
    if (question === asked) return;
    asked = question;
    let shown;
    try {
      shown = describe(await ask("cost", { node: node.comfyClass, inputs }));
    } catch (error) {
      shown = [el("p", { class: "state danger" }, /** @type {Error} */ (error).message)];
    }
    if (question === asked) panel.replaceChildren(...shown); // else a newer question is on its way
  };
  for (const widget of choices) {
    const callback = widget.callback;
    widget.callback = function (/** @type {any[]} */ ...values) {
      const result = callback?.apply(this, values);
      queueMicrotask(refresh); // after the widget has its new value, in either renderer
      return result;
    };
  }
  node.refreshCost = refresh;
  setTimeout(refresh); // a graph that is being opened sets its values first
}

/**
 * The answer of the server as elements.
 * @param {any} cost
 */
function describe(cost) {
  const missing = cost.download_bytes - cost.here_bytes;
  const here = missing <= 0 ? t("all of it is here") : cost.here_bytes ? t("{size} of it is here", { size: gb(cost.here_bytes) }) : t("nothing of it is here");
  const parts = cost.components
    .filter((/** @type {any} */ part) => part.memory_bytes)
    .map((/** @type {any} */ part) => `${partName(part.role)} ${gib(part.memory_bytes)} ${part.precision}${part.here ? `, ${t("here")}` : ""}`);
  return [
    el("p", { class: `state ${missing > 0 ? "caution" : "good"}` }, t("Download {size}: {here}", { size: gb(cost.download_bytes), here })),
    el("p", {}, t("Memory of the weights {size}", { size: gib(cost.memory_bytes) })),
    ...cost.models.flatMap(terms),
    el("p", { class: "quiet" }, parts.join(" · ")),
  ];
}

/**
 * Marks, licence and warnings of a model.
 * @param {any} model
 */
export function terms(model) {
  const marks = [
    model.gated === "yes" && el("span", { class: "mark", title: t("Needs an account that has accepted the terms") }, el("i", { class: "pi pi-lock", "aria-hidden": "true" }), ` ${t("gated")}`),
    model.advanced && el("span", { class: "mark" }, t("advanced")),
    model.experimental && el("span", { class: "mark" }, t("experimental")),
  ].filter(Boolean);
  return [
    el("p", { class: `state ${model.licence.commercial === "yes" ? "good" : "caution"}` }, `${model.licence.name}: ${commercial()[model.licence.commercial]}`),
    marks.length ? el("p", {}, .../** @type {any[]} */ (marks)) : null,
    ...model.warnings.map((/** @type {any} */ warning) => el("p", { class: `state ${warning.level}` }, told(warning))),
  ].filter((child) => child !== null);
}
