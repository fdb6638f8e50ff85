// A page in a browser: one PartySocket from npm, and a hook for each channel that it shows.

import { PartySocket } from "partysocket";
import { WebSocket } from "ws";

import { CHANNELS } from "./daemon.js";
import { Browser, Hook, reducerOf } from "./hook.js";
import { changed, until } from "./until.js";

/** @typedef {import("./ledger.js").Row} Row */
/** @typedef {{ name?: string, browser?: Browser, query?: Record<string, string>, id?: string, patience?: number, party?: string }} TabOptions */

/**
 * A WebSocket as in a browser: each message is an event of its own, and compression is offered. It can be cut and paused.
 * @param {string} name
 * @param {import("./ledger.js").Ledger} ledger
 * @param {(socket: WebSocket) => void} opened
 */
function socketClass(name, ledger, opened) {
  return class extends WebSocket {
    /** @param {string} address @param {string[]} [protocols] */
    constructor(address, protocols) {
      super(address, protocols ?? [], { allowSynchronousEvents: false, perMessageDeflate: true });
      const entry = ledger.connection(name);
      opened(this);
      this.on("message", entry.received);
      this.on("open", () => this.extensions && entry.problem(`agreed to ${this.extensions}`));
      this.on("close", changed);
      const send = this.send.bind(this);
      this.send = (/** @type {any} */ data) => (entry.sent(data), send(data));
    }
  };
}

export class Tab {
  /** @type {Map<string, Hook>} */
  hooks = new Map();
  /** How often a connection was opened. */
  opens = 0;
  /** How many frames it was sent. */
  frames = 0;
  /** @type {WebSocket | null} */
  #connection = null;

  /**
   * @param {import("node:test").TestContext} test
   * @param {import("./daemon.js").Room} room
   * @param {string[]} channels that it shows from the start
   * @param {TabOptions} [options]
   */
  constructor(test, room, channels, options = {}) {
    const { name = "tab", browser = new Browser(), query, id, patience, party } = options;
    this.test = test;
    this.room = room;
    this.options = { ...options, browser };
    this.browser = browser;
    this.patience = patience;
    this.socket = new PartySocket({
      host: `127.0.0.1:${room.daemon.port}`,
      room: room.name,
      ...(party ? { party } : {}),
      ...(query ? { query } : {}),
      ...(id ? { id } : {}),
      WebSocket: socketClass(name, room.ledger, (connection) => (this.#connection = connection)),
      // Soon, so that tests do not wait; the rest is as it comes.
      minReconnectionDelay: 20,
      maxReconnectionDelay: 200,
    });
    this.socket.addEventListener("open", () => (this.opens++, changed()));
    this.socket.addEventListener("message", () => (this.frames++, changed()));
    test.after(() => this.leave());
    for (const channel of channels) this.mount(channel);
  }

  /** @param {string} channel */
  mount(channel) {
    const columns = Object.keys(CHANNELS[channel].columns);
    const hook = new Hook(this.socket, channel, this.browser.database(channel), { reducer: reducerOf(columns), patience: this.patience });
    this.hooks.set(channel, hook);
    return hook;
  }

  /** @param {string} channel */
  hook(channel) {
    const hook = this.hooks.get(channel);
    if (!hook) throw new Error(`this tab does not show ${channel}`);
    return hook;
  }

  /** @param {string} channel */
  rows(channel) {
    return this.hook(channel).rows;
  }

  /** @param {string} channel @param {string} type @param {unknown} [payload] */
  act(channel, type, payload) {
    return this.hook(channel).act({ type, payload });
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Has what it asked for, and waits for nothing. */
  get isSettled() {
    return this.isOpen && this.socket.bufferedAmount === 0 && [...this.hooks.values()].every((hook) => hook.synced && hook.waiting === 0);
  }

  /** Is offline, and comes back under the same id. @returns {() => void} */
  away() {
    this.socket.close();
    return () => this.socket.reconnect();
  }

  /** The connection is cut off without a word. */
  cut() {
    this.#connection?.terminate();
  }

  /** Takes nothing more of what it is sent, until it is let go on. @returns {() => void} */
  pause() {
    const connection = this.#connection;
    if (connection?.readyState !== WebSocket.OPEN) return () => {};
    connection.pause();
    return () => connection.resume();
  }

  /** The page is gone, at once; its browser's databases stay. */
  leave() {
    for (const hook of this.hooks.values()) hook.unmount();
    this.socket.close();
    this.cut();
  }

  /** The page is loaded again. @returns {Tab} */
  reload() {
    this.leave();
    return new Tab(this.test, this.room, [...this.hooks.keys()], this.options);
  }

  /** @returns {Promise<this>} */
  async settled() {
    await until("a tab has its rows and waits for nothing", () => this.isSettled);
    return this;
  }

  /** Waits until it shows these rows, and has kept the same. @param {string} channel @param {Row[]} rows */
  async shows(channel, rows) {
    const wanted = textOf(rows);
    const kept = () => [...this.browser.database(channel).values()].filter((row) => row.at(-1) === null);
    const short = (/** @type {Row[]} */ list) => textOf(list).replace(/(?<=.{200}).+/g, "…");
    const difference = () => `${channel} shows\n  ${short(this.rows(channel))}\nand keeps\n  ${short(kept())}\nbut the table is\n  ${short(rows)}`;
    await until(difference, () => textOf(this.rows(channel)) === wanted && textOf(kept()) === wanted);
  }
}

/** Rows in the order of their ids, one a line. @param {Row[]} rows */
export function textOf(rows) {
  return rows
    .map((row) => JSON.stringify(row))
    .sort()
    .join("\n  ");
}
