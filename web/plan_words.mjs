// The guard's answer in words, in the language of the page: in English the same lines as the node's report.
// @ts-check
import { gib, gibNumber, words } from "./dom.mjs";
import { t } from "./words.mjs";

/** A stage by its name. @param {string} name */
export function stageName(name) {
  return /** @type {Record<string, string>} */ ({ encode: t("encode"), denoise: t("denoise"), decode: t("decode") })[name] ?? words(name);
}

/** A part by its name: `text_encoder_2` is the second text encoder. @param {string} name */
export function partName(name) {
  const role = name.replace(/_\d+$/, "");
  const known = /** @type {Record<string, string>} */ ({
    transformer: t("transformer"),
    text_encoder: t("text encoder"),
    image_encoder: t("image encoder"),
    vae: t("vae"),
  });
  return (known[role] ?? words(role)) + words(name.slice(role.length));
}

/**
 * One line a fact.
 * @param {any} report as the server's `preflight` gives it
 * @param {boolean} fixed whether the plan is applied
 * @returns {string[]}
 */
export function reportLines(report, fixed) {
  const shown = report.verdict === "does_not_fit" ? report.as_it_is : report.plan;
  return [
    verdict(report, fixed),
    ...(shown ? needs(shown) : []),
    ...(report.plan && report.verdict === "fits_with_plan" ? choices(report.plan) : []),
    ...(report.nearest ? [t("What would fit: {what}.", { what: report.nearest })] : []),
    ...report.notes,
    ...report.unknown_files.map((/** @type {string} */ name) => t("not known: {name}", { name })),
  ];
}

/** @param {any} report @param {boolean} fixed @returns {string} */
function verdict({ verdict, as_it_is: own, plan, device_bytes, usable_host_bytes: usable }, fixed) {
  const sizes = { room: gib(device_bytes), peak: own ? gib(own.peak_bytes) : "?", plan: plan ? gib(plan.peak_bytes) : "?" };
  if (verdict === "unknown") return t("No model of this graph is in the registry: nothing can be said.");
  if (verdict === "fits") return t("Fits: {peak} at most, of {room}.", sizes);
  if (verdict === "tight") return t("Fits with little to spare: {peak} of {room}.", sizes);
  if (verdict === "fits_with_plan" && fixed) return t("As it is it needs {peak} of {room}; changed to a plan that needs {plan}.", sizes);
  if (verdict === "fits_with_plan") return t("As it is it needs {peak} of {room}; but a plan needs {plan}.", sizes);
  if (own && own.host_bytes > usable) {
    const memory = { ...sizes, host: gib(own.host_bytes), usable: gibNumber(usable) };
    return t("Does not fit: it needs {peak} of {room}, and {host} of main memory, of which {usable} can be used.", memory);
  }
  return t("Does not fit: it needs {peak} of {room}.", sizes);
}

/** @param {any} plan @returns {string[]} */
function needs(plan) {
  const stages = plan.stages.map((/** @type {any} */ need) =>
    t("{stage} ({part}): {device}, of it weights {weights}, activations {activations}", {
      stage: stageName(need.stage),
      part: partName(need.part),
      device: gib(need.device),
      weights: gibNumber(need.weights),
      activations: gibNumber(need.activations),
    }),
  );
  return [...stages, t("main memory: {size} of weights", { size: gib(plan.host_bytes) })];
}

/** @param {any} plan @returns {string[]} */
function choices(plan) {
  const placements = /** @type {Record<string, string>} */ ({
    resident: t("stays on the card"),
    offload_model: t("on the card while it is used"),
    offload_group: t("streamed by blocks"),
    cpu: t("on the CPU"),
  });
  return Object.entries(plan.choices).map(([name, choice]) => {
    const { precision, placement, tile, resident_blocks: count } = choice;
    const staying = placement === "offload_group" && count > 0 && t("the first {count} stay", { count });
    const tiles = tile !== null && (tile ? t("in tiles of {size} pixels", { size: tile }) : t("in tiles"));
    return `${partName(name)}: ${[precision, placements[placement], staying, tiles].filter(Boolean).join(", ")}`;
  });
}
