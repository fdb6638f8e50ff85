// What was asked and answered, with times of one clock, and every state that anybody was shown.

/** @typedef {"ok" | "refused" | "unknown"} Result */

/**
 * A write of one value, which no other write has, to one field.
 * @typedef {object} Write
 * @property {string} writer
 * @property {string} [daemon] that it was asked of
 * @property {string} field
 * @property {string} value
 * @property {string} [before] the value that it was to replace, if it was a compare-and-set
 * @property {number} [match] the revision that it was to replace
 * @property {number} start
 * @property {number} end
 * @property {Result} result `refused` if it is certain that it was not written
 * @property {number} [revision]
 * @property {string} [said] by the answer, if it was not acknowledged
 */

/** @typedef {{ start: number, end: number, revision: number }} Sight */

export const now = () => performance.now();

export class History {
  /** @type {Write[]} */
  writes = [];
  /** What each daemon answered, from its start to its end. @type {Map<string, Sight[]>} */
  sights = new Map();
  /** The session of each revision that anybody saw, and when it was first seen. @type {Map<number, { text: string, at: number }>} */
  states = new Map();
  /** @type {string[]} */
  problems = [];
  /** The field where compare-and-set is used, and its first value. */
  chain = "chain";

  /** @param {string} problem */
  wrong(problem) {
    this.problems.push(problem);
  }

  /** @param {string} daemon @param {number} start @param {number} revision @param {number} [end] */
  answered(daemon, start, revision, end = now()) {
    const sights = this.sights.get(daemon) ?? [];
    this.sights.set(daemon, sights);
    sights.push({ start, end, revision });
  }

  /**
   * Somebody was shown a session.
   * @param {string} who
   * @param {number} revision
   * @param {unknown} session
   * @param {number} [at]
   */
  shown(who, revision, session, at = now()) {
    const text = JSON.stringify(session);
    const known = this.states.get(revision);
    if (!known) this.states.set(revision, { text, at });
    else if (known.text !== text) this.wrong(`revision ${revision} is two states: ${who} has ${text}, somebody had ${known.text}`);
  }

  /** @param {Result} result */
  count(result) {
    return this.writes.filter((write) => write.result === result).length;
  }

  /** The longest time without an acknowledgement, in ms; by one daemon, if it is named. @param {number} from @param {number} to @param {string} [daemon] */
  outage(from, to, daemon) {
    const times = this.writes.filter((write) => write.result === "ok" && write.end > from && write.end < to && (!daemon || write.daemon === daemon)).map(({ end }) => end);
    const marks = [from, ...times.sort((a, b) => a - b), to];
    return Math.max(...marks.slice(1).map((mark, at) => mark - marks[at]));
  }
}
