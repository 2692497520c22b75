// The clips of an edit list as blocks, as wide as they are long: choose, move, trim at either end, by pointer or keyboard.
// @ts-check
import { el } from "./dom.mjs";
import { lengthOf } from "./timeline_edits.mjs";
import { t } from "./words.mjs";

/** @typedef {import("./timeline_edits.mjs").Edit} Edit */

/**
 * @typedef {object} Actions what the owner does
 * @property {import("./timeline_edits.mjs").Known} known
 * @property {(index: number) => void} select
 * @property {(from: number, to: number) => void} move
 * @property {(index: number, fields: { in?: number, out?: number }) => void} trim
 * @property {(index: number, frame: number) => void} look show a frame of the clip's file while it is being trimmed
 * @property {(index: number, frame: number) => Promise<string>} poster
 */

const TRIM_KEYS = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1 });

export class TimelineView {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    this.element = el("div", { class: "blocks", role: "listbox", "aria-label": t("Clips of the timeline"), "aria-orientation": "horizontal" });
  }

  /**
   * @param {Edit} edit
   * @param {number} selected
   */
  show(edit, selected) {
    const focused = this.element.contains(document.activeElement);
    this.edit = edit;
    this.element.replaceChildren(...edit.clips.map((_, index) => this._block(index, index === selected)));
    if (focused) /** @type {HTMLElement | null} */ (this.element.children[selected])?.focus();
  }

  /** @param {number} index @param {boolean} selected */
  _block(index, selected) {
    const edit = /** @type {Edit} */ (this.edit);
    const part = edit.clips[index];
    const length = lengthOf(part, edit, this.actions.known);
    const marks = [part.speed !== 1 && `${part.speed}×`, part.fade && t("fade {frames}", { frames: part.fade })].filter(Boolean).join(", ");
    const frames = t("{file}, frames {first} to {last}", { file: part.file.filename, first: part.in, last: part.out - 1 });
    const words = frames + (marks && `, ${marks}`);
    const caption = el("span", { class: "caption" }, `${length}${marks && ` · ${marks}`}`);
    const block = el(
      "div",
      { class: "block", role: "option", tabindex: selected ? "0" : "-1", "aria-selected": String(selected), "aria-label": words, title: words, style: `flex-grow: ${length}` },
      this._handle(index, "in"),
      caption,
      this._handle(index, "out"),
    );
    if (part.fade) block.prepend(el("i", { class: "fade", style: `width: ${(part.fade / length) * 100}%`, "aria-hidden": "true" }));
    this.actions.poster(index, part.in).then((picture) => picture && (block.style.backgroundImage = `url("${picture}")`));
    block.addEventListener("focus", () => selected || this.actions.select(index));
    block.addEventListener("pointerdown", (event) => this._grab(event, index));
    block.addEventListener("keydown", (event) => this._key(event, index));
    return block;
  }

  /** @param {KeyboardEvent} event @param {number} index */
  _key(event, index) {
    const by = TRIM_KEYS[event.key];
    const { clips } = /** @type {Edit} */ (this.edit);
    if (!by || event.shiftKey || event.ctrlKey) return;
    const to = Math.min(Math.max(index + by, 0), clips.length - 1);
    event.preventDefault();
    event.stopPropagation();
    if (event.altKey) this.actions.move(index, to);
    else this.actions.select(to);
  }

  /**
   * Move a block with the pointer to where it is let go.
   * @param {PointerEvent} event
   * @param {number} from
   */
  _grab(event, from) {
    if (event.button) return;
    event.preventDefault();
    event.stopPropagation();
    const blocks = /** @type {HTMLElement[]} */ ([...this.element.children]);
    const block = blocks[from];
    const middles = blocks.map((other) => other.getBoundingClientRect()).map((box) => box.left + box.width / 2);
    let to = from;
    drag(event, (moved) => {
      block.style.transform = `translateX(${moved}px)`;
      block.classList.toggle("moving", Math.abs(moved) > 4);
      const middle = middles[from] + moved;
      to = middles.filter((other, index) => index !== from && other < middle).length;
    }).then(() => {
      if (to === from) this.actions.select(from);
      else this.actions.move(from, to);
      /** @type {HTMLElement | null} */ (this.element.children[to])?.focus();
    });
  }

  /**
   * The grip at one end of a block.
   * @param {number} index
   * @param {"in" | "out"} end
   */
  _handle(index, end) {
    const label = end === "in" ? t("First frame") : t("Last frame");
    const handle = el("span", { class: `handle ${end}`, title: label, "aria-hidden": "true" });
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      const part = /** @type {Edit} */ (this.edit).clips[index];
      const perPixel = (part.out - part.in) / /** @type {HTMLElement} */ (handle.parentElement).offsetWidth;
      const most = this.actions.known(part.file)?.frame_count ?? part.out;
      let frame = part[end];
      drag(event, (moved) => {
        const [low, high] = end === "in" ? [0, part.out - 1] : [part.in + 1, most];
        frame = Math.min(Math.max(part[end] + Math.round(moved * perPixel), low), high);
        this.actions.look(index, end === "in" ? frame : frame - 1);
      }).then(() => this.actions.trim(index, { [end]: frame }));
    });
    return handle;
  }
}

/**
 * Follow the pointer until it is let go.
 * @param {PointerEvent} event
 * @param {(pixels: number) => void} moved by how much, to the right, since the beginning
 * @returns {Promise<void>}
 */
function drag(event, moved) {
  const target = /** @type {HTMLElement} */ (event.currentTarget);
  target.setPointerCapture(event.pointerId);
  return new Promise((done) => {
    const move = (/** @type {PointerEvent} */ now) => moved(now.clientX - event.clientX);
    target.addEventListener("pointermove", move);
    target.addEventListener(
      "lostpointercapture",
      () => {
        target.removeEventListener("pointermove", move);
        done();
      },
      { once: true },
    );
  });
}
