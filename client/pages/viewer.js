// The viewer page: shows what the host shows, and says plainly when it cannot.

import { connectionLine } from "./connection.js";
import { byId, clock, oncePerFrame, setText } from "./dom.js";
import { createTiles } from "./tiles.js";
import { createTree } from "./tree.js";
import { pageTopic, viewerToken, watch } from "./watch.js";

/** How long the page waits for a response before it asks for another address. */
const ASK_AFTER = 4_000;

const topic = pageTopic();
const token = viewerToken();

const bar = byId("bar");
const content = byId("content");
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
/** @type {unknown} */
let shown;

const showLink = connectionLine(byId("connection"), (said) => {
  bar.dataset.tone = said.tone;
  setText(byId("detail"), said.detail);
  content.dataset.stale = String(said.tone !== "live" && Boolean(seen?.session));
  setTitle(said.text);
});

const draw = oncePerFrame(() => {
  const { session } = seen;
  byId("waiting").hidden = Boolean(session) || seen.link.kind !== "live";
  if (!session || session === shown) return;
  const first = shown === undefined;
  shown = session;
  setText(name, session.name || "untitled");
  setText(byId("about"), aboutText());
  showConfig(session.config ?? {});
  showTree("data-section", dataTree, session.data);
  showTree("metadata-section", metadataTree, session.metadata);
  if (first) firstSession();
});

watch({ topic, token }, (next) => {
  seen = next;
  showLink(next.link);
  if (next.link.kind === "live") {
    elsewhere.hidden = true;
    keepAwake();
  }
  draw();
});
setTimeout(askForAddress, ASK_AFTER);

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

function aboutText() {
  const time = clock(seen.changedAt);
  return topic ? `${topic} · changed at ${time}` : `changed at ${time}`;
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

/** Nothing has responded yet: finds out why, and offers the right way out. */
async function askForAddress() {
  if (seen?.link.wasLive || seen?.link.kind === "live") return;
  const status = await ask("/api/status").then((answer) => answer.status, () => 0);
  if (seen?.link.wasLive) return;
  const needsToken = status === 401 || status === 403;
  const why = needsToken
    ? "This host requires a token that this page's address does not carry. Scan the host's QR code again, or enter the address of another host."
    : "No host responds here. Enter the address that the host shows beside its QR code.";
  setText(byId("elsewhere-why"), why);
  elsewhere.hidden = false;
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
