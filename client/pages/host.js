// The host panel: the QR code, the controls, and who is watching.

import { createApi, createOrder, keepHostToken, takeHostToken, topicPath, whyNot } from "./api.js";
import { createChanges } from "./changes.js";
import { createCluster } from "./cluster.js";
import { connectionLine } from "./connection.js";
import { createControls } from "./controls.js";
import { byId, clock, counted, h, setText } from "./dom.js";
import { createRooms } from "./rooms.js";
import { createRoster } from "./roster.js";
import { pageTopic, watch } from "./watch.js";

const POLL = 2_000;
/** How long the daemon may take to list a viewer that has just connected. */
const SOON = 200;

const sourceId = `host-panel-${Math.random().toString(36).slice(2, 8)}`;
let token = takeHostToken();
const api = createApi(() => token, sourceId);

let topic = pageTopic();
/** The topic that the QR code leads to without `?topic=`. */
let defaultTopic = "main";
/** The host's list has only topics with a session. @type {string[]} */
let topicsWithSession = [];
/** The topics to choose from. @type {string[]} */
let topics = [];
/** Where viewers find the host: what the code says first. */
let urls = [location.origin];
let frozen = false;
/** @type {import("./watch.js").Seen | undefined} */
let seen;
/** @type {{ close(): void } | undefined} */
let watching;
let link = "";

const showLink = connectionLine(byId("connection"), () => {});
const controls = createControls(byId("controls"), (topic) => (field, value) => api("PUT", `${topicPath(topic)}/config/${encodeURIComponent(field)}`, { value }));
const showRoster = createRoster(byId("viewers"), disconnect);
const showRooms = createRooms(byId("rooms"));
const showCluster = createCluster(byId("cluster-card"), { count: byId("daemon-count"), sum: byId("cluster-sum"), problem: byId("cluster-problem"), list: byId("daemons") });
const refreshChanges = createChanges(byId("changes"), byId("no-changes"), sourceId, fetchChanges);
const statuses = createOrder();
const projector = byId("projector", HTMLDialogElement);

open();

/** Shows the panel if the token is valid, otherwise asks for it. */
async function open() {
  const answer = await api("GET", "/api/viewers");
  const locked = answer.status === 401 || answer.status === 403;
  byId("locked").hidden = !locked;
  byId("panel").hidden = locked;
  byId("connection").hidden = locked;
  if (locked) {
    setText(byId("token-problem"), token ? whyNot(answer) : "");
    byId("token").focus();
    return;
  }
  await loadStatus();
  topic ||= defaultTopic;
  showTopics();
  watchTopic(topic);
  poll();
}

/** @param {string} next */
function watchTopic(next) {
  watching?.close();
  topic = next;
  controls.declare(topic, {});
  showName(topic);
  setText(byId("last-write"), "\u00a0");
  refreshChanges();
  watching = watch({ topic, token, panel: true }, follow);
  loadCode();
}

/**
 * @param {import("./watch.js").Seen} next
 * @param {import("./watch.js").News} [event]
 */
function follow(next, event) {
  const wasLive = seen?.link.kind === "live";
  seen = next;
  showLink(next.link);
  showLost();
  if (next.link.kind === "live" && !wasLive) setTimeout(poll, SOON);
  if (!event || event.type === "state") return;
  refreshChanges();
  showName(next.session?.name || topic);
  if (event.type === "session") loadFields();
  controls.show(next.session?.config ?? {}, next.revision);
  setText(byId("last-write"), writeText(event, next.changedAt ?? Date.now()));
}

/** Whether the host was there and is gone: nothing can be asked of it until the connection is back. */
function isLost() {
  return Boolean(seen?.link.wasLive && seen.link.kind !== "live");
}

function showLost() {
  byId("panel").inert = isLost();
  byId("panel").dataset.stale = String(isLost());
}

/** @param {string} name */
function showName(name) {
  setText(byId("name"), name);
  document.title = `${name} · host`;
}

