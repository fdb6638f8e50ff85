// Waiting for what a test is about.

import { setTimeout as pause } from "node:timers/promises";

export { changed, until } from "../rooms/until.js";

/**
 * Resolves with the first true answer of what is asked again and again. For what nobody is told of.
 * @template T
 * @param {string | (() => string)} what for the message if it never comes
 * @param {() => Promise<T> | T} asks an error counts as no
 * @param {number} [limit]
 * @returns {Promise<NonNullable<T>>}
 */
export async function untilAnswered(what, asks, limit = 30_000) {
  const end = Date.now() + limit;
  let reason = "";
  for (;;) {
    try {
      const value = await asks();
      if (value) return /** @type {NonNullable<T>} */ (value);
    } catch (error) {
      reason = ` (${/** @type {Error} */ (error).message})`;
    }
    if (Date.now() > end) throw new Error(`this did not happen: ${typeof what === "string" ? what : what()}${reason}`);
    await pause(50);
  }
}
