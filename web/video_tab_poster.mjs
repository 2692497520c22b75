// Small pictures of clips' frames, made in the page.
// @ts-check
import { address, isPicture, key, proxyOf } from "./player_clip.mjs";

const HEIGHT = 54;

/** @type {Map<string, Promise<string>>} */
const made = new Map();

/**
 * The address of a picture of one frame, of the server's copy where the browser does not play the file; empty where there is neither.
 * @param {import("./player_clip.mjs").Clip} clip
 * @param {number} [frame]
 * @returns {Promise<string>}
 */
export function poster(clip, frame = 0) {
  if (isPicture(clip)) return Promise.resolve(address(clip));
  const name = `${key(clip)}#${frame}`;
  let picture = made.get(name);
  if (!picture) {
    picture = draw(clip, frame).catch(async () => draw(await proxyOf(clip), frame)).catch(() => "");
    made.set(name, picture);
  }
  return picture;
}

/**
 * @param {import("./player_clip.mjs").Clip} clip
 * @param {number} frame
 * @returns {Promise<string>}
 * @throws {MediaError} what the browser says against the file
 */
function draw(clip, frame) {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  return new Promise((done, failed) => {
    video.onerror = () => failed(video.error);
    video.onloadeddata = () => (video.currentTime = ((frame + 0.5) * clip.frame_rate[1]) / clip.frame_rate[0]);
    video.onseeked = () => {
      const canvas = document.createElement("canvas");
      canvas.height = HEIGHT;
      canvas.width = Math.max(1, Math.round((HEIGHT * video.videoWidth) / video.videoHeight));
      canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
      video.removeAttribute("src"); // the browser lets go of the file
      done(canvas.toDataURL("image/jpeg", 0.8));
    };
    video.src = address(clip);
  });
}
