// A connection to a room without PartySocket, for tests of single frames.

import assert from "node:assert/strict";
import { once } from "node:events";
import { WebSocket } from "ws";

import { changed, until } from "./until.js";

let number = 0;

/** @typedef {{ party?: string, pk?: string | null, token?: string, protocols?: string[] }} Way */

/** @param {import("./daemon.js").Daemon} daemon @param {string} room @param {Way} way */
export function addressOf(daemon, room, { party = "main", pk = `raw-${++number}`, token }) {
  const query = new URLSearchParams();
  if (pk !== null) query.set("_pk", pk);
  if (token) query.set("token", token);
  return `ws://127.0.0.1:${daemon.port}/parties/${party}/${room}?${query}`;
}

export class Raw {
  /** What came and was not taken yet. @type {any[]} */
  frames = [];
  /** @type {{ code: number, reason: string } | null} */
  closed = null;
  #last = 0;

  /**
   * @param {import("node:test").TestContext} test
   * @param {import("./daemon.js").Room} room
   * @param {Way} [way]
   */
  static async open(test, room, way = {}) {
    const socket = new WebSocket(addressOf(room.daemon, room.name, way), way.protocols ?? [], { perMessageDeflate: true });
    const raw = new Raw(socket, room.ledger.connection("raw"));
    test.after(() => socket.terminate());
    await once(socket, "open");
    return raw;
  }

  /** @param {WebSocket} socket @param {ReturnType<import("./ledger.js").Ledger["connection"]>} entry */
  constructor(socket, entry) {
    this.socket = socket;
    this.entry = entry;
    socket.on("message", (data, isBinary) => (this.frames.push(entry.received(data, isBinary)), changed()));
    socket.on("close", (code, reason) => ((this.closed = { code, reason: String(reason) }), changed()));
    socket.on("error", () => {});
  }

  /** @param {unknown} message text and bytes go as they are, the rest as JSON */
  send(message) {
    const data = typeof message === "string" || message instanceof Uint8Array ? message : JSON.stringify(message);
    this.entry.sent(data);
    this.socket.send(data);
  }

  /** The next frame. @returns {Promise<any>} */
  async next() {
    await until("a frame, or the connection's end", () => this.frames.length > 0 || this.closed);
    if (this.frames.length === 0) throw new Error(`closed with ${this.closed?.code} ${this.closed?.reason}`);
    return this.frames.shift();
  }

  /**
   * Sends an action and returns the id of its call.
   * @param {string} channel @param {string} type @param {unknown} [payload]
   */
  act(channel, type, payload) {
    const id = `call-${++this.#last}`;
    this.send({ id, channel, rpc: true, action: { type, payload } });
    return id;
  }

  /** The next frame but for the changes of others, which stay to be taken. @returns {Promise<any>} */
  async #answer() {
    const at = () => this.frames.findIndex((frame) => !frame?.broadcast);
    await until("an answer, or the connection's end", () => at() !== -1 || this.closed);
    if (at() === -1) throw new Error(`closed with ${this.closed?.code} ${this.closed?.reason}`);
    return this.frames.splice(at(), 1)[0];
  }

  /**
   * The reply to an action, which has to be the next answer.
   * @param {string} channel @param {string} type @param {unknown} [payload]
   */
  async ask(channel, type, payload) {
    const id = this.act(channel, type, payload);
    const frame = await this.#answer();
    if (frame?.id !== id) throw new Error(`${JSON.stringify(frame)} came instead of the reply to ${id}`);
    return frame;
  }

  /** The rows that an action changed. @param {string} channel @param {string} type @param {unknown} [payload] */
  async do(channel, type, payload) {
    const { result, error } = await this.ask(channel, type, payload);
    if (error) throw new Error(`${type} in ${channel} was refused: ${error}`);
    return result;
  }

  /** Why an action was refused. @param {string} channel @param {string} type @param {unknown} [payload] @returns {Promise<string>} */
  async refused(channel, type, payload) {
    const { result, error } = await this.ask(channel, type, payload);
    if (result) throw new Error(`${type} in ${channel} was not refused: ${JSON.stringify(result)}`);
    return error.join("; ");
  }

  /** The rows of the answer to a sync, which has to be the next answer. @param {string} channel @param {unknown} [from] */
  async sync(channel, from = null) {
    this.send({ channel, sync: true, from });
    const frame = await this.#answer();
    if (frame?.sync !== true || frame.channel !== channel) throw new Error(`${JSON.stringify(frame)} came instead of the sync of ${channel}`);
    return frame.payload;
  }

  /** Asserts that nothing more was sent: the reply to an action that is sent now comes next. */
  async quiet() {
    assert.deepEqual(await this.untilNow(), []);
  }

  /** The frames up to the reply to an action that is sent now. */
  async untilNow() {
    const id = this.act("no-such-channel", "create", {});
    const came = [];
    for (let frame = await this.next(); frame.id !== id; frame = await this.next()) came.push(frame);
    return came;
  }
}

/**
 * What an upgrade is refused with.
 * @param {string} address
 * @param {string[]} [protocols]
 * @returns {Promise<number>} the HTTP status; 101 if it is not refused
 */
export function upgradeStatus(address, protocols = []) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address, protocols);
    socket.on("unexpected-response", (request, response) => {
      resolve(response.statusCode ?? 0);
      request.destroy();
    });
    socket.on("open", () => (resolve(101), socket.terminate()));
    socket.on("error", reject);
  });
}
