// Why this page cannot connect: what it tried, and what a person can try. Everything it needs is loaded with the page.

import { h, parse } from "./dom.js";

/** How long (ms) a request may take before nothing answers. */
const PATIENCE = 4_000;

/**
 * @typedef {object} Tried what was asked, and what came back; a status of 0: nothing
 * @property {string} address of this page's host
 * @property {string} topic empty for the default one
 * @property {boolean} online whether this device believes to have a network
 * @property {number} health status of `/healthz`
 * @property {boolean} ours whether it was onlooker that answered
 * @property {number} watch status of a request that needs the right to watch, and room
 * @property {string} detail what the host said when it refused that
 * @property {string[] | null} topics those that exist; null if they may not be read
 * @property {string[]} rooms the topics of those rooms that the host lists, also of those that are not shown
 * @property {boolean} check whether the host has a page that checks the connection
 */

/** @typedef {{ what: string, how: string }} Advice one cause, and the one thing to try */

/**
 * @typedef {object} Explanation
 * @property {string} title
 * @property {{ ok: boolean, text: string }[]} tried
 * @property {Advice[]} advice the likeliest first
 * @property {string[]} topics to go to instead
 * @property {boolean} check
 */

/**
 * Asks the host in ways that tell the causes apart.
 * @param {string} topic
 * @param {string} token
 * @returns {Promise<Tried>}
 */
export async function probe(topic, token) {
  const headers = token ? { authorization: `Bearer ${token}` } : undefined;
  const address = location.host;
  const health = await request("/healthz");
  const nothing = { address, topic, online: navigator.onLine, health: health.status, ours: false, watch: 0, detail: "", topics: null, rooms: [], check: false };
  if (health.text !== "ok\n") return nothing;
  const [watch, check] = await Promise.all([request("/sync", { headers }), request("/check", { method: "HEAD" })]);
  const known = watch.status === 200 ? topicsOf(await request("/api/status", { headers })) : {};
  return { ...nothing, ...known, ours: true, watch: watch.status, detail: detailOf(watch), check: check.status === 200 };
}

/** @typedef {{ status: number, text: string }} Answer of a stream only the status; 0: none came */

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Answer>}
 */
async function request(path, options) {
  const end = new AbortController();
  const limit = setTimeout(() => end.abort(), PATIENCE);
  try {
    const answer = await fetch(path, { ...options, cache: "no-store", signal: end.signal });
    const streams = answer.headers.get("content-type")?.startsWith("text/event-stream");
    return { status: answer.status, text: streams ? "" : await answer.text() };
  } catch {
    return { status: 0, text: "" };
  } finally {
    clearTimeout(limit);
    end.abort();
  }
}

/** @param {Answer} answer what a refusal says in words */
function detailOf({ status, text }) {
  return status >= 400 ? String(parse(text)?.detail ?? "") : "";
}

/** @typedef {{ defaultTopic: string, topics: { topic: string }[], rooms?: { topic: string }[], channels?: import("./rooms.js").Channels }} Status */

/** @param {Answer} answer the daemon's status, which names only topics with a session @returns {Partial<Tried>} */
function topicsOf({ text }) {
  /** @type {Status | null} */
  const status = parse(text);
  if (!status) return {};
  const rooms = (status.rooms ?? []).map((room) => room.topic);
  const isShown = Object.values(status.channels ?? {}).some((channel) => channel.show);
  const topics = [status.defaultTopic, ...status.topics.map((entry) => entry.topic), ...(isShown ? rooms : [])];
  return { topics: [...new Set(topics)], rooms };
}

/**
 * @param {Tried} tried
 * @returns {Explanation}
 */
export function explain(tried) {
  const { address, topic, health, ours, watch, topics, check } = tried;
  const said = [{ ok: health > 0, text: health > 0 ? `A plain request to ${address} was answered.` : `A plain request to ${address} was not answered.` }];
  const explanation = { tried: said, topics: /** @type {string[]} */ ([]), check };
  if (health === 0) return { ...explanation, ...nobody(tried) };
  if (!ours) {
    said[0] = { ok: false, text: `A plain request to ${address} was answered by something else (status ${health}).` };
    return { ...explanation, ...another() };
  }
  if (watch === 401 || watch === 403 || watch === 429) {
    said.push({ ok: false, text: `The host refused to let this page watch (status ${watch}).` });
    return { ...explanation, ...locked(tried) };
  }
  if (watch === 503) {
    said.push({ ok: false, text: "The host took no more viewers (status 503)." });
    return { ...explanation, ...full(tried) };
  }
  if (topic && topics && !topics.includes(topic)) {
    said.push({ ok: false, text: `The host has no topic “${topic}” (status 404).` });
    return { ...explanation, ...lost(tried, topics) };
  }
  said.push({ ok: false, text: "The live connection (a WebSocket) to the same address did not open." });
  return { ...explanation, ...filtered() };
}

