// What can happen to a cluster, each with its end: afterwards all is well.

import { pick } from "./chance.js";
import { last, well } from "./arena.js";
import { streamOf } from "./daemon.js";

/** @typedef {import("./arena.js").Arena} Arena */

/** How long a fault lasts at most, in ms: longer than the servers need to choose another leader. */
const LONGEST = 12_000;

/** @param {Arena} arena */
async function roles({ cluster, random }) {
  const leader = await cluster.leader(streamOf());
  return { leader, follower: pick(random, cluster.others(leader)) };
}

/** @param {Arena} arena */
async function killDaemon(arena) {
  const member = pick(arena.random, arena.members);
  await member.stop("SIGKILL");
  await member.start();
}

/** @param {Arena} arena @param {import("./servers.js").NatsServer} server */
async function killServer(arena, server) {
  await server.stop("SIGKILL");
  await last(arena, LONGEST);
  await server.start();
}

/** @param {Arena} arena @param {import("./servers.js").NatsServer} server */
async function freezeServer(arena, server) {
  server.freeze();
  await last(arena, LONGEST);
  server.thaw();
}

/** Nothing passes between some servers. @param {Arena} arena @param {import("./servers.js").NatsServer} one @param {import("./servers.js").NatsServer[]} others */
async function part(arena, one, others) {
  const ways = others.flatMap((other) => arena.cluster.between(one, other));
  for (const way of ways) way.cut();
  await last(arena, LONGEST);
  for (const way of ways) way.heal();
}

/** By name. @type {Record<string, (arena: Arena) => Promise<void>>} */
export const FAULTS = {
  "kill -9 of a daemon": killDaemon,
  "kill -9 of the leader": async (arena) => killServer(arena, (await roles(arena)).leader),
  "kill -9 of a follower": async (arena) => killServer(arena, (await roles(arena)).follower),
  "a stopped follower": async (arena) => freezeServer(arena, (await roles(arena)).follower),
  "a stopped leader": async (arena) => freezeServer(arena, (await roles(arena)).leader),
  "the leader and a follower parted": async (arena) => {
    const { leader, follower } = await roles(arena);
    await part(arena, leader, [follower]);
  },
  "the leader parted from both": async (arena) => {
    const { leader } = await roles(arena);
    await part(arena, leader, arena.cluster.others(leader));
  },
  "a follower that lost its disk": async (arena) => {
    const { follower } = await roles(arena);
    await follower.stop("SIGKILL");
    await follower.replace(null);
    await follower.start();
  },
};

/** A fault, and the time until all is well again. @param {Arena} arena @param {string} name */
export async function suffer(arena, name) {
  await FAULTS[name](arena);
  await well(arena);
}
