// What a phone tries, one thing after the other, to find out where its connection ends.

/** @typedef {"good" | "note" | "wrong"} Verdict */
/** @typedef {{ verdict: Verdict, found: string, wayOut?: string }} Finding */
/** @typedef {Finding & { check: string, command?: string }} Line */

/**
 * @typedef {object} Place what is tried
 * @property {string} topic empty for the default one
 * @property {string} token the viewer token; empty if the link carries none
 */

/** Longer than anything takes that works, in ms. */
const PATIENCE = 8_000;
/** A round trip that feels slow, in ms. */
const SLOW = 300;
/** Round trips that differ by more show as stutter, in ms. */
const SHAKY = 150;
const ROUNDS = 8;
/** A clock that is further off is worth a word, in ms. */
const SKEW = 30_000;

/** @param {string} found @returns {Finding} */
const good = (found) => ({ verdict: "good", found });
/** @param {string} found @param {string} wayOut @returns {Finding} */
const note = (found, wayOut) => ({ verdict: "note", found, wayOut });
/** @param {string} found @param {string} wayOut @returns {Finding} */
const wrong = (found, wayOut) => ({ verdict: "wrong", found, wayOut });

/** The page itself came from there, so the way was open a moment ago. */
const GONE = "Is the host still running, and this device still in its network? Check again.";

/**
 * The probes in their order. A socket that opens is kept for the one after it.
 * @param {Place} place
 * @returns {{ check: string, probe: () => Promise<Finding> }[]}
 */
export function probes(place) {
  /** @type {Opened | null} */
  let opened = null;
  return [
    { check: "request", probe: request },
    {
      check: "upgrade",
      async probe() {
        opened = await open(place);
        return opened ? good("the WebSocket opens") : whyNoSocket(place);
      },
    },
    { check: "first frame", probe: () => firstFrame(opened) },
    { check: "round trip", probe: roundTrip },
    { check: "clock", probe: clockSkew },
    { check: "wake lock", probe: wakeLock },
    { check: "secure context", probe: async () => secure() },
    { check: "local network", probe: localNetwork },
    { check: "data saver", probe: async () => dataSaver() },
  ];
}

/** Older phones have no time limits. @param {string} path @param {Record<string, string>} [headers] */
function ask(path, headers = {}) {
  return fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout?.(PATIENCE) });
}

async function request() {
  const status = await ask("/healthz").then((answer) => answer.status, () => 0);
  if (status === 200) return good("the host answers");
  if (status === 0) return wrong("no answer any more", GONE);
  return wrong(`something answers with status ${status}, and it is not onlooker`, "Is the address that of the host? A proxy or a login page of the network may be in between.");
}

/**
 * @typedef {object} Opened
 * @property {WebSocket} socket
 * @property {Promise<any>[]} frames the first two, as objects; null where none came in time
 */

