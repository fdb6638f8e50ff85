import assert from "node:assert/strict";
import test from "node:test";
import { connectRoom } from "../rooms.js";
import { Clock, Page, sockets, tick } from "./clock.js";

const URL = "http://h:1/parties/main/list";
const columns = ["id", "text", "completed"];
/** A row that was created at one time and changed at another. */
const row = (id, text, created, updated = created, deleted = null) => [id, text, 0, created, updated, deleted];
const gone = (id, created, at) => row(id, "", created, at, at);

/** A room whose whole world is in the test's hands. */
function taking(options = {}, url = URL) {
  const clock = new Clock();
  const page = new Page();
  const { dialed, FakeSocket, last } = sockets(clock);
  const { now, setTimeout, clearTimeout } = clock;
  const room = connectRoom(url, "todos", { WebSocket: FakeSocket, now, setTimeout, clearTimeout, random: () => 0, document: page, window: page, fetch: null, columns, ...options });
  const events = [];
  room.subscribe((event) => events.push(event));
  const sync = (payload) => last().say({ sync: true, channel: "todos", payload });
  const news = (payload) => last().say({ broadcast: true, type: "update", channel: "todos", payload });
  /** What was sent last, answered. */
  const asked = () => last().sent.at(-1);
  const success = (result, id = asked().id) => last().say({ type: "success", rpc: true, channel: "todos", id, result });
  const error = (...why) => last().say({ type: "error", rpc: true, channel: "todos", id: asked().id, error: why });
  const live = (rows = []) => {
    last().open();
    sync(rows);
  };
  /** The connection is lost, and the next one is there. */
  const again = () => {
    last().fail();
    clock.pass(1000);
    last().open();
  };
  const texts = () => room.rows.map((row) => row[1]);
  return { clock, page, dialed, last, room, events, sync, news, asked, success, error, live, again, texts };
}

/** Rejections that nobody handles, which would otherwise fail the test. */
function unhandled(t) {
  const heard = [];
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", (error) => heard.push(error.message));
  t.after(() => {
    process.removeAllListeners("unhandledRejection");
    others.forEach((other) => process.on("unhandledRejection", other));
  });
  return heard;
}

const outcome = (promise) => promise.then((rows) => rows, (error) => error.message);

test("addresses", async (t) => {
  const { dialed } = taking();
  assert.match(dialed[0].url, /^ws:\/\/h:1\/parties\/main\/list\?_pk=[a-z0-9]{16}$/);
  assert.deepEqual(dialed[0].protocols, [], "no subprotocol");
  for (const [url, token, query] of [
    ["wss://h/parties/main/list", undefined, /^\?_pk=\w+$/],
    ["https://h/parties/main/list?token=a", undefined, /^\?token=a&_pk=\w+$/],
    ["h:1/parties/main/list#t=se%2Fcret", undefined, /^\?_pk=\w+&token=se%2Fcret$/],
    ["h:1/parties/main/list#h=host", undefined, /^\?_pk=\w+&token=host$/],
    ["h:1/parties/main/list#t=no", "yes", /&token=yes$/],
    ["https://h/parties/main/list?token=a?b?c", undefined, /^\?token=a\?b\?c&_pk=\w+$/],
  ]) await t.test(url, () => assert.match(taking({ token }, url).dialed[0].url.replace(/^[^?]*/, ""), query));
  for (const url of ["http://h:1/", "http://h:1/parties/main", "http://h:1/parties/main/list/more", "ftp://h/parties/main/list"])
    await t.test(`refused: ${url}`, () => assert.throws(() => taking({}, url), { name: "TypeError", message: /onlooker/ }));
  for (const channel of [undefined, "", 7])
    assert.throws(() => connectRoom(URL, channel), { name: "TypeError", message: `onlooker: "${channel}" is not a channel's name` });
  assert.throws(() => taking({}, "http://h/?token=hush#t=hush"), (e) => !e.message.includes("hush"));
});

