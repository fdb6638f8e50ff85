// A host on `/host?room=PARTY/ROOM`, and writers and watchers that know nothing of rooms.

import { once } from "node:events";
import { WebSocket } from "ws";

import { HOST_TOKEN } from "./daemon.js";
import { changed, until } from "./until.js";

export class Host {
  /** What came and was not taken yet. @type {any[]} */
  messages = [];
  /** @type {number | null} */
  closed = null;

  /**
   * @param {import("node:test").TestContext} test
   * @param {import("./daemon.js").Room} room
   */
  static async open(test, room) {
    const { port } = room.daemon;
    const socket = new WebSocket(`ws://127.0.0.1:${port}/host?room=main/${room.name}`, { headers: { authorization: `Bearer ${HOST_TOKEN}` } });
    const host = new Host(socket);
    test.after(() => socket.terminate());
    await once(socket, "open");
    return host;
  }

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on("message", (data) => (this.messages.push(JSON.parse(String(data))), changed()));
    socket.on("close", (code) => ((this.closed = code), changed()));
    socket.on("error", () => {});
  }

  /** @param {unknown} message */
  send(message) {
    this.socket.send(JSON.stringify(message));
  }

  /** The next message of a type. @param {string} type @returns {Promise<any>} */
  async next(type) {
    const at = () => this.messages.findIndex((message) => message.type === type);
    await until(() => `the host is sent ${type}; it has ${JSON.stringify(this.messages)}`, () => at() !== -1);
    return this.messages.splice(at(), 1)[0];
  }

  /** The next action that it is asked about. */
  action() {
    return this.next("action");
  }

  /** @param {number} id of the action @param {unknown[]} rows */
  answer(id, rows) {
    this.send({ type: "rows", id, rows });
  }

  /** @param {number} id of the action @param {string[]} error */
  refuse(id, error) {
    this.send({ type: "refuse", id, error });
  }

  /** Rows that nobody asked for. @param {string} channel @param {unknown[]} rows @param {unknown} [id] */
  tell(channel, rows, id) {
    this.send({ type: "rows", channel, rows, ...(id === undefined ? {} : { id }) });
  }
}

/**
 * A plain viewer of a topic, as wscat is one.
 * @param {import("node:test").TestContext} test
 * @param {import("./daemon.js").Daemon} daemon
 * @param {string} topic
 */
export async function watchTopic(test, daemon, topic) {
  const socket = new WebSocket(`ws://127.0.0.1:${daemon.port}/?topic=${topic}`);
  test.after(() => socket.terminate());
  /** @type {{ session: any }} the newest session */
  const viewer = { session: null };
  socket.on("message", (data) => {
    const frame = JSON.parse(String(data));
    if (frame.type === "session_update") viewer.session = frame.payload;
    changed();
  });
  await once(socket, "open");
  return viewer;
}

/**
 * A request with the host token, or another one, or none.
 * @param {import("./daemon.js").Daemon} daemon
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, token?: string | null, headers?: Record<string, string> }} [options]
 */
export async function request(daemon, method, path, { body, token = HOST_TOKEN, headers = {} } = {}) {
  const all = new Headers({ "content-type": "application/json", ...headers });
  if (token !== null) all.set("authorization", `Bearer ${token}`);
  const answer = await fetch(daemon.origin + path, { method, headers: all, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, etag: answer.headers.get("etag"), text, json: text.startsWith("{") ? JSON.parse(text) : null };
}
