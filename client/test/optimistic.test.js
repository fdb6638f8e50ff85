import assert from "node:assert/strict";
import test from "node:test";
import { endpoint, field } from "../optimistic.js";
import { dice, tick } from "./clock.js";

const ME = 7;

/** A field whose requests are answered by the test. */
function control({ reload = true } = {}) {
  let shown = 0;
  const sent = [], reloads = [], errors = [], history = [];
  const pending = (list, more) => new Promise((resolve, reject) => list.push({ ...more, resolve, reject }));
  const it = field("speed", {
    deviceId: ME,
    get: () => shown,
    set: (value) => history.push((shown = value)),
    send: (value, from) => pending(sent, { value, ...from }),
    reload: reload ? () => pending(reloads, {}) : undefined,
    onError: (error) => errors.push(error.message),
  });
  return { it, sent, reloads, errors, history, shown: () => shown };
}

// Each line of a story is one thing that happens; `at` the end: what is shown, and what was sent in all.
const tap = (value) => ({ it }) => it.tap(value);
const foreign = (value, serverRevision) => ({ it }) => it.push({ value, serverRevision, deviceId: 99, localRevision: 1 });
const unnamed = (value, serverRevision) => ({ it }) => it.push({ value, serverRevision });
const echo = (value, serverRevision, localRevision) => ({ it }) => it.push({ value, serverRevision, deviceId: ME, localRevision });
const snapshot = (value, serverRevision, origin) => ({ it }) => it.snapshot({ value, serverRevision }, origin);
const mine = (revision, localRevision) => ({ revision, deviceId: ME, localRevision });
const theirs = (revision) => ({ revision, deviceId: 99, localRevision: 1 });
const reply = (serverRevision, value) => ({ sent }) => {
  const request = sent.find((one) => !one.done);
  request.done = true;
  request.resolve({ value: value ?? request.value, serverRevision });
};
const refuse = () => ({ sent }) => {
  const request = sent.find((one) => !one.done);
  request.done = true;
  request.reject(new Error("refused"));
};
const truth = (value, serverRevision, from) => ({ reloads }) => reloads.shift().resolve({ ...from, value, serverRevision });
const noTruth = () => ({ reloads }) => reloads.shift().reject(new Error("offline"));
const shows = (value) => (all) => assert.equal(all.shown(), value);

