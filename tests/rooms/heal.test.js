// What the client cannot do: heal after a reconnect, and from what its database has kept.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { CHANNELS, roomOf, startRooms, suiteOfRooms, temporaryFolder, watched } from "./daemon.js";
import { Browser } from "./hook.js";
import { Host } from "./hosts.js";
import { Raw } from "./raw.js";
import { Tab } from "./tab.js";
import { until, untilAnswered } from "./until.js";

/** @param {any[]} rows */
const ids = (rows) => rows.map((row) => row[0]).sort();

const todo = (/** @type {string} */ id) => ({ id, text: id, completed: 0 });

/** A writer who is always there. @param {import("node:test").TestContext} t @param {import("./daemon.js").Room} room */
async function writerIn(t, room) {
  const raw = await Raw.open(t, room);
  for (const channel of ["todos", "counts"]) await raw.sync(channel);
  return raw;
}

/** Tells of a moment at which a connection that was opened by now has been open for longer than the daemon waits. */
async function graceIsOver(/** @type {import("node:test").TestContext} */ t, /** @type {import("./daemon.js").Room} */ room) {
  const silent = await Raw.open(t, room);
  for (let left = Object.keys(CHANNELS).length; left > 0; ) if ((await silent.next()).sync) left--;
}

/** Fills what is on its way to a page that takes nothing, so that what follows waits at the daemon. @param {Raw} writer */
async function fill(writer) {
  const text = "x".repeat(60_000);
  for (let at = 0; at < FILL; at++) await writer.do("todos", "update", { id: "filler", text: text + at });
}

/** More than the buffers of a connection hold. */
const FILL = 300;

describe("the optimistic layer", () => {
  const room = suiteOfRooms();

  room("an action shows at once, and is confirmed with the daemon's row", async (t, room) => {
    const tab = await new Tab(t, room, ["todos"]).settled();
    const done = tab.act("todos", "create", todo("a"));
    assert.deepEqual(ids(tab.rows("todos")), ["a"]);
    assert.deepEqual(await room.rows("todos"), tab.hook("todos").waiting ? [] : tab.rows("todos"));
    const [row] = await done;
    await tab.shows("todos", [row]);
  });

  room("a refused one is rolled back", async (t, room) => {
    const tab = await new Tab(t, room, ["todos"]).settled();
    const [row] = await tab.act("todos", "create", todo("a"));
    const refused = tab.act("todos", "create", { ...todo("a"), text: "again" });
    assert.equal(tab.rows("todos").length, 2);
    await assert.rejects(refused);
    await tab.shows("todos", [row]);
    await assert.rejects(tab.act("todos", "update", { id: "a", completed: "yes" }), /completed/);
    await tab.shows("todos", [row]);
  });

  room("one that was given up is rolled back, and is there all the same if it arrives later", async (t, room) => {
    const tab = await new Tab(t, room, ["todos"], { patience: 200 }).settled();
    const back = tab.away();
    await assert.rejects(tab.act("todos", "create", todo("a")), /given up/);
    assert.deepEqual(tab.rows("todos"), []);
    back();
    await until("the late reply", () => tab.hook("todos").late.length === 1);
    await until("the row", () => tab.rows("todos").length === 1);
    await tab.shows("todos", await room.rows("todos"));
  });

  room("what others write while an action is under way stays", async (t, room) => {
    const [one, two] = [await new Tab(t, room, ["todos"]).settled(), await new Tab(t, room, ["todos"]).settled()];
    await one.act("todos", "create", todo("a"));
    await Promise.all([...["b", "c", "d"].map((id) => one.act("todos", "create", todo(id))), ...["e", "f", "g"].map((id) => two.act("todos", "create", todo(id)))]);
    await Promise.allSettled([one.act("todos", "update", { id: "a", text: "one" }), two.act("todos", "update", { id: "a", text: "two" }), one.act("todos", "delete", { id: "b" }), two.act("todos", "update", { id: "b", text: "x" })]);
    const table = await room.rows("todos");
    assert.equal(table.length, 6);
    for (const tab of [one, two]) await tab.shows("todos", table);
  });
});

