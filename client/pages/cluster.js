// The cluster: which daemons there are, how many viewers each has, and whether NATS is there.

import { clock, counted, h, setText } from "./dom.js";

/**
 * @typedef {object} Daemon
 * @property {string} id
 * @property {string} url where viewers find it
 * @property {number} viewers
 * @property {string} version
 */

/**
 * @typedef {object} Cluster
 * @property {"connecting" | "connected" | "lost"} state
 * @property {string} [server]
 * @property {number} sinceMs
 * @property {string} [error]
 * @property {Daemon[]} daemons the one that is asked first
 */

/**
 * @param {HTMLElement} card
 * @param {{ count: HTMLElement, sum: HTMLElement, problem: HTMLElement, list: HTMLElement }} parts of it
 * @returns {(cluster: Cluster | undefined) => void}
 */
export function createCluster(card, { count, sum, problem, list }) {
  let shown = "";
  return function show(cluster) {
    card.hidden = !cluster;
    if (!cluster) return;
    setText(count, String(cluster.daemons.length));
    setText(sum, sumText(cluster));
    setText(problem, problemText(cluster));
    const next = JSON.stringify(cluster.daemons);
    if (next === shown) return;
    shown = next;
    list.replaceChildren(...cluster.daemons.map(entry));
  };
}

/** @param {Daemon} daemon @param {number} at */
function entry(daemon, at) {
  const own = at === 0 ? h("span", { class: "state" }, "this one") : "";
  const facts = h("p", { class: "facts" }, h("span", {}, counted(daemon.viewers, "viewer")), h("span", {}, `version ${daemon.version}`));
  return h("li", { class: "room" }, h("p", { class: "device" }, h("span", {}, place(daemon.url)), own), facts);
}

/** @param {string} url */
function place(url) {
  return url.replace(/^http:\/\//, "").replace(/\/$/, "") || "without an address";
}

/** How many watch in all. @param {Cluster} cluster */
export function sumText({ state, server, daemons }) {
  const viewers = daemons.reduce((sum, daemon) => sum + daemon.viewers, 0);
  if (state !== "connected") return "";
  return `${counted(viewers, "viewer")} in all · NATS at ${server ?? "an unknown server"}`;
}

/** What a host has to know while NATS is not there. @param {Cluster} cluster */
export function problemText({ state, sinceMs, error }) {
  if (state === "connected") return "";
  if (state === "connecting") return "Connecting to NATS: nothing can be written yet.";
  const why = error ? ` (${error})` : "";
  return `NATS is lost since ${clock(sinceMs)}${why}: nothing can be written, and viewers keep what they see until it is back.`;
}