test("the first sync: asked for with null, shown by age, without the deleted", () => {
  const { last, room, events, sync } = taking();
  assert.deepEqual([room.rows, room.state], [[], { status: "connecting", reason: null, retryAt: null }]);
  last().open();
  assert.deepEqual(last().sent, [{ channel: "todos", sync: true, from: null }]);
  assert.equal(room.state.status, "connecting", "open is not yet in the room");
  sync([row("b", "two", 2, 9), row("d", "of the same age", 2), row("a", "one", 1), row("c", "as well", 2), gone("e", 1, 3)]);
  assert.deepEqual(room.rows, [row("a", "one", 1), row("b", "two", 2, 9), row("c", "as well", 2), row("d", "of the same age", 2)]);
  assert.deepEqual(events.map(({ type }) => type).sort(), ["rows", "state"]);
  assert.equal(room.state.status, "live");
});

test("news is merged by id, and a row never goes back", async (t) => {
  const stories = [
    ["a new row", [[row("b", "two", 20)]], ["one", "two"]],
    ["a change", [[row("a", "ONE", 10, 20)]], ["ONE"]],
    ["a change that comes late", [[row("a", "new", 10, 30)], [row("a", "old", 10, 20)]], ["new"]],
    ["the same again", [[row("a", "not this", 10, 10)]], ["one"]],
    ["a deletion", [[gone("a", 10, 20)]], []],
    ["an older row cannot bring a deleted one back", [[gone("a", 10, 20)], [row("a", "one", 10, 15)]], []],
    ["nor one that was never heard of", [[gone("b", 5, 20)], [row("b", "two", 5, 6)]], ["one"]],
    ["created again under its id", [[gone("a", 10, 20)], [row("a", "anew", 30)]], ["anew"]],
    ["a deletion that only its own time tells of", [[["a", "", 0, 10, 10, 20]], [row("a", "late", 10, 15)]], []],
    ["a broadcast of nothing", [[]], ["one"]],
  ];
  for (const [name, frames, texts] of stories)
    await t.test(name, () => {
      const it = taking();
      it.live([row("a", "one", 10)]);
      frames.forEach(it.news);
      assert.deepEqual(it.texts(), texts);
    });
});

test("rows that stay as they are stay the same arrays, and no event says that nothing happened", () => {
  const { room, live, news, events } = taking();
  live([row("a", "one", 1), row("b", "two", 2)]);
  const [a] = room.rows;
  news([row("b", "TWO", 2, 3)]);
  assert.equal(room.rows[0], a);
  const { rows } = room;
  const count = events.length;
  news([row("b", "TWO", 2, 3)]);
  assert.deepEqual([events.length, room.rows === rows], [count, true]);
});

test("what is not for this channel or not a frame changes nothing", () => {
  const { last, room, live } = taking();
  live([row("a", "one", 1)]);
  const { rows } = room;
  for (const frame of [
    "no json", "null", "[]", new Uint8Array([1]), { type: "exception", rpc: true, exception: ["Failed to parse message: x"] },
    { sync: true, channel: "other", payload: [] }, { broadcast: true, type: "update", channel: "other", payload: [row("z", "z", 9)] },
    { type: "success", rpc: true, channel: "other", id: "x", result: [row("z", "z", 9)] }, { type: "error", rpc: true, channel: "todos", id: "nobody", error: ["no"] },
  ]) last().say(frame);
  assert.deepEqual([room.rows === rows, room.state.status], [true, "live"]);
});

