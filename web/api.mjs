// Our routes, asked through the page's own api, and our events.
// @ts-check
import { api } from "../../scripts/api.js";

/**
 * Ask a route of ours: GET without a body, POST with one.
 * @param {string} path below `/advanced_models/`
 * @param {object} [body]
 * @returns {Promise<any>} the answer as JSON
 * @throws {Error} with the server's own words where it refuses
 */
export async function ask(path, body) {
  const request = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await api.fetchApi(`/advanced_models/${path}`, request);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? response.statusText);
  return answer;
}

/**
 * Listen to an event of the server.
 * @param {string} event
 * @param {(data: any) => void} handler
 */
export function listen(event, handler) {
  api.addEventListener(event, (/** @type {CustomEvent} */ message) => handler(message.detail));
}
