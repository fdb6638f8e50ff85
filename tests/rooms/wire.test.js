// Every row of the wire's table, frame by frame.

import assert from "node:assert/strict";
import { describe } from "node:test";

import { suiteOfRooms } from "./daemon.js";
import { Raw, addressOf, upgradeStatus } from "./raw.js";
import { Tab } from "./tab.js";
import { until } from "./until.js";

/** @param {any[]} rows */
const ids = (rows) => rows.map((row) => row[0]).sort();

/** @param {import("node:test").TestContext} t @param {import("./daemon.js").Room} room @param {string[]} [channels] */
async function member(t, room, channels = ["todos"]) {
  const raw = await Raw.open(t, room);
  for (const channel of channels) await raw.sync(channel);
  return raw;
}

describe("the wire", () => {
  const room = suiteOfRooms();

  room("an empty channel's sync is an empty array", async (t, room) => {
    const raw = await Raw.open(t, room);
    raw.send({ channel: "todos", sync: true, from: null });
    assert.deepEqual(await raw.next(), { sync: true, channel: "todos", payload: [] });
  });

  room("an action is answered with the rows that changed, and the others are sent the same", async (t, room) => {
    const [writer, other] = [await member(t, room), await member(t, room)];
    writer.send({ id: "UxtiwM2l", channel: "todos", rpc: true, action: { type: "create", payload: { id: "a", text: "tea", completed: 0 } } });
    const reply = await writer.next();
    const row = reply.result[0];
    const [, , , created, updated, deleted] = row;
    assert.deepEqual(reply, { type: "success", rpc: true, channel: "todos", id: "UxtiwM2l", result: [["a", "tea", 0, created, created, null]] });
    assert.deepEqual([updated, deleted], [created, null]);
    assert.deepEqual(await other.next(), { broadcast: true, type: "update", channel: "todos", payload: [row] });
    await other.quiet();
    await writer.quiet();
    assert.deepEqual(await (await Raw.open(t, room)).sync("todos"), [row]);
  });

  room("update changes what it names and leaves the rest", async (t, room) => {
    const [writer, other] = [await member(t, room), await member(t, room)];
    const [first] = await writer.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    const [second] = await writer.do("todos", "update", { id: "a", completed: 1 });
    assert.deepEqual(second, ["a", "tea", 1, first[3], second[4], null]);
    assert.ok(second[4] > first[4], "updated_at grows");
    await other.next();
    assert.deepEqual((await other.next()).payload, [second]);
  });

  room("delete answers with the row and the time of its end, and it is in no sync any more", async (t, room) => {
    const [writer, other] = [await member(t, room), await member(t, room)];
    const [first] = await writer.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    const [gone] = await writer.do("todos", "delete", { id: "a" });
    assert.deepEqual(gone.slice(0, 4), first.slice(0, 4));
    assert.ok(gone[4] > first[4] && gone[5] === gone[4]);
    await other.next();
    assert.deepEqual((await other.next()).payload, [gone]);
    assert.deepEqual(await other.sync("todos"), []);
  });

  for (const payload of [undefined, null, {}]) {
    room(`delete-all ends every row, each as a row (payload: ${JSON.stringify(payload)})`, async (t, room) => {
      const [writer, other] = [await member(t, room), await member(t, room)];
      for (const id of ["a", "b", "c"]) await writer.do("todos", "create", { id, text: id, completed: 0 });
      await writer.do("todos", "delete", { id: "b" });
      const gone = await writer.do("todos", "delete-all", payload);
      assert.deepEqual(ids(gone), ["a", "c"]);
      assert.ok(gone.every((/** @type {any[]} */ row) => row.at(-1) !== null));
      const last = (await other.untilNow()).at(-1);
      assert.deepEqual(ids(last.payload), ["a", "c"], "the others' databases are only healed by rows");
      assert.deepEqual(await writer.do("todos", "delete-all", payload), [], "nothing left is an empty array");
    });
  }

  room("a row without an id is given one, and another row another", async (t, room) => {
    const raw = await member(t, room, ["todos", "counts"]);
    const [first] = await raw.do("todos", "create", { text: "tea", completed: 0 });
    const [second] = await raw.do("todos", "create", { text: "tea", completed: 0 });
    assert.ok(typeof first[0] === "string" && first[0] !== "" && first[0] !== second[0]);
    const [third] = await raw.do("counts", "create", { count: 1 });
    const [fourth] = await raw.do("counts", "create", { count: 1 });
    assert.ok(Number.isSafeInteger(third[0]) && third[0] !== fourth[0]);
    assert.deepEqual((await raw.do("counts", "update", { id: fourth[0], count: 2 }))[0].slice(0, 2), [fourth[0], 2]);
  });

  room("the id of a deleted row may be used again", async (t, room) => {
    const raw = await member(t, room);
    await raw.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    const [gone] = await raw.do("todos", "delete", { id: "a" });
    const [again] = await raw.do("todos", "create", { id: "a", text: "more tea", completed: 1 });
    assert.deepEqual(again.slice(0, 3), ["a", "more tea", 1]);
    assert.equal(again[5], null);
    assert.ok(again[4] > gone[4]);
  });

  room("sync answers what changed at `from` or later, a number or a string", async (t, room) => {
    const raw = await member(t, room);
    const stamps = [];
    for (const id of ["a", "b", "c"]) stamps.push((await raw.do("todos", "create", { id, text: id, completed: 0 }))[0][4]);
    const [, second, third] = stamps;
    assert.deepEqual(ids(await raw.sync("todos", null)), ["a", "b", "c"]);
    assert.deepEqual(ids(await raw.sync("todos", second)), ["b", "c"]);
    assert.deepEqual(ids(await raw.sync("todos", String(third))), ["c"]);
    assert.deepEqual(ids(await raw.sync("todos", 0)), ["a", "b", "c"]);
    await raw.do("todos", "update", { id: "a", completed: 1 });
    assert.deepEqual(ids(await raw.sync("todos", third)), ["a", "c"]);
  });

  room("a `from` that cannot be read, is missing or is later than the room's last change is none", async (t, room) => {
    const raw = await member(t, room);
    const [row] = await raw.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    for (const from of [undefined, "2024-01-31 12:00:00", "", "NaN", {}, [], true, -1, 1.5, row[4] + 1, row[4] + 1e9, String(row[4] + 5), 1e300]) {
      assert.deepEqual(await raw.sync("todos", from), [row], `from: ${JSON.stringify(from)}`);
    }
    await raw.quiet();
  });

  room("a refused action is an error with its id and the reason, and nobody else hears of it", async (t, room) => {
    const [writer, other] = [await member(t, room), await member(t, room)];
    await writer.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    await other.next();
    writer.send({ id: "Ab_-12xy", channel: "todos", rpc: true, action: { type: "create", payload: { id: "a", text: "tea", completed: 0 } } });
    const reply = await writer.next();
    assert.deepEqual({ ...reply, error: 0 }, { type: "error", rpc: true, channel: "todos", id: "Ab_-12xy", error: 0 });
    assert.match(await writer.refused("todos", "update", { id: "none", completed: 1 }), /none/);
    assert.deepEqual(await writer.do("todos", "delete", { id: "none" }), []);
    await writer.refused("todos", "update", { completed: 1 });
    await writer.refused("todos", "delete", {});
    await writer.refused("todos", "delete");
    await other.quiet();
  });

  room("an unknown channel or action is an error with its id, never silence", async (t, room) => {
    const raw = await member(t, room);
    for (const channel of ["nothing", "", "../todos", "todos; drop", "__proto__", "constructor", "TODOS", "main.todos"]) {
      const { type, ...rest } = await raw.ask(channel, "create", { id: "a", text: "tea", completed: 0 });
      assert.deepEqual([type, rest.channel], ["error", channel]);
    }
    assert.match(await raw.refused("todos", "rename", { id: "a" }), /rename/);
    for (const type of ["", "__proto__", "toString", "Create", "delete_all"]) await raw.refused("todos", type, {});
    for (const action of [undefined, null, "create", 5, [], {}, { type: 5 }, { type: null }, { payload: {} }]) {
      raw.send({ id: "odd", channel: "todos", rpc: true, action });
      const { type, id } = await raw.next();
      assert.deepEqual([type, id], ["error", "odd"], JSON.stringify(action));
    }
    assert.deepEqual(await raw.sync("todos"), []);
  });

  room("a sync of an unknown channel is answered too, and not with rows", async (t, room) => {
    const raw = await member(t, room);
    for (const channel of ["nothing", "__proto__", "sqlite_master"]) {
      raw.send({ channel, sync: true, from: null });
      const { type, id, ...rest } = await raw.next();
      assert.deepEqual([type, id, rest.channel], ["error", null, channel]);
    }
    await raw.quiet();
  });

  room("an action without an id is an exception, one with any JSON as its id is answered with it", async (t, room) => {
    const raw = await member(t, room);
    raw.send({ channel: "todos", rpc: true, action: { type: "rename" } });
    assert.equal((await raw.next()).type, "exception");
    for (const id of [null, 7, {}, [], { a: [1, "x"] }]) {
      raw.send({ id, channel: "todos", rpc: true, action: { type: "rename" } });
      const reply = await raw.next();
      assert.deepEqual([reply.type, reply.id], ["error", id]);
    }
    await raw.quiet();
    for (const id of ["", "ü/\\\"", "x".repeat(200)]) {
      raw.send({ id, channel: "todos", rpc: true, action: { type: "delete-all" } });
      assert.deepEqual(await raw.next(), { type: "success", rpc: true, channel: "todos", id, result: [] });
    }
  });

  room("what is not JSON is an exception, and the connection goes on", async (t, room) => {
    const raw = await member(t, room);
    for (const text of ["", "hello", "{", "{'a':1}", "[1,", "undefined", "NaN", '{"a":1} {"b":2}', "\u0000"]) {
      raw.send(text);
      const frame = await raw.next();
      assert.deepEqual([frame.type, frame.rpc], ["exception", true], text);
      assert.match(frame.exception[0], /^Failed to parse message: ./, text);
    }
    await raw.quiet();
  });

  room("JSON that is no message is an exception, or an error if it has an id, and the connection goes on", async (t, room) => {
    const raw = await member(t, room);
    const odd = [null, [], [1], 5, true, {}, { channel: "todos" }, { sync: true }, { sync: true, channel: null }, { rpc: true }];
    for (const message of odd) {
      raw.send(JSON.stringify(message));
      assert.equal((await raw.next()).type, "exception", JSON.stringify(message));
    }
    for (const message of [{ rpc: true, id: "a" }, { id: "a", channel: 5, rpc: true, action: {} }]) {
      raw.send(message);
      const { type, id } = await raw.next();
      assert.deepEqual([type, id], ["error", "a"], JSON.stringify(message));
    }
    await raw.quiet();
  });

  room("a binary frame is an exception, and the connection goes on", async (t, room) => {
    const raw = await member(t, room);
    raw.send(new TextEncoder().encode('{"channel":"todos","sync":true,"from":null}'));
    raw.send(new Uint8Array([0xff, 0xfe, 0]));
    const types = (await raw.untilNow()).map(({ type }) => type);
    assert.deepEqual(types, ["exception", "exception"]);
  });

  room("replies come in the order of the actions", async (t, room) => {
    const raw = await member(t, room, ["todos", "counts"]);
    const asked = [];
    for (let at = 0; at < 40; at++) {
      if (at % 4 === 0) asked.push(raw.act("counts", "create", { count: at }));
      else if (at % 4 === 1) asked.push(raw.act("todos", "no-such-action"));
      else if (at % 4 === 2) asked.push(raw.act("nothing", "create", {}));
      else asked.push(raw.act("todos", "create", { text: String(at), completed: 0 }));
    }
    const answered = [];
    while (answered.length < asked.length) answered.push((await raw.next()).id);
    assert.deepEqual(answered, asked);
  });

  room("several channels share one connection", async (t, room) => {
    const [writer, other] = [await member(t, room, ["todos", "counts"]), await member(t, room, ["todos", "counts"])];
    const [todo] = await writer.do("todos", "create", { id: "1", text: "tea", completed: 0 });
    const [count] = await writer.do("counts", "create", { id: 1, count: 5 });
    assert.ok(count[3] > todo[4], "one room has one clock");
    assert.deepEqual(await other.next(), { broadcast: true, type: "update", channel: "todos", payload: [todo] });
    assert.deepEqual(await other.next(), { broadcast: true, type: "update", channel: "counts", payload: [count] });
    assert.deepEqual(await other.sync("counts"), [count]);
    assert.deepEqual(await other.sync("todos"), [todo]);
    assert.deepEqual(ids(await writer.do("todos", "delete-all")), ["1"]);
    assert.deepEqual(ids((await other.next()).payload), ["1"]);
    assert.deepEqual(await other.sync("counts"), [count], "delete-all is for one channel");
  });

  room("rooms and parties do not see each other", async (t, room) => {
    const raw = await member(t, room);
    const desk = await Raw.open(t, room, { party: "desk" });
    await desk.sync("todos");
    const elsewhere = await Raw.open(t, { ...room, name: `${room.name}-b` });
    await elsewhere.sync("todos");
    await raw.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    assert.deepEqual(await desk.sync("todos"), []);
    assert.deepEqual(await elsewhere.sync("todos"), []);
    await desk.quiet();
    await elsewhere.quiet();
  });

  room("a party that is not declared is 400 at the upgrade, and so is a name that is none", async (t, room) => {
    const { daemon } = room;
    assert.equal(await upgradeStatus(addressOf(daemon, "kitchen", { party: "main" })), 101);
    for (const party of ["todos", "Main", "__proto__", "main2"]) assert.equal(await upgradeStatus(addressOf(daemon, "kitchen", { party })), 400, party);
    for (const name of ["a%20b", "a%2Fb", "caf%C3%A9", "a".repeat(130), "%00"]) assert.equal(await upgradeStatus(addressOf(daemon, name, {})), 400, name);
    for (const name of ["", "a/b"]) assert.equal(await upgradeStatus(addressOf(daemon, name, {})), 404, "no address of a room");
    assert.equal(await upgradeStatus(addressOf(daemon, "A-b_c.9", {})), 101);
  });

  room("any `_pk` is good, and none", async (t, room) => {
    const names = [null, "", "ada@example.org", "a b/c?d&e", "ü", "'; --", "x".repeat(2000)];
    for (const pk of names) {
      const raw = await Raw.open(t, room, { pk });
      assert.deepEqual(await raw.sync("todos"), []);
    }
  });

  room("two connections with the same `_pk` are two: both stay, and each hears of the other", async (t, room) => {
    const [first, second] = [await Raw.open(t, room, { pk: "ada" }), await Raw.open(t, room, { pk: "ada" })];
    await first.sync("todos");
    await second.sync("todos");
    const [row] = await first.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    assert.deepEqual((await second.next()).payload, [row]);
    const [changed] = await second.do("todos", "update", { id: "a", completed: 1 });
    assert.deepEqual((await first.next()).payload, [changed]);
  });

  room("PartySocket as it comes: default party, and a party of its own", async (t, room) => {
    const tab = await new Tab(t, room, ["todos"]).settled();
    const desk = await new Tab(t, room, ["todos"], { party: "desk" }).settled();
    const [row] = await tab.act("todos", "create", { id: "a", text: "tea", completed: 0 });
    assert.deepEqual(tab.rows("todos"), [row]);
    assert.deepEqual(desk.rows("todos"), []);
    assert.equal(tab.socket.protocol, "");
    assert.match(tab.socket.url, new RegExp(`/parties/main/${room.name}\\?_pk=${tab.socket.id}$`));
  });

  room("what is sent before the connection is open is answered when it is", async (t, room) => {
    const tab = new Tab(t, room, ["todos"]);
    const [row] = await tab.act("todos", "create", { id: "a", text: "tea", completed: 0 });
    await until("its rows are there", () => tab.isSettled);
    assert.deepEqual(tab.rows("todos"), [row]);
  });

  room("the shown rows are in the order of their creation", async (t, room) => {
    const raw = await member(t, room);
    for (const id of ["c", "a", "b"]) await raw.do("todos", "create", { id, text: id, completed: 0 });
    await raw.do("todos", "update", { id: "c", completed: 1 });
    const tab = await new Tab(t, room, ["todos"]).settled();
    const sorted = tab.rows("todos").toSorted((a, b) => a.at(-3) - b.at(-3));
    assert.deepEqual(
      sorted.map((row) => row[0]),
      ["c", "a", "b"],
    );
  });
});
