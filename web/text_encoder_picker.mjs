// TextEncoderPicker's output has the socket type of the role that is picked, so that the page refuses wrong wires while they are drawn.
// @ts-check
import { fits } from "./socket_types.mjs";

/**
 * Give the output the type of the picked role now and whenever the role changes; wires that no longer fit are taken off.
 * The server names the types: they stand beside the choices of the `role` input.
 * @param {any} node
 */
export function followRole(node) {
  const role = node.widgets?.find((/** @type {any} */ widget) => widget.name === "role");
  const sockets = node.constructor.nodeData?.input?.required?.role?.[1]?.sockets;
  if (!role || !sockets) return;
  if (!role.followed) {
    role.followed = true;
    const callback = role.callback;
    role.callback = function (/** @type {any[]} */ ...values) {
      const result = callback?.apply(this, values);
      narrow(node, sockets[role.value]);
      return result;
    };
  }
  narrow(node, sockets[role.value]);
}

/**
 * @param {any} node
 * @param {string | undefined} type
 */
function narrow(node, type) {
  const output = node.outputs?.[0];
  if (!output || !type || output.type === type) return;
  output.type = type;
  for (const target of node.getOutputNodes(0) ?? []) {
    target.inputs.forEach((/** @type {any} */ input, /** @type {number} */ slot) => {
      if (!fits(type, input.type) && target.getInputNode(slot) === node) target.disconnectInput(slot);
    });
  }
  node.setDirtyCanvas?.(true, true);
}