/**
 * What was written last, and by whom.
 * @param {Exclude<import("./watch.js").News, { type: "state" }>} event
 * @param {number} at
 */
function writeText(event, at) {
  const time = clock(at);
  const revision = event.revision === null ? "" : ` · revision ${event.revision}`;
  if (event.type === "session") return `whole session at ${time}${revision}`;
  const names = Object.keys(event.changed);
  const writers = new Set(Object.values(event.origins).map(writerName));
  const by = writers.size > 0 ? ` by ${[...writers].join(", ")}` : "";
  return `${names.slice(0, 3).join(", ")}${names.length > 3 ? "…" : ""}${by} at ${time}${revision}`;
}

/** @param {import("./watch.js").Origin} origin */
function writerName(origin) {
  if (origin.sourceId === sourceId) return "this panel";
  return origin.sourceId ?? (origin.deviceId === undefined ? "somebody" : `device ${origin.deviceId}`);
}

async function loadFields() {
  const at = topic;
  const { ok, body } = await api("GET", `${topicPath(at)}/fields`);
  if (!ok || at !== topic) return;
  controls.declare(at, body.fields);
  byId("no-fields").hidden = Object.keys(body.fields).length > 0;
  if (seen?.session) controls.show(seen.session.config, seen.revision);
}

/** @returns {Promise<import("./api.js").Answer | null>} null if another topic has been chosen meanwhile */
async function fetchChanges() {
  const at = topic;
  const answer = await api("GET", `${topicPath(at)}/changes`);
  return at === topic ? answer : null;
}

/** @returns {Promise<boolean>} whether a host responds */
async function loadStatus() {
  const turn = statuses.ask();
  const { ok, body } = await api("GET", "/api/status");
  if (ok && statuses.take(turn)) takeStatus(body);
  return ok;
}

/** @param {{ defaultTopic: string, urls: string[], topics: { topic: string }[], rooms?: import("./rooms.js").Room[], channels?: import("./rooms.js").Channels, cluster?: import("./cluster.js").Cluster, frozen?: boolean }} status */
function takeStatus(status) {
  defaultTopic = status.defaultTopic;
  urls = status.urls.length > 0 ? status.urls : [location.origin];
  byId("next-address").hidden = urls.length < 2;
  topicsWithSession = status.topics.map((entry) => entry.topic);
  showFrozen(status.frozen === true);
  showCluster(status.cluster);
  const { rooms = [], channels = {} } = status;
  byId("rooms-card").hidden = !status.rooms;
  byId("no-rooms").hidden = rooms.length > 0;
  setText(byId("room-count"), String(rooms.length));
  setText(byId("roster-name"), status.rooms ? "Viewers and people" : "Viewers");
  showRooms(rooms, channels, new URL(urls[0]).hash);
}

function showTopics() {
  const next = [...new Set([defaultTopic, ...topicsWithSession, topic])];
  if (JSON.stringify(next) === JSON.stringify(topics)) return;
  topics = next;
  const picker = byId("topic", HTMLSelectElement);
  picker.replaceChildren(...topics.map((name) => h("option", { value: name, selected: name === topic }, name)));
  byId("topic-label").hidden = topics.length < 2;
}

/** @param {boolean} next */
function showFrozen(next) {
  if (next === frozen) return;
  frozen = next;
  setText(byId("freeze"), frozen ? "Let go" : "Freeze");
  byId("freeze").classList.toggle("primary", frozen);
  setText(byId("resent"), frozen ? "viewers are frozen" : "");
}

/** The QR code and its address: fetched with the token, because with a viewer token the code is the host's secret. */
async function loadCode() {
  showAddress();
  const code = await fetch(`/qr.svg${query()}`, { headers: token ? { authorization: `Bearer ${token}` } : {} }).catch(() => null);
  if (code?.ok) showCode(await code.blob());
}

/** What leads from the host's address to the topic. */
function query() {
  return topic === defaultTopic ? "" : `?topic=${encodeURIComponent(topic)}`;
}

