/**
 * onlooker/rooms: rows that several people edit, on every screen at once.
 *
 * What one does shows at once and is rolled back if the daemon refuses it. After a reconnect the rows are what the daemon has.
 * @module
 */
/** @import { LinkState, Options } from "./types.js" */
import { connect, target } from "./onlooker.js";

/** How long (ms) an action waits for its answer, and a connection for a sign of life. */
const PATIENCE = 10_000;
/** The most (ms) that the first answer may take. */
const LONGEST = 120_000;
/** How long (ms) nothing may come before a connection has to give one: a room has no heartbeats that a page could hear. */
const QUIET = 30_000;
const UNKNOWN = "the connection was lost before the answer: see whether it was done";
/** All that a close with 1008 tells: a daemon's has no words. */
const ENDED = "the daemon ended the connection: a host disconnected this page, its access is no longer valid, or it sent too much";

/**
 * A row as it is on the wire: the channel's columns, `id` first, then `created_at`, `updated_at` and `deleted_at`. Booleans are 0 and 1.
 * A row that shows what has not been confirmed yet has null for `updated_at`.
 * @typedef {any[]} Row
 */
/**
 * What is to be done. A channel of the daemon's own `rows` knows `create` (an object of columns; `id` may be left out), `update` (`id` and what
 * changes), `delete` (`id`) and `delete-all`; a host may know others.
 * @typedef {{type: string, payload?: any}} Action
 */
/**
 * - `connecting`: there are no rows yet. - `live`: the rows are what the daemon has. - `lost`: they are what it had; it reconnects by itself.
 * - `refused`: the daemon does not want us, and says why in `reason`; it is asked again as after a loss. - `closed`: `close()` was called; final.
 * @typedef {object} RoomState
 * @property {"connecting" | "live" | "lost" | "refused" | "closed"} status
 * @property {string | null} reason why it is not live, if known: the daemon's own words, or those of a viewer that is `waiting`
 * @property {number | null} retryAt when it dials next; null if that is not known, as while the page is hidden
 */
/** @typedef {{type: "rows", rows: Row[]} | {type: "state", state: RoomState}} RoomEvent */
/**
 * @typedef {object} RoomOptions
 * @property {string[]} [columns] the channel's columns in their order: `create`, `update`, `delete` and `delete-all` are then shown at once
 * @property {(rows: Row[], action: Action) => Row[] | undefined | void} [predict] the rows as an action will leave them, for a host's own actions;
 *   nothing for one that it does not know. It is called often and must not change the rows it is given
 * @property {string} [token] a viewer's or a host's token; also read from the address's fragment (`#t=…`, `#h=…`)
 * @property {typeof fetch | null} [fetch] asks why a connection was refused
 */
/** @typedef {RoomOptions & Pick<Options, "delays" | "WebSocket" | "appState" | "document" | "window" | "now" | "random" | "setTimeout" | "clearTimeout">} ConnectOptions */
/**
 * @typedef {object} Room
 * @property {Row[]} rows the live rows by `created_at`, with what is under way; a new array for every change
 * @property {RoomState} state
 * @property {(action: Action) => Promise<Row[]>} act resolves with the rows that changed, rejects with the daemon's words
 * @property {(listener: (event: RoomEvent, room: Room) => void) => () => void} subscribe returns a function that unsubscribes
 * @property {() => void} close ends it for good; what is under way is rejected
 */
/**
 * An action under way.
 * @typedef {object} Pending
 * @property {Action} action
 * @property {string} text its frame
 * @property {string} id
 * @property {number} at the `created_at` of a row that it creates, after that of all others
 * @property {boolean} sent it is sent once, whatever happens
 * @property {boolean} predicted `predict` has seen it change something
 * @property {boolean} lost the connection that it was sent on is gone
 * @property {any} timer
 * @property {(rows: Row[]) => void} resolve
 * @property {(error: Error) => void} reject
 */

const newId = () => Math.random().toString(36).slice(2, 10).padEnd(8, "0");

/** When a row changed last; grows with every change in a room. @param {Row} row @returns {number} */
const stamp = (row) => Math.max(row.at(-2), row.at(-1));

/** Oldest first, on all pages alike. @param {Row[]} rows */
const sorted = (rows) => rows.filter((row) => row.at(-1) === null).sort((a, b) => a.at(-3) - b.at(-3) || (a[0] < b[0] ? -1 : 1));

