import assert from "node:assert/strict";
import test from "node:test";
import { connect, initial, step, target } from "../onlooker.js";
import { Clock, dice, sockets } from "./clock.js";

/** A host's topic with the one rule: the smallest frame that brings a viewer at `since` to now. */
class Topic {
  revision = 1_000_000;
  structural = 1_000_000;
  session = { name: "s", data: 0, config: { a: 0, b: 0 }, metadata: {} };
  touched = { a: 1_000_000, b: 1_000_000 };

  field(name, value) {
    this.session = { ...this.session, config: { ...this.session.config, [name]: value } };
    this.touched[name] = ++this.revision;
  }
  data(value) {
    this.session = { ...this.session, data: value };
    this.structural = ++this.revision;
  }
  /** Gone and back with the last session, but lower revisions. */
  restart() {
    this.revision = this.structural = this.touched.a = this.touched.b = this.revision - 500;
  }
  since(revision) {
    const frame = (type, payload) => ({ type, topic: "main", revision: String(this.revision), payload });
    if (revision === this.revision) return null;
    if (revision === null || revision < this.structural || revision > this.revision) return frame("session_update", this.session);
    return frame("config_update", Object.fromEntries(Object.entries(this.session.config).filter(([name]) => this.touched[name] > revision)));
  }
}

for (const speaks of [true, false])
  test(`whatever is lost, merged, doubled or restarted, the viewer ends with the host's session (${speaks ? "with" : "without"} hello)`, () => {
    for (let round = 1; round <= 300; round++) {
      const roll = dice(round);
      const clock = new Clock();
      const { FakeSocket, last } = sockets(clock);
      const { now, setTimeout, clearTimeout } = clock;
      const viewer = connect("h:1", { WebSocket: FakeSocket, now, setTimeout, clearTimeout, token: "x", random: () => 0, document: null, window: null });
      const topic = new Topic();
      let at = null;
      const flush = () => {
        const frame = topic.since(at);
        at = topic.revision;
        if (!frame) return;
        last().say(frame);
        if (!roll(5)) last().say(frame);
      };
      const join = () => {
        while (viewer.state.status !== "connecting") clock.pass(1000);
        at = Number(/since=(\d+)/.exec(last().url)?.[1] ?? NaN);
        if (Number.isNaN(at)) at = null;
        last().open();
        const frame = topic.since(at);
        const resumed = !frame ? "current" : frame.type === "config_update" ? "delta" : "snapshot";
        if (speaks) last().say({ type: "hello", protocol: 1, server: "x", topic: "main", revision: String(topic.revision), resumed, heartbeatMs: 1e9 });
        flush();
      };
      const moves = [
        () => topic.field("a", roll(9)), () => topic.field("b", roll(9)), () => topic.data(roll(9)), flush, flush,
        () => (last().fail(1006), roll(2) && topic.field("a", roll(9)), roll(4) || topic.restart(), join()),
      ];
      join();
      for (let turn = 0; turn < 40; turn++) moves[roll(moves.length)]();
      flush();
      assert.deepEqual([viewer.session, viewer.revision], [topic.session, topic.revision], `round ${round}`);
      viewer.close();
    }
  });

test("no order of events dials while hidden, leaves two sockets, or stirs a closed viewer", () => {
  const roll = dice(7);
  for (let round = 0; round < 300; round++) {
    let state = initial, now = 0, open = 0, armed = false;
    const to = target("h:1", roll(2) ? { token: "x" } : {});
    const happen = (event) => {
      const before = state;
      const next = step(state, { now, random: roll(100) / 100, ...event });
      state = next.state;
      for (const effect of next.effects) {
        if (effect.type === "drop") open = 0;
        if (effect.type === "timer") armed = effect.ms !== null;
        if (effect.type === "dial") {
          assert.equal(state.hiddenAt, null);
          open++;
        }
        if (effect.type === "timer" && effect.ms !== null) assert.ok(effect.ms >= 0 && effect.ms < 4e6, `${effect.ms} ms`);
      }
      assert.ok(open <= 1);
      if (before.link.status === "closed") assert.deepEqual([state, next.effects], [before, []]);
      if (state.link.status === "connecting") assert.ok(armed, "a dial always ends");
      if (state.link.status === "waiting") assert.equal(armed, state.hiddenAt === null, "a wait ends, unless hidden");
    };
    for (let turn = 0; turn < 60; turn++) {
      now += roll(5) * 1000;
      const { status } = state.link;
      const id = roll(4) ? state.id : state.id - 1;
      const kinds = [
        { type: "hide" }, { type: "wake", open: !!roll(2), online: !roll(3) }, { type: "close", id, code: 1006 },
        { type: "connect", target: to }, armed ? { type: "timer" } : { type: "hide" },
        { type: "message", id: status === "live" ? id : -1, data: JSON.stringify([{ type: "bye", reason: "kicked", retryAfterMs: 9000 }, { type: "hello", heartbeatMs: 5000 }, { type: "heartbeat" }][roll(3)]) },
        status === "connecting" ? { type: "open", id } : { type: "open", id: -1 },
        roll(40) ? { type: "wake", open: true } : { type: "shut" },
      ];
      const event = kinds[roll(kinds.length)];
      if (event.type === "timer") armed = false;
      happen(event);
    }
  }
});

test("two viewers with one id, as a duplicated tab has it, part for good", () => {
  for (let round = 1; round <= 100; round++) {
    const roll = dice(round);
    const clock = new Clock();
    const { now, setTimeout, clearTimeout } = clock;
    const tabs = Array.from({ length: 2 + roll(3) }, () => {
      const { FakeSocket, dialed, last } = sockets(clock);
      const random = () => roll(1_000_000) / 1_000_000;
      return { viewer: connect("h:1", { WebSocket: FakeSocket, now, setTimeout, clearTimeout, random, document: null, window: null, token: "x", id: "copied" }), dialed, last };
    });
    /** The daemon's rule: the newer one with the same id stays. */
    const held = new Map();
    const join = (tab) => {
      if (tab.viewer.state.status !== "connecting") return;
      const id = new URL(tab.last().url).searchParams.get("id");
      tab.last().open();
      const older = held.get(id);
      held.set(id, tab);
      if (older && older !== tab && older.viewer.id === id) older.last().say({ type: "bye", reason: "replaced", retryAfterMs: 0 });
    };
    for (let turn = 0; turn < 40; turn++) {
      clock.pass(roll(200));
      join(tabs[roll(tabs.length)]);
      // A reload or a lost network brings the same id again.
      if (turn < 20 && !roll(4)) tabs[roll(tabs.length)].last().onclose({ code: 1006 });
    }
    for (let calm = 0; calm < 100; calm++) {
      clock.pass(200);
      tabs.forEach(join);
    }
    assert.ok(tabs.every(({ viewer }) => viewer.state.status === "live"), `round ${round}: all are live`);
    assert.equal(new Set(tabs.map(({ viewer }) => viewer.id)).size, tabs.length, `round ${round}: each has an id of its own`);
    const dials = tabs.map(({ dialed }) => dialed.length);
    clock.pass(600_000);
    assert.deepEqual(tabs.map(({ dialed }) => dialed.length), dials, `round ${round}: and nobody dials again`);
  }
});
