// Starts the real daemon for a test, and speaks to it as a host would.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
export const program = process.env.ONLOOKER ?? resolve(here, "../../target/debug/onlooker");

/** A host token a test may restart a daemon with, so that the links of open pages stay good. */
export const HOST_TOKEN = "browser-tests-host-token-0123456789abcdef";

/** @typedef {{ name: string, data: any, config: Record<string, any>, metadata: any }} Session */

/**
 * @typedef {object} Daemon
 * @property {string} origin
 * @property {number} port
 * @property {string} hostToken
 * @property {string} viewerLink the page, with the viewer token in its fragment if there is one
 * @property {(signal?: NodeJS.Signals) => Promise<void>} stop
 * @property {(text: string | null) => void} pipe writes to its standard input, if that is a pipe; null ends it
 * @property {(method: string, path: string, body?: unknown) => Promise<any>} api
 * @property {() => string} said its log so far
 */

/**
 * @param {import("node:test").TestContext} test ends the daemon with it
 * @param {string[]} args
 * @param {{ port?: number, piped?: boolean }} [options] `piped`: its standard input is a pipe, otherwise there is none
 * @returns {Promise<Daemon>}
 */
export async function startDaemon(test, args, { port = 0, piped = false } = {}) {
  const all = [...args, "--port", String(port), "--bind", "127.0.0.1", "--json", "--host-token", HOST_TOKEN];
  /** @type {any} */
  const stdio = [piped ? "pipe" : "ignore", "pipe", "pipe"];
  /** @type {import("node:child_process").ChildProcessWithoutNullStreams} */
  const child = spawn(program, all, { stdio });
  let said = "";
  child.stderr.on("data", (text) => (said += text));
  const ended = once(child, "exit");
  const stop = async (/** @type {NodeJS.Signals} */ signal = "SIGTERM") => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
  };
  test.after(() => stop("SIGKILL"));
  const first = await Promise.race([once(createInterface({ input: child.stdout }), "line"), ended.then(() => null)]);
  if (!first) throw new Error(`${program} ${all.join(" ")} ended before it was ready:\n${said}`);
  const ready = JSON.parse(first[0]);
  const origin = `http://127.0.0.1:${ready.port}`;
  const api = hostApi(origin, ready.hostToken);
  const pipe = (/** @type {string | null} */ text) => void (text === null ? child.stdin?.end() : child.stdin?.write(text));
  return { origin, port: ready.port, hostToken: ready.hostToken, viewerLink: ready.urls[0], stop, pipe, api, said: () => said };
}

/** @param {string} origin @param {string} token */
function hostApi(origin, token) {
  return async (/** @type {string} */ method, /** @type {string} */ path, /** @type {unknown} */ body) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await fetch(origin + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
}

/** @returns {Session} of 5 MB, in long lists */
export function bigSession() {
  const rows = Array.from({ length: 60_000 }, (_, i) => ({ id: i, label: `the row with number ${i}`, value: i * 1.5, nested: { deep: [i, i + 1] } }));
  return { name: "Big", data: { rows, series: Array.from({ length: 200_000 }, (_, i) => i % 997), names: rows.map((row) => row.label) }, config: { speed: 1 }, metadata: {} };
}

/**
 * Runs a script; its argument stands in for a test: what is started for it ends with the script.
 * @param {(script: import("node:test").TestContext) => Promise<void>} main
 */
export async function run(main) {
  /** @type {(() => unknown)[]} */
  const endings = [];
  const after = (/** @type {() => unknown} */ end) => endings.unshift(end);
  try {
    await main(/** @type {import("node:test").TestContext} */ (/** @type {unknown} */ ({ after })));
  } finally {
    for (const end of endings) await end();
  }
}

/**
 * A session in a file of its own, so that a restarted daemon shows the same again.
 * @param {import("node:test").TestContext} test
 * @param {Session} session
 * @param {string} [settings] a configuration, in TOML
 * @returns {Promise<string[]>} the arguments that serve it, as the topic `main`
 */
export async function sessionFile(test, session, settings) {
  const folder = await mkdtemp(join(tmpdir(), "onlooker-browser-"));
  test.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "main.json");
  await writeFile(file, JSON.stringify(session));
  if (!settings) return ["serve", file];
  await writeFile(join(folder, "onlooker.toml"), settings);
  return ["serve", file, "--config", join(folder, "onlooker.toml")];
}
