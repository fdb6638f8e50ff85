// Rooms whose rows several daemons share.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WebSocket } from "ws";

import { HOST_TOKEN } from "./daemon.js";
import { Person, rowsAt, sorted, startHouses } from "./people.js";
import { startCluster, startServer } from "./servers.js";
import { changed, until, untilAnswered } from "./until.js";

/** @typedef {import("node:test").TestContext} Test */
/** @typedef {import("./daemon.js").Member} Member */

/** @param {Test} t @param {Parameters<typeof startHouses>[2]} [options] */
async function houses(t, options) {
  const server = await startServer(t);
  const members = await startHouses(t, [server.url], options);
  await actable(members);
  return { server, members };
}

/** Every daemon does actions. @param {Member[]} members */
async function actable(members) {
  for (const member of members) {
    await untilAnswered(`${member.name} does actions`, async () => {
      const { status } = await member.ask("POST", "/api/rooms/main/warm/todos/actions", { body: { type: "delete", payload: { id: "none" } } });
      return status === 200;
    });
  }
}

/** Every daemon has the same rows, and so has everybody. @param {Member[]} members @param {Person[]} people @param {string} [channel] */
async function converge(members, people, channel = "todos") {
  let seen = "";
  await untilAnswered(
    () => `all have the same rows: ${seen}`,
    async () => {
      const all = await Promise.all(members.map((member) => rowsAt(member, channel)));
      const texts = [...all, ...people.map((person) => person.live(channel))].map((rows) => JSON.stringify(sorted(rows)));
      seen = texts.map((text) => text.slice(-300)).join("\n");
      return texts.every((text) => text === texts[0]);
    },
  );
  for (const { problems } of people) assert.deepEqual(problems, []);
}

/**
 * Sixteen people write rows of their own through any daemon, again and again.
 * @param {Test} t
 * @param {Member[]} members
 */
function busy(t, members) {
  let goesOn = true;
  /** The last that was acknowledged, and the last that was tried. @type {Map<string, { acked: number, tried: number }>} */
  const known = new Map();
  const write = async (/** @type {number} */ at) => {
    const id = `w${at}`;
    const entry = { acked: -1, tried: -1 };
    known.set(id, entry);
    let person = null;
    for (let count = 0; goesOn; count++) {
      // Those of the third daemon come back to it, or go elsewhere.
      person ??= await Person.open(t, members[(at + count) % 3]).catch(() => null);
      if (!person) continue;
      const type = entry.tried === -1 || entry.acked === -1 ? "create" : "update";
      entry.tried = count;
      const answer = await person.ask("todos", type, { id, text: "x", count });
      if (answer?.result?.length) {
        assert.ok(answer.result[0][2] >= entry.acked);
        entry.acked = count;
      } else if (/is in use/.test(answer?.error?.[0] ?? "")) {
        const [row] = await person.do("todos", "update", { id, count }).catch(() => []);
        if (row) entry.acked = count;
      }
      assert.deepEqual(person.problems, []);
      if (person.closed) person = null;
    }
    person?.leave();
  };
  const writers = Array.from({ length: 16 }, (_, at) => write(at));
  const acked = () => [...known.values()].reduce((sum, entry) => sum + Math.max(0, entry.acked), 0);
  const further = (/** @type {string} */ what) => {
    const begin = acked();
    return untilAnswered(`writers get on ${what}`, () => acked() > begin + 500);
  };
  /** No acknowledged action is lost, and all have the same rows. @param {Person[]} watchers */
  const end = async (watchers) => {
    goesOn = false;
    await Promise.all(writers);
    await converge(members, watchers);
    const rows = await rowsAt(members[members.length - 1], "todos");
    for (const [id, { acked, tried }] of known) {
      const count = rows.get(id)?.[2];
      assert.ok(count >= acked && count <= tried, `${id} is ${count}, ${acked} was acknowledged and ${tried} tried`);
    }
  };
  return { further, end };
}