test("an action: its frame, its rows at once, its answer", async () => {
  const { room, live, asked, success, events } = taking();
  live([row("a", "one", 1)]);
  const created = room.act({ type: "create", payload: { id: "b", text: "two", completed: true } });
  const { id, ...frame } = asked();
  assert.match(id, /^\w{8}$/);
  assert.deepEqual(frame, { channel: "todos", rpc: true, action: { type: "create", payload: { id: "b", text: "two", completed: true } } });
  const [, optimistic] = room.rows;
  assert.deepEqual([optimistic.slice(0, 3), optimistic.slice(-2)], [["b", "two", 1], [null, null]], "a boolean is a number, and it has not been confirmed");
  assert.equal(events.at(-1).rows, room.rows);
  const confirmed = ["b", "two", 1, 5, 5, null];
  success([confirmed]);
  assert.deepEqual(await created, [confirmed]);
  assert.deepEqual(room.rows[1], confirmed);
});

test("what the daemon's own actions will do is shown at once", async (t) => {
  const table = [
    ["update", { id: "a", completed: true }, [["a", "one", 1], ["b", "two", 0]]],
    ["update", { id: "nobody", text: "x" }, [["a", "one", 0], ["b", "two", 0]]],
    ["delete", { id: "a" }, [["b", "two", 0]]],
    ["delete-all", undefined, []],
    ["create", { id: "a", text: "in use" }, [["a", "one", 0], ["b", "two", 0]]],
    ["create", { id: "c" }, [["a", "one", 0], ["b", "two", 0], ["c", null, null]]],
    ["something-else", { id: "a" }, [["a", "one", 0], ["b", "two", 0]]],
  ];
  for (const [type, payload, rows] of table)
    await t.test(`${type} ${JSON.stringify(payload) ?? ""}`, async () => {
      const { room, live, error } = taking();
      live([row("a", "one", 1), row("b", "two", 2)]);
      const before = room.rows;
      const refused = outcome(room.act({ type, payload }));
      assert.deepEqual(room.rows.map((row) => row.slice(0, 3)), rows);
      error("not today", "nor tomorrow");
      assert.equal(await refused, "not today; nor tomorrow");
      assert.deepEqual(room.rows, before, "rolled back");
    });
  await t.test("without an id: a passing one until the daemon has made its own", async () => {
    const { room, live, success, asked } = taking();
    live();
    const created = room.act({ type: "create", payload: { text: "new", completed: 0 } });
    assert.equal(room.rows[0][0], asked().id);
    success([row("made", "new", 7)]);
    assert.deepEqual([room.rows, await created], [[row("made", "new", 7)], [row("made", "new", 7)]]);
  });
  await t.test("unless the columns are unknown", () => {
    const { room, live } = taking({ columns: undefined });
    live([row("a", "one", 1)]);
    room.act({ type: "delete-all" }).catch(() => {});
    assert.equal(room.rows.length, 1);
  });
});

test("a host's own actions", async (t) => {
  const predict = (rows, { type, payload }) => {
    if (type === "shout") return rows.map((row) => (row[0] === payload.id ? row.with(1, row[1].toUpperCase()) : row));
    if (type === "hide") return rows.map((row) => row.with(-1, 5));
  };
  await t.test("are shown as the page predicts", () => {
    const { room, live, news, texts } = taking({ predict });
    live([row("a", "one", 1)]);
    room.act({ type: "shout", payload: { id: "a" } }).catch(() => {});
    assert.deepEqual(texts(), ["ONE"]);
    news([row("a", "uno", 1, 2)]);
    assert.deepEqual(texts(), ["UNO"], "on top of what is news");
    room.act({ type: "hide" }).catch(() => {});
    assert.deepEqual(texts(), [], "a row may also be marked as deleted");
  });
  await t.test("what the page does not know is the daemon's", () => {
    const { room, live, texts } = taking({ predict });
    live([row("a", "one", 1)]);
    room.act({ type: "delete", payload: { id: "a" } }).catch(() => {});
    assert.deepEqual(texts(), []);
  });
  await t.test("a prediction that throws is heard of, and costs only itself", async (t) => {
    const { room, live, texts, success } = taking({ predict: () => { throw Error("bug"); } });
    live([row("a", "one", 1)]);
    const heard = unhandled(t);
    const done = room.act({ type: "delete", payload: { id: "a" } });
    await tick();
    assert.deepEqual([texts(), heard], [["one"], ["bug"]]);
    success([gone("a", 1, 2)]);
    assert.deepEqual([await done, texts()], [[gone("a", 1, 2)], []]);
  });
});

