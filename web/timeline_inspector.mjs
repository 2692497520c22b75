// The fields of the chosen clip, and the sound of the whole timeline.
// @ts-check
import { el } from "./dom.mjs";
import { fileOf, pathOf } from "./player_clip.mjs";
import { SPEEDS } from "./timeline_edits.mjs";
import { t } from "./words.mjs";

/** @typedef {import("./timeline_editor.mjs").TimelineEditor} TimelineEditor */

/**
 * @param {string} label
 * @param {Record<string, any>} attributes
 * @param {(value: number) => void} changed
 */
function numberField(label, attributes, changed) {
  const input = /** @type {HTMLInputElement} */ (el("input", { type: "number", "aria-label": label, onchange: () => changed(Number(input.value)), ...attributes }));
  return { input, label: el("label", {}, `${label} `, input) };
}

/** @param {TimelineEditor} editor */
export function makeInspector(editor) {
  const change = (/** @type {any} */ fields) => editor.change(editor.selected, fields);
  const here = () => editor.player.frames?.frame ?? 0;
  const first = numberField(t("First frame"), { min: 0 }, (value) => change({ in: value }));
  const last = numberField(t("Last frame"), { min: 0 }, (value) => change({ out: value + 1 }));
  const speed = numberField(t("Clip speed"), { min: SPEEDS.slowest, max: SPEEDS.fastest, step: 0.05 }, (value) => change({ speed: value }));
  const fade = numberField(t("Cross-fade"), { min: 0, title: t("Frames shared with the clip before") }, (value) => change({ fade: value }));
  const button = (/** @type {string} */ text, /** @type {string} */ title, /** @type {() => void} */ onclick) => el("button", { type: "button", title, onclick }, text);
  const clip = el(
    "fieldset",
    {},
    el("legend", { class: "quiet" }),
    el("div", { class: "fields" }, first.label, last.label, speed.label, fade.label),
    el(
      "div",
      { class: "fields" },
      button(t("Split here"), t("Two clips, the second from the frame that the player shows (s)"), () => editor.split()),
      button(t("Begin here"), t("Begin with the frame that the player shows"), () => change({ in: here() })),
      button(t("End here"), t("End with the frame that the player shows"), () => change({ out: here() + 1 })),
      button(t("Remove"), t("Take the clip off the timeline (Delete)"), () => editor.remove()),
    ),
  );
  const track = /** @type {HTMLInputElement} */ (
    el("input", { type: "text", list: "advanced-models-clips", placeholder: t("the clips' own; or input/music.mp3"), "aria-label": t("Sound of the timeline"), onchange: () => setTrack() })
  );
  const start = numberField(t("from second"), { min: 0, step: 0.1, value: 0 }, () => setTrack());
  const setTrack = () => {
    const file = fileOf(track.value);
    editor.commit({ ...editor.edit, audio: file.filename ? { file, start: Math.max(0, Number(start.input.value) || 0) } : null });
  };
  const element = el("div", {}, clip, el("div", { class: "fields" }, el("label", {}, t("Sound"), " ", track), start.label));

  /** @param {import("./timeline_edits.mjs").Part | undefined} part */
  function show(part) {
    clip.hidden = !part;
    const { audio } = editor.edit;
    track.value = audio ? pathOf(audio.file) : "";
    start.input.value = String(audio?.start ?? 0);
    if (!part) return;
    /** @type {HTMLElement} */ (clip.firstElementChild).textContent = part.file.filename;
    for (const [field, value] of /** @type {const} */ ([[first, part.in], [last, part.out - 1], [speed, part.speed], [fade, part.fade]])) field.input.value = String(value);
    fade.input.disabled = editor.selected === 0;
  }

  return { element, show };
}
