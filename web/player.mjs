// The player on a node that saves a video: it shows what the node has written last.
// @ts-check
import { displayWidget } from "./dom.mjs";
import { Player } from "./player_view.mjs";

const HEIGHT = 300;
const WIDTH = 400;

/**
 * Put a player on a node, in place of the page's own preview.
 * @param {any} node
 */
export function showPlayer(node) {
  const player = new Player();
  const widget = displayWidget(node, "player", player.element, HEIGHT);
  widget.options.hideOnZoom = false;
  // The page's own preview of the same file: on the canvas it is made while the background is drawn, in HTML nodes unless this is set.
  node.onDrawBackground = () => {};
  node.hideOutputImages = true;
  const [width, height] = node.computeSize();
  node.setSize([Math.max(width, WIDTH, node.size[0]), Math.max(height, node.size[1])]);
  const { onExecuted, onRemoved } = node;
  node.onExecuted = function (/** @type {any} */ output) {
    onExecuted?.call(this, output);
    if (output.video?.[0]) player.show(output.video[0]);
  };
  node.onRemoved = function () {
    player.destroy();
    return onRemoved?.call(this);
  };
}