/** @param {Tried} tried */
function nobody({ address, online }) {
  const offline = { what: "This device is offline.", how: "Turn on its Wi-Fi." };
  return {
    title: `Nothing answers at ${address}`,
    advice: [
      ...(online ? [] : [offline]),
      { what: "The host has stopped?", how: "Start it again: this page then connects by itself." },
      { what: "Another Wi-Fi?", how: "Join the one that the host is in." },
      { what: "A guest network?", how: "It keeps devices apart: use the main one, or a phone’s hotspot for both." },
      { what: "A VPN, here or on the host?", how: "Switch it off, or allow the local network in it." },
      { what: "No access to the local network?", how: "Allow it to this browser in the phone’s settings (on an iPhone: Privacy & Security, Local Network)." },
      { what: "Another address by now?", how: "Scan the code again, or enter what the host shows beside it." },
    ],
  };
}

function another() {
  return {
    title: "Something else answers here",
    advice: [
      { what: "Another program, or a proxy in front of a host that has stopped.", how: "Start the host again, or enter the address that it shows beside its QR code." },
    ],
  };
}

/** @param {Tried} tried */
function locked({ watch, detail }) {
  const advice =
    watch === 429
      ? { what: "Too many wrong tokens came from this address.", how: "Wait for a minute, then scan the code again." }
      : { what: "This host requires a token that this page’s address does not carry, or no longer.", how: "Scan the host’s QR code again." };
  // What the host says of a missing token is for those who write programs.
  return { title: "This host lets in only those who scan its code", advice: watch === 401 ? [advice] : [advice, ...quoted(detail)] };
}

/** @param {Tried} tried */
function full({ detail }) {
  return { title: "The host is full, or stopping", advice: [{ what: "No room for another viewer.", how: "Close a page that nobody looks at: this one then connects by itself." }, ...quoted(detail)] };
}

/** @param {string} detail @returns {Advice[]} */
function quoted(detail) {
  return detail ? [{ what: "The host says:", how: detail }] : [];
}

/** @param {Tried} tried @param {string[]} topics those that exist */
function lost({ topic, rooms }, topics) {
  const how = topics.length > 0 ? "Choose one of those that exist, or wait: this page connects once the host writes to it." : "Wait: this page connects once the host writes to it.";
  const advice = [{ what: "A mistyped or deleted topic?", how }];
  const meant = rooms.filter((room) => room.endsWith(`.${topic}`));
  const hidden = { what: "A room, PARTY.ROOM?", how: "It is shown only where one of its channels has show = true in the host’s configuration." };
  const first = meant.filter((room) => topics.includes(room));
  if (topic.includes(".") || meant.length > first.length) advice.push(hidden);
  if (first.length > 0) advice.unshift({ what: "A room?", how: `Its topic begins with its party: ${first.join(", ")}.` });
  return { title: "The host has no such topic", advice, topics: [...new Set([...first, ...topics])] };
}

function filtered() {
  return {
    title: "Pages get through, the live connection does not",
    advice: [
      { what: "A proxy or a filter in between lets no WebSocket pass.", how: "Switch off a VPN, a content blocker or a data saver, or try another browser." },
      { what: "A reverse proxy of your own?", how: "It has to pass on the headers Upgrade and Connection." },
    ],
  };
}

/**
 * @param {HTMLElement} card
 * @returns {(explanation: Explanation) => void}
 */
export function explanationCard(card) {
  let shown = "";
  return function show(explanation) {
    const next = JSON.stringify(explanation);
    if (next === shown) return;
    shown = next;
    const { title, tried, advice, topics, check } = explanation;
    const links = topics.map((name) => h("li", {}, h("a", { href: `?topic=${encodeURIComponent(name)}${location.hash}` }, name)));
    card.replaceChildren(
      h("h2", {}, title),
      h("ul", { class: "tried" }, ...tried.map(({ ok, text }) => h("li", { "data-ok": String(ok) }, text))),
      h("ul", { class: "advice" }, ...advice.map(({ what, how }) => h("li", {}, h("strong", {}, what), ` ${how}`))),
      ...(links.length > 0 ? [h("ul", { class: "links" }, ...links)] : []),
      ...(check ? [h("a", { class: "button", href: `/check${location.hash}` }, "Check this connection")] : []),
    );
  };
}
