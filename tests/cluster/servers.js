// Real NATS servers with JetStream, on loopback: one, or a cluster of three whose ways to each other can be cut.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { Way } from "./proxy.js";
import { untilAnswered } from "./until.js";

/** @typedef {import("node:test").TestContext} Test */
/** @typedef {{ name: string, leader: string, replicas: { name: string, current: boolean, offline?: boolean, lag?: number }[] }} Stream */

const here = dirname(fileURLToPath(import.meta.url));
/** Where `scripts/test` puts one, unless one is named. */
const program = process.env.NATS_SERVER ?? resolve(here, "../../target/nats/bin/nats-server");

/** Ports that a restarted program can have again: the kernel gives none below 32768 to a connection. */
const taken = new Set();

/** @returns {Promise<number>} */
export async function freePort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if (taken.has(port)) continue;
    taken.add(port);
    const server = createServer();
    const isFree = await new Promise((resolve) => server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true)));
    if (isFree) return new Promise((resolve) => server.close(() => resolve(port)));
  }
}

/** @param {Test} test */
export async function temporaryFolder(test) {
  const folder = await mkdtemp(join(tmpdir(), "onlooker-cluster-"));
  test.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

export class NatsServer {
  /** @type {import("node:child_process").ChildProcess | null} */
  #child = null;
  #said = "";

  /** @param {string} name @param {string} folder @param {number} port @param {number} monitor @param {string} [more] lines of its configuration */
  constructor(name, folder, port, monitor, more = "") {
    this.name = name;
    this.folder = folder;
    this.port = port;
    this.monitor = monitor;
    this.more = more;
  }

  get url() {
    return `nats://127.0.0.1:${this.port}`;
  }

  get store() {
    return join(this.folder, "store");
  }

  get isUp() {
    return this.#child !== null;
  }

  /** Resolves when it takes clients. JetStream may need longer. */
  async start() {
    await mkdir(this.store, { recursive: true });
    const file = join(this.folder, "nats.conf");
    await writeFile(
      file,
      `server_name: ${this.name}
listen: "127.0.0.1:${this.port}"
http: "127.0.0.1:${this.monitor}"
jetstream { store_dir: ${JSON.stringify(this.store)}, max_file_store: 1GB, max_memory_store: 64MB }
${this.more}
`,
    );
    const child = spawn(program, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    this.#said = "";
    child.stderr?.on("data", (text) => (this.#said = (this.#said + text).slice(-50_000)));
    child.once("exit", () => (this.#child = this.#child === child ? null : this.#child));
    await new Promise((resolve, reject) => child.once("spawn", () => resolve(undefined)).once("error", (error) => reject(new Error(`${program} (NATS_SERVER) does not start: ${error.message}`))));
    await untilAnswered(`${this.name} starts: ${this.#said}`, async () => {
      if (!this.isUp) throw new Error(`it has ended: ${this.#said}`);
      return (await fetch(`http://127.0.0.1:${this.monitor}/varz`)).ok;
    });
  }

  /** @param {NodeJS.Signals} [signal] */
  async stop(signal = "SIGKILL") {
    const child = this.#child;
    if (!child) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  /** It stays connected and says nothing. */
  freeze() {
    this.#child?.kill("SIGSTOP");
  }

  thaw() {
    this.#child?.kill("SIGCONT");
  }

  /** What it has stored, put aside; it must not be running. @param {string} name */
  async keep(name) {
    const copy = join(this.folder, name);
    await rm(copy, { recursive: true, force: true });
    await cp(this.store, copy, { recursive: true });
    return copy;
  }

  /** Gives it another store, or an empty one; it must not be running. @param {string | null} copy */
  async replace(copy) {
    await rm(this.store, { recursive: true, force: true });
    if (copy) await cp(copy, this.store, { recursive: true });
  }

  /** Its streams, as it sees them. @returns {Promise<Stream[]>} */
  async streams() {
    const answer = await fetch(`http://127.0.0.1:${this.monitor}/jsz?streams=1&config=1`, { signal: AbortSignal.timeout(2_000) });
    const { account_details: accounts = [] } = /** @type {any} */ (await answer.json());
    const streams = accounts.flatMap((/** @type {any} */ account) => account.stream_detail ?? []);
    return streams.map((/** @type {any} */ stream) => ({ ...stream, leader: stream.cluster?.leader ?? "", replicas: stream.cluster?.replicas ?? [] }));
  }
}

/**
 * @param {Test} test
 * @param {{ name?: string, more?: string, port?: number }} [options] `more`: lines of its configuration
 */
export async function startServer(test, { name = "alone", more = "", port } = {}) {
  const server = new NatsServer(name, await temporaryFolder(test), port ?? (await freePort()), await freePort(), more);
  test.after(() => server.stop());
  await server.start();
  return server;
}

export class Cluster {
  /** @param {NatsServer[]} servers @param {Map<string, Way>} ways by the names of both, from and to */
  constructor(servers, ways) {
    this.servers = servers;
    this.ways = ways;
  }

  get urls() {
    return this.servers.map((server) => server.url);
  }

  /** @param {string} name @returns {NatsServer} */
  server(name) {
    const found = this.servers.find((server) => server.name === name);
    if (!found) throw new Error(`no server is named ${name}`);
    return found;
  }

  /** @param {NatsServer} one */
  others(one) {
    return this.servers.filter((server) => server !== one);
  }

  /** The ways between two, there and back. @param {NatsServer} one @param {NatsServer} other */
  between(one, other) {
    return [...this.ways].filter(([key]) => key === `${one.name} ${other.name}` || key === `${other.name} ${one.name}`).map(([, way]) => way);
  }

  /**
   * The server that leads a stream, of those that are up and not in `but`.
   * @param {string} stream
   * @param {NatsServer[]} [but]
   */
  leader(stream, but = []) {
    return untilAnswered(`the stream ${stream} has a leader`, async () => {
      for (const server of this.servers.filter((server) => server.isUp && !but.includes(server))) {
        const found = (await server.streams().catch(() => [])).find(({ name }) => name === stream);
        const leader = found && this.servers.find(({ name }) => name === found.leader);
        if (leader && !but.includes(leader)) return leader;
      }
    });
  }

  /** Resolves once every server has the whole stream. @param {string} stream */
  async whole(stream) {
    let seen = "";
    await untilAnswered(
      () => `all servers have the stream ${stream}: ${seen}`,
      async () => {
        const leader = await this.leader(stream);
        const found = (await leader.streams()).find(({ name }) => name === stream);
        seen = JSON.stringify(found?.replicas);
        const { replicas = [] } = found ?? {};
        return replicas.length === this.servers.length - 1 && replicas.every(({ current, offline, lag = 0 }) => current && !offline && lag < 100);
      },
      60_000,
    );
  }
}

/**
 * Three servers, each with a way of its own to each of the others, and no address of theirs but those.
 * @param {Test} test
 * @param {{ more?: string, count?: number }} [options]
 */
export async function startCluster(test, { more = "", count = 3 } = {}) {
  const folder = await temporaryFolder(test);
  const names = Array.from({ length: count }, (_, at) => `n${at + 1}`);
  const routes = new Map(await Promise.all(names.map(async (name) => /** @type {const} */ ([name, await freePort()]))));
  /** @type {Map<string, Way>} */
  const ways = new Map();
  const servers = [];
  for (const name of names) {
    const links = [];
    for (const other of names.filter((other) => other !== name)) {
      const port = await freePort();
      ways.set(`${name} ${other}`, await Way.open(test, port, /** @type {number} */ (routes.get(other))));
      links.push(`"nats-route://127.0.0.1:${port}"`);
    }
    // What it tells the others of itself leads nowhere, so that they know only the ways.
    const cluster = `cluster { name: proof, listen: "127.0.0.1:${routes.get(name)}", no_advertise: true, advertise: "127.0.0.1:1", routes: [${links.join(", ")}] }`;
    servers.push(new NatsServer(name, join(folder, name), await freePort(), await freePort(), `${cluster}\nping_interval: "2s"\nping_max: 2\n${more}`));
  }
  test.after(() => Promise.all(servers.map((server) => server.stop())));
  await Promise.all(servers.map((server) => server.start()));
  return new Cluster(servers, ways);
}