function showAddress() {
  const [address, fragment] = urls[0].split("#");
  link = address + query() + (fragment ? `#${fragment}` : "");
  const short = (address + query()).replace(/^http:\/\//, "").replace(/\/$/, "");
  for (const id of ["address", "projector-address"]) setText(byId(id), short);
}

/** @param {Blob} code */
function showCode(code) {
  for (const id of ["qr", "projector-qr"]) {
    const image = byId(id, HTMLImageElement);
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(code);
  }
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let nextPoll;

/** Asks who is watching, now and every two seconds while this page is visible and the host is there. */
async function poll() {
  clearTimeout(nextPoll);
  if (document.hidden || isLost()) return;
  refreshChanges();
  const answer = await api("GET", "/api/viewers");
  const address = urls[0];
  if (answer.ok && (await loadStatus())) {
    showTopics();
    showViewers(answer.body);
    if (urls[0] !== address) loadCode();
  }
  setText(byId("roster-problem"), answer.ok || answer.status === 0 ? "" : whyNot(answer));
  clearTimeout(nextPoll);
  nextPoll = setTimeout(poll, POLL);
}

/** @param {import("./roster.js").Onlooker[]} viewers */
function showViewers(viewers) {
  showRoster(viewers, topics.length > 1);
  setText(byId("viewer-count"), String(viewers.length));
  byId("nobody").hidden = viewers.length > 0;
}

/** @param {import("./roster.js").Onlooker} viewer */
async function disconnect(viewer) {
  const answer = await api("DELETE", `/api/viewers/${viewer.id}`);
  await poll();
  if (!answer.ok && answer.status !== 404) setText(byId("roster-problem"), whyNot(answer));
}

byId("resend").addEventListener("click", async () => {
  const answer = await api("POST", `${topicPath(topic)}/resend`);
  setText(byId("resent"), answer.ok ? `sent to ${counted(answer.body.viewers, "viewer")} at ${clock(Date.now())}` : whyNot(answer));
});

byId("freeze").addEventListener("click", async () => {
  const answer = await api(frozen ? "DELETE" : "POST", "/api/freeze");
  setText(byId("roster-problem"), answer.ok ? "" : whyNot(answer));
  if (answer.ok) await loadStatus();
});

byId("next-address").addEventListener("click", async () => {
  const answer = await api("POST", "/api/next-address");
  setText(byId("address-problem"), answer.ok ? "" : whyNot(answer));
  if (!answer.ok) return;
  // Newer than whatever was asked before it came.
  statuses.take(statuses.ask());
  takeStatus(answer.body);
  loadCode();
});

byId("topic").addEventListener("change", (event) => {
  const next = /** @type {HTMLSelectElement} */ (event.target).value;
  history.replaceState(history.state, "", `?topic=${encodeURIComponent(next)}`);
  watchTopic(next);
});

byId("enlarge").addEventListener("click", () => {
  setText(byId("projector-name"), seen?.session?.name ? `Watch “${seen.session.name}” on your phone` : "Watch on your phone");
  projector.showModal();
  document.documentElement.requestFullscreen?.().catch(() => {});
});

projector.addEventListener("close", () => {
  if (document.fullscreenElement) document.exitFullscreen();
});

document.addEventListener("fullscreenchange", () => {
  if (!document.fullscreenElement) projector.close();
});

byId("copy").addEventListener("click", async (event) => {
  const button = /** @type {HTMLButtonElement} */ (event.currentTarget);
  const copied = await copy(link);
  setText(button, copied ? "Copied" : "Copying is not allowed here");
  setTimeout(() => setText(button, "Copy the link"), 2_000);
});

/** @param {string} text @returns {Promise<boolean>} whether it worked: browsers allow it only on localhost and https */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token", HTMLInputElement).value.trim();
  keepHostToken(token);
  open();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !byId("panel").hidden) poll();
});