test("actions on top of each other: one that is refused leaves the others", async () => {
  const { room, live, last, success, texts } = taking();
  live([row("a", "one", 1)]);
  const first = room.act({ type: "update", payload: { id: "a", text: "first" } });
  const second = outcome(room.act({ type: "update", payload: { id: "a", completed: 1 } }));
  const third = room.act({ type: "create", payload: { id: "b", text: "third" } });
  const [, one, two, three] = last().sent.map(({ id }) => id);
  last().say({ type: "error", rpc: true, channel: "todos", id: two, error: ["no"] });
  assert.deepEqual([await second, texts(), room.rows[0][2]], ["no", ["first", "third"], 0]);
  success([row("a", "first", 1, 2)], one);
  success([["b", "third", null, 3, 3, null]], three);
  await Promise.all([first, third]);
  assert.deepEqual(texts(), ["first", "third"]);
  assert.ok(room.rows.every((row) => row.at(-2) !== null));
});

test("a new row stays the last one, also where this clock is behind", () => {
  const { room, live, clock, texts } = taking();
  live([row("a", "from the future", clock.now() + 5000)]);
  for (const text of ["b", "c"]) room.act({ type: "create", payload: { text } }).catch(() => {});
  assert.deepEqual(texts(), ["from the future", "b", "c"]);
});

test("no answer: rolled back after 10 s, and the connection is not trusted any more; what comes late still counts", async () => {
  const { room, live, clock, last, texts, dialed, success, asked } = taking();
  live([row("a", "one", 1)]);
  const lost = outcome(room.act({ type: "update", payload: { id: "a", text: "two" } }));
  const { id } = asked();
  clock.pass(9_999);
  assert.deepEqual([texts(), dialed.length], [["two"], 1]);
  clock.pass(1);
  assert.match(await lost, /no answer within 10 s/);
  assert.deepEqual([texts(), dialed.length, dialed[0].closed], [["one"], 2, true]);
  assert.deepEqual([room.state.status, room.state.reason], ["lost", "silent"]);
  last().open();
  success([row("a", "two", 1, 2)], id);
  assert.deepEqual(texts(), ["two"]);
});

test("a clock that is set back delays nothing", async () => {
  /** When it dials after a loss, counted in time that really passes. */
  const dials = async (back) => {
    const { room, live, clock, last, dialed } = taking();
    live();
    last().fail();
    const queued = outcome(room.act({ type: "delete-all" }));
    clock.time -= back;
    clock.timers.forEach((timer) => (timer.at -= back));
    const start = clock.time;
    clock.pass(60_000);
    assert.match(await queued, /there was no connection/);
    return dialed.slice(1).map(({ at }) => at - start);
  };
  const usual = await dials(0);
  assert.ok(usual.length > 3);
  assert.deepEqual(await dials(3_600_000), usual);
});

test("while disconnected, actions wait for their 10 s and are sent in order", async () => {
  const { room, live, clock, last, texts, success } = taking();
  live([row("a", "one", 1)]);
  last().fail();
  assert.deepEqual([room.state.status, room.state.reason, room.state.retryAt > 0], ["lost", "lost", true]);
  const update = room.act({ type: "update", payload: { id: "a", text: "two" } });
  const create = room.act({ type: "create", payload: { id: "b", text: "three" } });
  assert.deepEqual(texts(), ["two", "three"]);
  clock.pass(1000);
  last().open();
  assert.deepEqual(last().sent.map(({ sync, action }) => sync ?? action.type), [true, "update", "create"]);
  const [, one, two] = last().sent.map(({ id }) => id);
  last().say({ sync: true, channel: "todos", payload: [row("a", "one", 1)] });
  assert.deepEqual(texts(), ["two", "three"], "what is under way stays on top");
  success([row("a", "two", 1, 2)], one);
  success([row("b", "three", 3)], two);
  assert.deepEqual([await update, await create], [[row("a", "two", 1, 2)], [row("b", "three", 3)]]);
});

