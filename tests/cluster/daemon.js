// The daemons of a cluster, and requests to them.

import { Agent, request } from "node:http";

import { HOST_TOKEN, startDaemon } from "../browser/daemon.js";
import { freePort } from "./servers.js";
import { untilAnswered } from "./until.js";

export { HOST_TOKEN };

/** @typedef {import("node:test").TestContext} Test */
/** @typedef {{ status: number, headers: import("node:http").IncomingHttpHeaders, text: string, json: any }} Answer */

/** Nothing listens there, so nothing was written. */
export class NotThere extends Error {}

const agent = new Agent({ keepAlive: true });

/**
 * One request, sent once. Rejects if no answer comes: with `NotThere` if it cannot have arrived.
 * @param {string} origin
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, headers?: Record<string, string>, limit?: number }} [options] a text goes as it is, anything else as JSON
 * @returns {Promise<Answer>}
 */
export function ask(origin, method, path, { body, headers = {}, limit = 20_000 } = {}) {
  const data = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const all = { authorization: `Bearer ${HOST_TOKEN}`, ...(data === undefined ? {} : { "content-type": "application/json", "content-length": String(Buffer.byteLength(data)) }), ...headers };
  return new Promise((resolve, reject) => {
    const asked = request(origin + path, { method, headers: all, agent, signal: AbortSignal.timeout(limit) }, (answer) => {
      /** @type {Buffer[]} */
      const parts = [];
      answer.on("data", (part) => parts.push(part)).on("error", reject);
      answer.on("end", () => {
        const text = Buffer.concat(parts).toString();
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, json: /^[[{]/.test(text) ? JSON.parse(text) : null });
      });
    });
    asked.on("error", (error) => reject(/** @type {any} */ (error).code === "ECONNREFUSED" ? new NotThere(`nothing listens at ${origin}`) : error));
    asked.end(data);
  });
}

/** A daemon of the cluster, which may be killed and started again at the same address. */
export class Member {
  /** How often it has been stopped. What it shows never goes back in one life. */
  life = 0;
  /** @type {import("../browser/daemon.js").Daemon | null} */
  #daemon = null;
  #log = "";

  /** @param {Test} test @param {string} name @param {number} port @param {string[]} args */
  constructor(test, name, port, args) {
    this.test = test;
    this.name = name;
    this.port = port;
    this.args = args;
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  get isUp() {
    return this.#daemon !== null;
  }

  /** Everything that it has logged. */
  get log() {
    return this.#log + (this.#daemon?.said() ?? "");
  }

  async start() {
    this.#daemon = await startDaemon(this.test, ["serve", ...this.args], { port: this.port });
  }

  /** @param {NodeJS.Signals} [signal] */
  async stop(signal = "SIGKILL") {
    const daemon = this.#daemon;
    this.#daemon = null;
    this.life += 1;
    await daemon?.stop(signal);
    this.#log += daemon?.said() ?? "";
  }

  /** Resolves once it is part of the cluster, and has what the bucket holds. */
  async joined() {
    await untilAnswered(
      () => `${this.name} joins the cluster: ${this.log}`,
      async () => (await this.ask("GET", "/api/status")).json.cluster.state === "connected",
    );
  }

  /** @param {string} method @param {string} path @param {Parameters<typeof ask>[3]} [options] */
  ask(method, path, options) {
    return ask(this.origin, method, path, options);
  }

  /** A request that must succeed. @param {string} method @param {string} path @param {unknown} [body] @param {Record<string, string>} [headers] */
  async must(method, path, body, headers) {
    const answer = await this.ask(method, path, { body, headers });
    if (answer.status >= 300) throw new Error(`${this.name}: ${method} ${path}: ${answer.status} ${answer.text}`);
    return answer;
  }
}

/**
 * @param {Test} test
 * @param {string[]} urls of the servers
 * @param {{ count?: number, args?: string[], replicas?: number, bucket?: string, join?: boolean }} [options] `join`: wait until they are part of the cluster
 */
export async function startMembers(test, urls, { count = 3, args = [], replicas = 1, bucket = "proof", join = true } = {}) {
  const members = [];
  for (let at = 0; at < count; at++) {
    // Each begins with another server.
    const order = [...urls.slice(at % urls.length), ...urls.slice(0, at % urls.length)];
    const cluster = ["--nats", order.join(","), "--nats-bucket", bucket, "--nats-replicas", String(replicas)];
    members.push(new Member(test, `d${at + 1}`, await freePort(), [...cluster, ...args]));
  }
  await Promise.all(members.map((member) => member.start()));
  if (join) await Promise.all(members.map((member) => member.joined()));
  return members;
}

/** The stream of a bucket. @param {string} [bucket] */
export const streamOf = (bucket = "proof") => `KV_${bucket}`;
