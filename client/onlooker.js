/** `step` decides, `connect` acts, types.js explains. @import * as T from "./types.js" */

// ms of delivering after which the backoff starts over
const PROOF = 4000;
// ms after a stop in which the host may restart, and the longest gap
const RESTART = 15000;
const SOON = 1000;
// ms between two dials, however often the page is shown
const CALM = 250;
const DELAYS = [250, 300, 400, 2000, 3000, 4500, 6750, 10125, 15000];
const REASONS = { 1001: "stopping", 1008: "refused", 1013: "busy", 4404: "deleted", 4409: "replaced" };
const ADDRESS = /^(?:(ws|http)(s?):\/\/)?(\[[\da-f:.]+]|[^\s:/?#@]+)(:\d+)?(\/[^?#]*)?(\?[^#]*)?(#.*)?$/i;

/** @type {T.Machine} */
export const initial = {
  link: { status: "idle" }, target: null, id: 0, spoken: false, plain: false,
  attempt: 0, readyAt: 0, lost: { reason: "hidden", code: null }, lostAt: 0,
  now: 0, dialedAt: 0, openedAt: 0, heardAt: 0, heartbeatMs: 0, hiddenAt: null,
  fresh: true, behind: true, session: null, revision: null,
};

/** @type {T.Delay} */
export function delay(attempt, random, delays = DELAYS) {
  const last = Math.min(attempt, delays.length - 1);
  const [before = 0, step = 0] = [delays[last - 1], delays[last]];
  return step - random * (step - before);
}

/** React Native has no `crypto`. */
const newId = () => Array.from(globalThis.crypto?.getRandomValues(new Uint32Array(4)) ?? [1, 2, 3, 4].map(Math.random),
  (n) => n.toString(36).replace("0.", "")).join("").slice(0, 44);

const ask = (url, key, value) => `${url}${url.includes("?") ? "&" : "?"}${key}=${encodeURIComponent(value)}`;

/** @type {T.ReadTarget} */
export function target(url, { topic, token, fields, id = "", delays = [], resume = true, plain = false } = {}) {
  const parts = ADDRESS.exec(url);
  // Cut where a token may begin.
  if (!parts) throw TypeError(`onlooker: "${url.split(/[?#]/)[0]}" is not an http(s), ws(s) or host:port address`);
  const [, scheme, secure = "", host, port = scheme ? "" : ":9876", path = "/", query = "", fragment = ""] = parts;
  const wire = `ws${secure}://${host}${port}${path}${query}`;
  token ??= decodeURIComponent(/[#&][ht]=([^&]*)/.exec(fragment)?.[1] ?? "");
  return { url: topic ? ask(wire, "topic", topic) : wire, token, fields, id, delays: delays.length ? delays : DELAYS, resume, plain };
}

const isObject = (value) => !!value && typeof value === "object" && !Array.isArray(value);

// null: none; NaN: malformed
function toRevision(text) {
  if (text == null) return null;
  const revision = /^(0|[1-9]\d*)$/.test(text) ? +text : NaN;
  return revision < 2 ** 53 ? revision : NaN;
}

function parse(data) {
  try {
    return typeof data === "string" ? JSON.parse(data) : null;
  } catch {}
}

function allowed(config, fields) {
  return Object.fromEntries(Object.entries(isObject(config) ? config : {}).filter(
    ([name, value]) => !fields || fields[name] === (Array.isArray(value) ? "array" : value === null || typeof value)));
}

/** @type {T.Then} */
const then = (state, ...effects) => ({ state, effects });

/** @type {T.ToEffect} */
const timer = (ms) => ({ type: "timer", ms });

/** @type {T.ToEffect} */
const tell = (event) => ({ type: "tell", event });

const tries = (m, e) => m.link.status === "live" && (m.heartbeatMs ? m.heardAt : e.now) - m.openedAt >= PROOF ? 0 : m.attempt;

/** @type {T.Rule} */
function dial(m, e, plain) {
  const { target: to, attempt, heardAt, revision } = m;
  if (!to) return then(m);
  if (m.hiddenAt !== null || e.now < m.readyAt) return wait(m, e, m.readyAt);
  plain ||= to.plain;
  const id = m.id + 1;
  const known = to.resume && revision !== null ? ask(to.url, "since", revision) : to.url;
  const url = to.id && !plain ? ask(known, "id", to.id) : known;
  const protocols = plain ? [] : ["onlooker.v1"];
  if (to.token && !plain) protocols.push("onlooker.token." +
    btoa(unescape(encodeURIComponent(to.token))).replace(/[+/=]/g, (c) => (c === "+" ? "-" : c === "/" ? "_" : "")));
  return then({ ...m, id, plain, dialedAt: e.now, link: { status: "connecting", attempt, heardAt } },
    { type: "drop" }, { type: "dial", id, url, protocols }, timer(8000));
}

/** @type {T.Rule} */
function wait(m, e, at) {
  const { attempt, heardAt, hiddenAt, lost } = m;
  const retryAt = hiddenAt === null ? at : null;
  return then({ ...m, id: m.id + 1, link: { status: "waiting", attempt, retryAt, ...lost, heardAt } },
    { type: "drop" }, timer(retryAt && retryAt - e.now));
}

/** Another goes by our id, such as a duplicated tab: take a new one. */
const rename = (to, random) => (to.id ? { ...to, id: `${to.id.slice(0, 44)}-${random.toString(36).slice(2, 14)}` } : to);

/** @type {T.Rule} */
function lose(m, e, reason, code = null, retryAfter) {
  if (!m.target) return then(m);
  const live = m.link.status === "live";
  // No subprotocol there? Browsers do not say: retry once without (a token is for our daemon).
  if (!live && code && !m.plain && !m.spoken && !m.target.token) return dial(m, e, true);
  const target = reason === "replaced" ? rename(m.target, e.random) : m.target;
  const lostAt = live ? e.now : m.lostAt;
  // Stopped is stopped until it is back.
  const lost = !live && m.lost.reason === "stopping" ? m.lost : { reason, code };
  const attempt = tries(m, e);
  const gap = retryAfter ?? delay(attempt, e.random, target.delays);
  const hurry = lost.reason === "stopping" && retryAfter == null && gap > SOON && e.now - lostAt < RESTART;
  const at = e.now + (hurry ? delay(1, e.random, [SOON / 2, SOON]) : gap);
  // Hurried tries do not count: the long gaps are yet to come.
  return wait({ ...m, target, attempt: attempt + (hurry ? 0 : 1), lost, lostAt, readyAt: retryAfter ? at : 0 }, e, at);
}

/** Trust no quiet socket. @type {T.Rule} */
function wake(m, e) {
  const { status } = m.link;
  const beats = m.heartbeatMs;
  const quiet = e.now - (beats || e.online ? m.heardAt : m.hiddenAt ?? e.now);
  const stale = !e.open || quiet > (e.online ? 1000 : 1.5 * beats || 30000);
  const shown = { ...m, hiddenAt: null, attempt: tries(m, e) };
  const calm = m.dialedAt + CALM;
  if (status === "waiting" && e.now < calm) return wait(shown, e, Math.min(m.link.retryAt ?? calm, calm));
  return status === "waiting" || (status === "connecting" ? e.now - m.dialedAt > 1000 : stale) ? dial(shown, e) : then(shown);
}

/** A dead socket looks like a silent one. @type {T.Rule} */
function watchdog(m, e) {
  const ms = 2.5 * m.heartbeatMs + m.heardAt - e.now;
  return !m.heartbeatMs ? then(m) : ms > 0 ? then(m, timer(ms)) : lose(m, e, "silent");
}

/** @type {T.Rule} */
function receive(m, e) {
  const frame = parse(e.data) ?? {};
  const { type, payload, reason, retryAfterMs, source, lost } = frame;
  const ago = (ms, unknown) => (Number.isInteger(ms) ? e.now - ms : unknown);
  const origins = frame.origins ?? {};
  const { link } = (m = { ...m, heardAt: e.now });
  const revision = toRevision(frame.revision);
  const newer = revision === null || revision > (m.revision ?? -1);
  if (link.status !== "live") return then(m);
  const told = { ...link, changedAt: ago(frame.changedMs, link.changedAt), frozen: frame.frozen === true, lost };
  if (type === "hello") {
    const { server = null, heartbeatMs: beats, resumed } = frame;
    // A restarted daemon may be at a lower revision.
    const fresh = !/^(delta|current)$/.test(resumed) || (revision ?? 0) < (m.revision ?? 0);
    // At revision 0 there is no session yet: the first one is news.
    const behind = resumed !== "current" && revision !== 0;
    return watchdog({ ...m, fresh, behind, heartbeatMs: beats > 0 ? beats : 0, link: { ...told, server } }, e);
  }
  if (type === "heartbeat")
    return then({ ...m, link: { ...told, host: { source, seenAt: ago(frame.hostSeenMs, null) } } });
  if (type === "bye") return lose(m, e, `${reason ?? "bye"}`, null, Number.isInteger(retryAfterMs) ? Math.min(retryAfterMs, 36e5) : undefined);
  const news = { behind: false, link: m.behind ? link : { ...link, changedAt: e.now } };
  if (type === "session_update") {
    if (!isObject(payload) || !(newer || (m.fresh && revision === revision))) return then(m);
    const session = { name: "", data: null, metadata: {}, ...payload, config: allowed(payload.config, m.target?.fields) };
    return then({ ...m, ...news, fresh: false, session, revision }, tell({ type: "session", session, revision, origins }));
  }
  if (type === "config_update") {
    if (!m.session || !isObject(payload) || !newer) return then(m);
    const changed = allowed(payload, m.target?.fields);
    const session = { ...m.session, config: { ...m.session.config, ...changed } };
    return then({ ...m, ...news, session, revision }, tell({ type: "config", session, revision, origins, changed }));
  }
  return typeof e.data === "string" ? then(m, tell({ type: "message", text: e.data })) : then(m);
}

/** A clock that is set back takes all instants along. */
function setClock(m, now) {
  const back = m.now - now;
  m = { ...m, now };
  for (const key in m) if (back > 0 && /At$/.test(key)) m[key] &&= m[key] - back;
  return m;
}

/** @type {T.StepFunction} */
export function step(m, e) {
  const { status } = m.link;
  if (status === "closed" || ("id" in e && e.id !== m.id)) return then(m);
  m = setClock(m, e.now);
  switch (e.type) {
    case "connect": return dial({ ...initial, id: m.id, now: m.now, hiddenAt: m.hiddenAt, target: e.target }, e);
    case "open": return then({
      ...m, spoken: m.spoken || e.protocol === "onlooker.v1", fresh: true, behind: true, heartbeatMs: 0, openedAt: e.now, heardAt: e.now,
      lost: initial.lost, link: { status: "live", openedAt: e.now, server: null, host: null, changedAt: null, frozen: false },
    }, timer(null));
    case "message": return receive(m, e);
    case "close": return lose(m, e, e.reason || REASONS[e.code] || (status === "live" ? "lost" : "unreachable"), e.code || 1006);
    case "timer": return status === "waiting" ? dial(m, e) : status === "connecting" ? lose(m, e, "timeout") : watchdog(m, e);
    case "hide": m = { ...m, hiddenAt: e.now }; return status === "waiting" ? wait(m, e) : then(m);
    case "wake": return wake(m, e);
    case "shut": return then({ ...m, id: m.id + 1, link: { status: "closed" } }, { type: "drop" }, timer(null));
  }
}

/** @type {T.Connect} */
export function connect(url, options = {}) {
  const {
    WebSocket: Socket = globalThis.WebSocket, now = Date.now, random = Math.random, setTimeout = globalThis.setTimeout,
    clearTimeout = globalThis.clearTimeout, id = newId(), document = globalThis.document, window = globalThis.window, appState,
  } = options;
  if (!Socket) throw TypeError("onlooker: no WebSocket here: pass one, such as the ws package");
  let machine = initial;
  let socket, alarm, telling;
  const listeners = new Set();
  const news = [];

  function dispatch(happening) {
    const { link } = machine;
    const { state, effects } = step(machine, { ...happening, now: now(), random: random() });
    machine = state;
    effects.forEach(perform);
    // News speaks for itself.
    if (state.link !== link && !effects.some(({ type }) => type === "tell")) news.push({ type: "state", state: state.link });
    if (telling) return;
    telling = true;
    for (let event; (event = news.shift()); )
      for (const listener of listeners)
        try {
          listener(event);
        } catch (error) {
          Promise.reject(error);
        }
    telling = false;
  }

  function perform(effect) {
    if (effect.type === "tell") news.push(effect.event);
    else if (effect.type === "drop") socket = socket?.close();
    else if (effect.type === "dial") open(effect);
    else {
      clearTimeout(alarm);
      if (effect.ms !== null) alarm = setTimeout(() => dispatch({ type: "timer" }), effect.ms);
    }
  }

  // A dropped socket keeps its listeners: `ws` throws unheard errors.
  function open({ id, url, protocols }) {
    const close = (e) => dispatch({ type: "close", id, code: e.code, reason: e.reason || fault });
    let fault = "";
    try {
      const it = (socket = protocols[0] ? new Socket(url, protocols) : new Socket(url));
      it.onopen = () => dispatch({ type: "open", id, protocol: it.protocol });
      it.onmessage = (e) => dispatch({ type: "message", id, data: e.data });
      it.onerror = (e) => (fault = e.message);
      it.onclose = close;
    } catch (error) {
      Promise.resolve().then(() => close({ reason: `${error}` }));
    }
  }

  const look = (e) => dispatch((appState ? e === "background" : document?.hidden)
    ? { type: "hide" } : { type: "wake", open: socket?.readyState === 1, online: e?.type === "online" });
  const ears = (how) => {
    document?.[how]?.("visibilitychange", look);
    for (const event of ["pageshow", "focus", "online"]) window?.[how]?.(event, look);
  };
  const listening = appState ? appState.addEventListener("change", look) : ears("addEventListener");

  /** @type {T.Viewer} */
  const viewer = {
    get state() { return machine.link; },
    get session() { return machine.session; },
    get revision() { return machine.revision; },
    get id() { return machine.target?.id ?? id; },
    subscribe(fn) {
      const listener = (event) => fn(event, viewer);
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    connect: (to, where = {}) => dispatch({ type: "connect", target: target(to, { ...options, topic: undefined, token: undefined, ...where, id: viewer.id }) }),
    send: (text) => machine.link.status === "live" && (socket.send(text), true),
    close() {
      listening?.remove();
      ears("removeEventListener");
      dispatch({ type: "shut" });
    },
  };
  look(appState?.currentState);
  if (url) viewer.connect(url, options);
  return viewer;
}
