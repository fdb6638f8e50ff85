// NATS is lost, or comes back as another: nobody has to be restarted, and the newest revision is everywhere.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { startMembers } from "./daemon.js";
import { startServer } from "./servers.js";
import { until, untilAnswered } from "./until.js";
import { Viewer } from "./viewers.js";

/** @typedef {import("./daemon.js").Member} Member */

const PATH = "/api/topics/main";

/** @param {string} value */
const session = (value) => ({ name: "Lost", data: null, config: { value, other: "start" }, metadata: {} });

/** @param {Member} member */
const shownBy = async (member) => (await member.must("GET", PATH)).json;

/** @param {Member} member @param {string} value @param {string} [field] */
const write = async (member, value, field = "value") => (await member.must("PUT", `${PATH}/config/${field}`, { value })).json.serverRevision;

/** All of them show this value, in the same words. @param {Member[]} members @param {string} value @param {string} [field] */
async function allShow(members, value, field = "value") {
  let texts = "";
  return untilAnswered(
    () => `all daemons show ${field} = ${value}: ${texts}`,
    async () => {
      const shown = await Promise.all(members.map((member) => member.must("GET", PATH)));
      texts = shown.map(({ text }) => text).join("\n");
      return shown.every(({ text, json }) => text === shown[0].text && json.data.config[field] === value) && shown[0].json;
    },
  );
}

/** Resolves once they take writes again. @param {Member[]} members */
async function ready(members) {
  for (const member of members) await untilAnswered(`${member.name} is ready`, async () => (await member.ask("GET", "/readyz")).status === 200);
}

/** @param {import("node:test").TestContext} t @param {Member[]} members */
async function watched(t, members) {
  const viewers = members.map((member, at) => {
    const viewer = new Viewer(`lost-${at}`, null, "main");
    viewer.connect(member);
    t.after(() => viewer.leave());
    return viewer;
  });
  await until("the viewers have the session", () => viewers.every(({ session }) => session));
  return viewers;
}

/** @param {import("node:test").TestContext} t */
async function pair(t) {
  const server = await startServer(t);
  const members = await startMembers(t, [server.url], { count: 2 });
  await members[0].must("PUT", PATH, session("first"));
  await allShow(members, "first");
  return { server, members };
}

describe("NATS is lost", { concurrency: 2 }, () => {
  it("reads answer, writes are 503, viewers stay and are told; afterwards all is well without a restart", async (t) => {
    const { server, members } = await pair(t);
    const viewers = await watched(t, members);
    await server.stop("SIGKILL");
    await until(
      () => `heartbeats say that NATS is lost: ${JSON.stringify(viewers.map(({ heartbeat }) => heartbeat))}`,
      () => viewers.every(({ heartbeat }) => heartbeat?.source === "silent" && heartbeat.lost === "nats"),
    );
    for (const member of members) {
      assert.equal((await shownBy(member)).data.config.value, "first");
      const refused = await member.ask("PUT", `${PATH}/config/value`, { body: { value: "never" } });
      assert.equal(refused.status, 503, refused.text);
      assert.match(refused.json.detail, /NATS/);
      assert.ok(Number(refused.headers["retry-after"]) > 0);
      assert.equal(refused.headers["content-type"], "application/problem+json");
      assert.equal((await member.ask("GET", "/readyz")).status, 503);
      assert.equal((await member.ask("GET", "/healthz")).status, 200);
      assert.notEqual((await member.must("GET", "/api/status")).json.cluster.state, "connected");
    }
    await server.start();
    await ready(members);
    await write(members[1], "after");
    await allShow(members, "after");
    await until("the viewers have what was written afterwards", () => viewers.every(({ session }) => session.config.value === "after"));
    await until("heartbeats say that it is back", () => viewers.every(({ heartbeat }) => heartbeat?.lost === undefined && heartbeat.source === "alive"));
    for (const viewer of viewers) assert.deepEqual([viewer.redraws, viewer.closed], [0, null]);
  });

  it("a server that says nothing any more is lost as well", async (t) => {
    const { server, members } = await pair(t);
    const [viewer] = await watched(t, members.slice(0, 1));
    server.freeze();
    t.after(() => server.thaw());
    await until(() => `the heartbeat says so: ${JSON.stringify(viewer.heartbeat)}`, () => viewer.heartbeat?.lost === "nats", 30_000);
    const refused = await members[0].ask("PUT", `${PATH}/config/value`, { body: { value: "never" } });
    assert.equal(refused.status, 503, refused.text);
    server.thaw();
    await ready(members);
    await write(members[0], "after");
    await allShow(members, "after");
  });

  it("a daemon that starts before NATS does waits for it", async (t) => {
    const server = await startServer(t);
    await server.stop("SIGKILL");
    const [member] = await startMembers(t, [server.url], { count: 1, join: false });
    assert.equal((await member.ask("GET", "/readyz")).status, 503);
    assert.equal((await member.ask("PUT", PATH, { body: session("early") })).status, 503);
    await server.start();
    await untilAnswered("it takes writes", async () => (await member.ask("PUT", PATH, { body: session("first") })).status < 300);
    await ready([member]);
  });
});