/** @param {Map<unknown, Row>} table @param {Iterable<Row>} rows @returns {boolean} whether any was news */
function merge(table, rows) {
  let news = false;
  for (const row of rows) {
    const known = table.get(row[0]);
    if (known && stamp(known) >= stamp(row)) continue;
    table.set(row[0], row);
    news = true;
  }
  return news;
}

/** @param {any} value */
const onWire = (value) => (typeof value === "boolean" ? Number(value) : value ?? null);

/**
 * The rows as one of the daemon's own actions will leave them; nothing if that cannot be told. A row that stays as it is stays the same array.
 * @param {Row[]} rows @param {Pending} pending @param {string[]} columns
 * @returns {Row[] | undefined}
 */
function foresee(rows, { action, id, at }, columns) {
  const payload = action.payload ?? {};
  /** @param {Row} row */
  const retuned = (row) => {
    const next = columns.map((name, i) => (Object.hasOwn(payload, name) ? onWire(payload[name]) : row[i]));
    return next.every((value, i) => value === row[i]) ? row : [...next, row.at(-3), null, null];
  };
  const isMeant = (/** @type {Row} */ row) => row[0] === payload.id;
  switch (action.type) {
    case "create": return rows.some(isMeant) ? rows : [...rows, [payload.id ?? id, ...columns.slice(1).map((name) => onWire(payload[name])), at, null, null]];
    case "update": return rows.some(isMeant) ? rows.map((row) => (isMeant(row) ? retuned(row) : row)) : undefined;
    case "delete": return rows.filter((row) => !isMeant(row));
    case "delete-all": return [];
  }
}

/** @param {Row[]} rows @param {Row[] | undefined} others @returns {boolean} */
const alike = (rows, others) => rows.length === others?.length && rows.every((row, i) => row === others[i]);

/**
 * Whether the rows hold what one of the daemon's own actions wanted; one that the daemon refuses whatever the rows are wanted nothing.
 * @param {Row[]} rows the live ones @param {Action} action @param {string[]} columns
 */
function holds(rows, { type, payload }, columns) {
  if (type === "delete-all") return !rows.length;
  if (!payload || payload.id == null) return false;
  const row = rows.find(([id]) => id === payload.id);
  if (type === "delete") return !row;
  const isWhole = type === "create" && columns.every((name) => name in payload);
  return !!row && (isWhole || type === "update") && Object.keys(payload).every((name) => row[columns.indexOf(name)] === onWire(payload[name]));
}

/** @param {string} url @param {string} [token] @returns {string} the socket's, with an id of its own that stays */
function addressOf(url, token) {
  const to = target(url, { token });
  const [, path = "", query] = /^([^?]*)\??(.*)$/.exec(to.url) ?? [];
  if (!/\/parties\/[^/]+\/[^/]+$/.test(path)) throw TypeError(`onlooker: "${path}" is not a room's address: …/parties/PARTY/ROOM`);
  return `${path}?${query ? `${query}&` : ""}_pk=${newId()}${newId()}${to.token ? `&token=${encodeURIComponent(to.token)}` : ""}`;
}

/** Where the daemon answers for the same channel with a status and words, which a page is not told of a socket. @param {string} address @param {string} channel */
const overHttp = (address, channel) =>
  address.replace(/^ws/, "http").replace("/parties/", "/api/rooms/").replace("?", `/${encodeURIComponent(channel)}?`);

/**
 * Takes part in a room until `close()`.
 * @param {string} url `http(s)://` or `ws(s)://HOST/parties/PARTY/ROOM`, with `?token=` where one is needed
 * @param {string} channel
 * @param {ConnectOptions} [options]
 * @returns {Room}
 */