test("before the room was ever entered as well; and 10 s without one are the end of it", async () => {
  const { room, clock, last, texts } = taking();
  const early = outcome(room.act({ type: "create", payload: { id: "a", text: "early" } }));
  assert.deepEqual(texts(), ["early"]);
  clock.pass(10_000);
  assert.match(await early, /there was no connection for 10 s/);
  last().open();
  assert.deepEqual(last().sent.filter(({ rpc }) => rpc), []);
});

test("a connection that breaks under an action: it is not sent again, and the rows tell what became of it", async (t) => {
  const table = [
    ["created", { type: "create", payload: { id: "b", text: "new", completed: false } }, [row("a", "one", 1), row("b", "new", 2)], [row("b", "new", 2)]],
    ["not created", { type: "create", payload: { id: "b", text: "new", completed: 0 } }, [row("a", "one", 1)], /was lost/],
    ["created, but by another", { type: "create", payload: { id: "b", text: "new", completed: 0 } }, [row("a", "one", 1), row("b", "theirs", 2)], /was lost/],
    ["created without an id, or by another", { type: "create", payload: { text: "one", completed: 0 } }, [row("a", "one", 1)], /was lost/],
    ["created without a column: never", { type: "create", payload: { id: "a", text: "one" } }, [row("a", "one", 1)], /was lost/],
    ["an unknown column: never", { type: "update", payload: { id: "a", text: "one", colour: "red" } }, [row("a", "one", 1)], /was lost/],
    ["one of the daemon's own columns: never", { type: "update", payload: { id: "a", created_at: 1 } }, [row("a", "one", 1)], /was lost/],
    ["without a payload: never", { type: "update" }, [row("a", "one", 1)], /was lost/],
    ["deleted nothing: never", { type: "delete", payload: {} }, [row("a", "one", 1)], /was lost/],
    ["updated", { type: "update", payload: { id: "a", text: "two" } }, [row("a", "two", 1, 2)], [row("a", "two", 1, 2)]],
    ["not updated", { type: "update", payload: { id: "a", text: "two" } }, [row("a", "one", 1)], /was lost/],
    ["updated, and then by another", { type: "update", payload: { id: "a", text: "two" } }, [row("a", "three", 1, 3)], /was lost/],
    ["updated, but then deleted by another, or never", { type: "update", payload: { id: "a", text: "two" } }, [], /was lost/],
    ["deleted", { type: "delete", payload: { id: "a" } }, [], []],
    ["not deleted", { type: "delete", payload: { id: "a" } }, [row("a", "one", 1)], /was lost/],
    ["all deleted", { type: "delete-all" }, [], []],
    ["unknown", { type: "vote", payload: { id: "a" } }, [row("a", "one", 1)], /was lost/],
  ];
  for (const [name, action, rows, end] of table)
    await t.test(name, async () => {
      const { room, live, again, last, sync } = taking();
      live([row("a", "one", 1)]);
      const acted = outcome(room.act(action));
      const shown = room.rows;
      again();
      assert.deepEqual(room.rows, shown, "it stays on top until the rows are there");
      assert.deepEqual(last().sent, [{ channel: "todos", sync: true, from: null }]);
      sync(rows);
      const became = await acted;
      if (end instanceof RegExp) assert.match(became, end);
      else assert.deepEqual(became, end);
      assert.deepEqual(room.rows, rows);
    });
});

