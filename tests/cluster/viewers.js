// Viewers that move between daemons, and apply frames as a client does.

import { WebSocket } from "ws";

import { pick } from "./chance.js";
import { changed, until } from "./until.js";

/** @typedef {import("./daemon.js").Member} Member */
/** @typedef {import("./history.js").History} History */

export class Viewer {
  /** What it holds. @type {any} */
  session = null;
  revision = 0;
  /** Sessions that replaced another. */
  redraws = 0;
  moves = 0;
  /** @type {any} */
  hello = null;
  /** The latest heartbeat. @type {any} */
  heartbeat = null;
  /** What is no frame of ours: texts of hosts. @type {string[]} */
  texts = [];
  /** How it was closed, if it was. @type {{ code: number, bye: string | null } | null} */
  closed = null;
  /** How many sessions and updates came. */
  frames = 0;
  isCurrent = false;
  #bye = null;
  #isOver = false;
  /** @type {WebSocket | null} */
  #socket = null;

  /** @param {string} name @param {History | null} history @param {string} topic */
  constructor(name, history, topic) {
    this.name = name;
    this.history = history;
    this.topic = topic;
  }

  /** Leaves where it is, and goes on with what it holds. @param {Member} member */
  connect(member) {
    this.#socket?.terminate();
    const since = this.session ? `&since=${this.revision}` : "";
    const socket = new WebSocket(`ws://127.0.0.1:${member.port}/?topic=${this.topic}&id=${this.name}${since}`, "onlooker.v1");
    this.#socket = socket;
    this.member = member;
    this.closed = this.hello = this.heartbeat = this.#bye = null;
    this.isCurrent = false;
    socket.on("message", (data) => this.#socket === socket && this.#take(String(data)));
    socket.on("error", () => {});
    socket.on("close", (code) => {
      if (this.#socket !== socket || this.#isOver) return;
      this.closed = { code, bye: this.#bye };
      this.isCurrent = false;
      changed();
    });
  }

  leave() {
    this.#isOver = true;
    this.#socket?.terminate();
  }

  /** @param {string} text */
  #take(text) {
    const frame = text.startsWith("{") ? JSON.parse(text) : null;
    if (frame?.type === "hello") this.#greeted(frame);
    else if (frame?.type === "heartbeat") this.heartbeat = frame;
    else if (frame?.type === "bye") this.#bye = frame.reason;
    else if (frame?.type === "session_update" || frame?.type === "config_update") this.#apply(frame);
    else this.texts.push(text);
    changed();
  }

  /** @param {any} hello */
  #greeted(hello) {
    this.hello = hello;
    this.isCurrent = hello.resumed === "current";
  }

  /** @param {any} frame */
  #apply({ type, revision: text, payload }) {
    const revision = Number(text);
    this.frames++;
    if (revision < this.revision) this.history?.wrong(`${this.name} at ${this.member?.name} goes back from ${this.revision} to ${revision}, ${type}, greeted with ${JSON.stringify(this.hello)}`);
    if (type === "session_update") {
      if (this.session) this.redraws++;
      this.session = payload;
    } else if (!this.session) this.history?.wrong(`${this.name} is sent changes to a session that it does not have`);
    else this.session = { ...this.session, config: merged(this.session.config, payload) };
    this.revision = revision;
    this.isCurrent = true;
    this.history?.shown(`${this.name} at ${this.member?.name}`, revision, this.session);
  }
}

/** @param {Record<string, unknown>} config @param {Record<string, unknown>} changes */
function merged(config, changes) {
  const all = Object.entries({ ...config, ...changes });
  return Object.fromEntries(all.filter(([, value]) => value !== null));
}

/** Many viewers, of whom somebody moves again and again; whoever is cut off goes to another daemon. */
export class Crowd {
  /** @type {Viewer[]} */
  viewers = [];
  moved = 0;
  cutOff = 0;
  /** @type {NodeJS.Timeout | null} */
  #timer = null;

  /**
   * @param {import("node:test").TestContext} test
   * @param {History} history
   * @param {Member[]} members
   * @param {import("./chance.js").Chance} random
   * @param {{ count?: number, topic: string }} options
   */
  constructor(test, history, members, random, { count = 100, topic }) {
    this.members = members;
    this.random = random;
    for (let at = 0; at < count; at++) this.viewers.push(new Viewer(`viewer-${at}`, history, topic));
    this.viewers.forEach((viewer, at) => viewer.connect(members[at % members.length]));
    test.after(() => (this.rest(), this.viewers.forEach((viewer) => viewer.leave())));
  }

  get redraws() {
    return this.viewers.reduce((sum, { redraws }) => sum + redraws, 0);
  }

  /** From now on one of them moves every so many ms. @param {number} every */
  move(every = 20) {
    this.#timer = setInterval(() => {
      const viewer = pick(this.random, this.viewers);
      if (viewer.closed) this.cutOff++;
      this.#moveOn(viewer);
      for (const other of this.viewers.filter(({ closed }) => closed).slice(0, 10)) (this.cutOff++, this.#moveOn(other));
    }, every);
  }

  rest() {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** @param {Viewer} viewer */
  #moveOn(viewer) {
    this.moved++;
    viewer.moves++;
    const others = this.members.filter((member) => member !== viewer.member && member.isUp);
    viewer.connect(pick(this.random, others.length > 0 ? others : this.members));
  }

  /** Resolves once all hold this session. @param {number} revision @param {string} text */
  async hold(revision, text) {
    this.rest();
    for (const viewer of this.viewers.filter(({ closed }) => closed)) this.#moveOn(viewer);
    const holds = (/** @type {Viewer} */ viewer) => viewer.isCurrent && viewer.revision === revision && JSON.stringify(viewer.session) === text;
    const told = () => {
      const late = this.viewers.filter((viewer) => !holds(viewer));
      return `every viewer is on the last state, ${revision}; ${late.length} are not, such as ${late.slice(0, 3).map(({ name, member, revision, closed, hello }) => `${name} at ${member?.name}: ${revision} ${JSON.stringify({ closed, hello })}`).join("; ")}`;
    };
    await until(told, () => this.viewers.every(holds), 30_000);
  }
}
