// What an action may hold, and how much of it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { roomOf, startRooms, suiteOfRooms, watched } from "./daemon.js";
import { Raw, addressOf, upgradeStatus } from "./raw.js";
import { until } from "./until.js";

const whole = { id: "a", text: "tea", size: 1.5, done: true, tags: ["x"], more: { y: [1] } };

/** What fits no column of a type. @type {Record<string, unknown[]>} */
const WRONG = {
  text: [5, true, [], {}, null],
  size: ["5", true, [], {}, null],
  done: ["true", 2, -1, 0.5, [], {}, null],
  tags: ["x", 5, {}, true, null],
  more: ["x", 5, [], false, null],
  id: [5, true, [], {}, null],
};

describe("values", () => {
  const room = suiteOfRooms();

  room("values of every type come back as they went in, booleans as 0 and 1", async (t, room) => {
    const raw = await Raw.open(t, room);
    await raw.sync("things");
    const [row] = await raw.do("things", "create", whole);
    assert.deepEqual(row.slice(0, 6), ["a", "tea", 1.5, 1, ["x"], { y: [1] }]);
    for (const [done, wire] of [[false, 0], [true, 1], [0, 0], [1, 1]]) assert.equal((await raw.do("things", "update", { id: "a", done }))[0][3], wire);
    const odd = { id: "ü/\\\" \u2028", text: "\u0000<é😀", size: -0.25, tags: [], more: {} };
    const [second] = await raw.do("things", "create", { ...odd, done: 0 });
    assert.deepEqual(second.slice(0, 6), [odd.id, odd.text, odd.size, 0, [], {}]);
    assert.deepEqual(await raw.sync("things"), [await last(raw, "a"), second]);
  });

  room("a value of another type is refused by its column's name, whole", async (t, room) => {
    const raw = await Raw.open(t, room);
    await raw.sync("things");
    const [row] = await raw.do("things", "create", whole);
    for (const [column, values] of Object.entries(WRONG)) {
      for (const value of values) {
        const said = `${column}: ${JSON.stringify(value)}`;
        assert.match(await raw.refused("things", "create", { ...whole, id: "b", [column]: value }), new RegExp(column), said);
        if (column !== "id") assert.match(await raw.refused("things", "update", { id: "a", size: 7, [column]: value }), new RegExp(column), said);
      }
    }
    for (const id of WRONG.id) {
      await raw.refused("things", "update", { id, size: 7 });
      await raw.refused("things", "delete", { id });
    }
    assert.deepEqual(await raw.sync("things"), [row]);
  });

  room("ids of numbers are numbers", async (t, room) => {
    const raw = await Raw.open(t, room);
    await raw.sync("counts");
    await raw.do("counts", "create", { id: 1, count: 1 });
    for (const id of ["1", 2.5, 1e300, 1]) await raw.refused("counts", "create", { id, count: 1 });
    await raw.refused("counts", "update", { id: "1", count: 2 });
    const [gone] = await raw.do("counts", "delete", { id: 1 });
    assert.equal(gone[0], 1);
  });

  room("an id is the same however it is spelt", async (t, room) => {
    const raw = await Raw.open(t, room);
    for (const channel of ["todos", "counts"]) await raw.sync(channel);
    await raw.do("todos", "create", { id: "a/é", text: "tea", completed: 0 });
    await raw.do("counts", "create", { id: 1, count: 1 });
    const spelt = [
      ["todos", String.raw`"\u0061\/\u00e9"`, '"text":"x","completed":0'],
      ["counts", "1.0", '"count":2'],
      ["counts", "1e0", '"count":2'],
    ];
    for (const [channel, id, rest] of spelt) {
      const before = await raw.sync(channel);
      raw.send(`{"id":"x","channel":"${channel}","rpc":true,"action":{"type":"update","payload":{"id":${id}}}}`);
      const { result } = await raw.next();
      assert.equal(result?.[0][0], before[0][0], `${id} became ${JSON.stringify(result)}`);
      raw.send(`{"id":"x","channel":"${channel}","rpc":true,"action":{"type":"create","payload":{"id":${id},${rest}}}}`);
      assert.equal((await raw.next()).type, "error", id);
      assert.equal((await raw.sync(channel)).length, 1);
    }
  });

  room("create needs every column, and takes no other", async (t, room) => {
    const raw = await Raw.open(t, room);
    await raw.sync("things");
    for (const column of Object.keys(whole).filter((name) => name !== "id")) {
      const { [column]: _, ...rest } = /** @type {Record<string, unknown>} */ (whole);
      assert.match(await raw.refused("things", "create", rest), new RegExp(column));
    }
    await raw.do("things", "create", whole);
    for (const column of ["colour", "__proto__", "Text", "created_at", "updated_at", "deleted_at"]) {
      const extra = JSON.parse(`{"${column}":5}`);
      const payloadOf = (/** @type {object} */ base) => JSON.stringify(base).replace(/}$/, `,${JSON.stringify(extra).slice(1)}`);
      raw.send(`{"id":"x","channel":"things","rpc":true,"action":{"type":"create","payload":${payloadOf({ ...whole, id: "b" })}}}`);
      const created = await raw.next();
      raw.send(`{"id":"y","channel":"things","rpc":true,"action":{"type":"update","payload":${payloadOf({ id: "a", size: 2 })}}}`);
      const updated = await raw.next();
      for (const { type, error } of [created, updated]) assert.ok(type === "error" && error[0].includes(column), `${column}: ${type} ${error}`);
    }
    for (const payload of [undefined, null, [], "text", 5, [["a"]]]) {
      await raw.refused("things", "create", payload);
      await raw.refused("things", "update", payload);
      await raw.refused("things", "delete", payload);
    }
  });

  room("a row may be as large as --max-row, and no larger; the connection stays", async (t, room) => {
    const raw = await Raw.open(t, room);
    await raw.sync("todos");
    const other = await Raw.open(t, room);
    await other.sync("todos");
    for (const id of ["a", "b", "c"]) await raw.do("todos", "create", { id, text: "x".repeat(60 * 1024), completed: 0 });
    assert.equal((await other.next()).payload[0][1].length, 60 * 1024);
    assert.match(await raw.refused("todos", "create", { id: "d", text: "x".repeat(66 * 1024), completed: 0 }), /max-row/);
    assert.match(await raw.refused("todos", "update", { id: "a", text: "x".repeat(66 * 1024) }), /max-row/);
    assert.deepEqual((await raw.sync("todos")).map((/** @type {any[]} */ row) => row[0]).sort(), ["a", "b", "c"]);
  });

  room("the hundred and first action in ten seconds is an error with its id", async (t, room) => {
    const raw = await Raw.open(t, room);
    await raw.sync("todos");
    const asked = Array.from({ length: 101 }, (_, at) => raw.act("todos", "create", { id: String(at), text: "x", completed: 0 }));
    const replies = [];
    while (replies.length < asked.length) replies.push(await raw.next());
    assert.deepEqual(
      replies.map(({ id }) => id),
      asked,
    );
    assert.ok(replies.slice(0, 100).every(({ type }) => type === "success"));
    assert.equal(replies[100].type, "error");
    assert.match(replies[100].error[0], /max-actions/);
    const other = await Raw.open(t, room);
    await other.sync("todos");
    await other.do("todos", "delete", { id: "5" });
  });

  room("who goes on and on is closed with 1008, and nobody else", async (t, room) => {
    const raw = await Raw.open(t, room);
    const other = await Raw.open(t, room);
    await raw.sync("todos");
    await other.sync("todos");
    for (let at = 0; at < 1200; at++) raw.act("todos", "delete-all");
    await until("it is closed", () => raw.closed);
    assert.equal(raw.closed?.code, 1008);
    await other.do("todos", "delete-all");
  });
});