/** @param {Place} place @returns {Promise<Opened | null>} */
function open({ topic, token }) {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/${topic && `?topic=${encodeURIComponent(topic)}`}`;
  const socket = new WebSocket(url, token ? ["onlooker.v1", subprotocol(token)] : ["onlooker.v1"]);
  const frames = twoFrames(socket);
  return new Promise((resolve) => {
    const timer = setTimeout(() => (socket.close(), resolve(null)), PATIENCE);
    const end = (/** @type {Opened | null} */ result) => (clearTimeout(timer), resolve(result));
    socket.onopen = () => end({ socket, frames });
    socket.onclose = () => end(null);
  });
}

/** A browser cannot set headers on a WebSocket. @param {string} token */
function subprotocol(token) {
  const bytes = Array.from(new TextEncoder().encode(token), (byte) => String.fromCharCode(byte));
  return `onlooker.token.${btoa(bytes.join("")).replace(/[+/=]/g, (c) => (c === "+" ? "-" : c === "/" ? "_" : ""))}`;
}

/** @param {WebSocket} socket @returns {Promise<any>[]} */
function twoFrames(socket) {
  /** @type {((frame: any) => void)[]} */
  const waiting = [];
  const frames = [0, 1].map(() => new Promise((resolve) => waiting.push(resolve)));
  socket.onmessage = (event) => {
    waiting.shift()?.(parsed(event.data));
  };
  return frames;
}

/** @param {unknown} text */
function parsed(text) {
  try {
    return typeof text === "string" ? { ...JSON.parse(text), size: text.length } : null;
  } catch {
    return null;
  }
}

/** A browser does not say why a socket was refused; a request with the same token does. @param {Place} place */
async function whyNoSocket({ topic, token }) {
  const path = topic ? `/api/topics/${encodeURIComponent(topic)}/fields` : "/api/status";
  const status = await ask(path, token ? { authorization: `Bearer ${token}` } : {}).then((answer) => answer.status, () => 0);
  if (status === 401 || status === 403) {
    const found = token ? "the host does not accept this link's token" : "the host wants a token, which this address does not carry";
    return wrong(found, "Scan the host's code again: it carries the token.");
  }
  if (status === 404) return wrong(`the host has no topic "${topic}" yet`, "Scan the host's code again, or wait until the host shows something there.");
  if (status === 429) return wrong("too many wrong tokens came from this network", "Wait a minute, then scan the host's code again.");
  if (status === 503) return wrong("the host has no room for another viewer", "Close a viewer, or start the host with a larger --max-viewers.");
  if (status === 0) return wrong("no answer any more", GONE);
  return wrong("requests pass, and WebSockets do not", "A proxy, VPN, content filter or virus scanner in between cuts them off: switch it off for this address, or serve with --tls-cert, which it cannot look into.");
}

/** @param {Opened | null} opened */
async function firstFrame(opened) {
  if (!opened) return note("not tried: there is no socket", "First see to the upgrade.");
  const { socket, frames } = opened;
  const hello = await inTime(frames[0]);
  const hasState = hello?.type === "hello" && Number(hello.revision) > 0;
  const state = hasState ? await inTime(frames[1]) : null;
  socket.close();
  if (hello?.type !== "hello") return wrong("the socket is open, and nothing comes through it", "Something in between holds the data back: a proxy or a virus scanner. Serve with --tls-cert, which it cannot look into.");
  if (!hasState) return good("nothing shown yet: the host has written nothing");
  if (state?.type !== "session_update") return wrong("the socket is open, and the state does not come through it", "The connection is too slow for this state, or something in between holds it back.");
  return good(`${state.payload?.name || hello.topic}, ${sizeText(state.size)}`);
}

/** @param {number} characters */
function sizeText(characters) {
  return characters < 1000 ? `${characters} B` : characters < 1e6 ? `${(characters / 1e3).toFixed(1)} kB` : `${(characters / 1e6).toFixed(1)} MB`;
}

/** @template T @param {Promise<T>} promise @returns {Promise<T | null>} */
function inTime(promise) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, PATIENCE, null))]);
}

async function roundTrip() {
  /** @type {number[]} */
  const times = [];
  try {
    // The first one may have to connect.
    await ask("/healthz");
    for (let round = 0; round < ROUNDS; round += 1) {
      const start = performance.now();
      await (await ask("/healthz")).text();
      times.push(performance.now() - start);
    }
  } catch {
    return wrong("the connection breaks off again and again", "Move closer to the access point, or switch Wi-Fi off and on.");
  }
  times.sort((a, b) => a - b);
  const median = times[ROUNDS / 2];
  const jitter = times[ROUNDS - 1] - times[0];
  const found = `${msText(median)}, jitter ${msText(jitter)}`;
  if (median >= SLOW) return note(found, "Slow for a local network: is this device in the host's Wi-Fi, or does a VPN send it around the world?");
  return jitter < SHAKY ? good(found) : note(found, "Unsteady: move closer to the access point; other downloads in this network hold it up, too.");
}

/** @param {number} ms */
function msText(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** How far this clock is from the host's, by the date of an answer, which is cut to the second. */
async function clockSkew() {
  const start = Date.now();
  const answer = await ask("/healthz").catch(() => null);
  const date = Date.parse(answer?.headers.get("date") ?? "");
  if (Number.isNaN(date)) return note("the host's time did not come through", "Nothing depends on it.");
  const ahead = (start + Date.now()) / 2 - (date + 500);
  if (Math.abs(ahead) < 2_000) return good("the same as the host's");
  const found = `${skewText(Math.abs(ahead))} ${ahead > 0 ? "ahead of" : "behind"} the host's`;
  return Math.abs(ahead) < SKEW ? good(found) : note(found, "Times may look wrong: let both devices set their clocks from the network.");
}

/** @param {number} ms */
function skewText(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? `${seconds} s` : seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

async function wakeLock() {
  const sleeps = "The screen may go dark while watching. ";
  if (!navigator.wakeLock) {
    const way = isSecureContext ? "This browser has none: set the screen's timeout in the device's settings." : "Browsers allow it only with https (--tls-cert): otherwise set the screen's timeout in the device's settings.";
    return note("the screen cannot be kept on", sleeps + way);
  }
  if (document.hidden) return note("not tried while the page is hidden", "Come back to this page and check again.");
  try {
    const lock = await navigator.wakeLock.request("screen");
    await lock.release();
    return good("the screen can be kept on");
  } catch {
    return note("this device refused to keep the screen on", `${sleeps}Is the battery saver on?`);
  }
}

function secure() {
  if (isSecureContext) return good("https, or this same machine");
  return note("http: whoever is in this network can read along", "Fine at home. Elsewhere serve with --tls-cert and --viewer-token.");
}

async function localNetwork() {
  /** @type {PermissionStatus | null} */
  let permission = null;
  try {
    permission = await navigator.permissions.query({ name: /** @type {any} */ ("local-network-access") });
  } catch {
    // Most browsers do not know it.
  }
  if (!permission || !isSecureContext) return good("this page needs no permission");
  if (permission.state === "denied") return note("this browser keeps pages away from the local network", "Pages of other sites cannot connect to this host: allow \"local network access\" for them in the browser's site settings.");
  return good(permission.state === "granted" ? "allowed" : "the browser will ask when a page of another site connects");
}

function dataSaver() {
  const { connection } = /** @type {{ connection?: { saveData?: boolean } }} */ (navigator);
  return connection?.saveData ? note("on", "It may slow this page down: switch it off for this address.") : good("off, or this browser has none");
}
