// The player's keys, while the keyboard's focus is in it; the graph does not hear them.
// @ts-check

/** @typedef {import("./player_view.mjs").Player} Player */

/** @type {Record<string, (player: Player, frames: import("./player_frames.mjs").Frames) => unknown>} */
const KEYS = {
  " ": (player) => player.toggle(),
  k: (player) => player.pause(),
  j: (player, frames) => (frames.direction < 0 ? player.changeSpeed(1) : frames.playBackwards()),
  l: (player, frames) => (frames.direction > 0 ? player.changeSpeed(1) : frames.play()),
  ArrowLeft: (_, frames) => frames.step(-1),
  ArrowRight: (_, frames) => frames.step(1),
  "Shift+ArrowLeft": (_, frames) => frames.step(-Math.round(frames.rate)),
  "Shift+ArrowRight": (_, frames) => frames.step(Math.round(frames.rate)),
  Home: (_, frames) => frames.seek(0),
  End: (_, frames) => frames.seek(frames.count - 1),
  i: (player) => player.mark("first"),
  o: (player) => player.mark("last"),
  m: (player) => player.setMuted(!player.muted),
  f: (player) => player.fullScreen(),
};

/** @param {Player} player */
export function onKeys(player) {
  player.element.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    event.stopPropagation(); // space, arrows and Delete would change the graph
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("input[type=number], select")) return;
    if (event.key === " " && target.matches("button, a")) return;
    const name = (event.shiftKey ? "Shift+" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    const act = KEYS[name];
    const toFrames = name.includes("Arrow") && !player.parts.byFrames.hidden; // of an animated picture
    if (!act || !(player.frames || toFrames)) return;
    event.preventDefault();
    if (player.frames) act(player, player.frames);
    else player.byFrames();
  });
}