export function connectRoom(url, channel, options = {}) {
  if (!channel || typeof channel !== "string") throw TypeError(`onlooker: "${channel}" is not a channel's name`);
  const { columns, predict, fetch = globalThis.fetch } = options;
  const { now = Date.now, setTimeout = globalThis.setTimeout, clearTimeout = globalThis.clearTimeout } = options;
  const address = addressOf(url, options.token);
  const link = connect(null, { ...options, id: "", plain: true });
  /** Every row as it was last, also deleted ones: an older one must not bring them back. @type {Map<unknown, Row>} */
  let table = new Map();
  /** What came while the answer with all rows is due: it may be newer than that answer. @type {typeof table | null} */
  let meanwhile = null;
  /** @type {Map<string, Pending>} */
  const underway = new Map();
  /** @type {Set<(event: RoomEvent, room: Room) => void>} */
  const listeners = new Set();
  /** @type {RoomEvent[]} */
  const news = [];
  let telling = false;
  let stale = false;
  let synced = false;
  let wasSynced = false;
  let refused = false;
  /** @type {string | null} */
  let why = null;
  let before = "idle";
  /** @type {any} */
  let alarm;
  let patience = PATIENCE;
  /** @type {Row[]} */
  let rows = [];
  /** @type {RoomState} */
  let state = { status: "connecting", reason: null, retryAt: null };

  /** @param {Row[]} rows @param {Action} action @returns {Row[] | undefined | void} */
  function guess(rows, action) {
    try {
      return predict?.(rows, action);
    } catch (error) {
      Promise.reject(error);
      return rows;
    }
  }

  /** @param {Row[]} rows @param {Pending} pending @returns {Row[] | undefined} */
  function after(rows, pending) {
    const guessed = guess(rows, pending.action);
    pending.predicted ||= !!guessed && !alike(rows, guessed);
    return guessed || (columns && foresee(rows, pending, columns));
  }

  /** @param {(run: Pending) => void} run */
  const each = (run) => [...underway.values()].forEach(run);

  /** @returns {RoomState} */
  function look() {
    const { status, retryAt = null } = /** @type {any} */ (link.state);
    const name = status === "closed" ? "closed" : synced ? "live" : refused ? "refused" : wasSynced ? "lost" : "connecting";
    return { status: name, reason: why, retryAt };
  }

  function show() {
    stale = false;
    rows = sorted([...table.values()]);
    each((pending) => (rows = after(rows, pending) ?? rows));
    if (underway.size) rows = sorted(rows);
    news.push({ type: "rows", rows });
  }

  /** Tells the listeners what has changed. */
  function tell() {
    const next = look();
    if (stale) show();
    if (JSON.stringify(next) !== JSON.stringify(state)) news.push({ type: "state", state: (state = next) });
    if (telling) return;
    telling = true;
    for (let event; (event = news.shift()); )
      for (const listener of listeners)
        try {
          listener(event, room);
        } catch (error) {
          Promise.reject(error);
        }
    telling = false;
  }

  /**
   * After every dial for all rows: an answer about what changed cannot say which rows a daemon has forgotten, by a restart or in time, nor that the
   * deletions that follow it were lost with the connection.
   * @param {number | null} from null: all rows
   */
  function ask(from) {
    meanwhile = from === null ? new Map() : null;
    link.send(JSON.stringify({ channel, sync: true, from }));
  }

  /** @param {Pending} pending */
  const send = (pending) => void (pending.sent ||= link.send(pending.text));

  function redial() {
    if (!refused) why = "silent";
    // Where nothing came in time, the next connection gets longer: a page is not told of the half of a large table that has arrived.
    if (!synced) patience = Math.min(2 * patience, LONGEST);
    link.connect(address);
  }

  function later(/** @type {() => void} */ run, /** @type {number} */ ms) {
    clearTimeout(alarm);
    alarm = setTimeout(run, ms);
  }

  function probe() {
    // Anything that is answered will do, and this answer is the shortest.
    ask([...table.values()].reduce((most, row) => Math.max(most, stamp(row)), 0) || null);
    later(redial, PATIENCE);
  }

  /** Any frame is a sign of life: also one that comes while the first answer is due. */
  function trust() {
    if (link.state.status === "live") synced || refused ? later(probe, QUIET) : later(redial, patience);
  }

  /** @param {LinkState} to */
  function follow(to) {
    const dialed = before === "connecting";
    before = to.status;
    clearTimeout(alarm);
    synced = false;
    if (to.status === "live") {
      ask(null);
      each(send);
      later(redial, patience);
    } else each((pending) => (pending.lost = pending.sent));
    if (to.status === "waiting") {
      if (to.code === 1008) refused = true;
      if (!refused || to.code === 1008) why = to.code === 1008 && to.reason === "refused" ? ENDED : to.reason;
      if (dialed && to.code === 1006) inquire();
    }
    tell();
  }

  /** A page is not told why its socket was refused: asks in a way that is answered. */
  async function inquire() {
    const response = await fetch?.(overHttp(address, channel)).catch(() => null);
    const body = response?.ok ? response.body?.cancel() : await response?.json().catch(() => null);
    if (synced || link.state.status === "closed") return;
    // A daemon that has no place now may have one later.
    refused = !!response && !response.ok && response.status < 500;
    why = body?.detail ?? body?.title ?? why;
    tell();
  }

  /** @param {string} text */
  function hear(text) {
    /** @type {any} */
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {}
    if (frame?.channel !== channel) return trust();
    if (frame.sync) answer(frame.payload);
    else if (frame.broadcast) take(frame.payload);
    else if (frame.type === "success") {
      take(frame.result);
      settle(frame.id, (pending) => pending.resolve(frame.result));
    } else if (frame.type === "error") {
      const words = [frame.error].flat().join("; ");
      // One without an id answers the sync, any other an action that was given up.
      if (!settle(frame.id, (pending) => pending.reject(Error(words))) && frame.id === null && !synced) [refused, why] = [true, words];
    }
    trust();
    tell();
  }

  /** @param {Row[]} changed */
  function take(changed) {
    if (meanwhile) merge(meanwhile, changed);
    stale = merge(table, changed) || stale;
  }

  /** @param {Row[]} payload */
  function answer(payload) {
    if (meanwhile) {
      table = new Map(payload.map((row) => [row[0], row]));
      merge(table, meanwhile.values());
      meanwhile = null;
      stale = true;
    } else take(payload);
    [synced, wasSynced, refused, why, patience] = [true, true, false, null, PATIENCE];
    each((pending) => pending.lost && judge(pending));
  }

  /**
   * What became of an action whose answer was lost is seen from the rows: it was done if they hold what it wanted. Of a host's own action that is known
   * if `predict` saw a change when it was begun, and sees none any more. @param {Pending} pending
   */
  function judge({ id, action, predicted }) {
    const rows = sorted([...table.values()]);
    const done = (predicted && alike(rows, guess(rows, action) || undefined)) || (columns && holds(rows, action, columns));
    settle(id, ({ resolve, reject }) => (done ? resolve(rows.filter((row) => row[0] === action.payload?.id)) : reject(Error(UNKNOWN))));
  }

  /** @param {string} id @param {(pending: Pending) => void} end @returns {boolean} whether it was under way */
  function settle(id, end) {
    const pending = underway.get(id);
    if (!pending) return false;
    clearTimeout(pending.timer);
    underway.delete(id);
    stale = true;
    end(pending);
    return true;
  }

  /** @param {Pending} pending */
  function giveUp({ id, sent, lost }) {
    const { status, reason } = state;
    const unsent = status === "refused" && reason ? reason : `there was no connection for 10 s${reason ? `: ${reason}` : ""}`;
    settle(id, ({ reject }) => reject(Error(sent ? "no answer within 10 s: see whether it was done" : unsent)));
    // The daemon would have answered, if only with an error.
    if (synced && sent && !lost) redial();
    tell();
  }

  /** @type {Room} */
  const room = {
    get rows() { return rows; },
    get state() { return state; },
    act: (action) => new Promise((resolve, reject) => {
      if (state.status === "closed") throw Error("the room is closed");
      const id = newId();
      const text = JSON.stringify({ id, channel, rpc: true, action });
      const at = Math.max(now(), (rows.at(-1)?.at(-3) ?? 0) + 1);
      /** @type {Pending} */
      const pending = { id, action, text, at, sent: false, predicted: false, lost: false, resolve, reject, timer: setTimeout(() => giveUp(pending), PATIENCE) };
      underway.set(id, pending);
      send(pending);
      stale = true;
      tell();
    }),
    subscribe(fn) {
      const listener = (/** @type {RoomEvent} */ event) => fn(event, room);
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close() {
      link.close();
      clearTimeout(alarm);
      each(({ id }) => settle(id, ({ reject }) => reject(Error("the room was closed"))));
      tell();
    },
  };
  link.subscribe((event) => (event.type === "message" ? hear(event.text) : event.type === "state" && follow(event.state)));
  link.connect(address);
  return room;
}
