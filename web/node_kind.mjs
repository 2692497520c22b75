// Which of our nodes a node is.
// @ts-check

/**
 * The id of a class as we call it: ours has an addition where another pack has taken the id.
 * @param {string} id
 */
export const ownId = (id) => id.replace(/ \(Advanced Models\)$/, "");

/** @param {any} node */
export const kind = (node) => ownId(String(node.comfyClass));
