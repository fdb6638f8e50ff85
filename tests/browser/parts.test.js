// The pages' pure parts, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";

import { extent, linePath, pointsOf, thin } from "../../client/pages/chart.js";
import { FROZEN_AFTER, sentence } from "../../client/pages/connection.js";
import { bytesText, clock, counted, durationText, readable } from "../../client/pages/dom.js";
import { columnsOf, kindOf, same } from "../../client/pages/kind.js";
import { advance, buildScene, firstPose, tuningOf } from "../../client/pages/scene.js";
import { rangeStep } from "../../client/pages/tree.js";
import { nextLink } from "../../client/pages/watch.js";

const at = new Date(2026, 0, 1, 14, 3).getTime();

/** @type {import("../../client/pages/connection.js").Link} */
const link = { kind: "live", wasLive: true, lostAt: 0, source: "alive", hostSeenAt: at, reason: null };

test("the connection sentence", () => {
  /** @type {[Partial<import("../../client/pages/connection.js").Link>, number, string, string][]} */
  const table = [
    [{}, at, "live", "live"],
    [{ source: "silent" }, at + 1e6, "wait", "frozen since 14:03"],
    [{ source: "ended" }, at + 1e6, "stop", "the host has stopped"],
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
  const live = nextLink(again, { status: "live", openedAt: at, server: null, host: { source: "silent", seenAt: at } }, at + 6_000);
  assert.deepEqual([live.kind, live.lostAt, live.source, live.hostSeenAt], ["live", 0, "silent", at]);
  const kicked = nextLink(live, { status: "waiting", attempt: 1, retryAt: null, reason: "kicked", code: null, heardAt: at }, at);
  assert.equal(kicked.kind, "closed");
  assert.equal(nextLink(kicked, { status: "closed" }, at).reason, "kicked");
  const revoked = nextLink(live, { status: "waiting", attempt: 0, retryAt: at, reason: "revoked", code: null, heardAt: at }, at);
  const refused = nextLink(revoked, { status: "waiting", attempt: 1, retryAt: at, reason: "unreachable", code: 1006, heardAt: at }, at);
  assert.equal(refused.reason, "revoked");
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
