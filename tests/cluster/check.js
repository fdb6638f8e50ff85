// Whether a history can be that of one topic: a register for each field, with compare-and-set on the revision.

/** @typedef {import("./history.js").History} History */
/** @typedef {import("./history.js").Write} Write */
/** @typedef {Write & { revision: number }} Acknowledged */

/** @param {Write} write */
const told = ({ writer, daemon, field, value, result, revision, match, said }) =>
  [`${writer}: ${field} = ${value}, ${result}`, revision && `as ${revision}`, match && `on ${match}`, daemon && `by ${daemon}`, said && `(${said})`].filter(Boolean).join(" ");

/** @param {History} history @returns {Acknowledged[]} in the order of their revisions */
const acknowledged = (history) => /** @type {Acknowledged[]} */ (history.writes.filter(({ result }) => result === "ok")).sort((a, b) => a.revision - b.revision);

/**
 * Everything that is wrong with it, in words.
 * @param {History} history
 * @param {Record<string, string>} first the first value of each field
 * @param {{ revision: number, session: any }} last what all have in the end
 */
export function check(history, first, last) {
  history.shown("the end", last.revision, last.session);
  return [...history.problems, ...checkRevisions(history, last.revision), ...checkTime(history), ...checkSights(history), ...checkChain(history, first, last.session), ...checkFields(history, first)];
}

/** No two writes have the same revision, and of one revision there is one successor by compare-and-set. @param {History} history @param {number} last */
function* checkRevisions(history, last) {
  const made = new Map();
  const matched = new Map();
  for (const write of acknowledged(history)) {
    const { revision, match } = write;
    if (!Number.isSafeInteger(revision)) yield `no revision: ${told(write)}`;
    if (made.has(revision)) yield `two writes have one revision: ${told(write)}; ${told(made.get(revision))}`;
    made.set(revision, write);
    if (revision > last) yield `newer than the end (${last}): ${told(write)}`;
    if (match === undefined) continue;
    if (matched.has(match)) yield `a lost update, two writes on one revision: ${told(write)}; ${told(matched.get(match))}`;
    matched.set(match, write);
    if (revision <= match) yield `a revision that goes back: ${told(write)}`;
  }
}

/** Whatever was acknowledged or shown before a write began has a smaller revision. @param {History} history */
function* checkTime(history) {
  const writes = acknowledged(history);
  const shown = [...history.states].map(([revision, { at }]) => ({ revision, at, what: "a state that was shown" }));
  const before = [...shown, ...writes.map((write) => ({ revision: write.revision, at: write.end, what: told(write) }))].sort((a, b) => a.at - b.at);
  let next = 0;
  let newest = { revision: 0, at: 0, what: "" };
  for (const write of writes.toSorted((a, b) => a.start - b.start)) {
    for (; next < before.length && before[next].at < write.start; next++) if (before[next].revision > newest.revision) newest = before[next];
    if (newest.revision >= write.revision) yield `a revision that goes back: ${told(write)} began after revision ${newest.revision} was known (${newest.what})`;
  }
}

/** What one daemon answers never goes back. @param {History} history */
function* checkSights(history) {
  for (const [daemon, sights] of history.sights) {
    const ended = sights.toSorted((a, b) => a.end - b.end);
    let next = 0;
    let newest = 0;
    for (const { start, revision } of sights.toSorted((a, b) => a.start - b.start)) {
      for (; next < ended.length && ended[next].end < start; next++) newest = Math.max(newest, ended[next].revision);
      if (revision < newest) yield `${daemon} goes back: ${revision} after ${newest}`;
    }
  }
}

/** From the last value, each value's predecessor leads to the first one, over every acknowledged write. @param {History} history @param {Record<string, string>} first @param {any} last */
function* checkChain(history, first, last) {
  const { chain } = history;
  if (!(chain in first)) return;
  const writes = new Map(history.writes.filter(({ field }) => field === chain).map((write) => [write.value, write]));
  const path = new Set();
  let value = last.config[chain];
  while (value !== first[chain]) {
    const write = writes.get(value);
    if (!write || path.has(write)) return yield `the chain breaks at ${value}`;
    if (write.result === "refused") yield `refused, but written: ${told(write)}`;
    path.add(write);
    value = write.before;
  }
  for (const write of writes.values()) if (write.result === "ok" && !path.has(write)) yield `lost: ${told(write)}`;
}

/** Each state has, of each field, the last acknowledged value, or an unknown one that came after it. @param {History} history @param {Record<string, string>} first */
function* checkFields(history, first) {
  const states = [...history.states].sort(([a], [b]) => a - b).map(([revision, { text, at }]) => ({ revision, at, config: JSON.parse(text).config }));
  for (const field of Object.keys(first)) {
    const writes = history.writes.filter((write) => write.field === field);
    yield* checkField(
      field,
      first[field],
      writes,
      states.map(({ revision, at, config }) => ({ revision, at, value: config[field] })),
    );
  }
}

/**
 * @param {string} field
 * @param {string} first
 * @param {Write[]} writes
 * @param {{ revision: number, at: number, value: string }[]} states in the order of their revisions
 */
function* checkField(field, first, writes, states) {
  const known = new Map(writes.map((write) => [write.value, write]));
  const acks = acknowledged(/** @type {any} */ ({ writes }));
  /** The revision at which each value was first seen. */
  const since = new Map();
  let at = 0;
  let current = first;
  for (const { revision, value, at: time } of states) {
    while (at < acks.length && acks[at].revision <= revision) at++;
    const due = acks[at - 1];
    const write = known.get(value);
    if (value !== current && (since.has(value) || value === first)) yield `a value twice: ${field} is ${value} again at ${revision}`;
    if (!since.has(value)) since.set(value, revision);
    current = value;
    if (!write) {
      if (value !== first) yield `nobody wrote ${field} = ${value}, seen at ${revision}`;
      else if (due) yield `lost: ${told(due)}; at ${revision} it is still ${value}`;
    } else if (write.result === "refused") yield `refused, but written: ${told(write)}, seen at ${revision}`;
    else if (time < write.start) yield `seen before it was written: ${told(write)}`;
    else if (write.result === "ok" && write !== due) yield `lost: ${due ? told(due) : "nothing"}; at ${revision} there is ${told(write)}`;
    else if (write.result === "unknown" && due && due.revision >= since.get(value)) yield `lost: ${told(due)}; at ${revision} there is ${told(write)}, seen since ${since.get(value)}`;
  }
}
