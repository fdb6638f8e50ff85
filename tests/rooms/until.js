// Waiting for what a test is about, and for nothing else.

/** How long something that must happen may take on a busy machine. */
const LIMIT = 20_000;

/** @type {Set<() => void>} */
const waiting = new Set();

/**
 * Resolves once the daemon, asked again and again, gives the answer that is waited for. For what nobody is told of.
 * @param {string} what for the message if it never comes
 * @param {() => Promise<boolean>} asks
 */
export async function untilAnswered(what, asks) {
  const end = Date.now() + LIMIT;
  while (!(await asks())) if (Date.now() > end) throw new Error(`this did not happen: ${what}`);
}

/** Said by everything here after each frame and each change, so that who waits looks again. */
export function changed() {
  for (const look of [...waiting]) look();
}

/**
 * Resolves with the first true value of `holds`, which is looked at after every change.
 * @template T
 * @param {string | (() => string)} what for the message if it never comes
 * @param {() => T} holds
 * @param {number} [limit]
 * @returns {Promise<NonNullable<T>>}
 */
export function until(what, holds, limit = LIMIT) {
  return new Promise((resolve, reject) => {
    const settle = (/** @type {() => void} */ how) => {
      clearTimeout(timer);
      waiting.delete(look);
      how();
    };
    const look = () => {
      try {
        const value = holds();
        if (value) settle(() => resolve(/** @type {NonNullable<T>} */ (value)));
      } catch (error) {
        settle(() => reject(error));
      }
    };
    const timer = setTimeout(() => settle(() => reject(new Error(`this did not happen: ${typeof what === "string" ? what : what()}`))), limit);
    waiting.add(look);
    look();
  });
}
