// Which of our nodes a node is.
// @ts-check

/**
 * The id of a node's class as we call it: ours has an addition where another pack has taken the id.
 * @param {any} node
 */
export const kind = (node) => String(node.comfyClass).replace(/ \(Advanced Models\)$/, "");