const stories = [
  ["a tap shows at once and is sent once", [tap(1), shows(1), reply(10)], 1, [1]],
  ["double tap in flight: one follow-up, with the newest", [tap(1), tap(2), tap(3), shows(3), reply(10), shows(3), reply(11)], 3, [1, 3]],
  ["a tap back to what was sent is still the user's wish", [tap(1), tap(2), tap(1), reply(10), reply(11)], 1, [1, 1]],
  ["foreign push in flight, ours was later: ours stands", [tap(1), foreign(5, 10), shows(5), reply(11)], 1, [1]],
  ["foreign push in flight, theirs was later: theirs stands", [tap(1), foreign(5, 12), reply(11)], 5, [1]],
  ["foreign push after the newest tap: no follow-up", [tap(1), tap(2), foreign(5, 12), reply(11)], 5, [1]],
  ["foreign push, then a tap: the tap is the last write", [tap(1), foreign(5, 12), tap(3), shows(3), reply(11), shows(3), reply(13)], 3, [1, 3]],
  ["foreign push, then our own older write after it: ours is the newer, so the tap is sent", [tap(1), tap(2), foreign(5, 10), shows(5), echo(1, 11, 1), shows(2), reply(11), reply(12)], 2, [1, 2]],
  ["foreign push, then a newer reply: the tap is sent", [tap(1), tap(2), foreign(5, 10), shows(5), reply(11), shows(2), reply(12)], 2, [1, 2]],
  ["another wrote what we sent, and then we: the tap is sent", [tap(1), tap(2), foreign(1, 10), reply(10), reply(11)], 2, [1, 2]],
  ["foreign push, then the lost answer of a newer write of ours: the tap is sent", [tap(1), tap(2), foreign(5, 10), refuse(), truth(1, 11, mine(11, 1)), reply(12)], 2, [1, 2]],
  ["a writer without a name is foreign", [tap(1), tap(2), unnamed(5, 12), reply(11)], 5, [1]],
  ["a push without a name that brings nothing new", [foreign(5, 10), tap(1), tap(2), unnamed(5, 11), shows(2), reply(12), reply(13)], 2, [1, 2]],
  ["push before the reply", [tap(1), echo(1, 10, 1), reply(10)], 1, [1]],
  ["push before the reply, with a tap pending", [tap(1), tap(2), echo(1, 10, 1), shows(2), reply(10), reply(11)], 2, [1, 2]],
  ["stale push", [foreign(5, 10), foreign(4, 9)], 5, []],
  ["duplicate push", [foreign(5, 10), foreign(6, 10)], 5, []],
  ["a stale push leaves the follow-up alone", [foreign(5, 20), tap(1), tap(2), foreign(6, 19), reply(21), reply(22)], 2, [1, 2]],
  ["own echo between taps is no news", [tap(1), reply(10), tap(2), echo(1, 10, 1), shows(2), reply(11), echo(2, 11, 2)], 2, [1, 2]],
  ["own echo late, after the next tap, with a newer revision", [tap(1), tap(2), echo(1, 10, 1), tap(3), shows(3), reply(10), reply(12)], 3, [1, 3]],
  ["this device's number from a former life is foreign", [tap(1), echo(8, 12, 40), reply(11)], 8, [1]],
  ["the host rounds: its value is shown", [tap(1.23), reply(10, 1)], 1, [1.23]],
  ["the host rounds, the next tap pending", [tap(1.2), tap(2.3), reply(10, 1), shows(2.3), reply(11, 2)], 2, [1.2, 2.3]],
  ["error: the truth is loaded", [tap(1), refuse(), shows(1), truth(4, 30)], 4, [1]],
  ["error: without a truth the last confirmed value", [tap(1), reply(10), tap(2), refuse(), noTruth()], 1, [1, 2]],
  ["error with pending taps: the newest wish gets its try", [tap(1), tap(2), refuse(), shows(2), reply(11)], 2, [1, 2]],
  ["error twice with pending taps: the truth", [tap(1), tap(2), refuse(), refuse(), truth(4, 30)], 4, [1, 2]],
  ["error with pending taps overtaken by a foreign push", [tap(1), tap(2), foreign(5, 12), refuse(), truth(5, 12)], 5, [1]],
  ["a tap while the truth is loading", [tap(1), refuse(), tap(2), truth(4, 30), shows(2), reply(31)], 2, [1, 2]],
  ["a newer push while the truth is loading", [tap(1), refuse(), foreign(6, 31), truth(4, 30)], 6, [1]],
  ["restart: revisions are lower, the snapshot counts", [foreign(5, 100), snapshot(3, 2), foreign(4, 3)], 4, []],
  ["restart in flight: the write fails, the truth counts at any revision", [foreign(5, 100), tap(1), refuse(), truth(3, 2), foreign(4, 3)], 4, [1]],
  ["restart in flight, with a tap pending", [foreign(5, 100), tap(1), tap(2), snapshot(5, 2), refuse(), reply(3)], 2, [1, 2]],
  ["another field's snapshot in flight is no foreign write", [foreign(5, 10), tap(1), tap(2), snapshot(5, 11), shows(2), reply(12), reply(13)], 2, [1, 2]],
  ["a snapshot that holds our own write", [tap(1), tap(2), snapshot(1, 12, mine(11, 1)), shows(2), reply(11), reply(13)], 2, [1, 2]],
  ["a snapshot with our newest write, as the host has rounded it", [tap(1.2), snapshot(1, 12, mine(11, 1)), shows(1), reply(11, 1)], 1, [1.2]],
  ["a snapshot with another's write is foreign", [tap(1), tap(2), snapshot(9, 12, theirs(12)), shows(9), reply(11)], 9, [1]],
  ["a snapshot with another's write from before ours", [tap(1), tap(2), snapshot(9, 12, theirs(10)), reply(11), shows(2), reply(13)], 2, [1, 2]],
  ["a snapshot with another's write that is known", [foreign(9, 10), tap(1), tap(2), snapshot(9, 12, theirs(10)), shows(2), reply(11), reply(13)], 2, [1, 2]],
  ["a snapshot with another's value and no name is foreign", [tap(1), tap(2), snapshot(9, 12), shows(9), reply(11)], 9, [1]],
  ["a snapshot from before our reply is history", [foreign(5, 10), tap(1), tap(2), reply(12), snapshot(5, 11), shows(2), reply(13)], 2, [1, 2]],
  ["written over and back without a name before a late reply", [foreign(5, 10), tap(1), snapshot(5, 13), reply(12)], 5, [1]],
];