describe("after a reconnect", () => {
  const room = suiteOfRooms({ args: ["--max-actions", "100000"] });

  room("a page that asks for nothing has what it missed: new, changed and deleted rows", async (t, room) => {
    const writer = await writerIn(t, room);
    for (const id of ["a", "b", "c"]) await writer.do("todos", "create", todo(id));
    const tab = await new Tab(t, room, ["todos"]).settled();
    const back = tab.away();
    await writer.do("todos", "create", todo("d"));
    await writer.do("todos", "update", { id: "a", completed: 1 });
    await writer.do("todos", "delete", { id: "b" });
    await writer.do("todos", "delete", { id: "c" });
    await writer.do("todos", "create", { id: "c", text: "anew", completed: 1 });
    back();
    await tab.shows("todos", await room.rows("todos"));
    assert.equal(tab.browser.database("todos").get("b")?.at(-1) !== null, true);
    await tab.reload().shows("todos", await room.rows("todos"));
  });

  room("delete-all while away empties the page and its database", async (t, room) => {
    const writer = await writerIn(t, room);
    for (const id of ["a", "b", "c"]) await writer.do("todos", "create", todo(id));
    const tab = await new Tab(t, room, ["todos"]).settled();
    const back = tab.away();
    await writer.do("todos", "delete-all");
    back();
    await tab.shows("todos", []);
  });

  room("it is a sync of the channels that its id had asked for, then the deletions; nothing of the others", async (t, room) => {
    const writer = await writerIn(t, room);
    await writer.do("todos", "create", todo("a"));
    await writer.do("todos", "create", todo("b"));
    await writer.do("counts", "create", { id: 1, count: 1 });
    const before = await Raw.open(t, room, { pk: "the-same" });
    await before.sync("todos");
    before.socket.close();
    await until("it is closed", () => before.closed);
    await writer.do("todos", "delete", { id: "b" });
    const after = await Raw.open(t, room, { pk: "the-same" });
    const sync = await after.next();
    assert.deepEqual([sync.sync, sync.channel, ids(sync.payload)], [true, "todos", ["a"]]);
    const deletions = await after.next();
    assert.deepEqual([deletions.type, deletions.channel, ids(deletions.payload)], ["update", "todos", ["b"]]);
    await graceIsOver(t, room);
    await after.quiet();
  });

  room("who asks at once is sent what it asked for, and that once", async (t, room) => {
    const writer = await writerIn(t, room);
    await writer.do("todos", "create", todo("a"));
    const raw = await Raw.open(t, room);
    assert.deepEqual(ids(await raw.sync("todos")), ["a"]);
    await graceIsOver(t, room);
    await raw.quiet();
  });

  room("who is unknown and asks for nothing is sent every declared channel", async (t, room) => {
    const writer = await writerIn(t, room);
    await writer.do("todos", "create", todo("a"));
    await writer.do("todos", "create", todo("b"));
    await writer.do("todos", "delete", { id: "b" });
    const raw = await Raw.open(t, room);
    const frames = [];
    const synced = () => frames.filter((frame) => frame.sync).map((frame) => frame.channel);
    while (synced().length < Object.keys(CHANNELS).length) frames.push(await raw.next());
    assert.deepEqual(synced().sort(), Object.keys(CHANNELS).sort());
    frames.push(...(await raw.untilNow()));
    const of = (/** @type {string} */ channel) => frames.filter((frame) => frame.channel === channel);
    assert.deepEqual(
      of("todos").map((frame) => [frame.sync ?? frame.type, ids(frame.payload)]),
      [
        [true, ["a"]],
        ["update", ["b"]],
      ],
    );
  });

  room("a channel that is shown for the first time while away keeps no other from being healed", async (t, room) => {
    const writer = await writerIn(t, room);
    const tab = await new Tab(t, room, ["todos"]).settled();
    const back = tab.away();
    await writer.do("todos", "create", todo("a"));
    await writer.do("counts", "create", { id: 1, count: 1 });
    tab.mount("counts");
    await until("its question waits for the connection", () => tab.socket.bufferedAmount > 0);
    back();
    await tab.shows("counts", await room.rows("counts"));
    await tab.shows("todos", await room.rows("todos"));
  });

  room("an action that waited for the connection keeps nothing from being healed", async (t, room) => {
    const writer = await writerIn(t, room);
    await writer.do("todos", "create", todo("a"));
    const tab = await new Tab(t, room, ["todos"]).settled();
    const back = tab.away();
    await writer.do("todos", "delete", { id: "a" });
    await writer.do("todos", "create", todo("b"));
    const done = tab.act("todos", "create", todo("c"));
    back();
    await done;
    await tab.shows("todos", await room.rows("todos"));
  });

  room("a page that is loaded again right after the first row of others misses nothing", async (t, room) => {
    const writer = await writerIn(t, room);
    const tab = await new Tab(t, room, ["todos"]).settled();
    const back = tab.away();
    await writer.do("todos", "create", todo("a"));
    back();
    await until("it is connected again", () => tab.opens === 2);
    for (let count = 0; tab.browser.database("todos").size === 0; count++) await writer.do("todos", "create", todo(`b-${count}`));
    await tab.reload().shows("todos", await room.rows("todos"));
  });

  room("a page that is loaded again right after the reply to its own action misses nothing", async (t, room) => {
    const writer = await writerIn(t, room);
    const tab = await new Tab(t, room, ["todos"]).settled();
    const back = tab.away();
    await writer.do("todos", "create", todo("a"));
    const done = tab.act("todos", "create", todo("b"));
    back();
    await done;
    await tab.reload().shows("todos", await room.rows("todos"));
  });

  room("an old connection that is still closing, and a new one under the same id", async (t, room) => {
    const writer = await writerIn(t, room);
    const tab = await new Tab(t, room, ["todos"], { patience: 500 }).settled();
    for (let round = 0; round < 5; round++) {
      const acted = tab.act("todos", "create", todo(`own-${round}`)).catch(() => null);
      tab.socket.reconnect();
      await writer.do("todos", "create", todo(`other-${round}`));
      if (round === 4) await acted;
    }
    await tab.shows("todos", await room.rows("todos"));
  });
});