describe("the server comes back as another", { concurrency: 2 }, () => {
  it("with an older state: the newest revision is written back, and nothing is lost in the race that follows", async (t) => {
    const { server, members } = await pair(t);
    await server.stop("SIGTERM");
    const older = await server.keep("older");
    await server.start();
    await ready(members);
    const viewers = await watched(t, members);
    await write(members[0], "second");
    const last = await write(members[1], "third");
    await allShow(members, "third");
    await server.stop("SIGKILL");
    await server.replace(older);
    await server.start();
    await ready(members);
    const shown = await allShow(members, "third");
    assert.ok(Number(shown.revision) >= last, "no revision goes back");
    // Another daemon, which knows nothing else, has it from the bucket.
    const [newcomer] = await startMembers(t, [server.url], { count: 1 });
    await allShow([...members, newcomer], "third");
    await Promise.all([write(members[0], "a", "value"), write(members[1], "b", "other")]);
    await allShow([...members, newcomer], "a");
    await allShow([...members, newcomer], "b", "other");
    await until("the viewers have both", () => viewers.every(({ session }) => session.config.value === "a" && session.config.other === "b"));
    for (const viewer of viewers) assert.equal(viewer.redraws, 0);
  });

  it("with an older state in which another daemon has written: what is newer wins, everywhere the same", async (t) => {
    const { server, members } = await pair(t);
    await server.stop("SIGTERM");
    const older = await server.keep("older");
    await server.start();
    await ready(members);
    for (const value of ["a1", "a2", "a3", "a4"]) await write(members[0], value);
    await allShow(members, "a4");
    await server.stop("SIGKILL");
    // The same numbers of the bucket, with other contents.
    const elsewhere = await startServer(t, { name: server.name });
    await elsewhere.stop("SIGTERM");
    await elsewhere.replace(older);
    await elsewhere.start();
    const [other] = await startMembers(t, [elsewhere.url], { count: 1 });
    await allShow([other], "first");
    for (const value of ["b1", "b2", "b3", "b4"]) await write(other, value, "other");
    await other.stop("SIGKILL");
    await elsewhere.stop("SIGTERM");
    await server.replace(await elsewhere.keep("newer"));
    await server.start();
    await ready(members);
    await allShow(members, "b4", "other");
    await write(members[1], "after");
    await allShow(members, "after");
  });

  it("with a newer state: it is taken over", async (t) => {
    const { server, members } = await pair(t);
    const viewers = await watched(t, members);
    await server.stop("SIGTERM");
    const base = await server.keep("base");
    const elsewhere = await startServer(t, { name: server.name });
    await elsewhere.stop("SIGTERM");
    await elsewhere.replace(base);
    await elsewhere.start();
    const [other] = await startMembers(t, [elsewhere.url], { count: 1 });
    await allShow([other], "first");
    const newest = await write(other, "newer");
    await other.stop("SIGKILL");
    await elsewhere.stop("SIGTERM");
    await server.replace(await elsewhere.keep("newer"));
    await server.start();
    await ready(members);
    const shown = await allShow(members, "newer");
    assert.equal(Number(shown.revision), newest);
    await until("the viewers have it", () => viewers.every(({ session, revision }) => session.config.value === "newer" && revision === newest));
  });

  it("with none: the newest revision is written back", async (t) => {
    const { server, members } = await pair(t);
    const viewers = await watched(t, members);
    const last = await write(members[0], "kept");
    await allShow(members, "kept");
    await server.stop("SIGKILL");
    await server.replace(null);
    await server.start();
    await ready(members);
    const shown = await allShow(members, "kept");
    assert.ok(Number(shown.revision) >= last);
    const [newcomer] = await startMembers(t, [server.url], { count: 1 });
    await allShow([...members, newcomer], "kept");
    await write(newcomer, "after");
    await allShow([...members, newcomer], "after");
    await until("the viewers have what was written afterwards", () => viewers.every(({ session }) => session.config.value === "after"));
    for (const viewer of viewers) assert.deepEqual([viewer.redraws, viewer.closed], [0, null]);
  });

  it("a topic that was deleted while a daemon was away does not come back with it", async (t) => {
    const { server, members } = await pair(t);
    await members[0].must("PUT", "/api/topics/gone", session("gone"));
    await untilAnswered("both have it", async () => (await members[1].ask("GET", "/api/topics/gone")).status === 200);
    await members[1].stop("SIGKILL");
    await members[0].must("DELETE", "/api/topics/gone");
    await members[1].start();
    await ready(members);
    for (const member of members) assert.equal((await member.ask("GET", "/api/topics/gone")).status, 404, member.name);
    await server.stop("SIGKILL");
    await server.start();
    await ready(members);
    for (const member of members) assert.equal((await member.ask("GET", "/api/topics/gone")).status, 404, member.name);
  });
});
