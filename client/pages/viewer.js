// The viewer page: shows what the host shows, and says plainly when it cannot.

import { FROZEN_AFTER, ageLine, connectionLine, isStale } from "./connection.js";
import { byId, oncePerFrame, setText } from "./dom.js";
import { createTiles } from "./tiles.js";
import { createTree } from "./tree.js";
import { explain, explanationCard, probe } from "./unreachable.js";
import { pageTopic, viewerToken, watch } from "./watch.js";

/** How long (ms) the page waits for a response before it says why there may be none, and how often it looks again. */
const HELP_AFTER = 4_000;
const HELP_AGAIN = 15_000;

const topic = pageTopic();
const token = viewerToken();

const bar = byId("bar");
const content = byId("content");
const unreachable = byId("unreachable");
const elsewhere = byId("elsewhere", HTMLFormElement);
const name = byId("name");
const tiles = createTiles(byId("config"));
const dataTree = createTree();
const metadataTree = createTree();
byId("data").append(dataTree.element);
byId("metadata").append(metadataTree.element);

elsewhere.hidden = true;
elsewhere.dataset.ready = "";
elsewhere.addEventListener("submit", goElsewhere);

/** @type {import("./watch.js").Seen} */
let seen;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let help;
/** What was found out about why there is no connection. @type {import("./unreachable.js").Tried | null} */
let found = null;
/** @type {unknown} */
let shown;

const showLink = connectionLine(byId("connection"), (said) => {
  bar.dataset.tone = said.tone;
  setText(byId("detail"), said.detail);
  content.dataset.stale = String(isStale(said) && Boolean(seen?.session));
  setTitle(said.text);
});

const showAge = ageLine(byId("about"));
const showExplanation = explanationCard(unreachable);

const draw = oncePerFrame(() => {
  const { session } = seen;
  byId("waiting").hidden = Boolean(session) || seen.link.kind !== "live";
  if (session) showAge(seen.changedAt, topic);
  if (!session || session === shown) return;
  const first = shown === undefined;
  shown = session;
  setText(name, session.name || "untitled");
  showConfig(session.config ?? {});
  showTree("data-section", dataTree, session.data);
  showTree("metadata-section", metadataTree, session.metadata);
  if (first) firstSession();
});

watch({ topic, token }, (next) => {
  seen = next;
  showLink(told(next.link));
  if (next.link.kind === "live") keepAwake();
  if (next.link.kind === "live" || next.link.kind === "closed") stopHelping();
  else help ??= setTimeout(offerHelp, next.link.wasLive ? FROZEN_AFTER : HELP_AFTER);
  draw();
});

/** @param {Record<string, unknown>} config */
function showConfig(config) {
  byId("config-section").hidden = Object.keys(config).length === 0;
  tiles.update(config);
}

/**
 * @param {string} section
 * @param {import("./tree.js").View} tree
 * @param {any} value
 */
function showTree(section, tree, value) {
  const empty = value === undefined || value === null || (typeof value === "object" && Object.keys(value).length === 0);
  byId(section).hidden = empty;
  if (!empty) tree.update(value);
}

/** @param {string} said */
function setTitle(said) {
  const title = seen?.session?.name;
  document.title = said === "live" ? title || "onlooker" : `${said} · ${title || "onlooker"}`;
}

/** The session is on the screen: loads what could wait until then. */
async function firstSession() {
  performance.mark("onlooker-first-state");
  const fields = await fetchFields().catch(() => null);
  if (fields) tiles.declare(fields);
}

/** @returns {Promise<Record<string, import("./tiles.js").Field> | null>} labels and options, where the host declared any */
async function fetchFields() {
  const name = topic || (await ask("/api/status").then((answer) => answer.json())).defaultTopic;
  const answer = await ask(`/api/topics/${encodeURIComponent(name)}/fields`);
  return answer.ok ? (await answer.json()).fields : null;
}

/** @param {string} path */
function ask(path) {
  return fetch(path, { headers: token ? { authorization: `Bearer ${token}` } : {} });
}

/** A host that answers has not stopped, and one that wants a token is not waited for. @param {import("./watch.js").Link} link */
function told(link) {
  if (found?.watch === 401) return { ...link, reason: "locked" };
  return found?.ours && link.reason === "stopping" ? { ...link, reason: null } : link;
}

/** There is no connection: finds out why, says so, offers another address, and looks again from time to time. */
async function offerHelp() {
  const mine = help;
  if (seen.link.reason !== "deleted" && !document.hidden) {
    const tried = await probe(topic, token);
    if (help !== mine) return;
    found = tried;
    showLink(told(seen.link));
    showExplanation(explain(tried));
    // Where nothing was ever shown, there is nothing to name.
    byId("title").hidden = !seen.session;
    unreachable.hidden = false;
    // Only the code leads in where a token is wanted.
    elsewhere.hidden = tried.watch === 401;
  }
  help = setTimeout(offerHelp, HELP_AGAIN);
}

function stopHelping() {
  clearTimeout(help);
  help = undefined;
  found = null;
  unreachable.hidden = elsewhere.hidden = true;
  byId("title").hidden = false;
}

/**
 * Opens the other host's own page: it responds even where this page's origin would not be allowed to connect.
 * @param {SubmitEvent} event
 */
function goElsewhere(event) {
  event.preventDefault();
  const target = addressOf(byId("host", HTMLInputElement).value, byId("port", HTMLInputElement).value);
  if (target) location.assign(target);
  else setText(byId("elsewhere-why"), "That is not an address. It looks like 192.168.1.20 or studio.local.");
}

/**
 * @param {string} host
 * @param {string} port
 * @returns {string | null} the address of that host's viewer page
 */
function addressOf(host, port) {
  const name = host.trim().replace(/^(wss?|https?):\/\//i, "").replace(/\/.*$/, "");
  const bare = /^[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*$/i.test(name) ? `[${name}]` : name;
  if (Number(port) < 1 || Number(port) > 65535) return null;
  try {
    const url = new URL(`http://${bare}`);
    if (!url.port) url.port = port;
    url.search = location.search;
    return url.href;
  } catch {
    return null;
  }
}

/** @type {WakeLockSentinel | null} */
let awake = null;

/** Keeps the screen on while something is shown, where the browser lets a page do that. */
async function keepAwake() {
  if (awake || document.hidden || !navigator.wakeLock) return;
  try {
    awake = await navigator.wakeLock.request("screen");
    awake.addEventListener("release", () => (awake = null));
  } catch {
    // Battery saver, or not a secure page: the screen may sleep, and the client reconnects when it wakes.
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && seen?.link.kind === "live") keepAwake();
});
