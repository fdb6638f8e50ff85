import assert from "node:assert/strict";
import test from "node:test";
import { createPinia, defineStore, setActivePinia } from "pinia";
import { createStore } from "zustand/vanilla";
import { attach } from "../host.js";
import { Clock, sockets, tick } from "./clock.js";

const SESSION = { name: "Demo", data: { a: 1 }, config: { speed: 1, on: true } };

function hosting(store, options = {}) {
  const clock = new Clock();
  const { dialed, FakeSocket, last } = sockets(clock);
  const { now, setTimeout, clearTimeout } = clock;
  const errors = [];
  const host = attach(store, { url: "http://h:9876/host#t=secret", WebSocket: FakeSocket, now, setTimeout, clearTimeout, random: () => 0, window: null, onError: (error) => errors.push(error), ...options });
  const ack = (id) => last().say({ type: "ack", id, revision: String(100 + id) });
  return { clock, dialed, last, host, errors, ack };
}
const zustand = (session = SESSION) => createStore(() => ({ ...session, act: () => {} }));

test("it dials /host with the token in the subprotocol", () => {
  const url = (url, options) => hosting(zustand(), { url, ...options }).last().url;
  assert.equal(url("h:1"), "ws://h:1/host");
  assert.equal(url("https://h/live/", { topic: "lab" }), "wss://h/live/host?topic=lab");
  assert.equal(url("http://h:1/host#t=x"), "ws://h:1/host");
  assert.equal(url("http://h:1/ghost"), "ws://h:1/ghost/host");
  assert.deepEqual(hosting(zustand()).last().protocols, ["onlooker.v1", `onlooker.token.${Buffer.from("secret").toString("base64url")}`]);
});

test("only what changed is pushed", async () => {
  const store = zustand();
  const { last, host, ack } = hosting(store, { sourceId: "app", deviceId: 7 });
  last().open();
  assert.deepEqual(last().sent, [{ type: "session_update", payload: SESSION, id: 1, sourceId: "app", deviceId: 7 }]);
  assert.equal(host.synced, false);
  ack(1);
  assert.deepEqual([host.synced, host.revision], [true, 101]);
  store.setState({ config: { speed: 2, on: true } });
  await tick();
  ack(2);
  store.setState({ config: { speed: 2, on: true } });
  await tick();
  store.setState({ data: { a: 2 } });
  await tick();
  ack(3);
  store.setState({ config: { speed: 2 } });
  await tick();
  assert.deepEqual(last().sent.slice(1).map(({ type, payload }) => [type, payload]), [
    ["config_update", { speed: 2 }],
    ["session_update", { ...SESSION, data: { a: 2 }, config: { speed: 2, on: true } }],
    ["session_update", { ...SESSION, data: { a: 2 }, config: { speed: 2 } }],
  ]);
});

test("while a message is under way, and while offline, only the newest state waits", async () => {
  const store = zustand();
  const { clock, last, host, ack } = hosting(store);
  last().open();
  for (let speed = 2; speed < 1000; speed++) store.setState({ config: { speed, on: true } });
  await tick();
  assert.equal(last().sent.length, 1);
  ack(1);
  assert.deepEqual(last().sent[1].payload, { speed: 999 });
  last().fail();
  assert.equal(host.synced, false);
  for (let a = 0; a < 1000; a++) store.setState({ data: { a } });
  await tick();
  clock.pass(2000);
  last().open();
  assert.deepEqual(last().sent.map(({ type, payload }) => [type, payload.data, payload.config.speed]), [["session_update", { a: 999 }, 999]]);
});

test("a refused message is told and not repeated; the next change tries again", async () => {
  const store = zustand();
  const { clock, last, host, errors, ack } = hosting(store);
  last().open();
  ack(1);
  store.setState({ config: { speed: "x", on: true } });
  await tick();
  const fault = [{ field: "speed", expected: "number", got: "string" }];
  last().say({ type: "error", id: 2, status: 422, detail: "1 field refused", errors: fault });
  clock.pass(100_000);
  assert.equal(last().sent.length, 2);
  assert.deepEqual([host.synced, host.error.message, errors[0].status, errors[0].errors], [false, "1 field refused", 422, fault]);
  store.setState({ config: { speed: 3, on: true } });
  await tick();
  assert.deepEqual(last().sent[2].payload, { speed: 3 });
  ack(3);
  assert.deepEqual([host.synced, host.error], [true, null]);
});

test("a daemon that is full is asked again", async () => {
  const { clock, last } = hosting(zustand());
  last().open();
  last().say({ type: "error", id: 1, status: 503, detail: "stopping" });
  clock.pass(2000);
  await tick();
  assert.deepEqual(last().sent.map(({ id }) => id), [1, 2]);
});

test("no ack within 10 s means a dead socket: dialed anew", () => {
  const { clock, dialed, last } = hosting(zustand());
  last().open();
  clock.pass(10_000);
  assert.equal(dialed.length, 2);
  last().open();
  assert.equal(last().sent.length, 1);
});

test("a heartbeat is no new connection", () => {
  const { last, host, ack } = hosting(zustand());
  last().open();
  last().say({ type: "hello", protocol: 1, server: "onlooker/0.1.0", heartbeatMs: 5000 });
  last().say({ type: "heartbeat", revision: "5", hostSeenMs: 0, source: "alive" });
  ack(1);
  assert.deepEqual([host.synced, last().sent.length], [true, 1]);
});

test("late acks, foreign ids and noise are nothing", () => {
  const { last, host } = hosting(zustand());
  last().open();
  for (const noise of ["{", "null", '{"type":"ack","id":9,"revision":"1"}', '{"type":"hello","id":1}']) last().say(noise);
  assert.equal(host.synced, false);
});

test("a state that is no JSON is an error, not a crash", async () => {
  const loop = {};
  loop.loop = loop;
  const { last, errors } = hosting(createStore(() => ({ data: loop })));
  last().open();
  assert.match(errors[0].message, /circular/i);
});

test("select picks the session; what is none goes whole", async () => {
  const store = createStore(() => ({ list: [1], secret: "x" }));
  const { last, ack } = hosting(store, { select: (state) => state.list });
  last().open();
  assert.deepEqual(last().sent[0].payload, [1]);
  ack(1);
  store.setState({ secret: "y" });
  await tick();
  store.setState({ list: [2] });
  await tick();
  assert.deepEqual(last().sent.map(({ payload }) => payload), [[1], [2]]);
});

test("Pinia", async () => {
  setActivePinia(createPinia());
  const store = defineStore("demo", { state: () => structuredClone(SESSION) })();
  const { last, host, ack } = hosting(store);
  last().open();
  assert.deepEqual(last().sent[0].payload, SESSION);
  ack(1);
  store.config.speed = 5;
  store.config.speed = 6;
  await tick();
  assert.deepEqual(last().sent[1].payload, { speed: 6 });
  ack(2);
  host.close();
  store.config.speed = 7;
  await tick();
  assert.equal(last().sent.length, 2);
});

test("closed, it is gone: no dial, no push, no timer", async () => {
  const store = zustand();
  const { clock, dialed, last, host } = hosting(store);
  last().open();
  host.close();
  store.setState({ name: "x" });
  await tick();
  clock.pass(100_000);
  assert.deepEqual([dialed.length, last().sent.length, clock.timers.size, host.state.status], [1, 1, 0, "closed"]);
});
