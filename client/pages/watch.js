// The pages' access to the client library: what they need of it, in the form they need.

import { connect } from "../onlooker.js";
import { recall, remember } from "./dom.js";

/** @typedef {import("../types.js").Session} Session */
/** @typedef {import("../types.js").Origin} Origin */
/** @typedef {import("../types.js").LinkState} LinkState */
/** @typedef {Exclude<import("../types.js").ViewerEvent, { type: "message" }>} News */
/** @typedef {import("./connection.js").Link} Link */

/**
 * @typedef {object} Seen
 * @property {Link} link
 * @property {Session | null} session
 * @property {number | null} revision
 * @property {number | null} changedAt when what is shown changed last; null if unknown
 */

const KEPT = "onlooker.viewer-id";

/** @returns {string} the topic in the page's address; empty for the host's default topic */
export function pageTopic() {
  return new URLSearchParams(location.search).get("topic") ?? "";
}

/** @returns {string} the viewer token in the fragment of the scanned link, which browsers never send */
export function viewerToken() {
  return new URLSearchParams(location.hash.slice(1)).get("t") ?? "";
}

/** @type {Link} */
const unconnected = { kind: "connecting", wasLive: false, lostAt: 0, source: "alive", hostSeenAt: 0, frozen: false, reason: null };

/**
 * The link after the client has reported a state.
 * @param {Link} link the link so far
 * @param {LinkState} state
 * @param {number} now
 * @returns {Link}
 */
export function nextLink(link, state, now) {
  if (link.kind === "closed") return link;
  if (state.status === "live") {
    const { source = "alive", seenAt = null } = state.host ?? {};
    return { kind: "live", wasLive: true, lostAt: 0, source, hostSeenAt: seenAt ?? now, frozen: state.frozen, cutOffAt: state.lost ? link.cutOffAt || now : 0, reason: null };
  }
  const lostAt = link.lostAt || (link.wasLive ? ("heardAt" in state && state.heardAt) || now : 0);
  if (state.status !== "waiting") return { ...link, kind: "connecting", lostAt };
  // A revoked link stays revoked and a deleted topic deleted, however many attempts fail with something else.
  const final = link.reason === "revoked" || link.reason === "deleted";
  const reason = final ? link.reason : state.reason;
  // A viewer that was disconnected stays away: dialing again would undo what the host just did.
  return { ...link, kind: reason === "kicked" ? "closed" : "waiting", lostAt, reason };
}

/**
 * Watches a topic of the host this page came from.
 * @param {{ topic?: string, token?: string, panel?: boolean }} where a host panel watches, but is not counted as a viewer
 * @param {(seen: Seen, event?: News) => void} onChange called without an event at the start
 * @returns {{ close(): void }}
 */
export function watch({ topic, token, panel = false }, onChange) {
  /** @type {Seen} */
  let seen = { link: unconnected, session: null, revision: null, changedAt: null };
  const viewer = connect(location.origin + (panel ? "/?panel=1" : ""), { topic, token, id: recall(KEPT) ?? undefined });
  viewer.subscribe((event) => {
    if (event.type === "message") return;
    // A reload goes on under the same id, also under one that it had to take anew.
    if (event.type === "state") remember(KEPT, viewer.id);
    seen = nextSeen(seen, event, viewer.state, Date.now());
    if (seen.link.kind === "closed") viewer.close();
    onChange(seen, event);
  });
  onChange(seen);
  return viewer;
}

/**
 * @param {Seen} seen
 * @param {News} event
 * @param {LinkState} state
 * @param {number} now
 * @returns {Seen}
 */
function nextSeen(seen, event, state, now) {
  const changedAt = state.status === "live" ? state.changedAt : null;
  if (event.type === "state") return { ...seen, link: nextLink(seen.link, event.state, now), changedAt: changedAt ?? seen.changedAt };
  const { session, revision } = event;
  return { ...seen, session, revision, changedAt };
}
