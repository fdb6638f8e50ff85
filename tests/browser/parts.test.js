// The pages' pure parts, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOrder } from "../../client/pages/api.js";
import { extent, linePath, pointsOf, thin } from "../../client/pages/chart.js";
import { FROZEN_AFTER, ago, sentence } from "../../client/pages/connection.js";
import { createWriter } from "../../client/pages/controls.js";
import { bytesText, clock, counted, durationText, readable } from "../../client/pages/dom.js";
import { columnsOf, kindOf, same } from "../../client/pages/kind.js";
import { advance, buildScene, firstPose, tuningOf } from "../../client/pages/scene.js";
import { rangeStep } from "../../client/pages/tree.js";
import { explain } from "../../client/pages/unreachable.js";
import { nextLink } from "../../client/pages/watch.js";

const at = new Date(2026, 0, 1, 14, 3).getTime();

/** @type {import("../../client/pages/connection.js").Link} */
const link = { kind: "live", wasLive: true, lostAt: 0, source: "alive", hostSeenAt: at, frozen: false, reason: null };

test("the connection sentence", () => {
  /** @type {[Partial<import("../../client/pages/connection.js").Link>, number, string, string][]} */
  const table = [
    [{}, at, "live", "live"],
    [{ source: "silent" }, at + 1e6, "live", "live"],
    [{ source: "ended" }, at + 1e6, "stop", "frozen since 14:03"],
    [{ source: "silent", cutOffAt: at }, at + 1e6, "stop", "no connection to the source since 14:03"],
    [{ frozen: true }, at + 1e6, "pause", "paused by the host"],
    [{ frozen: true, source: "ended" }, at + 1e6, "pause", "paused by the host"],
    [{ frozen: true, kind: "waiting", lostAt: at, reason: "lost" }, at + 1_000, "wait", "reconnecting…"],
    [{ kind: "waiting", wasLive: false, reason: "locked" }, at, "stop", "scan the code again"],
    [{ kind: "connecting", wasLive: false }, at, "wait", "connecting…"],
    [{ kind: "waiting", wasLive: false, reason: "unreachable" }, at, "wait", "connecting…"],
    [{ kind: "waiting", lostAt: at }, at + 1_000, "wait", "reconnecting…"],
    [{ kind: "connecting", lostAt: at }, at + FROZEN_AFTER - 1, "wait", "reconnecting…"],
    [{ kind: "waiting", lostAt: at }, at + FROZEN_AFTER, "wait", "frozen since 14:03"],
    [{ kind: "waiting", lostAt: at, reason: "stopping" }, at + 1_000, "stop", "the host has stopped"],
    [{ kind: "waiting", lostAt: at, reason: "revoked" }, at + 1_000, "wait", "reconnecting…"],
    [{ kind: "waiting", lostAt: at, reason: "revoked" }, at + FROZEN_AFTER, "stop", "the host has a new link"],
    [{ kind: "waiting", lostAt: at, reason: "deleted" }, at + 1_000, "stop", "the host deleted this topic"],
    [{ kind: "closed", lostAt: at, reason: "kicked" }, at + 1_000, "stop", "disconnected by the host"],
  ];
  for (const [change, now, tone, text] of table) {
    const said = sentence({ ...link, ...change }, now);
    assert.deepEqual([said.tone, said.text], [tone, text], JSON.stringify(change));
  }
});

test("the link keeps since when it shows old state, and why", () => {
  const lost = nextLink(link, { status: "waiting", attempt: 1, retryAt: at + 9, reason: "lost", code: 1006, heardAt: at }, at + 50);
  assert.deepEqual([lost.kind, lost.lostAt, lost.reason], ["waiting", at, "lost"]);
  const again = nextLink(lost, { status: "connecting", attempt: 1, heardAt: at }, at + 5_000);
  assert.deepEqual([again.kind, again.lostAt, again.reason], ["connecting", at, "lost"]);
  const live = nextLink(again, { status: "live", openedAt: at, server: null, host: { source: "silent", seenAt: at }, changedAt: at, frozen: true }, at + 6_000);
  assert.deepEqual([live.kind, live.lostAt, live.source, live.hostSeenAt, live.frozen], ["live", 0, "silent", at, true]);
  /** @type {import("../../client/types.js").LinkState} */
  const cutOff = { status: "live", openedAt: at, server: null, host: null, changedAt: at, frozen: false, lost: "upstream" };
  const since = nextLink(nextLink(live, cutOff, at + 7_000), cutOff, at + 9_000);
  assert.equal(since.cutOffAt, at + 7_000);
  assert.equal(nextLink(since, { ...cutOff, lost: undefined }, at + 9_500).cutOffAt, 0);
  const kicked = nextLink(live, { status: "waiting", attempt: 1, retryAt: null, reason: "kicked", code: null, heardAt: at }, at);
  assert.equal(kicked.kind, "closed");
  assert.equal(nextLink(kicked, { status: "closed" }, at).reason, "kicked");
  for (const reason of ["revoked", "deleted"]) {
    const final = nextLink(live, { status: "waiting", attempt: 0, retryAt: at, reason, code: null, heardAt: at }, at);
    const refused = nextLink(final, { status: "waiting", attempt: 1, retryAt: at, reason: "unreachable", code: 1006, heardAt: at }, at);
    assert.equal(refused.reason, reason);
  }
});