test("a host's own action that was lost was done if the prediction says so", async (t) => {
  const vote = (rows, { type, payload }) => (type === "vote" ? rows.map((row) => (row[0] === payload.id && !row[2] ? row.with(2, 1) : row)) : rows);
  for (const [name, predict, type, rows, end] of [
    ["done", vote, "vote", [["a", "one", 1, 1, 2, null]], [["a", "one", 1, 1, 2, null]]],
    ["not done", vote, "vote", [row("a", "one", 1)], /was lost/],
    ["a reducer that leaves the rows as they are if it knows nothing", vote, "praise", [row("a", "one", 1)], /was lost/],
    ["one that throws", () => { throw Error("bug"); }, "vote", [row("a", "one", 1)], /was lost/],
    ["one that does not know it", () => {}, "vote", [["a", "one", 1, 1, 2, null]], /was lost/],
  ])
    await t.test(name, async (t) => {
      unhandled(t);
      const { room, live, again, sync } = taking({ predict });
      live([row("a", "one", 1)]);
      const acted = outcome(room.act({ type, payload: { id: "a" } }));
      again();
      sync(rows);
      if (end instanceof RegExp) assert.match(await acted, end);
      else assert.deepEqual(await acted, end);
      // What has been thrown is told a moment later.
      await tick();
    });
});

test("after a reconnect the rows are the daemon's: those of its former life vanish, and it may count from a lower time", () => {
  const { dialed, last, live, again, sync, texts, news } = taking();
  live([row("a", "one", 100), row("b", "two", 200, 300)]);
  again();
  assert.equal(dialed[1].url, dialed[0].url, "under the same _pk");
  assert.deepEqual(last().sent, [{ channel: "todos", sync: true, from: null }]);
  assert.deepEqual(texts(), ["one", "two"], "what was last seen stays until then");
  sync([row("b", "new life", 50)]);
  assert.deepEqual(texts(), ["new life"]);
  news([gone("b", 50, 60)]);
  assert.deepEqual(texts(), []);
});

test("what comes while all rows are awaited counts, whether it is older or newer than the answer", () => {
  const { live, again, sync, texts, news } = taking();
  live([row("a", "one", 10), row("b", "two", 11)]);
  again();
  news([row("c", "three", 30), gone("b", 11, 31), row("a", "stale", 10, 12)]);
  sync([row("a", "newer", 10, 25), row("b", "two", 11)]);
  assert.deepEqual(texts(), ["newer", "three"]);
});

test("an unasked sync is merged", () => {
  const { live, sync, texts } = taking();
  live([row("a", "one", 10), row("b", "two", 11)]);
  sync([row("a", "ONE", 10, 20)]);
  assert.deepEqual(texts(), ["ONE", "two"]);
});

test("a silent connection has to give a sign of life, and is replaced when it does not", () => {
  const { room, last, live, clock, sync, news, dialed } = taking();
  live([row("a", "one", 10)]);
  clock.pass(29_000);
  news([row("b", "two", 20)]);
  clock.pass(29_000);
  assert.equal(last().sent.length, 1, "it was not silent");
  clock.pass(1000);
  assert.deepEqual(last().sent.at(-1), { channel: "todos", sync: true, from: 20 });
  sync([row("b", "two", 20)]);
  assert.equal(room.state.status, "live");
  clock.pass(30_000);
  assert.equal(last().sent.length, 3);
  clock.pass(9_999);
  assert.equal(dialed.length, 1);
  clock.pass(1);
  assert.deepEqual([dialed.length, room.state.status, room.state.reason, room.rows.length], [2, "lost", "silent", 2]);
});

test("a connection that was lost is not asked for a sign of life as well", () => {
  const { room, events, clock, live, last } = taking();
  live();
  last().fail();
  clock.pass(120_000);
  assert.deepEqual(new Set(events.filter(({ state }) => state?.status === "lost").map(({ state }) => state.reason)), new Set(["lost", "timeout"]));
  room.close();
});

