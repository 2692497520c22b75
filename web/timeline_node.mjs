// The VideoTimeline node that the timeline writes into.
// @ts-check
import { app } from "../../scripts/app.js";
import { kind, ownId } from "./node_kind.mjs";

const WIDGET = "edits";
const EMPTY = '{"clips": []}';

/** @returns {any} the graph that is on the screen */
const graph = () => app.canvas?.graph ?? app.graph;

/** @returns {any[]} the timeline nodes of the graph that is on the screen */
export function timelineNodes() {
  return graph().nodes.filter((/** @type {any} */ node) => kind(node) === "VideoTimeline");
}

/** @param {any} node */
const widget = (node) => node.widgets?.find((/** @type {any} */ widget) => widget.name === WIDGET);

/** @param {any} node @returns {string} */
export function textOf(node) {
  return String(widget(node)?.value ?? EMPTY);
}

/**
 * Write an edit list into a node, as one step of the page's own undo.
 * @param {any} node
 * @param {string} text
 */
export function setText(node, text) {
  const target = widget(node);
  app.canvas.emitBeforeChange();
  target.value = text;
  target.callback?.(text, app.canvas, node);
  graph().change();
  app.canvas.emitAfterChange();
}

/**
 * Names a node of the workflow that is open, also after the page's undo has made the node anew.
 * @param {any} node
 */
export function nodeKey(node) {
  return `${app.extensionManager.workflow?.activeWorkflow?.key} ${node?.id}`;
}

/** A new node in the middle of what is seen. */
export function addTimelineNode() {
  const types = Object.keys(window.LiteGraph.registered_node_types);
  const node = window.LiteGraph.createNode(types.find((type) => ownId(type) === "VideoTimeline"));
  const [x, y, width, height] = app.canvas.visible_area;
  node.pos = [x + (width - node.size[0]) / 2, y + (height - node.size[1]) / 4];
  graph().add(node);
  return node;
}
