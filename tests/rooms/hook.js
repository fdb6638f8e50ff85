// What partysync's `useSync` does with a PartySocket, as far as a server can tell: our own model, without React.
// Four parts: rows that were confirmed, an optimistic layer over them, calls that wait for their replies, and a
// database that outlives the page.

import { changed } from "./until.js";

/** @typedef {import("./ledger.js").Row} Row */
/** @typedef {{ type: string, payload?: any }} Action */
/** @typedef {Map<string | number, Row>} Database IndexedDB as it is used: one row for each id, deleted ones too */
/** @typedef {{ apply: (rows: Row[]) => Row[], rows: Row[], held: boolean }} Update */

/** Databases are shared by all pages of a browser. One for each channel, whatever the room. */
export class Browser {
  /** @type {Map<string, Database>} */
  #databases = new Map();

  /** @param {string} channel */
  database(channel) {
    const known = this.#databases.get(channel) ?? new Map();
    this.#databases.set(channel, known);
    return known;
  }
}

const isLive = (/** @type {Row} */ row) => row.at(-1) === null;

/** Rows are put where their ids are, or at the end; no ages are compared. @param {Row[]} rows @param {Row[]} news */
function put(rows, news) {
  const all = new Map(rows.map((row) => [row[0], row]));
  for (const row of news) all.set(row[0], row);
  return [...all.values()];
}

/** The same, and deleted ones are removed. @param {Row[]} rows @param {Row[]} news */
function putOrRemove(rows, news) {
  const all = new Map(rows.map((row) => [row[0], row]));
  for (const row of news) isLive(row) ? all.set(row[0], row) : all.delete(row[0]);
  return [...all.values()];
}

/** The largest time that a database holds. @param {Iterable<Row>} rows @returns {number | null} */
function latest(rows) {
  let last = null;
  for (const row of rows) {
    for (const time of [row.at(-1), row.at(-2)]) if (time && (last === null || time > last)) last = time;
  }
  return last;
}

/**
 * What an application's reducer does at once with an action.
 * @param {string[]} columns
 * @returns {(rows: Row[], action: Action) => Row[]}
 */
export function reducerOf(columns) {
  const row = (/** @type {any} */ payload, /** @type {Row} */ old) => [...columns.map((name, at) => payload[name] ?? old[at]), old.at(-3), Date.now(), null];
  return (rows, { type, payload }) => {
    if (type === "create") return [...rows, row(payload, [Date.now(), 0, null])];
    if (type === "update") return rows.map((old) => (old[0] === payload.id ? row(payload, old) : old));
    if (type === "delete") return rows.filter((old) => old[0] !== payload.id);
    return type === "delete-all" ? [] : rows;
  };
}

export class Hook {
  /** Replies that came after the hook had given up. @type {string[]} */
  late = [];
  mounted = true;
  synced = false;
  #base = /** @type {Row[]} */ ([]);
  /** Not yet part of the base: while a call waits, what replies bring is held back. @type {Update[]} */
  #updates = [];
  /** @type {Map<string, { action: Action, settle: (error: Error | null, rows: Row[]) => void }>} */
  #calls = new Map();
  #listening = new AbortController();
  #number = 0;

  /**
   * Mounts it: shows what the database holds, and asks for what is newer. This is the only time that it asks.
   * @param {import("partysocket").PartySocket} socket
   * @param {string} channel
   * @param {Database} database
   * @param {{ reducer?: (rows: Row[], action: Action) => Row[], patience?: number }} [options]
   */
  constructor(socket, channel, database, { reducer = (rows) => rows, patience = 10_000 } = {}) {
    this.socket = socket;
    this.channel = channel;
    this.database = database;
    this.reducer = reducer;
    this.patience = patience;
    for (const take of [this.#takeReply, this.#takeSync, this.#takeBroadcast]) {
      const parsed = (/** @type {MessageEvent} */ event) => (take(JSON.parse(event.data)), changed());
      socket.addEventListener("message", /** @type {any} */ (parsed), { signal: this.#listening.signal });
    }
    setImmediate(() => this.#open());
  }

  #open() {
    if (!this.mounted) return;
    const kept = [...this.database.values()].sort((a, b) => a.at(-3) - b.at(-3));
    this.#update({ apply: () => kept.filter(isLive), rows: [], held: false });
    this.socket.send(JSON.stringify({ channel: this.channel, sync: true, from: latest(kept) }));
    changed();
  }

  unmount() {
    this.mounted = false;
    this.#listening.abort();
  }

  /** What the page shows: confirmed rows, and what the actions under way do to them. */
  get rows() {
    const confirmed = this.#updates.filter((update) => !update.held).reduce((rows, update) => update.apply(rows), this.#base);
    return [...this.#calls.values()].reduce((rows, { action }) => this.reducer(rows, action), confirmed);
  }

  /** How many actions wait for their replies. */
  get waiting() {
    return this.#calls.size;
  }

  /**
   * Shows an action at once and sends it; resolves with its rows, or rejects when it is refused or given up.
   * @param {Action} action
   * @returns {Promise<Row[]>}
   */
  act(action) {
    const id = `${this.channel}-${++this.#number}-${Math.random().toString(36).slice(2)}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#calls.get(id)?.settle(new Error("given up"), []), this.patience);
      const settle = (/** @type {Error | null} */ error, /** @type {Row[]} */ rows) => {
        clearTimeout(timer);
        this.#settle(id, rows);
        if (error) reject(error);
        else resolve(rows);
      };
      this.#calls.set(id, { action, settle });
      this.socket.send(JSON.stringify({ id, channel: this.channel, rpc: true, action }));
      changed();
    });
  }

  /** @param {string} id @param {Row[]} rows */
  #settle(id, rows) {
    this.#calls.delete(id);
    if (rows.length > 0) this.#updates.push({ apply: (shown) => putOrRemove(shown, rows), rows, held: true });
    if (this.#calls.size === 0) this.#release();
    changed();
  }

  /** Once nothing waits any more, everything happens again in the order in which it came. */
  #release() {
    for (const update of this.#updates) {
      this.#base = update.apply(this.#base);
      this.#keep(update.rows);
    }
    this.#updates = [];
  }

  /** @param {Update} update */
  #update(update) {
    this.#updates.push(update);
    if (this.#calls.size === 0) this.#release();
    else this.#keep(update.rows);
  }

  /** @param {Row[]} rows */
  #keep(rows) {
    if (this.mounted) for (const row of rows) this.database.set(row[0], row);
  }

  #takeReply = (/** @type {any} */ message) => {
    if (message.rpc !== true || message.channel !== this.channel) return;
    if (message.type !== "success" && message.type !== "error") return;
    const call = this.#calls.get(message.id);
    if (!call) return void this.late.push(message.id);
    if (message.type === "error") return call.settle(new Error(message.error.join("\n")), []);
    if (message.result.length === 0) return call.settle(null, []);
    call.settle(null, message.result);
  };

  /** A sync is merged as if nothing in it could be deleted. */
  #takeSync = (/** @type {any} */ message) => {
    if (message.channel !== this.channel || message.sync !== true) return;
    const rows = message.payload;
    this.#update({ apply: (shown) => put(shown, rows), rows, held: false });
    this.synced = true;
  };

  #takeBroadcast = (/** @type {any} */ message) => {
    if (message.broadcast !== true || message.channel !== this.channel) return;
    if (message.type === "delete-all") return this.#update({ apply: () => [], rows: [], held: false });
    if (message.type !== "update") return;
    const rows = message.payload;
    this.#update({ apply: (shown) => putOrRemove(shown, rows), rows, held: false });
  };
}