test("a connection that opens and then says nothing is replaced; each next one gets longer, until rows come", () => {
  const { room, last, clock, dialed, sync } = taking();
  for (const [ms, dials] of [[10_000, 2], [20_000, 3], [40_000, 4]]) {
    last().open();
    clock.pass(ms - 1);
    assert.equal(dialed.length, dials - 1);
    clock.pass(1);
    assert.deepEqual([dialed.length, room.state.status, room.state.reason], [dials, "connecting", "silent"]);
  }
  last().open();
  sync([]);
  last().fail();
  clock.pass(1000);
  last().open();
  const before = dialed.length;
  clock.pass(10_000);
  assert.deepEqual([dialed.length, room.state.status], [before + 1, "lost"]);
});

test("rows that take long to arrive are waited for while anything comes, also when an action behind them is given up", async () => {
  const { room, last, clock, dialed, sync } = taking();
  last().open();
  const behind = outcome(room.act({ type: "create", payload: { id: "a", text: "one" } }));
  for (let i = 0; i < 7; i++) {
    clock.pass(9_000);
    last().say({ broadcast: true, type: "update", channel: "other", payload: [] });
  }
  assert.match(await behind, /no answer/);
  sync([row("a", "one", 1)]);
  assert.deepEqual([dialed.length, room.state.status, room.rows.length], [1, "live", 1]);
});

test("news while all rows are on their way is no reason to ask again", () => {
  const { last, clock, news, sync, texts } = taking();
  last().open();
  for (let at = 1; at < 9; at++) {
    news([row("a", "one", 1, at)]);
    clock.pass(9_999);
  }
  assert.equal(last().sent.length, 1);
  sync([row("b", "two", 2)]);
  assert.deepEqual(texts(), ["one", "two"]);
});

test("hidden pages do not dial, shown ones do at once", () => {
  const { page, clock, last, live, dialed, room } = taking();
  live();
  page.show(true);
  last().fail();
  clock.pass(600_000);
  assert.deepEqual([dialed.length, room.state.retryAt], [1, null]);
  page.show();
  assert.equal(dialed.length, 2);
});

