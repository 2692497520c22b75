// VRAMGuard's answer, drawn: the tightest stage against what is free, the plan in words. It follows the graph while it is edited.
// @ts-check
import { app } from "../../scripts/app.js";
import { ask, listen } from "./api.mjs";
import { displayWidget, el, gib, root } from "./dom.mjs";
import { partName, reportLines, stageName } from "./plan_words.mjs";
import { t } from "./words.mjs";

const HEIGHT = 130;
const QUIET_MS = 600;
/** Verdict -> how it is marked, and what it is called. */
const verdicts = () =>
  /** @type {Record<string, string[]>} */ ({
    fits: ["good", t("Fits")],
    tight: ["caution", t("Fits with little to spare")],
    fits_with_plan: ["caution", t("Fits with a plan")],
    does_not_fit: ["danger", t("Does not fit")],
    unknown: ["", t("Not known")],
  });
const WEIGHTS = ["#4f7fd9", "#7a5fd0", "#3f9fb5", "#5b6fa8", "#8a8fd6"];
const OTHERS = { activations: "#d98a3d", reserve: "#8a8a8a" };

/** @type {Set<any>} guards that are in the graph */
const guards = new Set();
let watching = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Put the bar on a guard.
 * @param {any} node
 */
export function showVerdict(node) {
  const answer = el("div", {}, t("Reading the graph …"));
  const measured = el("p", { class: "quiet" });
  const panel = root("div", { class: "panel", role: "status", "aria-label": t("Whether the graph fits"), tabindex: "0" }, answer, measured);
  displayWidget(node, "verdict", panel, HEIGHT);
  const [width, height] = node.computeSize();
  node.setSize([Math.max(width, node.size[0]), Math.max(height, node.size[1])]);
  const guard = { node, answer, measured, asked: "", predicted: 0 };
  guards.add(guard);
  const removed = node.onRemoved;
  node.onRemoved = function () {
    guards.delete(guard);
    return removed?.apply(this);
  };
  if (!watching) watch();
  soon();
}

/** Ask anew whenever the graph has changed and then rested; nothing happens while it rests. */
function watch() {
  watching = true;
  listen("graphChanged", soon);
  listen("execution_start", () => guards.size && ask("peak", {}).catch(complain));
  listen("execution_success", async () => {
    if (!guards.size) return;
    try {
      const { peak_bytes: peak } = await ask("peak");
      for (const guard of guards) {
        const predicted = gib(guard.predicted);
        guard.measured.textContent =
          peak === null
            ? t("Last run: predicted {predicted}, not measured: models compute in main memory here.", { predicted })
            : t("Last run: predicted {predicted}, measured {measured}.", { predicted, measured: gib(peak) });
      }
    } catch (error) {
      complain(/** @type {Error} */ (error));
    }
  });
}

function soon() {
  clearTimeout(timer);
  if (guards.size) timer = setTimeout(refresh, QUIET_MS);
}

/** @param {Error} error */
function complain(error) {
  for (const guard of guards) guard.measured.textContent = error.message;
}

async function refresh() {
  const { output: prompt } = await app.graphToPrompt();
  for (const guard of guards) {
    const value = (/** @type {string} */ name) => guard.node.widgets.find((/** @type {any} */ widget) => widget.name === name)?.value;
    const question = JSON.stringify({ prompt, cards: false, quantise: value("quantise"), ...(value("budget") > 0 && { vram: value("budget") }) });
    if (question === guard.asked) continue;
    guard.asked = question;
    try {
      const report = await ask("preflight", JSON.parse(question));
      if (question !== guard.asked) continue; // a newer question is on its way
      guard.predicted = report.stage?.bytes ?? 0;
      guard.answer.replaceChildren(...describe(report, value("mode")));
    } catch (error) {
      guard.answer.replaceChildren(el("p", { class: "state danger" }, /** @type {Error} */ (error).message));
    }
  }
}

/**
 * The server's answer as elements.
 * @param {any} report
 * @param {string} mode
 */
function describe(report, mode) {
  const [state, verdict] = verdicts()[report.verdict];
  const size = gib(report.device_bytes);
  const where = report.on_card ? t("{size} on the card", { size }) : t("{size} of main memory: there is no card here", { size });
  const applied = report.verdict === "fits_with_plan" && mode !== "fix" ? ` (${t("not applied: the mode is {mode}", { mode })})` : "";
  const lines = reportLines(report, mode === "fix").map((line) => el("p", { class: "quiet" }, line));
  return [
    el("p", { class: `state ${state}` }, el("strong", {}, verdict + applied), ` · ${where}`),
    ...(report.stage ? bar(report.stage, report.device_bytes) : []),
    ...lines,
  ];
}

/**
 * The stacked bar with its legend. The line marks what is free.
 * @param {any} stage
 * @param {number} free
 */
function bar(stage, free) {
  const scale = Math.max(stage.bytes, free) * 1.05;
  let weights = 0;
  const segments = stage.segments
    .filter((/** @type {any} */ segment) => segment.bytes > 0)
    .map((/** @type {any} */ segment) => ({
      size: segment.bytes,
      label: segment.part ? partName(segment.part) : segment.kind === "activations" ? t("activations and workspace") : t("reserve"),
      colour: /** @type {Record<string, string>} */ (OTHERS)[segment.kind] ?? WEIGHTS[weights++ % WEIGHTS.length],
    }));
  const spoken = segments.map((/** @type {any} */ segment) => `${segment.label} ${gib(segment.size)}`).join(", ");
  return [
    el("p", {}, t("Tightest: {stage} ({part}), {needed} of {free}", { stage: stageName(stage.stage), part: partName(stage.part), needed: gib(stage.bytes), free: gib(free) })),
    el(
      "div",
      { class: "bar", role: "img", "aria-label": spoken },
      ...segments.map((/** @type {any} */ segment) =>
        el("span", { style: `width:${(segment.size / scale) * 100}%;background:${segment.colour}`, title: `${segment.label} ${gib(segment.size)}` }),
      ),
      el("span", { class: "limit", style: `inset-inline-start:${(free / scale) * 100}%`, title: t("free {size}", { size: gib(free) }) }),
    ),
    el(
      "p",
      { class: "legend", "aria-hidden": "true" },
      ...segments.map((/** @type {any} */ segment) =>
        el("span", {}, el("i", { class: "key", style: `background:${segment.colour}` }), `${segment.label} ${gib(segment.size)}`),
      ),
    ),
  ];
}
