// The long form, by hand: every fault many times, with figures. `npm run long -- 10`, `npm run long -- 3 "a stopped leader"`

import { run } from "../browser/daemon.js";
import { arena, verdict } from "./arena.js";
import { FAULTS, suffer } from "./faults.js";
import { now } from "./history.js";

const times = Number(process.argv[2] ?? 10);
const names = process.argv.length > 3 ? process.argv.slice(3) : Object.keys(FAULTS);

/** @param {number} ms */
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** @param {import("./arena.js").Arena} race @param {string} name @param {number} round */
async function once(race, name, round) {
  const start = now();
  await suffer(race, name);
  const outages = [race.history.outage(start, now()), ...race.members.map((member) => race.history.outage(start, now(), member.name))];
  console.log(`${round} ${name}: ${seconds(now() - start)}, without an acknowledgement ${seconds(outages[0])}, at one daemon ${seconds(Math.max(...outages.slice(1)))}`);
  return { all: outages[0], one: Math.max(...outages.slice(1)) };
}

/** @param {import("./arena.js").Arena} race */
function figures({ history, crowd }) {
  const shown = history.states.size;
  return [
    `writes ${history.writes.length}: acknowledged ${history.count("ok")}, refused ${history.count("refused")}, unknown ${history.count("unknown")}`,
    `states that were seen: ${shown}`,
    `viewers ${crowd.viewers.length}: moved ${crowd.moved} times, ${crowd.cutOff} of them cut off; redraws ${crowd.redraws}`,
  ].join("\n");
}

/** @param {import("node:test").TestContext} script */
async function main(script) {
  const race = await arena(script, { seed: Number(process.env.SEED ?? 1) });
  /** @type {Map<string, { all: number, one: number }>} */
  const longest = new Map();
  try {
    for (let round = 1; round <= times; round++) {
      for (const name of names) {
        const { all, one } = await once(race, name, round);
        const before = longest.get(name) ?? { all: 0, one: 0 };
        longest.set(name, { all: Math.max(all, before.all), one: Math.max(one, before.one) });
      }
    }
    await verdict(race);
    console.log("\nnothing acknowledged was lost, and nobody went back");
  } finally {
    console.log(`\n${figures(race)}`);
    for (const [name, { all, one }] of longest) console.log(`longest time without an acknowledgement: ${name}: ${seconds(all)}, at one daemon ${seconds(one)}`);
  }
}

await run(main).catch((error) => {
  console.error(`\n${error.message}`);
  process.exitCode = 1;
});
