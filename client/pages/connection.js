// The state of the connection between this page and its host, and the age of what it shows, in plain words.

import { clock, counted, instant, setText } from "./dom.js";

/**
 * @typedef {object} Link what a page knows about its connection
 * @property {"connecting" | "live" | "waiting" | "closed"} kind
 * @property {boolean} wasLive whether it was ever live
 * @property {number} lostAt when it stopped being live; 0 while it is or never was
 * @property {"alive" | "silent" | "ended"} source what the heartbeat says about the host
 * @property {number} hostSeenAt when the host was last heard from, as far as known
 * @property {boolean} frozen whether the host has frozen what viewers are shown
 * @property {number} [cutOffAt] since when the host's side is known to have no connection to the source of what it shows; 0 while it has one
 * @property {string | null} reason why the host's side ended the connection, if it said so; `locked`: it wants a token that this page does not have
 */

/** @typedef {{ tone: "live" | "pause" | "wait" | "stop", text: string, detail: string }} Sentence */

/** Whether what is shown may be out of date, unless the host wants it so. @param {Sentence} said */
export const isStale = ({ tone }) => tone === "wait" || tone === "stop";

/** How long a page says "reconnecting…" before it says how old its state is. */
export const FROZEN_AFTER = 15_000;

/**
 * The one sentence a person needs.
 * @param {Link} link
 * @param {number} now
 * @returns {Sentence}
 */
export function sentence(link, now) {
  if (link.kind === "live") return liveSentence(link);
  if (link.kind === "closed") return closedSentence(link);
  if (link.reason === "deleted") return { tone: "stop", text: "the host deleted this topic", detail: "" };
  if (link.reason === "locked") return { tone: "stop", text: "scan the code again", detail: link.wasLive ? `last state from ${clock(link.lostAt)}` : "" };
  if (!link.wasLive) return { tone: "wait", text: "connecting…", detail: "" };
  const since = clock(link.lostAt);
  if (link.reason === "stopping") return { tone: "stop", text: "the host has stopped", detail: `last state from ${since}` };
  // By then, viewers that may still watch have reconnected.
  const replaced = link.reason === "revoked" && now - link.lostAt >= FROZEN_AFTER;
  if (replaced) return { tone: "stop", text: "the host has a new link", detail: `last state from ${since}` };
  if (now - link.lostAt >= FROZEN_AFTER) return { tone: "wait", text: `frozen since ${since}`, detail: "reconnecting…" };
  return { tone: "wait", text: "reconnecting…", detail: `last state from ${since}` };
}

/**
 * A host that wrote once and left is as live as one that goes on writing; only one that was lost is not.
 * @param {Link} link
 * @returns {Sentence}
 */
function liveSentence(link) {
  if (link.frozen) return { tone: "pause", text: "paused by the host", detail: "" };
  if (link.cutOffAt) return { tone: "stop", text: `no connection to the source since ${clock(link.cutOffAt)}`, detail: "what is shown may be out of date" };
  if (link.source === "ended") return { tone: "stop", text: `frozen since ${clock(link.hostSeenAt)}`, detail: "the source ended or broke off" };
  return { tone: "live", text: "live", detail: "" };
}

/** @param {Link} link @returns {Sentence} */
function closedSentence(link) {
  const text = link.reason === "kicked" ? "disconnected by the host" : "disconnected";
  return { tone: "stop", text, detail: "reload to connect again" };
}

/**
 * Shows the sentence in the page's connection line, and keeps it up to date as time passes.
 * @param {HTMLElement} line
 * @param {(sentence: Sentence) => void} onSentence what else the page does with it
 * @returns {(link: Link) => void}
 */
export function connectionLine(line, onSentence) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;
  return function show(link) {
    clearTimeout(later);
    const now = Date.now();
    const said = sentence(link, now);
    // A live region is read out whenever it is written to, so write only when the sentence changes.
    if (line.textContent !== said.text) line.textContent = said.text;
    line.dataset.tone = said.tone;
    onSentence(said);
    const left = link.lostAt + FROZEN_AFTER - now;
    if (link.lostAt > 0 && left > 0) later = setTimeout(show, left + 50, link);
  };
}

/** Below this age (ms) something is "just now". */
const JUST_NOW = 10_000;

/** The steps in which an age is told: how long each lasts, and what so many of them are called. */
const STEPS = [
  { step: 86_400_000, say: (/** @type {number} */ days) => counted(days, "day") },
  { step: 3_600_000, say: (/** @type {number} */ hours) => `${hours} h` },
  { step: 60_000, say: (/** @type {number} */ minutes) => `${minutes} min` },
  { step: JUST_NOW, say: (/** @type {number} */ tens) => `${tens}0 s` },
];

/**
 * An age in words that change rarely.
 * @param {number} age in ms
 * @returns {{ text: string, lasts: number }} and for how many ms these words stay true
 */
export function ago(age) {
  const found = STEPS.find(({ step }) => age >= step);
  if (!found) return { text: "just now", lasts: JUST_NOW - Math.max(0, age) };
  const steps = Math.floor(age / found.step);
  return { text: `${found.say(steps)} ago`, lasts: (steps + 1) * found.step - age };
}

/**
 * Shows how old what is shown is, keeps that up to date as time passes, and has the exact time for those who point at it.
 * @param {HTMLElement} line
 * @returns {(changedAt: number | null, topic: string) => void}
 */
export function ageLine(line) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let later;
  return function show(changedAt, topic) {
    clearTimeout(later);
    const { text, lasts } = ago(Date.now() - (changedAt ?? 0));
    const age = changedAt === null ? "" : `updated ${text}`;
    setText(line, [topic, age].filter(Boolean).join(" · ") || "\u00a0");
    line.title = changedAt === null ? "" : instant(changedAt);
    if (changedAt !== null) later = setTimeout(show, lasts + 50, changedAt, topic);
  };
}