describe("from what a database has kept", () => {
  const room = suiteOfRooms({ args: ["--max-actions", "100000"] });

  room("the answer holds the live rows, and one frame after it those deleted since", async (t, room) => {
    const writer = await writerIn(t, room);
    for (const id of ["a", "b", "c", "d"]) await writer.do("todos", "create", todo(id));
    const [{ 4: from }] = await writer.do("todos", "update", { id: "a", completed: 1 });
    const [gone] = await writer.do("todos", "delete", { id: "b" });
    const [gone2] = await writer.do("todos", "delete", { id: "c" });
    await writer.do("todos", "delete", { id: "d" });
    const [again] = await writer.do("todos", "create", todo("d"));
    const raw = await Raw.open(t, room);
    assert.deepEqual(ids(await raw.sync("todos", from)), ["a", "d"]);
    const deletions = await raw.next();
    assert.deepEqual({ ...deletions, payload: 0 }, { broadcast: true, type: "update", channel: "todos", payload: 0 });
    assert.deepEqual(deletions.payload.toSorted((/** @type {any} */ one, /** @type {any} */ two) => one[4] - two[4]), [gone, gone2]);
    await raw.quiet();
    assert.deepEqual(await raw.sync("todos", again[4]), [again]);
    await raw.quiet();
    assert.deepEqual(ids(await raw.sync("todos", gone2[4])), ["d"]);
    for (const { payload } of await raw.untilNow()) assert.deepEqual(payload, [gone2]);
  });

  room("a page that was closed for a while shows the table again", async (t, room) => {
    const writer = await writerIn(t, room);
    for (const id of ["a", "b", "c"]) await writer.do("todos", "create", todo(id));
    const browser = new Browser();
    const page = await new Tab(t, room, ["todos"], { browser }).settled();
    await page.shows("todos", await room.rows("todos"));
    page.leave();
    await writer.do("todos", "delete", { id: "b" });
    await writer.do("todos", "update", { id: "c", completed: 1 });
    await writer.do("todos", "create", todo("d"));
    await new Tab(t, room, ["todos"], { browser }).shows("todos", await room.rows("todos"));
    await writer.do("todos", "delete-all");
    await new Tab(t, room, ["todos"], { browser }).shows("todos", []);
  });

  room("two pages of one browser share what is kept", async (t, room) => {
    const browser = new Browser();
    const [one, two] = [await new Tab(t, room, ["todos"], { browser }).settled(), await new Tab(t, room, ["todos"], { browser }).settled()];
    await one.act("todos", "create", todo("a"));
    await two.act("todos", "create", todo("b"));
    await one.act("todos", "delete", { id: "a" });
    for (const tab of [one, two]) await tab.shows("todos", await room.rows("todos"));
    await two.reload().shows("todos", await room.rows("todos"));
  });

  room("a page that takes nothing for a while misses nothing, and is sent the newest of what it missed", async (t, room) => {
    const writer = await writerIn(t, room);
    const tab = await new Tab(t, room, ["todos"]).settled();
    for (const id of ["filler", "a"]) await writer.do("todos", "create", todo(id));
    const goOn = tab.pause();
    await fill(writer);
    await writer.do("todos", "delete", { id: "a" });
    const before = tab.frames;
    goOn();
    await tab.shows("todos", await room.rows("todos"));
    assert.ok(tab.frames - before < FILL, `${tab.frames - before} frames: nothing was merged`);
  });

  room("a page that was slow and is loaded again in the middle of what it missed has it all", async (t, room) => {
    const writer = await writerIn(t, room);
    for (const id of ["filler", "a", "b"]) await writer.do("todos", "create", todo(id));
    const tab = await new Tab(t, room, ["todos"]).settled();
    const goOn = tab.pause();
    await fill(writer);
    await writer.do("todos", "delete", { id: "a" });
    await writer.do("todos", "update", { id: "b", text: "last" });
    goOn();
    await until("it has the last change", () => tab.browser.database("todos").get("b")?.[1] === "last");
    await tab.reload().shows("todos", await room.rows("todos"));
  });

  room("a page that was slow and is loaded again after the reply to its own action has what was before it", async (t, room) => {
    const writer = await writerIn(t, room);
    for (const id of ["filler", "a"]) await writer.do("todos", "create", todo(id));
    const tab = await new Tab(t, room, ["todos"]).settled();
    const goOn = tab.pause();
    await fill(writer);
    await writer.do("todos", "update", { id: "a", text: "before" });
    const acted = tab.act("todos", "create", todo("own"));
    await until("it is done", () => writer.frames.some((frame) => frame.payload?.some((/** @type {any[]} */ row) => row[0] === "own")));
    goOn();
    await acted;
    await tab.reload().shows("todos", await room.rows("todos"));
  });

  room("a large first sync, while rows change under it, is whole", async (t, room) => {
    const host = await Host.open(t, room);
    const many = 20_000;
    const rows = (/** @type {number} */ from) => Array.from({ length: many / 4 }, (_, at) => [`row-${from + at}`, `text of ${from + at}`]);
    for (let from = 0; from < many; from += many / 4) host.tell("told", rows(from));
    for (let from = 0; from < many; from += many / 4) await host.next("ack");
    const tab = new Tab(t, room, ["told"]);
    let told = 0;
    while (!tab.hook("told").synced) {
      host.tell("told", [[`row-${(told * 7919) % many}`, `changed ${told++}`], { id: `row-${(told * 6271) % many}`, text: "gone", deleted_at: 1 }]);
      await host.next("ack");
    }
    const reloaded = tab.reload();
    host.tell("told", [["row-1", "last"]], "last");
    await until("the last change is in", () => host.messages.some((message) => message.id === "last"));
    await reloaded.shows("told", await room.rows("told"));
  });
});

