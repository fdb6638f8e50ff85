import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";
import { initial, step, target } from "../onlooker.js";

const folder = new URL("../../tests/frames/", import.meta.url);
const cases = readdirSync(folder).sort().map((name) => ({ name, ...JSON.parse(readFileSync(new URL(name, folder), "utf8")) }));
const NOW = 1_000_000_000;

/** A live viewer that was told these texts; answers what the last one did. */
function told(texts) {
  let state = initial, effects = [];
  const happen = (event) => ({ state, effects } = step(state, { now: NOW, random: 0, ...event }));
  happen({ type: "connect", target: target("h:1") });
  happen({ type: "open", id: state.id, protocol: "onlooker.v1" });
  for (const data of texts) happen({ type: "message", id: state.id, data });
  return { state, news: effects.filter(({ type }) => type === "tell").map(({ event }) => event) };
}

test("the same frames as the daemon's tests", async (t) => {
  assert.ok(cases.length >= 20);
  for (const { name, description, direction, before = [], text, frame, expect = {} } of cases)
    await t.test(`${name}: ${description}`, () => {
      if (frame !== null) assert.deepEqual(JSON.parse(text), frame);
      if (direction !== "to-viewer" && direction !== "ignored") return;
      const { state, news } = told([...before, text]);
      if ("session" in expect) {
        assert.deepEqual(state.session, expect.session);
        assert.equal(state.revision, expect.revision);
        assert.equal(news.find(({ type }) => type !== "message")?.type ?? null, expect.event);
      }
      if (expect.event) assert.deepEqual(news[0].origins, frame.origins ?? {});
      if (expect.server) assert.deepEqual([state.link.server, state.heartbeatMs], [expect.server, frame.heartbeatMs]);
      if (expect.host) assert.deepEqual(state.link.host, { source: expect.host.source, seenAt: NOW - expect.host.seenMs });
      if (expect.server || expect.host) {
        assert.equal(state.link.changedAt, "changedMs" in frame ? NOW - frame.changedMs : null);
        assert.equal(state.link.frozen, frame.frozen ?? false);
        assert.equal(state.link.lost, frame.lost);
      }
      if (expect.reason) assert.deepEqual([state.link.status, state.link.reason, state.link.retryAt - NOW], ["waiting", expect.reason, expect.retryAfterMs]);
    });
});