test("an age is told in words that stay true until they change", () => {
  const [second, minute, hour, day] = [1_000, 60_000, 3_600_000, 86_400_000];
  /** @type {[number, string][]} */
  const table = [
    [-hour, "just now"], [0, "just now"], [10 * second - 1, "just now"], [10 * second, "10 s ago"], [59 * second, "50 s ago"],
    [minute, "1 min ago"], [3.9 * minute, "3 min ago"], [hour - 1, "59 min ago"], [hour, "1 h ago"], [day - 1, "23 h ago"], [day, "1 day ago"], [9.5 * day, "9 days ago"],
  ];
  for (const [age, text] of table) {
    const said = ago(age);
    assert.equal(said.text, text, `${age} ms`);
    assert.ok(said.lasts > 0);
    if (age < 0) continue;
    assert.equal(ago(age + said.lasts - 1).text, text, `${age} ms, a moment before they change`);
    assert.notEqual(ago(age + said.lasts).text, text, `${age} ms, when they change`);
  }
});

/** @param {import("node:test").TestContext} t @returns {{ writer: ReturnType<typeof createWriter>, sent: any[], settled: any[], answer(): Promise<void>, pass(ms: number): void }} */
function writing(t) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  /** @type {any[]} */
  const [sent, settled, answers] = [[], [], []];
  const send = (/** @type {any} */ value) => (sent.push(value), new Promise((resolve) => answers.push(resolve)));
  const writer = createWriter(/** @type {any} */ (send), (answer) => settled.push(answer));
  const answer = async () => {
    answers.shift()?.({ ok: true, status: 200, body: { serverRevision: sent.length } });
    await new Promise((done) => setImmediate(done));
  };
  return { writer, sent, settled, answer, pass: (ms) => t.mock.timers.tick(ms) };
}

test("a slider writes its first value at once, ten a second at most, and its last one always", async (t) => {
  const { writer, sent, settled, answer, pass } = writing(t);
  // A value every 10 ms for a second, each answered at once.
  for (let value = 0; value < 100; value += 1) {
    writer.write(value);
    await answer();
    pass(10);
  }
  assert.deepEqual(sent.slice(0, 3), [0, 9, 19]);
  assert.ok(sent.length <= 11, `${sent.length} writes in a second`);
  assert.ok(writer.isBusy(), "the last one waits");
  pass(100);
  await answer();
  assert.equal(sent.at(-1), 99);
  assert.ok(!writer.isBusy());
  assert.equal(settled.length, 2, "after the first, before more came, and at the end");
});

test("on a slow network one write is under way, and the newest waits; the page that is left sends it", async (t) => {
  const { writer, sent, answer, pass } = writing(t);
  for (let value = 0; value < 50; value += 1) {
    writer.write(value);
    pass(100);
  }
  assert.deepEqual(sent, [0]);
  await answer();
  assert.deepEqual(sent, [0, 49]);
  writer.write(50);
  writer.write(51);
  writer.sendNow();
  assert.deepEqual(sent, [0, 49, 51]);
  writer.sendNow();
  await answer();
  await answer();
  pass(1_000);
  assert.deepEqual(sent, [0, 49, 51], "once");
  assert.equal(writer.isBusy(), false);
});

test("an answer that was overtaken is not taken", () => {
  const order = createOrder();
  const [first, second, third] = [order.ask(), order.ask(), order.ask()];
  assert.deepEqual([second, first, third].map(order.take), [true, false, true]);
});

test("each way of not connecting is told from the others, with something to try", () => {
  const tried = { address: "192.168.1.20:9876", topic: "", online: true, health: 200, ours: true, watch: 200, detail: "", topics: ["main"], rooms: [], check: true };
  /** @type {[Partial<import("../../client/pages/unreachable.js").Tried>, RegExp, RegExp][]} */
  const table = [
    [{ health: 0, ours: false, check: false }, /^Nothing answers at 192\.168\.1\.20:9876/, /guest network/],
    [{ health: 0, ours: false, online: false }, /^Nothing answers/, /offline/],
    [{ health: 502, ours: false }, /^Something else/, /proxy/],
    [{ watch: 401, topics: null }, /scan its code/, /requires a token/],
    [{ watch: 429, topics: null }, /scan its code/, /Too many wrong tokens/],
    [{ watch: 503, topics: null, detail: "10 viewers are connected already (--max-viewers)" }, /full/, /--max-viewers/],
    [{ topic: "scene" }, /no such topic/, /Choose/],
    [{ topic: "main.list" }, /no such topic/, /show = true/],
    [{ topic: "list", rooms: ["main.list"] }, /no such topic/, /show = true/],
    [{ topic: "list", rooms: ["main.list"], topics: ["main", "main.list"] }, /no such topic/, /begins with its party: main\.list/],
    [{}, /live connection does not/, /WebSocket/],
    [{ topic: "main" }, /live connection does not/, /WebSocket/],
  ];
  for (const [change, title, advice] of table) {
    const explanation = explain({ ...tried, ...change });
    assert.match(explanation.title, title);
    assert.match(explanation.advice.map(({ what, how }) => `${what} ${how}`).join("\n"), advice);
    assert.ok(explanation.tried.length > 0 && explanation.advice.length > 0);
    assert.ok(explanation.advice.every(({ what, how }) => what && how), "each with one thing to try");
  }
  assert.deepEqual(explain({ ...tried, topic: "scene" }).topics, ["main"]);
  assert.deepEqual(explain({ ...tried, topic: "list", topics: ["main", "main.list"], rooms: ["main.list"] }).topics, ["main.list", "main"], "what was meant is the first");
  assert.doesNotMatch(JSON.stringify(explain({ ...tried, topic: "scene" })), /show = true/);
});