test("deleted rows are forgotten after keep_deleted: a page that was away for longer is no longer told", async (t) => {
  const room = roomOf(await startRooms(t, { keepDeleted: "1s" }), "forgets");
  await watched(room, async () => {
    const writer = await writerIn(t, room);
    const [{ 4: from }] = await writer.do("todos", "create", todo("a"));
    const [kept] = await writer.do("todos", "create", todo("b"));
    const [gone] = await writer.do("todos", "delete", { id: "a" });
    assert.deepEqual(await writer.sync("todos", from), [kept]);
    assert.deepEqual((await writer.next()).payload, [gone], "it is remembered");
    await untilAnswered("it is forgotten", async () => (await room.rows("todos", `?from=${from}`)).length === 1);
    assert.deepEqual(await writer.sync("todos", from), [kept]);
    await writer.quiet();
  });
});

describe("updated_at", () => {
  const room = suiteOfRooms({ args: ["--max-actions", "100000"] });

  room("grows strictly within a room, also within a millisecond and over its channels", async (t, room) => {
    const raw = await writerIn(t, room);
    const stamps = [];
    const take = async (/** @type {unknown[]} */ asked) => {
      for (const _ of asked) stamps.push(...(await raw.next()).result.map((/** @type {any[]} */ row) => row.at(-2)));
    };
    await take(Array.from({ length: 300 }, (_, at) => (at % 2 ? raw.act("todos", "create", todo(`${at}`)) : raw.act("counts", "create", { count: at }))));
    assert.deepEqual(stamps, stamps.toSorted(), "in the order of the actions");
    await take([raw.act("todos", "delete-all"), raw.act("counts", "delete-all")]);
    assert.deepEqual([stamps.length, new Set(stamps).size], [600, 600], "no stamp comes twice");
  });
});

