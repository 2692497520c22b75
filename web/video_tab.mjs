// The Video tab of the sidebar: this session's clips, and the timeline that a VideoTimeline node renders.
// @ts-check
import { app } from "../../scripts/app.js";
import { el, root } from "./dom.mjs";
import { everyWhileVisible } from "./memory_gauge.mjs";
import { address, describe, fileOf, isPicture, pathOf, session, watchSession } from "./player_clip.mjs";
import { addStyles } from "./styles.mjs";
import { TimelineEditor } from "./timeline_editor.mjs";
import { poster } from "./video_tab_poster.mjs";
import { STYLES } from "./video_tab_styles.mjs";
import { decimal, t } from "./words.mjs";

const FOLLOW_MS = 500;

/** Register the tab. It lives as long as the page, so that leaving it loses nothing. */
export function addVideoTab() {
  /** @type {HTMLElement | undefined} */
  let tab;
  app.extensionManager.registerSidebarTab({
    id: "advanced-models-video",
    icon: "pi pi-video",
    title: t("Video"),
    tooltip: t("Video: clips of this session, timeline"),
    type: "custom",
    render: (/** @type {HTMLElement} */ place) => place.replaceChildren((tab ??= makeTab())),
  });
}

function makeTab() {
  addStyles(STYLES);
  const editor = new TimelineEditor();
  const clips = el("div", { class: "clips", role: "list", "aria-label": t("Clips of this session") });
  const names = el("datalist", { id: "advanced-models-clips" });
  const showClips = () => {
    const shown = [...session].reverse();
    clips.replaceChildren(...(shown.length ? shown.map((clip) => card(clip, editor)) : [el("p", { class: "quiet" }, t("Clips appear here when a node has made one."))]));
    names.replaceChildren(...shown.filter((clip) => !isPicture(clip)).map((clip) => el("option", { value: pathOf(clip) })));
  };
  watchSession(showClips);
  showClips();
  const page = root("div", { class: "sidebar video-tab" }, el("h3", {}, t("Clips of this session")), clips, byName(editor), names, el("h3", {}, t("Timeline")), editor.element);
  everyWhileVisible(page, FOLLOW_MS, async () => editor.follow());
  return page;
}

/**
 * @param {import("./player_clip.mjs").Clip} clip
 * @param {TimelineEditor} editor
 */
function card(clip, editor) {
  const picture = el("img", { alt: "", loading: "lazy", draggable: "false" });
  poster(clip).then((source) => (source ? picture.setAttribute("src", source) : picture.remove()));
  const seconds = decimal((clip.frame_count * clip.frame_rate[1]) / clip.frame_rate[0]);
  const size = `${clip.width}×${clip.height}`;
  const values = { size, frames: clip.frame_count, seconds };
  const facts = clip.type === "temp" ? t("{size}, {frames} frames, {seconds} s, preview", values) : t("{size}, {frames} frames, {seconds} s", values);
  const add = el("button", { type: "button", disabled: isPicture(clip), "aria-label": t("Add {file} to the timeline", { file: clip.filename }), onclick: () => editor.add(clip, clip) }, t("Add"));
  const open = el("a", { href: address(clip), target: "_blank", rel: "noopener" }, clip.filename);
  return el("div", { class: "card", role: "listitem", title: pathOf(clip) }, picture, el("div", {}, open, el("div", { class: "quiet" }, facts)), add);
}

/** Files of earlier sessions. @param {TimelineEditor} editor */
function byName(editor) {
  const name = /** @type {HTMLInputElement} */ (el("input", { type: "text", list: "advanced-models-clips", placeholder: "output/video/clip_00001_.mp4", "aria-label": t("File to add") }));
  const problem = el("p", { class: "state danger", role: "alert", hidden: true });
  const add = async () => {
    problem.hidden = true;
    try {
      const file = fileOf(name.value);
      editor.add(file, await describe(file));
    } catch (error) {
      problem.textContent = /** @type {Error} */ (error).message;
      problem.hidden = false;
    }
  };
  const form = el("form", { class: "row", onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), add()) }, name, el("button", { type: "submit" }, t("Add file")));
  form.addEventListener("keydown", (event) => event.stopPropagation());
  return el("div", {}, form, problem);
}
