// Why a wire is refused: the page takes no wire between types that differ, and says nothing; this says what was tried and what belongs there.
// @ts-check
import { app } from "../../scripts/app.js";
import { root } from "./dom.mjs";
import { fits } from "./socket_types.mjs";
import { t } from "./words.mjs";

const SHOWN_MS = 10000;
const BESIDE = 16; // pixels between the pointer and what is said

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

/** Say it beside the pointer while a wire of ours is over a slot that does not take it, and once more for reading when it is let go there. */
export function explainRefusals() {
  const connector = app.canvas.linkConnector;
  const tip = root("div", { class: "wire-tip", role: "tooltip", popover: "manual" });
  app.canvas.canvas.parentElement.append(tip);
  let reason = "";
  let connected = false;
  // Before the page's own listeners: where nodes are HTML, they let nobody else hear of it while a wire is dragged.
  window.addEventListener("pointermove", ({ clientX, clientY }) => {
    if (connector.isConnecting) showBeside(tip, (reason = refusal(connector.renderLinks[0], clientX, clientY)), clientX, clientY);
  }, { capture: true });
  connector.events.addEventListener("link-created", () => (connected = true));
  // The last event of a drag, in either renderer.
  connector.events.addEventListener("reset", () => {
    if (reason && !connected) app.extensionManager.toast.add({ severity: "warn", summary: t("This wire was refused"), detail: reason, life: SHOWN_MS });
    showBeside(tip, (reason = ""), 0, 0);
    connected = false;
  });
}

/**
 * @param {HTMLElement} tip
 * @param {string} text none hides it
 * @param {number} x
 * @param {number} y
 */
function showBeside(tip, text, x, y) {
  tip.textContent = text;
  tip.togglePopover(text !== "");
  tip.style.left = `${Math.min(x + BESIDE, window.innerWidth - tip.offsetWidth)}px`;
  tip.style.top = `${Math.min(y + BESIDE, window.innerHeight - tip.offsetHeight)}px`;
}

/**
 * Why the slot at a place of the window does not take a wire; empty where it does, where there is none, and between nodes of others.
 * @param {any} wire
 * @param {number} x
 * @param {number} y
 * @returns {string}
 */
function refusal(wire, x, y) {
  const start = wire && { node: wire.node, slot: wire.fromSlot };
  const end = wire && slotAt(wire, x, y);
  if (!end) return "";
  const [output, input] = wire.toType === "input" ? [start, end] : [end, start];
  const refused = !fits(output.slot.type, input.slot.type) && [output, input].some(({ node }) => isOurs(node));
  return refused ? reasonFor(output.slot, input) : "";
}

/**
 * The slot of another node at which the wire would end.
 * @param {any} wire
 * @param {number} clientX
 * @param {number} clientY
 * @returns {{ node: any, slot: any } | null}
 */
function slotAt(wire, clientX, clientY) {
  const { canvas } = app;
  const isInput = wire.toType === "input";
  const element = document.elementFromPoint(clientX, clientY);
  // Where nodes are HTML, a slot's element has a key such as 12-in-0.
  const dot = element?.closest(".lg-slot, .lg-node-widget")?.querySelector("[data-slot-key]");
  const [, id, side, index] = /^(.*)-(in|out)-(\d+)$/.exec(/** @type {HTMLElement | null} */ (dot ?? null)?.dataset.slotKey ?? "") ?? [];
  let node, slot;
  if (id) {
    node = canvas.graph.nodes.find((/** @type {any} */ node) => String(node.id) === id);
    slot = isInput === (side === "in") ? node?.[isInput ? "inputs" : "outputs"][Number(index)] : null;
  } else if (element === canvas.canvas) {
    const [x, y] = canvas.convertEventToCanvasOffset({ clientX, clientY });
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
function reasonFor(output, { node, slot }) {
  const known = carried();
  const named = (/** @type {any} */ type) => String(type).split(",").map((one) => known[one] ?? one).join(` ${t("or")} `);
  return t("{from} does not fit {to}: this wire carries {carried}, and {input} of {node} takes {wanted}.", {
    from: String(output.type).replaceAll(",", "/"),
    to: String(slot.type).replaceAll(",", "/"),
    carried: named(output.type),
    input: slot.name,
    node: node.title,
    wanted: named(slot.type),
  });
}
