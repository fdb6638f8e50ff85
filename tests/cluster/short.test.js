// Writers who race and viewers that move, while daemons and servers are killed, stopped and parted, each once.

import { test } from "node:test";

import { arena, verdict } from "./arena.js";
import { suffer } from "./faults.js";

const SHORT = ["kill -9 of a daemon", "kill -9 of a follower", "kill -9 of the leader", "a stopped follower", "the leader and a follower parted"];

test("nothing acknowledged is lost, and nobody goes back", { timeout: 180_000 }, async (t) => {
  const race = await arena(t, { seed: Number(process.env.SEED ?? 1) });
  for (const fault of SHORT) await suffer(race, fault);
  await verdict(race);
});