/** @param {Raw} raw @param {string} id */
const last = async (raw, id) => (await raw.sync("things")).find((/** @type {any[]} */ row) => row[0] === id);

test("more rows than --max-rows are refused, until there is room again", async (t) => {
  const room = roomOf(await startRooms(t, { args: ["--max-rows", "3"] }), "full");
  await watched(room, async () => {
    const raw = await Raw.open(t, room);
    await raw.sync("todos");
    for (const id of ["a", "b", "c"]) await raw.do("todos", "create", { id, text: id, completed: 0 });
    assert.match(await raw.refused("todos", "create", { id: "d", text: "d", completed: 0 }), /max-rows/);
    await raw.do("todos", "update", { id: "a", completed: 1 });
    await raw.do("todos", "delete", { id: "a" });
    await raw.do("todos", "create", { id: "d", text: "d", completed: 0 });
  });
});

test("more rooms than --max-rooms are 503 at the upgrade", async (t) => {
  const daemon = await startRooms(t, { args: ["--max-rooms", "1"] });
  const room = roomOf(daemon, "first");
  await watched(room, async () => {
    const raw = await Raw.open(t, room);
    await raw.sync("todos");
    await raw.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    assert.equal(await upgradeStatus(addressOf(daemon, "second", {})), 503);
    assert.equal(await upgradeStatus(addressOf(daemon, "first", {})), 101);
  });
});
