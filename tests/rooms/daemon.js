// The real daemon with rooms, and the ledger of each room.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { after, before, it } from "node:test";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startDaemon } from "../browser/daemon.js";
import { Ledger } from "./ledger.js";

export { HOST_TOKEN } from "../browser/daemon.js";

/** @typedef {import("node:test").TestContext} Test */
/** @typedef {import("../browser/daemon.js").Daemon & { types: import("./ledger.js").Types }} Daemon */
/** @typedef {{ columns: Record<string, string>, actions?: string, writers?: string, show?: boolean }} Channel */

/** A channel of each kind. @type {Record<string, Channel>} */
export const CHANNELS = {
  todos: { columns: { id: "string", text: "string", completed: "number" }, show: true },
  things: { columns: { id: "string", text: "string", size: "number", done: "boolean", tags: "array", more: "object" } },
  counts: { columns: { id: "number", count: "number" }, show: true },
  guarded: { columns: { id: "string", text: "string" }, writers: "host" },
  told: { columns: { id: "string", text: "string" }, actions: "none" },
  asked: { columns: { id: "string", text: "string" }, actions: "host" },
};

/** @param {Record<string, Channel>} channels @param {string} keepDeleted */
function configuration(channels, keepDeleted) {
  const lines = ["[rooms]", 'parties = ["main", "desk"]', `keep_deleted = "${keepDeleted}"`];
  for (const [name, { columns, actions = "rows", writers = "viewers", show = false }] of Object.entries(channels)) {
    const list = Object.entries(columns).map(([column, type]) => `${column} = "${type}"`);
    lines.push("", `[rooms.channels.${name}]`, `columns = { ${list.join(", ")} }`);
    lines.push(`actions = "${actions}"`, `writers = "${writers}"`, `show = ${show}`);
  }
  return lines.join("\n");
}

/**
 * @param {Test} test
 * @param {{ channels?: Record<string, Channel>, keepDeleted?: string, args?: string[], port?: number, folder?: string, store?: boolean }} [options]
 * @returns {Promise<Daemon>}
 */
export async function startRooms(test, { channels = CHANNELS, keepDeleted = "24h", args = [], port = 0, folder, store = false } = {}) {
  const place = folder ?? (await temporaryFolder(test));
  const file = join(place, "onlooker.toml");
  await writeFile(file, configuration(channels, keepDeleted));
  const kept = store ? ["--store", join(place, "rooms.store")] : [];
  const daemon = await startDaemon(test, ["serve", "--config", file, ...kept, ...args], { port });
  const types = Object.fromEntries(Object.entries(channels).map(([name, { columns }]) => [name, Object.values(columns)]));
  return { ...daemon, types };
}

/** @param {Test} test */
export async function temporaryFolder(test) {
  const folder = await mkdtemp(join(tmpdir(), "onlooker-rooms-"));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * A room of its own for one test. At its end nothing that was sent in it may have been wrong.
 * @typedef {{ daemon: Daemon, name: string, ledger: Ledger, rows: (channel: string, query?: string) => Promise<import("./ledger.js").Row[]> }} Room
 * @param {Daemon} daemon
 * @param {string} name
 * @returns {Room}
 */
export function roomOf(daemon, name) {
  const ledger = new Ledger(daemon.types);
  const rows = async (/** @type {string} */ channel, query = "") => (await daemon.api("GET", `/api/rooms/main/${name}/${channel}${query}`)).rows;
  return { daemon, name, ledger, rows };
}

/** @param {Room} room @param {() => Promise<void>} run */
export async function watched(room, run) {
  try {
    await run();
    assert.deepEqual(room.ledger.problems, []);
  } catch (error) {
    const { problems, log } = room.ledger;
    const told = [`${/** @type {Error} */ (error).message}`, "", "wrong frames:", ...problems.slice(0, 10), "", "the latest frames:", ...log.slice(-25)];
    /** @type {Error} */ (error).message = told.join("\n");
    throw error;
  }
}

/**
 * One daemon for a suite, a room of its own for each test.
 * @param {Parameters<typeof startRooms>[1]} [options]
 */
export function suiteOfRooms(options) {
  /** @type {Daemon} */
  let daemon;
  let number = 0;
  /** @type {(() => unknown)[]} */
  const endings = [];
  before(async () => {
    daemon = await startRooms(/** @type {any} */ ({ after: (/** @type {() => unknown} */ end) => endings.unshift(end) }), options);
  });
  after(async () => {
    for (const end of endings) await end();
  });
  return (/** @type {string} */ title, /** @type {(t: import("node:test").TestContext, room: Room) => Promise<void>} */ run) =>
    it(title, { timeout: 60_000 }, async (t) => {
      const room = roomOf(daemon, `room-${++number}`);
      await watched(room, () => run(t, room));
    });
}
