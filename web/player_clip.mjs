// Finished clips: their addresses, what the server can do with one, and those of this session.
// @ts-check
import { api } from "../../scripts/api.js";
import { ask, listen } from "./api.mjs";

/**
 * @typedef {object} Clip a video file as VideoCombine describes it
 * @property {string} filename
 * @property {string} subfolder
 * @property {"output" | "temp" | "input"} type
 * @property {string} format its MIME type
 * @property {[number, number]} frame_rate a fraction
 * @property {number} frame_count
 * @property {number} width
 * @property {number} height
 * @property {boolean} has_audio
 * @property {boolean} [has_alpha]
 * @property {string[]} [notes]
 */

const VIDEO_NAMES = /\.(mp4|webm|mov|mkv)$/i;

/** @type {Clip[]} the clips of this session, oldest first */
export const session = [];
/** @type {Set<() => void>} */
const watchers = new Set();

/** Note every clip that a node of the graph finishes, ours or another's. */
export function collectClips() {
  listen("executed", async ({ output }) => {
    for (const clip of output?.video ?? []) if (clip.frame_count) note(clip);
    if (output?.video || !output?.animated?.[0]) return;
    for (const file of output.images ?? []) {
      if (!VIDEO_NAMES.test(file.filename)) continue;
      try {
        note(await describe(file));
      } catch (error) {
        console.warn(`${file.filename}: ${/** @type {Error} */ (error).message}`); // another node's file, which only it can explain
      }
    }
  });
}

/** @param {Clip} clip */
export function note(clip) {
  const known = session.findIndex((other) => key(other) === key(clip));
  if (known >= 0) session.splice(known, 1);
  session.push(clip);
  for (const watcher of watchers) watcher();
}

/**
 * @param {() => void} watcher called when there is a new clip
 * @returns {() => void} call it to stop
 */
export function watchSession(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/** @param {{ filename: string, subfolder: string, type: string }} clip */
export function key({ filename, subfolder, type }) {
  return `${type}/${subfolder}/${filename}`;
}

/** `output/a/b.mp4`: a file as a user writes it. @param {{ filename: string, subfolder: string, type: string }} file */
export const pathOf = (file) => key(file).replace("//", "/");

/**
 * The file of such a path, as the server names files.
 * @param {string} path
 */
export function fileOf(path) {
  const [type, ...rest] = path.trim().split("/");
  return { filename: rest.pop() ?? "", subfolder: rest.join("/"), type };
}

/** @param {{ filename: string, subfolder: string, type: string }} clip */
export function address({ filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** @param {Clip} clip */
export const isPicture = (clip) => clip.format.startsWith("image/");

/** Whether a clip is an animated picture, whose frames the server can copy. @param {Clip} clip */
export const hasFrames = (clip) => ["image/gif", "image/apng", "image/webp"].includes(clip.format) && clip.frame_count > 1;

/** @param {{ filename: string, subfolder: string, type: string }} file */
const name = ({ filename, subfolder, type }) => ({ filename, subfolder, type });

/**
 * What a file holds, by the server.
 * @param {{ filename: string, subfolder: string, type: string }} file
 * @returns {Promise<Clip>}
 */
export const describe = (file) => ask("video/info", name(file));

/**
 * A copy that browsers play, made on the server the first time it is asked for.
 * @param {Clip} clip
 * @returns {Promise<Clip>}
 */
export const proxyOf = (clip) => ask("video/proxy", name(clip));

/**
 * Copy a preview from the temp folder into the output folder.
 * @param {Clip} clip
 * @returns {Promise<Clip>}
 */
export const keep = (clip) => ask("video/keep", name(clip));
