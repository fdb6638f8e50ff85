// Writers who race on one topic, through any daemon: compare-and-set of the whole session, and single fields.

import { setTimeout as pause } from "node:timers/promises";

import { chance, pick } from "./chance.js";
import { NotThere } from "./daemon.js";
import { now } from "./history.js";

/** @typedef {import("./daemon.js").Member} Member */
/** @typedef {import("./history.js").History} History */

export const TOPIC = "race";

/** The first values: one field for compare-and-set, one that all write, one for each writer. @param {number} count */
export function firstValues(count) {
  const own = Array.from({ length: count }, (_, at) => [`own${at}`, "start"]);
  return { chain: "start", shared: "start", ...Object.fromEntries(own) };
}

/** @param {Record<string, string>} first */
export const firstSession = (first) => ({ name: "Race", data: { about: "writers who race" }, config: first, metadata: {} });

export class Writers {
  #isOver = false;
  /** @type {Promise<void>[]} */
  #running = [];
  #last = 0;

  /** @param {History} history @param {Member[]} members @param {{ seed?: number, count?: number, between?: number }} [options] `between`: the longest pause between two writes, in ms */
  constructor(history, members, { seed = 1, count = 6, between = 60 } = {}) {
    this.history = history;
    this.members = members;
    this.between = between;
    for (let at = 0; at < count; at++) this.#running.push(this.#run(at, chance(seed * 1000 + at)));
  }

  async finish() {
    this.#isOver = true;
    await Promise.all(this.#running);
  }

  /** @param {number} at @param {import("./chance.js").Chance} random */
  async #run(at, random) {
    while (!this.#isOver) {
      const member = pick(random, this.members);
      const dice = random();
      const value = `w${at}-${++this.#last}`;
      let result;
      if (dice < 0.4) result = await this.#chain(`w${at}`, value, member);
      else result = await this.#field(`w${at}`, dice < 0.75 ? `own${at}` : "shared", value, member);
      await pause(result === "ok" ? random() * this.between : 50 + random() * 100);
    }
  }

  /** @param {string} writer @param {string} field @param {string} value @param {Member} member */
  async #field(writer, field, value, member) {
    const { answer, write } = await this.#write({ writer, field, value }, member, `/api/topics/${TOPIC}/config/${field}`, { value });
    if (answer && write.result === "ok") this.#noted(member, write, answer.json.serverRevision);
    return write.result;
  }

  /** Replaces the value that it has just read. @param {string} writer @param {string} value @param {Member} member */
  async #chain(writer, value, member) {
    const read = await this.read(member);
    if (!read) return "refused";
    const { session, revision } = read;
    const before = session.config[this.history.chain];
    const body = { ...session, config: { ...session.config, [this.history.chain]: value } };
    const { answer, write } = await this.#write({ writer, field: this.history.chain, value, before, match: revision }, member, `/api/topics/${TOPIC}`, body, { "if-match": `"${revision}"` });
    if (answer && write.result === "ok") {
      this.#noted(member, write, Number(answer.json.revision));
      this.history.shown(`the answer of ${member.name}`, Number(answer.json.revision), answer.json.data);
    }
    return write.result;
  }

  /** @param {Member} member @param {import("./history.js").Write} write @param {number} revision */
  #noted(member, write, revision) {
    write.revision = revision;
    this.history.answered(lifeOf(member, write), write.start, revision, write.end);
  }

  /**
   * @param {{ writer: string, field: string, value: string, before?: string, match?: number }} what
   * @param {Member} member
   * @param {string} path
   * @param {unknown} body
   * @param {Record<string, string>} [headers]
   */
  async #write(what, member, path, body, headers) {
    const life = member.life;
    const write = /** @type {import("./history.js").Write & { life: number }} */ ({ ...what, daemon: member.name, life, start: now(), end: Infinity, result: "unknown" });
    this.history.writes.push(write);
    const answer = await member.ask("PUT", path, { body, headers }).catch((error) => {
      if (error instanceof NotThere) write.result = "refused";
    });
    write.end = now();
    if (answer) write.result = this.#resultOf(answer, `${member.name}: ${what.writer} ${what.field} = ${what.value}`);
    if (answer && write.result !== "ok") write.said = `${answer.status} ${answer.json?.detail} after ${Math.round(write.end - write.start)} ms`;
    return { answer, write };
  }

  /** @param {import("./daemon.js").Answer} answer @param {string} what @returns {import("./history.js").Result} */
  #resultOf({ status, text }, what) {
    if (status === 200) return "ok";
    if (status === 412 || status === 503) return "refused";
    // 504: whether it was written is not known.
    if (status !== 504) this.history.wrong(`${what}: ${status} ${text}`);
    return status < 500 ? "refused" : "unknown";
  }

  /** What a daemon shows; nothing while it is not there. @param {Member} member */
  async read(member) {
    const [start, life] = [now(), member.life];
    const answer = await member.ask("GET", `/api/topics/${TOPIC}`).catch(() => null);
    // Started just now, it may not have read the bucket yet. What it has shown once, it shows for good.
    if (!answer || (answer.status === 503 && !this.history.sights.has(lifeOf(member, { life })))) return null;
    if (answer.status !== 200) return void this.history.wrong(`${member.name}, life ${life}: GET ${answer.status} ${answer.text}`);
    const revision = Number(answer.json.revision);
    if (life === member.life) this.history.answered(lifeOf(member, { life }), start, revision);
    this.history.shown(member.name, revision, answer.json.data);
    return { session: answer.json.data, revision, text: answer.text };
  }
}

/** @param {Member} member @param {any} at */
const lifeOf = (member, { life }) => `${member.name}, life ${life}`;
