// `actions = "host"`: the host of a room decides. All at once, since a silent host takes its time.

import assert from "node:assert/strict";
import { describe } from "node:test";

import { suiteOfRooms } from "./daemon.js";
import { Host } from "./hosts.js";
import { Raw, upgradeStatus } from "./raw.js";
import { Tab } from "./tab.js";
import { until } from "./until.js";

const tea = { id: "a", text: "tea" };

/** @param {import("node:test").TestContext} t @param {import("./daemon.js").Room} room @param {import("./tab.js").TabOptions} [options] */
const tabIn = async (t, room, options) => new Tab(t, room, ["asked", "told", "todos"], options).settled();

/** Whether an action was given up by its page, since no reply came in its ten seconds. @param {Promise<unknown>} acted */
const reasonOf = (acted) =>
  acted.then(
    () => "success",
    (/** @type {Error} */ error) => error.message,
  );

/** Some of the 9 seconds, by the daemon's own clock: it waits before it heals somebody who asks for nothing. @param {import("node:test").TestContext} t @param {import("./daemon.js").Room} room */
async function aWhile(t, room) {
  for (let times = 0; times < 10; times++) await (await Raw.open(t, room)).next();
}

/** All pages show what the daemon has. @param {import("./daemon.js").Room} room @param {Tab[]} tabs @param {string} [channel] */
async function agree(room, tabs, channel = "asked") {
  const table = await room.rows(channel);
  for (const tab of tabs) await tab.shows(channel, table);
  return table;
}

