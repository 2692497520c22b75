// The timeline with its tools: it reads the edit list out of a VideoTimeline node, and writes every change back into it.
// @ts-check
import { el } from "./dom.mjs";
import { describe, key } from "./player_clip.mjs";
import { iconButton } from "./player_controls.mjs";
import { Player } from "./player_view.mjs";
import * as edits from "./timeline_edits.mjs";
import { addTimelineNode, nodeKey, setText, textOf, timelineNodes } from "./timeline_node.mjs";
import { makeInspector } from "./timeline_inspector.mjs";
import { TimelineView } from "./timeline_view.mjs";
import { poster } from "./video_tab_poster.mjs";
import { decimal, t } from "./words.mjs";

/** @typedef {import("./player_clip.mjs").Clip} Clip */
/** @typedef {import("./timeline_edits.mjs").File} File */

export class TimelineEditor {
  constructor() {
    /** @type {any} the node that is written into */
    this.node = null;
    /** Whose history it is. */
    this.key = "";
    this.history = new edits.History("");
    /** @type {edits.Edit} */
    this.edit = { clips: [] };
    this.selected = -1;
    /** @type {Map<string, Clip>} */
    this.facts = new Map();
    /** @type {edits.Known} */
    this.known = (file) => this.facts.get(key(file));
    this.player = new Player();
    this.view = new TimelineView({
      known: this.known,
      select: (index) => this.select(index),
      move: (from, to) => this.commit(edits.move(this.edit, from, to), to),
      trim: (index, fields) => this.change(index, fields),
      look: (_, frame) => this.player.frames?.seek(frame),
      poster: async (index, frame) => {
        const clip = this.facts.get(key(this.edit.clips[index].file));
        return clip ? poster(clip, frame) : "";
      },
    });
    this.nodes = /** @type {HTMLSelectElement} */ (el("select", { "aria-label": t("Timeline node"), onchange: () => this.follow(Number(this.nodes.value)) }));
    this.undoButton = iconButton("undo", t("Undo"), () => this.history.undo() && this._restore());
    this.redoButton = iconButton("undo flipped", t("Redo"), () => this.history.redo() && this._restore());
    this.summary = el("p", { class: "quiet", role: "status" });
    this.problem = el("p", { class: "state danger", role: "alert", hidden: true });
    this.inspector = makeInspector(this);
    const newNode = el("button", { type: "button", title: t("Add a Video Timeline node to the graph"), onclick: () => this.follow(addTimelineNode().id) }, t("New node"));
    this.element = el(
      "div",
      { class: "timeline" },
      el("div", { class: "row" }, this.nodes, newNode, this.undoButton, this.redoButton),
      this.problem,
      this.view.element,
      this.summary,
      this.inspector.element,
      this.player.element,
    );
    // On their way down, before the player takes them; what reaches this place again goes no further: the graph has such keys as well.
    this.element.addEventListener("keydown", (event) => this._key(event), true);
    this.element.addEventListener("keydown", (event) => event.stopPropagation());
    this.follow();
  }

  /**
   * Take over what the graph holds: another node, another graph, or a list that was changed elsewhere.
   * @param {any} [id] the node to write into from now on
   */
  async follow(id = this.node?.id) {
    const nodes = timelineNodes();
    const node = nodes.find((other) => String(other.id) === String(id)) ?? nodes[0] ?? null;
    const ids = nodes.map((other) => other.id).join();
    if (this.nodes.dataset.ids !== ids || node !== this.node) {
      this.nodes.dataset.ids = ids;
      const options = nodes.map((other) => el("option", { value: other.id, selected: other === node }, `${other.title} #${other.id}`));
      this.nodes.replaceChildren(...(options.length ? options : [el("option", {}, t("no timeline node yet"))]));
    }
    const text = node ? textOf(node) : "";
    this.node = node;
    if (this.key === nodeKey(node) && text === this.history.now) return;
    if (this.key === nodeKey(node)) this.history.note(text);
    else this.history = new edits.History(text);
    this.key = nodeKey(node);
    await this._take();
  }

  /** Show the list that the history stands at. */
  async _take() {
    this.problem.hidden = true;
    try {
      this.edit = edits.read(this.history.now);
      for (const { file } of this.edit.clips) if (!this.known(file)) this.facts.set(key(file), await describe(file));
    } catch (error) {
      this.problem.textContent = /** @type {Error} */ (error).message;
      this.problem.hidden = false;
    }
    this.select(Math.min(this.selected, this.edit.clips.length - 1));
  }

  async _restore() {
    setText(this.node, this.history.now);
    await this._take();
  }

  /**
   * Write a changed list into the node.
   * @param {edits.Edit} edit
   * @param {number} [selected]
   */
  commit(edit, selected = this.selected) {
    if (!this.node) {
      this.node = addTimelineNode();
      this.key = nodeKey(this.node);
      this.history = new edits.History(textOf(this.node));
    }
    this.edit = edits.settled(edit, this.known);
    this.history.note(edits.write(this.edit));
    setText(this.node, this.history.now);
    this.select(Math.min(selected, this.edit.clips.length - 1));
  }

  /**
   * A clip at the end of the timeline.
   * @param {File} file
   * @param {Clip} facts
   */
  add({ filename, subfolder, type }, facts) {
    const file = { filename, subfolder, type };
    this.facts.set(key(file), facts);
    this.commit(edits.add(this.edit, file, facts), this.edit.clips.length);
  }

  /** @param {number} index @param {Partial<edits.Part>} fields */
  change(index, fields) {
    this.commit(edits.change(this.edit, index, fields, this.known), index);
  }

  split() {
    const frame = this.player.frames?.frame ?? 0;
    if (this.selected >= 0) this.commit(edits.split(this.edit, this.selected, frame), this.selected);
  }

  remove() {
    if (this.selected >= 0) this.commit(edits.remove(this.edit, this.selected));
  }

  /** @param {number} index -1 for none */
  select(index) {
    this.selected = index;
    this.view.show(this.edit, index);
    const part = this.edit.clips[index];
    const frames = edits.total(this.edit, this.known);
    const rate = edits.rateOf(this.edit, this.known);
    this.summary.textContent = frames
      ? t("{clips} clips, {frames} frames, {seconds} s", { clips: this.edit.clips.length, frames, seconds: rate ? decimal(frames / rate) : "?" })
      : t("Add clips from above; they become the edit list of a Video Timeline node.");
    this.undoButton.toggleAttribute("disabled", !this.history.before.length);
    this.redoButton.toggleAttribute("disabled", !this.history.after.length);
    this.inspector.show(part);
    this.player.element.hidden = !part;
    if (part) this._watch(part);
    else this.player.pause();
  }

  /** Show a clip's file in the player, from its first frame on, looped within its frames. @param {edits.Part} part */
  async _watch(part) {
    const clip = this.facts.get(key(part.file));
    if (!clip) return;
    if (!this.player.clip || key(this.player.clip) !== key(clip)) await this.player.show(clip);
    const { frames } = this.player;
    if (!frames || part !== this.edit.clips[this.selected]) return;
    this.player.setRange(part.in, part.out - 1);
    if (frames.frame < part.in || frames.frame >= part.out) await frames.seek(part.in);
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.matches("input, select")) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return; // undo and redo are the page's own
    if (event.key === "s") this.split();
    else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
