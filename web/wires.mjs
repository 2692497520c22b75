// Why a wire was refused: the page takes no wire between types that differ, and says nothing; this says what was tried and what belongs there.
// @ts-check
import { app } from "../../scripts/app.js";
import { fits } from "./socket_types.mjs";
import { t } from "./words.mjs";

const SHOWN_MS = 10000;

/** What a wire of a type carries. */
const carried = () =>
  /** @type {Record<string, string>} */ ({
    FLUX_TRANSFORMER: t("a transformer of FLUX"),
    WAN_TRANSFORMER: t("a transformer of Wan"),
    QWEN_IMAGE_TRANSFORMER: t("a transformer of Qwen-Image"),
    FLUX_VAE: t("a VAE of FLUX"),
    WAN_VAE: t("a VAE of Wan"),
    QWEN_IMAGE_VAE: t("a VAE of Qwen-Image"),
    CLIP_L: t("the text encoder CLIP-L"),
    CLIP_G: t("the text encoder CLIP-G"),
    T5_XXL: t("the text encoder T5-XXL of FLUX"),
    UMT5_XXL: t("the text encoder UMT5-XXL of Wan"),
    MISTRAL_3: t("the text encoder Mistral 3 of FLUX.2"),
    QWEN_3: t("the text encoder Qwen3"),
    QWEN_VL: t("a Qwen-VL model"),
    CLIP_VISION_H: t("the image encoder CLIP ViT-H"),
    TOKENIZER: t("a tokenizer"),
    PROCESSOR: t("a processor of pictures"),
    SCHEDULER: t("a noise schedule"),
    LOAD_PLAN: t("a plan of the guard"),
    MODEL: t("a model of ComfyUI's own loaders"),
    CLIP: t("a text encoder of ComfyUI's own loaders"),
    VAE: t("a VAE of ComfyUI's own loaders"),
    IMAGE: t("pictures"),
    MASK: t("a mask"),
    LATENT: t("latents"),
    CONDITIONING: t("an encoded prompt"),
    VIDEO: t("a video"),
    AUDIO: t("sound"),
    STRING: t("text"),
  });

/** Say it whenever a wire of ours is let go on a slot that does not take it. */
export function explainRefusals() {
  const connector = app.canvas.linkConnector;
  let connected = false;
  connector.events.addEventListener("link-created", () => (connected = true));
  // The last event of a drag, in either renderer; the wires are still known while it is told.
  connector.events.addEventListener("reset", () => {
    const wire = connector.renderLinks[0];
    const refused = wire && !connected && slotBelowPointer(wire);
    connected = false;
    if (!refused) return;
    const [output, input] = wire.toType === "input" ? [{ node: wire.node, slot: wire.fromSlot }, refused] : [refused, { node: wire.node, slot: wire.fromSlot }];
    if (!fits(output.slot.type, input.slot.type) && [output, input].some(({ node }) => isOurs(node))) explain(output.slot, input);
  });
}

/**
 * The slot of another node at which the wire would end.
 * @param {any} wire
 * @returns {{ node: any, slot: any } | null}
 */
function slotBelowPointer(wire) {
  const { canvas } = app;
  const isInput = wire.toType === "input";
  const element = document.elementFromPoint(canvas.last_mouse[0], canvas.last_mouse[1]);
  // Where nodes are HTML, a slot's element has a key such as 12-in-0.
  const dot = element?.closest(".lg-slot, .lg-node-widget")?.querySelector("[data-slot-key]");
  const [, id, side, index] = /^(.*)-(in|out)-(\d+)$/.exec(/** @type {HTMLElement | null} */ (dot ?? null)?.dataset.slotKey ?? "") ?? [];
  let node, slot;
  if (id) {
    node = canvas.graph.nodes.find((/** @type {any} */ node) => String(node.id) === id);
    slot = isInput === (side === "in") ? node?.[isInput ? "inputs" : "outputs"][Number(index)] : null;
  } else if (element === canvas.canvas) {
    const [x, y] = canvas.graph_mouse;
    node = canvas.graph.getNodeOnPos(x, y);
    slot = isInput ? node?.getInputOnPos([x, y]) : node?.getOutputOnPos([x, y]);
  }
  return slot && node !== wire.node ? { node, slot } : null;
}

/** @param {any} node */
function isOurs(node) {
  return String(node.constructor.nodeData?.category).startsWith("Advanced Models");
}

/**
 * @param {any} output
 * @param {{ node: any, slot: any }} input
 */
function explain(output, { node, slot }) {
  const known = carried();
  const named = (/** @type {any} */ type) => String(type).split(",").map((one) => known[one] ?? one).join(` ${t("or")} `);
  const reason = t("{from} does not fit {to}: this wire carries {carried}, and {input} of {node} takes {wanted}.", {
    from: String(output.type).replaceAll(",", "/"),
    to: String(slot.type).replaceAll(",", "/"),
    carried: named(output.type),
    input: slot.name,
    node: node.title,
    wanted: named(slot.type),
  });
  app.extensionManager.toast.add({ severity: "warn", summary: t("This wire was refused"), detail: reason, life: SHOWN_MS });
}
