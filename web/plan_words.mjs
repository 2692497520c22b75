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
    ...verdict(report, fixed),
    ...(shown ? needs(shown) : []),
    ...(report.plan && report.verdict === "fits_with_plan" ? choices(report.plan) : []),
    ...(report.better ? [better(report.plan, report.better)] : []),
    ...(report.nearest ? [t("What would fit: {what}.", { what: nearest(report.nearest) })] : []),
    ...report.notes,
    ...report.unknown_files.map((/** @type {string} */ name) => t("not known: {name}", { name })),
  ];
}

/** @param {any} report @param {boolean} fixed @returns {string[]} */
function verdict({ verdict, as_it_is: own, plan, device_bytes, usable_bytes, usable_host_bytes }, fixed) {
  if (!own) return [t("No model of this graph is in the registry: nothing can be said.")];
  const sizes = { room: gib(device_bytes), peak: gib(own.peak_bytes) };
  if (verdict === "fits") return [t("Fits: {peak} at most, of {room}.", sizes)];
  if (verdict === "tight") return [t("Fits with little to spare: {peak} of {room}.", sizes)];
  const card = t("As it is it needs {peak} on the card, of whose {room} {usable} can be filled safely.", { ...sizes, usable: gib(usable_bytes) });
  const memory = { host: gib(own.host_bytes), usable: gib(usable_host_bytes) };
  const needed = own.host_bytes > usable_host_bytes ? [card, t("It needs {host} of main memory, of which {usable} can be used.", memory)] : [card];
  if (verdict === "does_not_fit" || !plan) return [t("Does not fit."), ...needed];
  const changed = { plan: gib(plan.peak_bytes) };
  return [...needed, fixed ? t("Changed to a plan that needs {plan}.", changed) : t("A plan needs {plan}.", changed)];
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
  return Object.entries(plan.choices).map(([name, choice]) => `${partName(name)}: ${choice.precision}, ${place(choice)}`);
}

/** Where a part is, and in which pieces it computes. @param {any} choice @returns {string} */
function place({ placement, tile, resident_blocks: count }) {
  const placements = /** @type {Record<string, string>} */ ({
    resident: t("stays on the card"),
    offload_model: t("on the card while it is used"),
    offload_group: t("streamed by blocks"),
    cpu: t("on the CPU"),
  });
  const staying = placement === "offload_group" && count > 0 && t("the first {count} stay", { count });
  const tiles = tile !== null && (tile ? t("in tiles of {size} pixels", { size: tile }) : t("in tiles"));
  return [placements[placement], staying, tiles].filter(Boolean).join(", ");
}

/** What would fit instead. @param {any} nearest @returns {string} */
function nearest({ model, width, height, frames, asked }) {
  const sizes = { size: `${width}x${height}`, asked: `${asked.width}x${asked.height}` };
  if (model) return t("{model} fits, at {size}", { model, ...sizes });
  if (sizes.size === sizes.asked) return t("{frames} frames instead of {asked}", { frames, asked: asked.frames });
  if (frames < asked.frames) return t("{size} and {frames} frames instead of {asked}", { frames, ...sizes });
  return t("{now} instead of {then}", { now: sizes.size, then: sizes.asked });
}

/** What more memory would buy. @param {any} plan @param {any} other @returns {string} */
function better(plan, other) {
  const more = [
    other.device_bytes_more && t("{size} more on the card", { size: gib(other.device_bytes_more) }),
    other.host_bytes_more && t("{size} more main memory", { size: gib(other.host_bytes_more) }),
  ].filter(Boolean);
  return t("Better, with {more}, {changes}.", { more: more.join(` ${t("and")} `), changes: changes(plan.choices, other.plan.choices) });
}

/**
 * What one plan does otherwise than another: what is held with less loss, else what is moved less; parts that change alike in one clause.
 * @param {Record<string, any>} before
 * @param {Record<string, any>} after
 */
function changes(before, after) {
  const names = Object.keys(before).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  const instead = (/** @type {string} */ now, /** @type {string} */ then) => t("{now} instead of {then}", { now, then });
  const held = names.flatMap((name) => {
    const [then, now] = [before[name], after[name]];
    if (then.tile !== null && now.tile === null) return [[name, t("in one piece instead of tiles")]];
    return then.precision === now.precision ? [] : [[name, instead(now.precision, then.precision)]];
  });
  /** @type {Map<string, string[]>} */
  const alike = new Map();
  for (const [name, clause] of held.length ? held : names.map((name) => [name, instead(place(after[name]), place(before[name]))])) {
    alike.set(clause, [...(alike.get(clause) ?? []), partName(name)]);
  }
  return [...alike].map(([clause, parts]) => `${parts.join(` ${t("and")} `)}: ${clause}`).join("; ");
}