test("over a restart with --store: pages that stayed, pages that were closed, stamps and ids", async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startRooms(t, { folder, store: true });
  const room = roomOf(first, "kept");
  await watched(room, async () => {
    const writer = await writerIn(t, room);
    for (const id of ["a", "b", "c", "d"]) await writer.do("todos", "create", todo(id));
    await writer.do("counts", "create", { id: 1, count: 1 });
    const [gone] = await writer.do("todos", "delete", { id: "d" });
    const [stayed, offline] = [await new Tab(t, room, ["todos", "counts"]).settled(), await new Tab(t, room, ["todos"]).settled()];
    const closed = await new Tab(t, room, ["todos"]).settled();
    const back = offline.away();
    closed.leave();
    await writer.do("todos", "delete", { id: "b" });
    await first.stop("SIGKILL");
    await startRooms(t, { folder, store: true, port: first.port });
    const again = await writerIn(t, room);
    await stayed.shows("todos", await room.rows("todos"));
    const [row] = await again.do("todos", "create", todo("e"));
    assert.ok(row.at(-2) > gone.at(-2));
    assert.match(await again.refused("todos", "create", todo("a")), /a/);
    await again.do("todos", "delete", { id: "a" });
    back();
    const table = await room.rows("todos");
    assert.deepEqual(ids(table), ["c", "e"]);
    for (const tab of [stayed, offline, closed.reload()]) await tab.shows("todos", table);
    await stayed.shows("counts", await room.rows("counts"));
  });
});
