// The player itself: one clip with its controls, in any place of the page. It knows nothing of nodes.
// @ts-check
import { el, root } from "./dom.mjs";
import { address, hasFrames, isPicture, keep, note, proxyOf } from "./player_clip.mjs";
import { makeControls, SPEEDS } from "./player_controls.mjs";
import { Frames } from "./player_frames.mjs";
import { onKeys } from "./player_keys.mjs";
import { STYLES } from "./player_styles.mjs";
import { addStyles } from "./styles.mjs";
import { Wipe } from "./player_wipe.mjs";
import { t } from "./words.mjs";

/** @typedef {import("./player_clip.mjs").Clip} Clip */

const NOT_SUPPORTED = 4; // MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED

export class Player {
  constructor() {
    addStyles(STYLES);
    /** @type {Frames | null} */
    this.frames = null;
    /** @type {Clip | null} */
    this.clip = null;
    this.muted = true;
    this.stage = el("div", { class: "stage" });
    this.message = el("p", { class: "quiet", role: "status", "aria-label": t("What the player says") }, t("Run the graph to see its video here."));
    this.parts = makeControls(this);
    this.element = root(
      "div",
      { class: "panel player", role: "group", "aria-label": t("Video player"), tabindex: "0", "data-capture-wheel": "true" },
      this.stage,
      this.parts.seek,
      this.parts.buttons,
      this.message,
    );
    this.wipe = new Wipe(this);
    this.parts.buttons.append(this.wipe.chooser);
    onKeys(this);
    this.stage.addEventListener("click", () => this.element.focus());
    this._seen = new IntersectionObserver(([entry]) => entry.isIntersecting || this.pause());
    this._seen.observe(this.stage);
    this._onHidden = () => document.hidden && this.pause();
    document.addEventListener("visibilitychange", this._onHidden);
    this._enable();
  }

  /**
   * Show a clip, at rest on its first frame.
   * @param {Clip} clip
   */
  async show(clip) {
    this.clip = clip;
    this.message.textContent = (clip.notes ?? []).join(" ");
    this.parts.download.setAttribute("href", address(clip));
    this.parts.download.setAttribute("download", clip.filename);
    this.parts.keep.hidden = clip.type !== "temp" || isPicture(clip);
    this.stage.classList.toggle("see-through", clip.has_alpha ?? false);
    this.wipe.close();
    if (isPicture(clip)) {
      this.frames = null;
      this.stage.replaceChildren(el("img", { src: address(clip), alt: clip.filename, draggable: "false" }));
      this._enable();
      return;
    }
    await this.byFrames();
  }

  /** Show the clip by its frames, at rest on the first; of an animated picture, which the page plays but cannot step, those of a copy. */
  async byFrames() {
    const { clip } = this;
    if (!clip) return;
    this.parts.byFrames.hidden = true; // one copy is enough
    const frames = await this.open(clip, this.stage, (frame) => this._shown(frame));
    if (this.clip !== clip || !frames) return; // another clip has come meanwhile
    this.frames = frames;
    this.parts.slider.max = this.parts.number.max = String(frames.count - 1);
    this.parts.total.textContent = ` / ${frames.count - 1}`;
    frames.setSpeed(Number(this.parts.speed.value));
    this._enable();
    this._showRange();
    await frames.seek(0);
  }

  /**
   * A clip as the only child of a place; through a proxy where the browser cannot play the file.
   * @param {Clip} clip
   * @param {HTMLElement} place
   * @param {(frame: number) => void} shown
   * @returns {Promise<Frames | null>} null where that failed, which the message then says
   */
  async open(clip, place, shown) {
    try {
      if (!isPicture(clip)) return new Frames(await load(address(clip), place, this.muted), clip, shown);
    } catch (error) {
      if (/** @type {MediaError} */ (error).code !== NOT_SUPPORTED) throw error;
    }
    this.message.textContent = isPicture(clip)
      ? t("A copy whose frames can be stepped through is being made …")
      : t("This browser does not play the file; a copy that it plays is being made …");
    try {
      const proxy = await proxyOf(clip);
      const video = await load(address(proxy), place, this.muted);
      this.message.textContent = isPicture(clip)
        ? t("Shown as a smaller copy, to step through its frames.")
        : t("Shown as a smaller copy: this browser does not play the file itself.");
      return new Frames(video, proxy, shown);
    } catch (error) {
      this.message.textContent = /** @type {Error} */ (error).message || t("This browser cannot play the file.");
      return null;
    }
  }