describe("rooms in a cluster", { concurrency: 2 }, () => {
  it("people on any daemon see and edit the same rows", async (t) => {
    const { members } = await houses(t);
    const [one, other] = await Promise.all(members.map((member) => Person.open(t, member)));
    const [[id, text, count]] = await one.do("todos", "create", { id: "a", text: "milk", count: 1 });
    assert.deepEqual([id, text, count], ["a", "milk", 1]);
    // At once, before it can have been told.
    const [changedRow] = await other.do("todos", "update", { id: "a", text: "bread" });
    assert.deepEqual(changedRow.slice(0, 3), ["a", "bread", 1]);
    await until("the first one is told", () => one.live("todos").get("a")?.[1] === "bread");
    await one.do("numbers", "create", { id: 7, text: "seven" });
    const [[made]] = await other.do("numbers", "create", { text: "another" });
    assert.ok(Number.isSafeInteger(made));
    await other.do("todos", "create", { text: "without an id", count: 0 });
    await other.do("todos", "create", { id: 'a "strange" id / ü', text: "", count: 0 });
    await converge(members, [one, other]);
    await converge(members, [one, other], "numbers");
    assert.equal((await one.do("todos", "delete", { id: "a" })).length, 1);
    assert.deepEqual(await other.do("todos", "delete", { id: "a" }), [], "it is gone");
    assert.match((await other.ask("todos", "update", { id: "a", text: "x" })).error[0], /there is no row/);
    await other.do("todos", "create", { id: "a", text: "again", count: 0 });
    await converge(members, [one, other]);
    assert.equal((await one.do("todos", "delete-all")).length, 3);
    await converge(members, [one, other]);
    assert.equal(one.live("todos").size, 0);
    const topic = (await members[1].must("GET", "/api/topics/main.lobby")).json;
    assert.deepEqual(topic.data.data, { todos: [] });
    assert.match((await one.ask("todos", "create", { id: "x".repeat(600), text: "", count: 0 })).error[0], /512/);
  });

  it("of two who create a row at once one does; of many who change it the last holds everywhere", async (t) => {
    const { members } = await houses(t);
    const people = await Promise.all([0, 1, 0, 1, 0, 1].map((at) => Person.open(t, members[at])));
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(people.map((person, at) => person.ask("todos", "create", { id: `r${round}`, text: `${at}`, count: 0 })));
      const done = answers.filter(({ result }) => result);
      assert.equal(done.length, 1, JSON.stringify(answers));
      for (const { error } of answers.filter(({ result }) => !result)) assert.match(error[0], /is in use/);
    }
    /** @type {Set<number>} */
    const said = new Set();
    const race = async (/** @type {Person} */ person, /** @type {number} */ at) => {
      for (let round = 0; round < 30; round++) {
        const count = at * 1000 + round;
        said.add(count);
        await person.do("todos", "update", { id: "r0", count });
      }
    };
    await Promise.all(people.map(race));
    await converge(members, people);
    const last = people[0].live("todos").get("r0")?.[2];
    assert.ok(said.has(last) && last % 1000 === 29, `the last of one of them, not ${last}`);
  });

  it("no acknowledged action is lost when a daemon is killed and the server stops", async (t) => {
    const { server, members } = await houses(t, { count: 3 });
    const watchers = await Promise.all(members.slice(0, 2).map((member) => Person.open(t, member)));
    for (const watcher of watchers) await watcher.sync("todos");
    const { further, end } = busy(t, members);
    await further("at first");
    await members[2].stop("SIGKILL");
    await further("without a daemon");
    await members[2].start();
    server.freeze();
    await untilAnswered("they notice it", async () => (await members[0].ask("GET", "/readyz")).status === 503);
    server.thaw();
    await further("after the server has been stopped");
    await server.stop("SIGKILL");
    await server.start();
    await further("after the server has been killed");
    await end(watchers);
  });

  it("nor when the leader of three servers is killed", async (t) => {
    const cluster = await startCluster(t);
    const members = await startHouses(t, cluster.urls, { count: 3, replicas: 3 });
    await actable(members);
    const watchers = await Promise.all(members.map((member) => Person.open(t, member)));
    for (const watcher of watchers) await watcher.sync("todos");
    const { further, end } = busy(t, members);
    await further("at first");
    const leader = await cluster.leader("KV_proof-rooms");
    await leader.stop("SIGKILL");
    await further("under another leader");
    await leader.start();
    await cluster.whole("KV_proof-rooms");
    await further("with all three");
    await end(watchers);
  });

  it("a sync from a time overlaps", async (t) => {
    const { members } = await houses(t);
    const [one, other] = await Promise.all(members.map((member) => Person.open(t, member)));
    const [row] = await one.do("todos", "create", { id: "a", text: "", count: 0 });
    const [gone] = await one.do("todos", "create", { id: "b", text: "", count: 0 });
    await one.do("todos", "delete", { id: "b" });
    const [last] = await one.do("todos", "create", { id: "c", text: "", count: 0 });
    await until("it is told", () => other.live("todos").size === 2);
    const rows = await other.sync("todos", last.at(-2));
    assert.deepEqual(rows.map(([id]) => id), ["a", "c"], "those of the ten seconds before as well");
    await until("deletions follow", () => other.frames.some(({ payload }) => payload?.some((/** @type {any[]} */ [id, , , , , deleted]) => id === gone[0] && deleted)));
    const ahead = await other.sync("todos", last.at(-2) + 5_000);
    assert.deepEqual(ahead.map(([id]) => id), ["a", "c"], "a daemon that is behind sends what it has");
    const { json } = await members[1].must("GET", `/api/rooms/main/lobby/todos?from=${row.at(-2)}`);
    assert.deepEqual(json.rows.map((/** @type {any[]} */ [id]) => id), ["a", "b", "c"]);
  });

  it("a host decides for the people of all daemons", async (t) => {
    const { members } = await houses(t);
    const [near, far] = await Promise.all(members.map((member) => Person.open(t, member)));
    assert.match((await far.ask("votes", "vote", "yes")).error[0], /no host is connected/);
    const host = new WebSocket(`ws://127.0.0.1:${members[0].port}/host?room=main/lobby`, ["onlooker", `onlooker.token.${Buffer.from(HOST_TOKEN).toString("base64url")}`]);
    t.after(() => host.terminate());
    let count = 0;
    host.on("message", (data) => {
      const { type, id, action, from } = JSON.parse(String(data));
      if (type !== "action") return;
      if (action.type === "silence") return;
      const answer = action.type === "vote" ? { type: "rows", id, rows: [{ id: action.payload, count: ++count }] } : { type: "refuse", id, error: [`${from.id} may not`] };
      host.send(JSON.stringify(answer));
    });
    await new Promise((resolve) => host.once("open", resolve));
    const vote = async (/** @type {Person} */ person) => (await person.do("votes", "vote", "yes"))[0][1];
    await untilAnswered("the other daemon knows of it", async () => (await far.ask("votes", "vote", "yes")).result);
    const before = count;
    assert.equal(await vote(near), before + 1);
    assert.equal(await vote(far), before + 2);
    assert.deepEqual((await far.ask("votes", "veto")).error, [`${far.pk} may not`]);
    await converge(members, [near, far], "votes");
    const asked = await members[1].must("POST", "/api/rooms/main/lobby/votes/actions", { type: "vote", payload: "no" });
    assert.deepEqual(asked.json.result[0].slice(0, 2), ["no", before + 3]);
    const silence = far.ask("votes", "silence");
    assert.equal(await vote(near), before + 4);
    host.terminate();
    assert.match((await silence).error[0], /the host has gone/);
    changed();
  });

  it("without NATS rows stay, actions are refused and name it; afterwards all is well", async (t) => {
    const { server, members } = await houses(t);
    const people = await Promise.all(members.map((member) => Person.open(t, member)));
    await people[0].do("todos", "create", { id: "a", text: "", count: 0 });
    await converge(members, people);
    await server.stop("SIGKILL");
    await untilAnswered("they notice it", async () => (await members[1].ask("GET", "/readyz")).status === 503);
    for (const person of people) assert.match((await person.ask("todos", "update", { id: "a", count: 1 })).error[0], /NATS/);
    const refused = await members[0].ask("POST", "/api/rooms/main/lobby/todos/actions", { body: { type: "update", payload: { id: "a", count: 2 } } });
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers["retry-after"]) > 0);
    assert.match(refused.text, /NATS/);
    assert.equal((await rowsAt(members[1], "todos")).get("a")?.[2], 0);
    await server.start();
    await actable(members);
    await people[1].do("todos", "update", { id: "a", count: 3 });
    await converge(members, people);
    assert.equal(people[0].live("todos").get("a")?.[2], 3);
  });

  it("what a bucket has lost is written back", async (t) => {
    const { server, members } = await houses(t);
    const people = await Promise.all(members.map((member) => Person.open(t, member)));
    for (let at = 0; at < 100; at++) await people[at % 2].do("todos", "create", { id: `r${at}`, text: "old", count: at });
    await converge(members, people);
    await server.stop("SIGTERM");
    const older = await server.keep("older");
    await server.start();
    await actable(members);
    for (let at = 0; at < 50; at++) await people[at % 2].do("todos", "update", { id: `r${at}`, text: "new" });
    for (let at = 50; at < 60; at++) await people[at % 2].do("todos", "delete", { id: `r${at}` });
    await people[0].do("todos", "create", { id: "late", text: "new", count: 0 });
    await converge(members, people);
    const expected = JSON.stringify(sorted(people[0].live("todos")));
    for (const store of [older, null]) {
      await server.stop("SIGKILL");
      await server.replace(store);
      await server.start();
      await actable(members);
      const [newcomer] = await startHouses(t, [server.url], { count: 1 });
      await converge([...members, newcomer], people);
      assert.equal(JSON.stringify(sorted(people[0].live("todos"))), expected);
      await newcomer.stop("SIGKILL");
    }
    await people[1].do("todos", "update", { id: "late", text: "newest" });
    await converge(members, people);
    for (const { problems } of people) assert.deepEqual(problems, []);
  });
});
