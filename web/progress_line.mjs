// What a node is doing, in words, on the node: a line that is never saved with the workflow.
// @ts-check
import { app } from "../../scripts/app.js";
import { listen } from "./api.mjs";
import { displayWidget, root } from "./dom.mjs";
import { t } from "./words.mjs";

const HEIGHT = 48;
const NAME = "progress_text";

/** Show the texts that the server sends while nodes run. */
export function showProgress() {
  listen("advanced_models.progress", ({ node: id, text }) => {
    const node = find(String(id));
    if (node) show(node, text);
  });
}

/**
 * @param {any} node
 * @param {string} text an empty one takes the line away
 */
function show(node, text) {
  let widget = node.widgets?.find((/** @type {any} */ widget) => widget.name === NAME);
  if (!text) {
    if (widget) node.removeWidget(widget);
    return;
  }
  if (!widget) {
    const line = root("div", { class: "panel", role: "status", "aria-label": t("What this node is doing"), tabindex: "0" });
    widget = displayWidget(node, NAME, line, HEIGHT);
    const [width, height] = node.computeSize();
    node.setSize([Math.max(width, node.size[0]), Math.max(height, node.size[1])]);
  }
  widget.element.textContent = text;
  widget.element.scrollTop = widget.element.scrollHeight; // the end of a text that is being written
}

/**
 * The node of an execution id: `7`, or `3:7` for node 7 of the subgraph that node 3 is. Ids are numbers or texts by the front end's age.
 * @param {string} id
 */
function find(id) {
  /** @type {any} */
  let graph = app.graph;
  let node;
  for (const part of id.split(":")) {
    node = graph?.nodes.find((/** @type {any} */ node) => String(node.id) === part);
    graph = node?.subgraph;
  }
  return node;
}