  _enable() {
    const off = !this.frames;
    for (const control of [this.parts.seek, ...this.parts.stepping]) control.hidden = off;
    this.parts.buttons.hidden = !this.clip;
    this.parts.byFrames.hidden = !off || !this.clip || !hasFrames(this.clip);
    this.parts.sound.hidden = off || !this.clip?.has_audio;
  }

  /** @param {number} frame */
  _shown(frame) {
    this.parts.slider.value = String(frame);
    if (document.activeElement !== this.parts.number) this.parts.number.value = String(frame);
    const playing = (this.frames?.direction ?? 0) !== 0;
    this.parts.play.firstElementChild?.setAttribute("class", `pi pi-${playing ? "pause" : "play"}`);
    this.parts.play.setAttribute("aria-label", playing ? t("Pause (space)") : t("Play (space)"));
    this.wipe.follow(frame);
  }

  toggle() {
    return this.frames?.direction ? this.pause() : this.frames?.play();
  }

  async pause() {
    if (this.frames?.direction) await this.frames.pause();
  }

  /** @param {number} speed */
  setSpeed(speed) {
    this.parts.speed.value = String(speed);
    this.frames?.setSpeed(speed);
  }

  /** The next or the previous of the speeds offered. @param {number} by */
  changeSpeed(by) {
    const next = SPEEDS[SPEEDS.indexOf(Number(this.parts.speed.value)) + by];
    if (next) this.setSpeed(next);
  }

  /** @param {boolean} loops */
  setLoop(loops) {
    if (!this.frames) return;
    this.frames.loops = loops;
    this.parts.loop.setAttribute("aria-pressed", String(loops));
  }

  /** @param {boolean} muted */
  setMuted(muted) {
    this.muted = muted;
    if (this.frames) this.frames.video.muted = muted;
    this.parts.sound.setAttribute("aria-pressed", String(!muted));
    this.parts.sound.firstElementChild?.setAttribute("class", `pi pi-volume-${muted ? "off" : "up"}`);
  }

  /**
   * Begin or end the looped range at the frame that is shown, or no more where that is marked already; a mark beyond the other one removes it.
   * @param {"first" | "last"} end
   */
  mark(end) {
    const { frames } = this;
    if (!frames) return;
    const whole = { first: 0, last: frames.count - 1 };
    frames[end] = frames[end] === frames.frame ? whole[end] : frames.frame;
    if (frames.first > frames.last) Object.assign(frames, whole, { [end]: frames.frame });
    this._showRange();
  }

  /** Loop from one frame up to another. @param {number} first @param {number} last */
  setRange(first, last) {
    if (!this.frames) return;
    Object.assign(this.frames, { first, last });
    this._showRange();
  }

  _showRange() {
    if (!this.frames) return;
    const { first, last, count } = this.frames;
    this.parts.range.style.insetInlineStart = `${(first / count) * 100}%`;
    this.parts.range.style.insetInlineEnd = `${(1 - (last + 1) / count) * 100}%`;
    this.parts.first.setAttribute("aria-pressed", String(first > 0));
    this.parts.last.setAttribute("aria-pressed", String(last < count - 1));
  }

  fullScreen() {
    return document.fullscreenElement ? document.exitFullscreen() : this.element.requestFullscreen();
  }

  async keep() {
    if (!this.clip) return;
    this.parts.keep.setAttribute("disabled", "");
    try {
      const kept = await keep(this.clip);
      note(kept);
      this.parts.keep.hidden = true;
      this.message.textContent = t("Saved as {file} in the output folder.", { file: [kept.subfolder, kept.filename].filter(Boolean).join("/") });
    } catch (error) {
      this.message.textContent = /** @type {Error} */ (error).message;
    } finally {
      this.parts.keep.removeAttribute("disabled");
    }
  }

  /** Let go of the page's events. */
  destroy() {
    this.pause();
    this.wipe.destroy();
    this._seen.disconnect();
    document.removeEventListener("visibilitychange", this._onHidden);
  }
}

/**
 * A video that has its first frame.
 * @param {string} source
 * @param {HTMLElement} place
 * @param {boolean} muted
 * @returns {Promise<HTMLVideoElement>}
 * @throws {MediaError} what the browser says against it
 */
function load(source, place, muted) {
  const video = /** @type {HTMLVideoElement} */ (el("video", { playsinline: true, preload: "auto", draggable: "false", tabindex: "-1" }));
  video.muted = muted;
  place.replaceChildren(video);
  return new Promise((done, failed) => {
    video.addEventListener("loadeddata", () => done(video), { once: true });
    video.addEventListener("error", () => failed(video.error), { once: true });
    video.src = source;
  });
}
