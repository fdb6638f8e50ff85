// Three servers, three daemons, writers who race and viewers that move: what the faults happen to.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

import { chance } from "./chance.js";
import { check } from "./check.js";
import { startMembers, streamOf } from "./daemon.js";
import { History, now } from "./history.js";
import { startCluster } from "./servers.js";
import { untilAnswered } from "./until.js";
import { Crowd } from "./viewers.js";
import { TOPIC, Writers, firstSession, firstValues } from "./writers.js";

/** @typedef {Awaited<ReturnType<typeof arena>>} Arena */

/**
 * @param {import("node:test").TestContext} test
 * @param {{ seed?: number, writers?: number, viewers?: number, every?: number }} [options] `every`: how often a viewer moves, in ms
 */
export async function arena(test, { seed = 1, writers: count = 6, viewers = 100, every = 20 } = {}) {
  const cluster = await startCluster(test);
  const members = await startMembers(test, cluster.urls, { count: 3, replicas: 3 });
  const first = firstValues(count);
  await members[0].must("PUT", `/api/topics/${TOPIC}`, firstSession(first));
  await Promise.all(members.map((member) => untilAnswered(`${member.name} has the topic`, async () => (await member.ask("GET", `/api/topics/${TOPIC}`)).status === 200)));
  await cluster.whole(streamOf());
  const history = new History();
  const random = chance(seed);
  const crowd = new Crowd(test, history, members, random, { count: viewers, topic: TOPIC });
  crowd.move(every);
  const writers = new Writers(history, members, { seed, count });
  return { cluster, members, history, crowd, writers, random, first };
}

/** Every daemon has had a write acknowledged since. @param {Arena} arena @param {number} since */
function taking({ members, history }, since) {
  const done = new Set(history.writes.filter(({ result, start }) => result === "ok" && start > since).map(({ daemon }) => daemon));
  return members.every(({ name }) => done.has(name));
}

/** Resolves once the cluster takes writes again through every daemon, and all servers have everything. @param {Arena} arena */
export async function well(arena) {
  const since = now();
  await untilAnswered("every daemon takes writes again", () => taking(arena, since), 60_000);
  await arena.cluster.whole(streamOf());
}

/** A fault lasts at least so long, in ms: connections are given up by then. */
const SHORTEST = 3_000;

/** Lets a fault last until it has shown what it does: writes go on through every daemon, or do not. @param {Arena} arena @param {number} limit */
export async function last(arena, limit) {
  const start = now();
  await pause(SHORTEST);
  while (now() - start < limit && !taking(arena, start + SHORTEST)) await pause(50);
}

/** Ends the race, and asserts that its history can be that of one topic. @param {Arena} arena */
export async function verdict(arena) {
  const { members, history, crowd, writers, first } = arena;
  await writers.finish();
  let texts = "";
  const end = await untilAnswered(
    () => `all daemons show the same, byte for byte: ${texts}`,
    async () => {
      const shown = await Promise.all(members.map((member) => writers.read(member)));
      texts = shown.map((one) => one?.text).join("\n");
      return shown.every((one) => one?.text === shown[0]?.text) ? shown[0] : null;
    },
  );
  try {
    await crowd.hold(end.revision, JSON.stringify(end.session));
  } finally {
    const problems = check(history, first, end);
    assert.equal(problems.length, 0, `${problems.length} problems:\n${some(problems).join("\n")}`);
  }
}

/** A few of each kind. @param {string[]} problems */
function some(problems) {
  /** @type {Map<string, string[]>} */
  const kinds = new Map();
  for (const problem of problems) {
    const kind = problem.replace(/[\d{].*/, "");
    kinds.set(kind, [...(kinds.get(kind) ?? []), problem]);
  }
  return [...kinds.values()].flatMap((alike) => [...alike.slice(0, 4), ...(alike.length > 4 ? [`and ${alike.length - 4} like these`] : [])]);
}
