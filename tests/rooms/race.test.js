// Several writers on the same few rows, who lose their connections at random moments. Whatever happens, in the
// end every page, every database and every newcomer has what the table has.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { roomOf, startRooms, temporaryFolder, watched } from "./daemon.js";
import { Browser } from "./hook.js";
import { request } from "./hosts.js";
import { Tab, textOf } from "./tab.js";
import { until } from "./until.js";

/** `SEED=7 npm test` runs a race again; the order of events on the network is its own. */
const SEEDS = process.env.SEED ? [Number(process.env.SEED)] : [1, 2];

const IDS = Array.from({ length: 10 }, (_, at) => `row-${at}`);

/** Numbers from 0 to 1, the same for the same seed. @param {number} seed */
function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** One of several. @template T @param {() => number} random @param {T[]} list @returns {T} */
const pick = (random, list) => list[Math.floor(random() * list.length)];

/** @param {() => number} random @param {number} at @returns {[string, any]} */
function anyAction(random, at) {
  const [id, dice] = [pick(random, IDS), random()];
  if (dice < 0.45) return ["create", { id, text: `made ${at}`, completed: 0 }];
  if (dice < 0.75) return ["update", { id, text: `changed ${at}` }];
  if (dice < 0.8) return ["update", { id, completed: at }];
  return dice < 0.97 ? ["delete", { id }] : ["delete-all", {}];
}

/** Lets the daemon answer so many requests, during which the others go on. @param {import("./daemon.js").Room} room @param {number} times */
async function turns(room, times) {
  // None while it is gone.
  for (let at = 0; at < times; at++) await request(room.daemon, "GET", "/healthz").catch(() => null);
}

/** What can happen to a page. @param {Tab} tab @param {() => number} random @returns {Promise<Tab>} */
async function trouble(tab, random) {
  const dice = random();
  if (dice < 0.3) tab.socket.reconnect();
  else if (dice < 0.6) tab.cut();
  else if (dice < 0.75) {
    const goOn = tab.pause();
    await turns(tab.room, random() * 25);
    goOn();
  } else if (dice < 0.9) {
    const back = tab.away();
    await turns(tab.room, random() * 25);
    back();
  } else if (tab.isSettled) return tab.reload();
  return tab;
}

/** A person with a page: acts, waits or does not, and has trouble. @param {Tab} tab @param {number} seed @param {number} times */
async function write(tab, seed, times) {
  const random = chance(seed);
  for (let at = 0; at < times; at++) {
    const [type, payload] = anyAction(random, seed * 1000 + at);
    const acted = tab.act("todos", type, payload).catch(() => {});
    if (random() < 0.5) await acted;
    else await turns(tab.room, random() * 3);
    if (random() < 0.12) tab = await trouble(tab, random);
  }
  return tab.settled();
}

/** A script that writes over HTTP. @param {import("./daemon.js").Room} room @param {number} seed @param {number} times */
async function script(room, seed, times) {
  const random = chance(seed);
  for (let at = 0; at < times; at++) {
    const [type, payload] = anyAction(random, at);
    const answer = await request(room.daemon, "POST", `/api/rooms/main/${room.name}/todos/actions`, { body: { type, payload } }).catch(() => null);
    const status = answer?.status ?? 0;
    // None at all while the daemon is gone.
    assert.ok([0, 200].includes(status) || (status >= 400 && status < 500), answer?.text);
  }
}

/** All of them show and keep what the table has once it no longer changes. @param {import("./daemon.js").Room} room @param {Tab[]} tabs */
async function converge(room, tabs) {
  for (;;) {
    const table = await room.rows("todos");
    try {
      for (const tab of tabs) await tab.shows("todos", table);
      return table;
    } catch (error) {
      // What was on its way when its connection was cut may have arrived just now.
      if (textOf(await room.rows("todos")) === textOf(table)) throw error;
    }
  }
}

/**
 * @param {import("node:test").TestContext} t
 * @param {import("./daemon.js").Room} room
 * @param {{ seed: number, writers: number, times: number, meanwhile?: () => Promise<void> }} options
 */
async function race(t, room, { seed, writers, times, meanwhile = async () => {} }) {
  const options = { patience: 1_500 };
  const browsers = { kept: new Browser(), offline: new Browser() };
  const kept = await new Tab(t, room, ["todos"], { name: "kept", browser: browsers.kept }).settled();
  const [offline, slow, watcher] = ["offline", "slow", "watcher"].map((name) => new Tab(t, room, ["todos"], { name }));
  for (const tab of [offline, slow, watcher]) await tab.settled();
  const tabs = Array.from({ length: writers }, (_, at) => new Tab(t, room, ["todos"], { name: `writer-${at}`, ...options }));
  const goOn = slow.pause();
  let back = () => {};
  const leave = async () => {
    await turns(room, 15);
    kept.leave();
    back = offline.away();
  };
  const [after] = await Promise.all([Promise.all(tabs.map((tab, at) => write(tab, seed * 100 + at, times))), script(room, seed, times / 2), leave(), meanwhile()]);
  goOn();
  back();
  const newcomer = new Tab(t, room, ["todos"], { name: "newcomer" });
  const returned = new Tab(t, room, ["todos"], { name: "kept", browser: browsers.kept });
  const everyone = [...after, offline, slow, watcher, newcomer, returned];
  await converge(room, everyone);
  const reloaded = everyone.map((tab) => tab.reload());
  await converge(room, reloaded);
}

describe("writers who race, with connections that are lost", () => {
  for (const writers of [2, 5]) {
    for (const seed of SEEDS) {
      it(`${writers} writers, seed ${seed}`, async (t) => {
        const room = roomOf(await startRooms(t, { args: ["--max-actions", "100000"] }), `race-${writers}`);
        await watched(room, () => race(t, room, { seed, writers, times: 60 }));
      });
    }
  }

  it("two writers while the daemon is killed, with --store", async (t) => {
    const folder = await temporaryFolder(t);
    const options = { folder, store: true, args: ["--max-actions", "100000"] };
    let daemon = await startRooms(t, options);
    const room = roomOf(daemon, "killed");
    const kills = async () => {
      for (let times = 0; times < 3; times++) {
        await turns(room, 75);
        await daemon.stop("SIGKILL");
        daemon = await startRooms(t, { ...options, port: daemon.port });
      }
    };
    await watched(room, () => race(t, room, { seed: SEEDS[0], writers: 2, times: 60, meanwhile: kills }));
  });
});