for (const [name, story, end, sent] of stories)
  test(name, async () => {
    const all = control();
    for (const happens of story) {
      happens(all);
      await tick();
    }
    assert.equal(all.shown(), end);
    assert.deepEqual(all.sent.map(({ value }) => value), sent);
    assert.equal(all.it.busy, false, "nothing is left under way");
    assert.deepEqual(all.sent.map((one) => one.deviceId), sent.map(() => ME));
    assert.ok(all.sent.every((one, i) => i === 0 || one.localRevision > all.sent[i - 1].localRevision));
  });

test("without a reload the last confirmed value comes back, and the error is heard", async () => {
  const all = control({ reload: false });
  all.it.tap(1);
  all.sent[0].reject(new Error("refused"));
  await tick();
  assert.deepEqual([all.shown(), all.errors, all.it.busy], [0, ["refused"], false]);
});

test("any order of three taps, two foreign writes and their pushes ends where the host ends", async () => {
  const roll = dice(1);
  for (let round = 0; round < 300; round++) {
    const all = control();
    let revision = 0, value = 0;
    const feed = [];
    let taps = 3, others = 2;
    const apply = (next, from) => feed.push({ value: (value = next), serverRevision: ++revision, ...from });
    for (let guard = 0; guard < 200; guard++) {
      if (roll(3)) await tick();
      const open = all.sent.filter((one) => !one.done);
      const moves = [];
      if (taps) moves.push(() => all.it.tap(100 * round + taps--));
      if (others) moves.push(() => apply(-others--, { deviceId: 99, localRevision: 1 }));
      if (feed.length) moves.push(() => all.it.push(feed.shift()));
      for (const one of open) {
        if (!one.revision) moves.push(() => (apply(one.value, one), (one.revision = revision)));
        else moves.push(() => ((one.done = true), one.resolve({ value: one.value, serverRevision: one.revision })));
      }
      if (moves.length) moves[roll(moves.length)]();
    }
    await tick();
    assert.deepEqual([all.shown(), all.it.busy], [value, false], `round ${round}`);
  }
});

test("following a viewer: snapshots and deltas with origins", () => {
  const all = control();
  let hear;
  const end = all.it.follow({ session: { config: { speed: 3 } }, revision: 5, subscribe: (fn) => ((hear = fn), () => (hear = null)) });
  assert.equal(all.shown(), 3);
  hear({ type: "config", changed: { other: 1 }, origins: {}, revision: 6 });
  hear({ type: "config", changed: { speed: 4 }, origins: { speed: { revision: 7, deviceId: 99, localRevision: 1 } }, revision: 8 });
  assert.equal(all.shown(), 4);
  hear({ type: "session", session: { config: { speed: 9 } }, origins: {}, revision: 2 });
  assert.equal(all.shown(), 9);
  all.it.tap(1);
  all.it.tap(2);
  hear({ type: "session", session: { config: { speed: 1 } }, origins: { speed: { revision: 3, deviceId: ME, localRevision: 1 } }, revision: 4 });
  assert.equal(all.shown(), 2);
  hear({ type: "session", session: { config: { speed: 7 } }, origins: { speed: { revision: 5, sourceId: "panel" } }, revision: 5 });
  assert.equal(all.shown(), 7);
  end();
  assert.equal(hear, null);
});

test("the daemon's endpoint", async () => {
  const asked = [];
  const answer = (status, body) => async (url, request) => (asked.push([String(url), request]), new Response(JSON.stringify(body), { status }));
  const good = endpoint("http://h:1", "a b", { token: "t", topic: "x/y", fetch: answer(200, { value: 2, serverRevision: 5 }) });
  assert.deepEqual(await good.send(2, { deviceId: 7, localRevision: 3 }), { value: 2, serverRevision: 5 });
  const [url, { method, body, headers }] = asked[0];
  assert.deepEqual([url, method, body, headers.Authorization], ["http://h:1/api/topics/x%2Fy/config/a%20b", "PUT", '{"value":2,"deviceId":7,"localRevision":3}', "Bearer t"]);
  assert.deepEqual(await good.reload(), { value: 2, serverRevision: 5 });
  const errors = [{ field: "a", expected: "number", got: "string" }];
  await assert.rejects(endpoint("http://h:1", "a", { fetch: answer(422, { detail: "no", errors }) }).reload(), { message: "no", status: 422, errors });
});