test("what a value is best shown as", () => {
  /** @type {[unknown, string][]} */
  const table = [
    [null, "null"], [true, "boolean"], [0, "number"], ["text", "string"], ["", "string"],
    ["#fff", "color"], ["#2dd4bf", "color"], ["#2dd4bf80", "color"], ["#12345", "string"], ["a #2dd4bf", "string"],
    ["data:image/png;base64,AAAA", "image"], ["data:text/html,<b>", "string"], ["https://example.org/a.JPG?size=2", "image"], ["javascript:alert(1)//a.png", "string"],
    [[1, 2, 3], "numbers"], [[1, 2], "array"], [[1, 2, "3"], "array"], [[], "array"],
    [[{ x: 1, y: 2 }, { x: 2, y: 3 }, { x: 3, y: 1 }], "points"],
    [[{ a: 1 }, { a: 2 }], "table"], [[{ a: 1 }, { a: { b: 1 } }], "array"], [[{}, {}], "array"], [[{ a: 1 }], "array"], [{}, "object"],
  ];
  for (const [value, kind] of table) assert.equal(kindOf(value), kind, JSON.stringify(value));
});

test("tables have a column for each key, up to a dozen", () => {
  assert.deepEqual(columnsOf([{ a: 1, b: 2 }, { c: 3 }]), { shown: ["a", "b", "c"], more: 0 });
  const wide = Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`k${i}`, i]));
  assert.equal(columnsOf([wide]).more, 3);
});

test("values are compared within a budget", () => {
  assert.ok(same({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }));
  assert.ok(!same({ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }));
  assert.ok(!same([1], [1, 2]));
  assert.ok(!same({}, []));
  assert.ok(!same({ a: undefined }, { b: undefined }));
  assert.ok(same([1, 2], [3, 4], { left: 0 }));
});

test("long lists are folded into ranges of at most a hundred", () => {
  for (const [count, step] of [[0, 1], [100, 1], [101, 100], [10_000, 100], [10_001, 10_000], [1_000_000, 10_000]]) assert.equal(rangeStep(count), step);
});

test("a line keeps its peaks however long it is", () => {
  const numbers = Array.from({ length: 300_000 }, (_, i) => (i === 123_456 ? 99 : i === 234_567 ? -99 : Math.sin(i)));
  const kept = thin(pointsOf(numbers), 300);
  assert.ok(kept.length <= 1_200);
  assert.deepEqual(extent(kept, (point) => point.y), { low: -99, high: 99 });
  assert.ok(kept.every((point, i) => i === 0 || point.x > kept[i - 1].x));
  assert.equal(linePath([], 10, 10), "");
  assert.equal(linePath(pointsOf([5, 5]), 100, 20, 2), "M0.0 10.0L100.0 10.0");
});

test("a new speed changes how fast the wave moves, not where it is", () => {
  const tuning = tuningOf({ speed: 2, amplitude: 0.5, color: "#000000", paused: false });
  const pose = advance(firstPose(tuning), tuning, 1);
  assert.equal(advance(pose, { ...tuning, speed: 9 }, 0).phase, pose.phase);
  assert.equal(advance(pose, { ...tuning, paused: true }, 1).phase, pose.phase);
  assert.deepEqual(tuningOf({ speed: "fast", amplitude: 7, color: "red" }), { speed: 1, amplitude: 1, color: "#2dd4bf", paused: false });
  for (const shape of ["sine", "triangle", "square", "saw"]) {
    const { wave } = buildScene({ points: 16, shape });
    for (let turn = 0; turn < 1; turn += 0.01) assert.ok(Math.abs(wave(turn)) <= 1);
  }
  assert.equal(buildScene({ shape: "constructor" }).shape, "sine");
});

test("words for numbers", () => {
  assert.equal(readable(0.1 + 0.2), "0.3");
  assert.equal(readable(1e21), "1e+21");
  assert.equal(counted(1, "viewer"), "1 viewer");
  assert.equal(counted(1200, "row"), "1,200 rows");
  assert.equal(clock(at), "14:03");
  assert.equal(durationText(59_400), "59 s");
  assert.equal(durationText(3_720_000), "1 h 2 min");
  assert.equal(bytesText(1_250_000), "1.3 MB");
});
