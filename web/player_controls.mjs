// The player's controls, as elements that call the player.
// @ts-check
import { el } from "./dom.mjs";
import { t } from "./words.mjs";

export const SPEEDS = [0.1, 0.25, 0.5, 1, 1.5, 2, 4];

/**
 * A button with a picture of PrimeIcons, which the page has.
 * @param {string} icon
 * @param {string} label
 * @param {() => unknown} onclick
 * @param {boolean} [pressed] for a button that stays in or out
 */
export function iconButton(icon, label, onclick, pressed) {
  return button(el("i", { class: `pi pi-${icon}`, "aria-hidden": "true" }), label, onclick, pressed);
}

/** @param {Node | string} content @param {string} label @param {() => unknown} onclick @param {boolean} [pressed] */
function button(content, label, onclick, pressed) {
  return el("button", { type: "button", title: label, "aria-label": label, "aria-pressed": pressed === undefined ? null : String(pressed), onclick }, content);
}

/** @param {import("./player_view.mjs").Player} player */
export function makeControls(player) {
  const goTo = (/** @type {Event} */ event) => player.frames?.seek(Number(/** @type {HTMLInputElement} */ (event.target).value));
  const slider = /** @type {HTMLInputElement} */ (el("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": t("Frame"), oninput: goTo }));
  const range = el("span", { class: "range", "aria-hidden": "true" });
  const number = /** @type {HTMLInputElement} */ (el("input", { type: "number", min: 0, value: 0, "aria-label": t("Go to frame"), onchange: goTo }));
  const total = el("span", { class: "quiet" });
  const speed = /** @type {HTMLSelectElement} */ (
    el("select", { "aria-label": t("Speed"), title: t("Speed (j, k, l)"), onchange: () => player.setSpeed(Number(speed.value)) }, ...SPEEDS.map((value) => el("option", { value, selected: value === 1 }, `${value}×`)))
  );
  const play = iconButton("play", t("Play (space)"), () => player.toggle());
  const first = button("[", t("Loop from this frame (i)"), () => player.mark("first"), false);
  const last = button("]", t("Loop up to this frame (o)"), () => player.mark("last"), false);
  const loop = iconButton("refresh", t("Loop"), () => player.setLoop(!player.frames?.loops), true);
  const sound = iconButton("volume-off", t("Sound (m)"), () => player.setMuted(!player.muted), false);
  const download = el("a", { class: "button", title: t("Download"), "aria-label": t("Download") }, el("i", { class: "pi pi-download", "aria-hidden": "true" }));
  const keep = el("button", { type: "button", title: t("Copy the preview into the output folder"), hidden: true, onclick: () => player.keep() }, t("Save"));
  const stepping = [
    iconButton("step-backward", t("One frame back (←)"), () => player.frames?.step(-1)),
    play,
    iconButton("step-forward", t("One frame on (→)"), () => player.frames?.step(1)),
    el("label", {}, number, total),
    speed,
    first,
    last,
    loop,
    sound,
  ];
  const byFrames = iconButton("images", t("Step through the frames of the picture"), () => player.byFrames());
  const full = iconButton("window-maximize", t("Full screen (f)"), () => player.fullScreen());
  const seek = el("div", { class: "seek" }, range, slider);
  const buttons = el("div", { class: "controls" }, ...stepping, byFrames, full, download, keep);
  return { slider, range, number, total, speed, play, first, last, loop, sound, byFrames, download, keep, stepping, seek, buttons };
}
