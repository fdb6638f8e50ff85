// Requests to the daemon, with the host token.

import { parse, recall, remember } from "./dom.js";

const KEPT = "onlooker.host-token";
/** Browsers keep 64 KiB alive; a character has up to three bytes. */
const KEEPABLE = 16_384;

/**
 * The host token: from the link's fragment, which is then removed from the address bar, or as kept for this tab.
 * @returns {string} empty when there is none
 */
export function takeHostToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("h");
  if (token === null) return recall(KEPT) ?? "";
  keepHostToken(token);
  fragment.delete("h");
  const rest = fragment.toString();
  history.replaceState(history.state, "", location.pathname + location.search + (rest && `#${rest}`));
  return token;
}

/** @param {string} token */
export function keepHostToken(token) {
  remember(KEPT, token);
}

/** @typedef {{ ok: boolean, status: number, body: any }} Answer `status` 0: no host responded */

/** @typedef {(method: string, path: string, body?: unknown) => Promise<Answer>} Api */

/**
 * @param {() => string} token
 * @param {string} sourceId how this page identifies itself as a writer
 * @returns {Api}
 */
export function createApi(token, sourceId) {
  return async function call(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = { "onlooker-source-id": sourceId };
    if (token()) headers.authorization = `Bearer ${token()}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const sent = body === undefined ? undefined : JSON.stringify(body);
    // What is written as the page is left arrives all the same.
    const keepalive = sent !== undefined && sent.length < KEEPABLE;
    try {
      const answer = await fetch(path, { method, headers, body: sent, keepalive });
      const text = await answer.text();
      return { ok: answer.ok, status: answer.status, body: text ? parse(text) : null };
    } catch {
      return { ok: false, status: 0, body: null };
    }
  };
}

/**
 * Answers may overtake each other: an older one must not undo what a newer one has shown.
 * @returns {{ ask(): number, take(turn: number): boolean }} `take`: whether the answer to that turn is the newest so far
 */
export function createOrder() {
  let asked = 0;
  let taken = 0;
  return {
    ask: () => (asked += 1),
    take(turn) {
      if (turn < taken) return false;
      taken = turn;
      return true;
    },
  };
}

/**
 * Why a request failed, in words for people.
 * @param {Answer} answer
 * @returns {string}
 */
export function whyNot({ status, body }) {
  if (status === 0) return "The host does not respond.";
  return body?.detail ?? body?.title ?? `The host refused the request (${status}).`;
}

/** @param {string} topic */
export function topicPath(topic) {
  return `/api/topics/${encodeURIComponent(topic)}`;
}
