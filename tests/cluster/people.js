// People of rooms, without PartySocket: each checks that no row goes back, and keeps what it was told.

import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WebSocket } from "ws";

import { startMembers } from "./daemon.js";
import { temporaryFolder } from "./servers.js";
import { changed, until } from "./until.js";

/** @typedef {import("node:test").TestContext} Test */
/** @typedef {any[]} Row the columns, then created_at, updated_at, deleted_at */

const CONFIGURATION = `
[rooms]
parties = ["main"]

[rooms.channels.todos]
columns = { id = "string", text = "string", count = "number" }
writers = "viewers"
show = true

[rooms.channels.numbers]
columns = { id = "number", text = "string" }
writers = "viewers"

[rooms.channels.votes]
columns = { id = "string", count = "number" }
actions = "host"
writers = "viewers"
`;

/**
 * Daemons of a cluster that have rooms.
 * @param {Test} test
 * @param {string[]} urls
 * @param {Parameters<typeof startMembers>[2]} [options]
 */
export async function startHouses(test, urls, options = {}) {
  const file = join(await temporaryFolder(test), "onlooker.toml");
  await writeFile(file, CONFIGURATION);
  const args = ["--config", file, "--max-actions", "1000000", ...(options.args ?? [])];
  return startMembers(test, urls, { count: 2, ...options, args });
}

let number = 0;

export class Person {
  /** The newest of each row that it was told, the deleted ones among them, by channel and id. @type {Map<string, Row>} */
  rows = new Map();
  /** What was wrong. @type {string[]} */
  problems = [];
  /** @type {any[]} */
  frames = [];
  closed = false;
  #last = 0;
  /** @type {Map<string, (frame: any) => void>} */
  #waiting = new Map();
  /** @type {WebSocket | null} */
  #socket = null;

  /** @param {Test} test @param {import("./daemon.js").Member} member @param {string} [room] */
  static async open(test, member, room = "lobby") {
    const person = new Person();
    test.after(() => person.leave());
    await person.connect(member, room);
    return person;
  }

  pk = `person-${++number}`;

  /** @param {import("./daemon.js").Member} member @param {string} [room] */
  async connect(member, room = "lobby") {
    const socket = new WebSocket(`ws://127.0.0.1:${member.port}/parties/main/${room}?_pk=${this.pk}`);
    this.#socket = socket;
    this.closed = false;
    socket.on("message", (data) => (this.#hear(JSON.parse(String(data))), changed()));
    socket.on("close", () => {
      this.closed = true;
      for (const answer of this.#waiting.values()) answer(null);
      this.#waiting.clear();
      changed();
    });
    socket.on("error", () => {});
    await once(socket, "open");
  }

  leave() {
    this.#socket?.terminate();
  }

  /** @param {any} frame */
  #hear(frame) {
    this.frames.push(frame);
    for (const row of frame.payload ?? frame.result ?? []) {
      const key = `${frame.channel} ${JSON.stringify(row[0])}`;
      const known = this.rows.get(key);
      if (known && known.at(-2) > row.at(-2)) this.problems.push(`${this.pk}: ${JSON.stringify(row)} came after ${JSON.stringify(known)}`);
      this.rows.set(key, row);
    }
    const answer = frame.rpc ? this.#waiting.get(frame.id) : undefined;
    if (answer) {
      this.#waiting.delete(frame.id);
      answer(frame);
    }
  }

  /** The answer to an action; null if the connection ends before it. @param {string} channel @param {string} type @param {unknown} [payload] @returns {Promise<any>} */
  ask(channel, type, payload) {
    if (this.closed) return Promise.resolve(null);
    const id = `call-${++this.#last}`;
    const answered = new Promise((resolve) => this.#waiting.set(id, resolve));
    this.#socket?.send(JSON.stringify({ id, channel, rpc: true, action: { type, payload } }));
    return answered;
  }

  /** The rows that an action has changed. @param {string} channel @param {string} type @param {unknown} [payload] @returns {Promise<Row[]>} */
  async do(channel, type, payload) {
    const answer = await this.ask(channel, type, payload);
    if (!answer?.result) throw new Error(`${type} in ${channel}: ${JSON.stringify(answer)}`);
    return answer.result;
  }

  /** The rows of the answer to a sync. @param {string} channel @param {number | null} [from] @returns {Promise<Row[]>} */
  async sync(channel, from = null) {
    const begin = this.frames.length;
    this.#socket?.send(JSON.stringify({ channel, sync: true, from }));
    const answer = () => this.frames.slice(begin).find((frame) => frame.sync && frame.channel === channel);
    await until("the answer to a sync", () => answer() || this.closed);
    return answer()?.payload;
  }

  /** The live rows of a channel that it was told, by id. @param {string} channel */
  live(channel) {
    const own = [...this.rows].filter(([key, row]) => key.startsWith(`${channel} `) && row.at(-1) === null);
    return new Map(own.map(([, row]) => [row[0], row]));
  }
}

/** The live rows of a channel as a daemon has them, by id. @param {import("./daemon.js").Member} member @param {string} channel @param {string} [room] */
export async function rowsAt(member, channel, room = "lobby") {
  const { json } = await member.must("GET", `/api/rooms/main/${room}/${channel}`);
  return new Map(/** @type {Row[]} */ (json.rows).map((row) => [row[0], row]));
}

/** Rows in an order that does not depend on who has them. @param {Map<any, Row>} rows */
export function sorted(rows) {
  return [...rows.values()].sort((one, other) => (String(one[0]) < String(other[0]) ? -1 : 1));
}