describe("a host that decides", { concurrency: true }, () => {
  const room = suiteOfRooms();

  room("it is asked, with who asks, and its rows are the answer", async (t, room) => {
    const host = await Host.open(t, room);
    const [tab, other] = [await tabIn(t, room), await tabIn(t, room)];
    const acted = tab.act("asked", "brew", { strong: [1, null, "é"] });
    const asked = await host.action();
    assert.deepEqual({ ...asked, id: 0, from: 0 }, { type: "action", id: 0, channel: "asked", action: { type: "brew", payload: { strong: [1, null, "é"] } }, from: 0 });
    assert.ok(Number.isSafeInteger(asked.id));
    assert.deepEqual(Object.keys(asked.from).sort(), ["device", "id"]);
    host.answer(asked.id, [["a", "tea"], { id: "b", text: "cake" }]);
    const rows = await acted;
    assert.deepEqual(rows.map((row) => row.slice(0, 2)), [["a", "tea"], ["b", "cake"]]);
    assert.ok(rows[1].at(-2) > rows[0].at(-2), "the daemon makes the stamps");
    assert.deepEqual(await agree(room, [tab, other]), rows);
  });

  room("its rows may change and end what is there; it may answer with none", async (t, room) => {
    const host = await Host.open(t, room);
    const [tab, other] = [await tabIn(t, room), await tabIn(t, room)];
    const answers = [[tea, { id: "b", text: "cake" }], [["a", "coffee", 1, 2, null]], [{ id: "b", text: "cake", deleted_at: 5 }], [["a", "coffee", 1, 2, 3]], []];
    for (const rows of answers) {
      const acted = tab.act("asked", "any");
      host.answer((await host.action()).id, rows);
      assert.equal((await acted).length, rows.length);
      await agree(room, [tab, other]);
    }
    assert.deepEqual(await room.rows("asked"), []);
  });

  room("it refuses with its own words, and nobody else hears of it", async (t, room) => {
    const host = await Host.open(t, room);
    const raw = await Raw.open(t, room);
    const other = await Raw.open(t, room);
    await raw.sync("asked");
    await other.sync("asked");
    const id = raw.act("asked", "brew");
    host.refuse((await host.action()).id, ["no tea", "no pot"]);
    assert.deepEqual(await raw.next(), { type: "error", rpc: true, channel: "asked", id, error: ["no tea", "no pot"] });
    await other.quiet();
  });

  room("rows that do not fit are an error for both", async (t, room) => {
    const host = await Host.open(t, room);
    const tab = await tabIn(t, room);
    for (const rows of [[["a", 5]], [["a"]], [{ id: "a" }], [{ id: "a", text: "x", more: 1 }], [5], [null], [["a", "b", "c"]]]) {
      const reason = reasonOf(tab.act("asked", "brew"));
      const { id } = await host.action();
      host.send({ type: "rows", id, rows });
      const { status, detail } = await host.next("error");
      assert.ok(status === 422 && detail, JSON.stringify(rows));
      assert.ok(!["success", "given up"].includes(await reason), `${JSON.stringify(rows)}: ${await reason}`);
    }
    assert.deepEqual(await room.rows("asked"), []);
  });

  room("where there is none, an action is refused at once", async (t, room) => {
    const raw = await Raw.open(t, room);
    await raw.sync("asked");
    assert.match(await raw.refused("asked", "brew", {}), /host/);
    await raw.quiet();
  });

  room("one that leaves while an action waits: it is refused at once, and the next one too", async (t, room) => {
    const silent = await Host.open(t, { ...room, name: `${room.name}-silent` });
    const first = await new Tab(t, { ...room, name: `${room.name}-silent` }, ["asked"]).settled();
    /** @type {string[]} */
    const order = [];
    const waits = reasonOf(first.act("asked", "brew")).then(() => order.push("nine seconds"));
    await silent.action();
    const host = await Host.open(t, room);
    const tab = await tabIn(t, room);
    const acted = reasonOf(tab.act("asked", "brew"));
    await host.action();
    host.socket.terminate();
    assert.match(await acted, /host/);
    order.push("gone");
    assert.match(await reasonOf(tab.act("asked", "brew")), /host/);
    await waits;
    assert.deepEqual(order, ["gone", "nine seconds"]);
    const next = await Host.open(t, room);
    const again = tab.act("asked", "brew");
    next.answer((await next.action()).id, [tea]);
    assert.equal((await again).length, 1);
  });

  room("one that answers after the 9 seconds is late, and nothing is lost; one that answers within them is not", async (t, room) => {
    const host = await Host.open(t, room);
    const [hasty, patient, other] = [await tabIn(t, room), await tabIn(t, room), await tabIn(t, room)];
    const reason = reasonOf(hasty.act("asked", "brew"));
    const late = await host.action();
    await aWhile(t, room);
    const acted = patient.act("asked", "brew");
    const slow = await host.action();
    await other.act("todos", "create", { id: "x", text: "meanwhile", completed: 0 });
    await until("others are served meanwhile", () => patient.rows("todos").length === 1);
    assert.match(await reason, /9 s/, "before the page gives up");
    host.answer(slow.id, [{ id: "b", text: "in time" }]);
    assert.equal((await acted).length, 1);
    host.answer(late.id, [tea]);
    host.tell("asked", [{ id: "c", text: "after it" }], "last");
    await until("all of it is in", () => host.messages.some((message) => message.id === "last"));
    const table = await agree(room, [hasty, patient, other]);
    assert.deepEqual(table.map((row) => row[0]).sort(), ["a", "b", "c"]);
    for (const tab of [hasty, patient]) assert.equal(tab.hook("asked").late.length, 0, "one reply to one action");
    assert.match(await reasonOf(hasty.act("todos", "no-such-action")), /no-such-action/);
  });

  room("what it answers in another order is replied in the order of the actions", async (t, room) => {
    const host = await Host.open(t, room);
    const raw = await Raw.open(t, room);
    for (const channel of ["asked", "todos"]) await raw.sync(channel);
    const asked = ["one", "two", "three"].map((type) => raw.act("asked", type));
    asked.push(raw.act("todos", "create", { id: "x", text: "x", completed: 0 }), raw.act("nothing", "create"));
    const actions = [await host.action(), await host.action(), await host.action()];
    assert.deepEqual(actions.map(({ action }) => action.type), ["one", "two", "three"]);
    host.refuse(actions[2].id, ["no"]);
    host.answer(actions[1].id, [{ id: "two", text: "2" }]);
    host.answer(actions[0].id, [{ id: "one", text: "1" }]);
    const answered = [];
    while (answered.length < asked.length) {
      const frame = await raw.next();
      if (frame.rpc) answered.push(frame.id);
    }
    assert.deepEqual(answered, asked);
  });

  room("a row that others changed while its reply had to wait does not go back", async (t, room) => {
    const host = await Host.open(t, room);
    const [tab, other] = [await tabIn(t, room), await tabIn(t, room)];
    await tab.act("todos", "create", { id: "x", text: "first", completed: 0 });
    const brewed = tab.act("asked", "brew");
    const { id } = await host.action();
    const updated = tab.act("todos", "update", { id: "x", text: "mine" });
    await until("the others see it, or wait", () => other.rows("todos").length === 1);
    for (let at = 0; at < 5; at++) await other.act("todos", "update", { id: "x", text: `theirs ${at}` });
    host.answer(id, [tea]);
    await brewed;
    await updated;
    for (const channel of ["asked", "todos"]) await agree(room, [tab, other], channel);
  });

  room("rows that nobody asked for go to everyone, and are acknowledged", async (t, room) => {
    const host = await Host.open(t, room);
    const [tab, other] = [await tabIn(t, room), await tabIn(t, room)];
    host.tell("told", [tea, ["b", "cake"]], 7);
    assert.deepEqual(await host.next("ack"), { type: "ack", id: 7 });
    assert.equal((await agree(room, [tab, other], "told")).length, 2);
    host.tell("told", [{ id: "a", text: "tea", deleted_at: 1 }, { id: "c", text: "new" }]);
    assert.deepEqual(await host.next("ack"), { type: "ack" });
    assert.deepEqual((await agree(room, [tab, other], "told")).map((row) => row[0]).sort(), ["b", "c"]);
    /** @type {[string, any][]} */
    const odd = [["told", [["a", 5]]], ["nothing", [tea]], ["told", "none"], ["__proto__", [tea]], ["told", [tea, { id: "z" }]]];
    for (const [channel, rows] of odd) {
      host.tell(channel, rows, "odd");
      const { id, status, detail } = await host.next("error");
      assert.deepEqual([id, status], ["odd", 422], `${channel}: ${detail}`);
    }
    assert.equal((await agree(room, [tab, other], "told")).length, 2, "all of it or nothing");
  });

  room("it may come before anybody else, and go", async (t, room) => {
    const host = await Host.open(t, room);
    host.tell("told", [tea]);
    await host.next("ack");
    host.socket.close();
    await until("it is gone", () => host.closed);
    const tab = await tabIn(t, room);
    assert.equal((await agree(room, [tab], "told")).length, 1);
  });

  room("a host is let in with the host token, to a party that is declared", async (t, room) => {
    const { port } = room.daemon;
    const status = (/** @type {string} */ query) => upgradeStatus(`ws://127.0.0.1:${port}/host?${query}`);
    assert.equal(await status(`room=main/${room.name}`), 401);
    assert.equal(await status(`room=main/${room.name}&token=${room.daemon.hostToken}`), 101);
    for (const name of ["kitchen/a", "main", "main/", "/a", "main/a/b", "main/%C3%BC"]) assert.equal(await status(`room=${name}&token=${room.daemon.hostToken}`), 400, name);
  });
});
