// A second clip over the first, shown up to a line that is moved: the left of one, the right of the other, the same frame of both.
// @ts-check
import { el } from "./dom.mjs";
import { isPicture, key, session, watchSession } from "./player_clip.mjs";
import { t } from "./words.mjs";

/** Frames that two playing clips may drift apart before the second is brought back. */
const DRIFT = 1;

export class Wipe {
  /** @param {import("./player_view.mjs").Player} player */
  constructor(player) {
    this.player = player;
    /** @type {import("./player_frames.mjs").Frames | null} */
    this.other = null;
    this.at = 0.5;
    this.chooser = /** @type {HTMLSelectElement} */ (el("select", { "aria-label": t("Compare with"), title: t("Compare with another clip of this session"), onchange: () => this._choose() }));
    this.place = el("div", { class: "other" });
    this.divider = el("div", { class: "divider", "aria-hidden": "true" });
    this.slider = /** @type {HTMLInputElement} */ (el("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": t("Place of the dividing line"), oninput: () => this.moveTo(Number(this.slider.value) / 100) }));
    this.labels = [el("span", { class: "label", style: "inset-inline-start: 2px" }), el("span", { class: "label", style: "inset-inline-end: 2px" })];
    this._stop = watchSession(() => this._offer());
    player.stage.addEventListener("pointerdown", (event) => this._drag(event));
    player.stage.addEventListener("pointermove", (event) => event.buttons & 1 && this._drag(event));
    this._offer();
  }

  _offer() {
    const others = session.filter((clip) => !isPicture(clip) && (!this.player.clip || key(clip) !== key(this.player.clip)));
    const chosen = this.chooser.value;
    this.chooser.replaceChildren(
      el("option", { value: "" }, t("Compare with …")),
      ...others.reverse().map((clip) => el("option", { value: key(clip), selected: key(clip) === chosen }, clip.filename)),
    );
    this.chooser.hidden = !this.player.frames || !others.length;
  }

  async _choose() {
    const clip = session.find((clip) => key(clip) === this.chooser.value);
    const { player } = this;
    if (!clip || !player.clip || !player.frames) return this.close();
    await player.pause();
    player.stage.append(this.place, this.divider, ...this.labels);
    player.parts.seek.after(this.slider);
    this.labels[0].textContent = player.clip.filename;
    this.labels[1].textContent = clip.filename;
    this.moveTo(this.at);
    this.other = await player.open(clip, this.place, () => {});
    if (this.other) this.other.loops = false;
    this.follow(player.frames.frame);
  }

  /** @param {PointerEvent} event */
  _drag(event) {
    if (!this.other) return;
    const box = this.player.stage.getBoundingClientRect();
    this.moveTo((event.clientX - box.left) / box.width);
  }

  /** @param {number} at from 0, all of the other clip, to 1, nothing of it */
  moveTo(at) {
    this.at = Math.min(Math.max(at, 0), 1);
    this.place.style.clipPath = `inset(0 0 0 ${this.at * 100}%)`;
    this.divider.style.insetInlineStart = `${this.at * 100}%`;
    this.slider.value = String(Math.round(this.at * 100));
  }

  /** Show the same frame as the player, or the last one there is. @param {number} frame */
  follow(frame) {
    const { other, player } = this;
    if (!other || !player.frames) return;
    const wanted = Math.min(frame, other.count - 1);
    const playing = player.frames.direction > 0 && wanted === frame;
    if (playing && !other.direction) {
      other.setSpeed(player.frames.speed);
      other.play();
    } else if (playing) {
      other.setSpeed(player.frames.speed);
      if (Math.abs(other.frame - wanted) > DRIFT) other.seek(wanted);
    } else {
      other.direction = 0;
      other.video.pause();
      other.seek(wanted);
    }
  }

  close() {
    this.other?.video.pause();
    this.other = null;
    for (const part of [this.place, this.divider, this.slider, ...this.labels]) part.remove();
    this.chooser.value = "";
    this._offer();
  }

  destroy() {
    this.close();
    this._stop();
  }
}