test("the daemon refuses: the reason is told, and it is asked again", async (t) => {
  const answering = (status, body) => {
    const asked = [];
    const fetch = async (url) => (asked.push(url), status ? new Response(JSON.stringify(body), { status }) : Promise.reject(Error("offline")));
    return { asked, fetch };
  };
  for (const [name, status, refused] of [["a wrong token", 401, true], ["an unknown party", 400, true], ["no rooms are declared", 404, true], ["full", 503, false], ["not there", 0, false], ["nothing wrong", 200, false]])
    await t.test(name, async () => {
      const { asked, fetch } = answering(status, { detail: "the daemon's words" });
      const { room, last, dialed, clock, events, sync } = taking({ fetch }, `${URL}?token=x`);
      last().fail();
      await tick();
      assert.match(asked[0], /^http:\/\/h:1\/api\/rooms\/main\/list\/todos\?token=x/);
      assert.equal(room.state.status, refused ? "refused" : "connecting");
      assert.equal(room.state.reason, status >= 400 ? "the daemon's words" : "unreachable");
      assert.deepEqual(events.at(-1).state, room.state);
      clock.pass(1000);
      last().open();
      sync([]);
      assert.deepEqual(room.state, { status: "live", reason: null, retryAt: null });
      last().fail();
      await tick();
      assert.deepEqual([asked.length, room.state.status], [1, "lost"], "a connection that is lost was not refused");
      assert.equal(dialed.length, 2);
    });
  await t.test("later, and then nobody is there", async () => {
    let status = 401;
    const { room, live, last, clock } = taking({ fetch: async () => (status ? new Response('{"detail":"no"}', { status }) : Promise.reject(Error("offline"))) });
    live();
    last().fail();
    clock.pass(1000);
    last().fail();
    await tick();
    assert.equal(room.state.status, "refused");
    status = 0;
    clock.pass(5000);
    last().fail();
    await tick();
    assert.equal(room.state.status, "lost");
  });
  await t.test("an answer that comes when it is in the room is too late", async () => {
    let answer;
    const { room, last, clock, live } = taking({ fetch: () => new Promise((done) => (answer = done)) });
    last().fail();
    clock.pass(1000);
    live();
    answer(new Response('{"detail":"no"}', { status: 401 }));
    await tick();
    assert.deepEqual(room.state, { status: "live", reason: null, retryAt: null });
  });
  await t.test("closed with 1008", () => {
    const { room, live, last } = taking();
    live([row("a", "one", 1)]);
    last().fail(1008, "too many actions");
    assert.deepEqual([room.state.status, room.state.reason, room.rows.length], ["refused", "too many actions", 1]);
    assert.ok(room.state.retryAt);
  });
  await t.test("closed with 1008 and, as daemons do, no words", () => {
    const { room, live, last } = taking();
    live();
    last().fail(1008);
    assert.match(room.state.reason, /a host disconnected this page/);
  });
  await t.test("an undeclared channel: that was an answer, so the connection stays, and is asked again in time", () => {
    const { room, last, dialed, clock } = taking();
    last().open();
    const answer = () => last().say({ type: "error", rpc: true, channel: "todos", id: null, error: ['there is no channel "todos"'] });
    answer();
    const refused = ["refused", 'there is no channel "todos"'];
    assert.deepEqual([room.state.status, room.state.reason], refused);
    clock.pass(30_000);
    answer();
    assert.deepEqual([dialed.length, last().sent.length], [1, 2]);
    clock.pass(40_000);
    assert.deepEqual([dialed.length, room.state.status, room.state.reason], [2, ...refused]);
  });
  await t.test("a late error to an action that was given up refuses nobody", async () => {
    const { room, last, asked, clock } = taking();
    last().open();
    const given = outcome(room.act({ type: "delete-all" }));
    const { id } = asked();
    clock.pass(10_000);
    await given;
    last().open();
    last().say({ type: "error", rpc: true, channel: "todos", id, error: ["not you"] });
    assert.equal(room.state.status, "connecting");
  });
  await t.test("what is done meanwhile is given up with the daemon's words", async () => {
    const { room, last, clock } = taking({ fetch: async () => new Response('{"detail":"a token is needed"}', { status: 401 }) });
    last().fail();
    await tick();
    const acted = outcome(room.act({ type: "delete-all" }));
    clock.pass(10_000);
    assert.equal(await acted, "a token is needed");
  });
});

test("close is final", async () => {
  const { room, live, last, clock, dialed, news, asked, success } = taking();
  live([row("a", "one", 1)]);
  const left = outcome(room.act({ type: "delete-all" }));
  const { id } = asked();
  room.close();
  assert.match(await left, /closed/);
  assert.match(await outcome(room.act({ type: "delete-all" })), /closed/);
  assert.deepEqual([room.state.status, room.rows.length, last().closed, clock.timers.size], ["closed", 1, true, 0]);
  news([row("b", "two", 2)]);
  success([gone("a", 1, 3)], id);
  clock.pass(600_000);
  assert.deepEqual([room.rows.length, dialed.length], [1, 1]);
});

test("listeners: one that throws stops nobody, one that acts while it is told is told in order", async (t) => {
  const { room, live } = taking();
  const seen = [];
  const heard = unhandled(t);
  room.subscribe(() => { throw Error("mine"); });
  let acted = false;
  room.subscribe(({ type }) => {
    if (type === "rows" && !acted) outcome(room.act({ type: "delete-all" }), (acted = true));
  });
  const end = room.subscribe((event, it) => event.type === "rows" && seen.push([event.rows.length, it === room]));
  live([row("a", "one", 1)]);
  assert.deepEqual(seen, [[1, true], [0, true]]);
  end();
  room.close();
  await tick();
  assert.deepEqual([seen.length, new Set(heard)], [2, new Set(["mine"])]);
});
