// Small pictures of clips' frames, made in the page.
// @ts-check
import { address, isPicture, key } from "./player_clip.mjs";

const HEIGHT = 54;

/** @type {Map<string, Promise<string>>} */
const made = new Map();

/**
 * The address of a picture of one frame; empty for what the browser does not play.
 * @param {import("./player_clip.mjs").Clip} clip
 * @param {number} [frame]
 * @returns {Promise<string>}
 */
export function poster(clip, frame = 0) {
  if (isPicture(clip)) return Promise.resolve(address(clip));
  const name = `${key(clip)}#${frame}`;
  let picture = made.get(name);
  if (!picture) made.set(name, (picture = draw(clip, frame)));
  return picture;
}

/**
 * @param {import("./player_clip.mjs").Clip} clip
 * @param {number} frame
 * @returns {Promise<string>}
 */
function draw(clip, frame) {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  return new Promise((done) => {
    video.onerror = () => done("");
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
