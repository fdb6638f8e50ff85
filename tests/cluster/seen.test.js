// What reaches viewers at another daemon, what `since` answers there, and what the cluster tells of itself.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { startMembers } from "./daemon.js";
import { startServer } from "./servers.js";
import { until, untilAnswered } from "./until.js";
import { Viewer } from "./viewers.js";

/** @typedef {import("./daemon.js").Member} Member */

/** @param {string} value */
const session = (value) => ({ name: "Seen", data: null, config: { value, other: "start" }, metadata: {} });

describe("two daemons on one bucket", () => {
  /** @type {Member[]} */
  let members;
  /** @type {(() => unknown)[]} */
  const endings = [];
  before(async () => {
    const test = /** @type {any} */ ({ after: (/** @type {() => unknown} */ end) => endings.unshift(end) });
    const server = await startServer(test);
    members = await startMembers(test, [server.url], { count: 2 });
  });
  after(async () => {
    for (const end of endings) await end();
  });

  let number = 0;
  /** @param {string} title @param {(topic: string, watch: (member: Member) => Viewer) => Promise<void>} run */
  const topic = (title, run) =>
    it(title, async (t) => {
      const name = `topic-${++number}`;
      await members[0].must("PUT", `/api/topics/${name}`, session("first"));
      await untilAnswered("the other one has it", async () => (await members[1].ask("GET", `/api/topics/${name}`)).status === 200);
      await run(name, (member) => {
        const viewer = new Viewer(`seen-${++number}`, null, name);
        viewer.connect(member);
        t.after(() => viewer.leave());
        return viewer;
      });
    });

  /** @param {Viewer} viewer @param {string} value */
  const shows = (viewer, value) => until(`it shows ${value}`, () => viewer.session?.config.value === value);

  topic("a change at one reaches viewers at both, once, as the field that changed", async (name, watch) => {
    const viewers = members.map(watch);
    for (const viewer of viewers) await shows(viewer, "first");
    const { json } = await members[0].must("PUT", `/api/topics/${name}/config/value`, { value: "second" }, { "onlooker-source-id": "panel" });
    for (const viewer of viewers) await shows(viewer, "second");
    for (const viewer of viewers) assert.deepEqual([viewer.revision, viewer.redraws, viewer.frames], [json.serverRevision, 0, 2]);
    const answers = await Promise.all(members.map((member) => member.must("GET", `/api/topics/${name}/config/value`)));
    assert.equal(answers[0].text, answers[1].text);
  });

  topic("a viewer that moves is sent nothing if it is current, and otherwise the fields that changed", async (name, watch) => {
    const viewer = watch(members[0]);
    await shows(viewer, "first");
    viewer.connect(members[1]);
    await until("it is greeted", () => viewer.hello);
    assert.equal(viewer.hello.resumed, "current");
    viewer.leave();
    const mover = watch(members[1]);
    await shows(mover, "first");
    await members[1].must("PUT", `/api/topics/${name}/config/value`, { value: "second" });
    mover.connect(members[0]);
    await shows(mover, "second");
    assert.equal(mover.redraws, 0);
  });

  topic("a field at one, another at the other, at the same time: both stay", async (name, watch) => {
    const viewer = watch(members[0]);
    await shows(viewer, "first");
    await Promise.all([members[0].must("PUT", `/api/topics/${name}/config/value`, { value: "a" }), members[1].must("PUT", `/api/topics/${name}/config/other`, { value: "b" })]);
    await until("both are shown", () => viewer.session.config.value === "a" && viewer.session.config.other === "b");
  });

  topic("If-Match is held against the newest, wherever that was written", async (name) => {
    const path = `/api/topics/${name}`;
    const { json } = await members[0].must("GET", path);
    const newer = (await members[1].must("PUT", `${path}/config/value`, { value: "second" })).json.serverRevision;
    const late = await members[0].ask("PUT", path, { body: session("third"), headers: { "if-match": `"${json.revision}"` } });
    assert.deepEqual([late.status, late.json.revision], [412, String(newer)]);
    await members[0].must("PUT", path, session("third"), { "if-match": `"${newer}"` });
  });

  topic("a host's text reaches viewers at both, as it is", async (name, watch) => {
    const viewers = members.map(watch);
    for (const viewer of viewers) await shows(viewer, "first");
    await members[0].must("POST", `/api/topics/${name}/broadcast`, "any text  at all");
    await until("both have it", () => viewers.every(({ texts }) => texts.length > 0));
    for (const viewer of viewers) assert.deepEqual(viewer.texts, ["any text  at all"]);
  });

  topic("a session that is resent reaches viewers at both", async (name, watch) => {
    const viewers = members.map(watch);
    for (const viewer of viewers) await shows(viewer, "first");
    await members[0].must("POST", `/api/topics/${name}/resend`);
    await until("both have it", () => viewers.every(({ redraws }) => redraws === 1));
  });

  topic("a deletion closes viewers at both", async (name, watch) => {
    const viewers = members.map(watch);
    for (const viewer of viewers) await shows(viewer, "first");
    await members[0].must("DELETE", `/api/topics/${name}`);
    await until("both are closed", () => viewers.every(({ closed }) => closed));
    for (const { closed } of viewers) assert.deepEqual(closed, { code: 4404, bye: "deleted" });
    for (const member of members) assert.equal((await member.ask("GET", `/api/topics/${name}`)).status, 404);
    const again = await members[1].must("PUT", `/api/topics/${name}`, session("again"));
    assert.equal(again.status, 201);
    await untilAnswered("the first has it again", async () => (await members[0].ask("GET", `/api/topics/${name}`)).json.data?.config.value === "again");
  });

  topic("the same viewer at another daemon replaces itself", async (name, watch) => {
    const viewer = watch(members[0]);
    await shows(viewer, "first");
    const listed = (await members[0].must("GET", "/api/viewers")).json.filter((/** @type {any} */ one) => one.topic === name);
    assert.equal(listed.length, 1);
  });

  topic("a host disconnects a viewer", async (name, watch) => {
    const viewer = watch(members[1]);
    await shows(viewer, "first");
    const [listed] = (await members[1].must("GET", "/api/viewers")).json.filter((/** @type {any} */ one) => one.topic === name);
    await members[1].must("DELETE", `/api/viewers/${listed.id}`);
    await until("it is closed", () => viewer.closed);
    assert.deepEqual(viewer.closed, { code: 1008, bye: "kicked" });
  });

  it("the status names both, with their viewers", async () => {
    for (const member of members) {
      let seen;
      await untilAnswered(
        () => `${member.name} knows both: ${JSON.stringify(seen)}`,
        async () => {
          seen = (await member.must("GET", "/api/status")).json.cluster;
          return seen.state === "connected" && seen.daemons.length === 2;
        },
      );
      const { daemons, server } = /** @type {any} */ (seen);
      assert.match(server, /alone/);
      assert.equal(new Set(daemons.map((/** @type {any} */ one) => one.id)).size, 2);
      for (const one of daemons) assert.deepEqual([typeof one.id, typeof one.url, typeof one.viewers, typeof one.version], ["string", "string", "number", "string"]);
    }
  });
});

it("a daemon that is gone is no longer listed", async (t) => {
  const server = await startServer(t);
  const [stays, goes] = await startMembers(t, [server.url], { count: 2 });
  const count = async () => (await stays.must("GET", "/api/status")).json.cluster.daemons.length;
  await untilAnswered("both are listed", async () => (await count()) === 2);
  await goes.stop("SIGKILL");
  await untilAnswered("one is listed", async () => (await count()) === 1, 60_000);
});
