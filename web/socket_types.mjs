// Types of sockets.
// @ts-check

/**
 * Whether a wire may go from one type to another, as the page itself decides it: they are equal, or one of several, or any.
 * @param {any} from
 * @param {any} to
 */
export function fits(from, to) {
  const [one, other] = [from, to].map((type) => String(type).toUpperCase().split(","));
  return one.includes("*") || other.includes("*") || one.some((type) => other.includes(type));
}
