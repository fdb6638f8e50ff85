import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { connect, delay, initial, step, target } from "../onlooker.js";
import { Clock, Page, sockets } from "./clock.js";

/** A viewer whose whole world is in the test's hands. */
function watching(url = "ws://host:9876", options = {}) {
  const clock = new Clock();
  const page = new Page();
  const { dialed, FakeSocket, last } = sockets(clock);
  const { now, setTimeout, clearTimeout } = clock;
  const viewer = connect(url, { WebSocket: FakeSocket, now, setTimeout, clearTimeout, random: () => 0, document: page, window: page, ...options });
  const events = [];
  viewer.subscribe((event) => events.push(event));
  return { clock, page, dialed, last, viewer, events };
}
const SESSION = { name: "Demo", data: { a: 1 }, config: { speed: 1 }, metadata: {} };
const snapshot = (revision, payload = SESSION) => ({ type: "session_update", topic: "main", revision, payload });
const delta = (revision, payload) => ({ type: "config_update", topic: "main", revision, payload });
const hello = (more = {}) => ({ type: "hello", protocol: 1, server: "onlooker/0.1.0", topic: "main", revision: "5", resumed: "snapshot", heartbeatMs: 5000, ...more });

test("the core stays one file without imports, under 4 KB gzipped", () => {
  const source = readFileSync(new URL("../onlooker.js", import.meta.url));
  assert.doesNotMatch(source.toString(), /^import |[^.]import\(/m);
  assert.ok(gzipSync(source, { level: 9 }).length < 4096, `${gzipSync(source, { level: 9 }).length} bytes`);
});

test("addresses", async (t) => {
  const table = [
    ["http://10.0.0.5:9876/", "ws://10.0.0.5:9876/"],
    ["https://live.example/room/", "wss://live.example/room/"],
    ["ws://h:1", "ws://h:1/"],
    ["WSS://h", "wss://h/", "scheme in capitals"],
    ["h:80", "ws://h:80/"],
    ["h", "ws://h:9876/"],
    ["[::1]:9000", "ws://[::1]:9000/"],
    ["localhost:9876?topic=a", "ws://localhost:9876/?topic=a"],
  ];
  for (const [url, wire] of table) await t.test(url, () => assert.equal(target(url).url.toLowerCase(), wire));
  for (const url of ["ftp://h/", "file:///etc/passwd", "javascript:alert(1)", "mailto:a@b", "", "ws://", "about:blank", "ws://user:pw@h"])
    await t.test(`refused: ${url}`, () => assert.throws(() => target(url), { name: "TypeError", message: /http\(s\), ws\(s\) or host:port/ }));
  await t.test("topic and token", () => {
    assert.equal(target("h:1?x=1", { topic: "a b" }).url, "ws://h:1/?x=1&topic=a%20b");
    assert.equal(target("http://h:1/#t=se%2Fcret").token, "se/cret");
    assert.equal(target("http://h:1/host#h=se%2Fcret").token, "se/cret", "the host link, as the daemon prints it");
    assert.equal(target("http://h:1/#t=no", { token: "yes" }).token, "yes");
  });
  await t.test("an error never repeats a token", () => assert.throws(() => target("ftp://h/?token=hush#t=hush"), (e) => !e.message.includes("hush")));
});

test("the token goes into the subprotocol, the topic into the query", () => {
  const { last } = watching("http://h:9876/#t=%C3%BC%3F%3E", { topic: "lab" });
  assert.equal(last().url, "ws://h:9876/?topic=lab");
  assert.deepEqual(last().protocols, ["onlooker.v1", `onlooker.token.${Buffer.from("ü?>").toString("base64url")}`]);
});

test("step: a table of what follows", async (t) => {
  const base = { ...initial, target: target("h:1", { token: "x" }), id: 3 };
  const connecting = { ...base, link: { status: "connecting", attempt: 0, heardAt: 0 } };
  const live = { ...base, openedAt: 0, heardAt: 0, link: { status: "live", openedAt: 0, server: null, host: null } };
  const waiting = { ...base, attempt: 2, link: { status: "waiting", attempt: 2, retryAt: 9, reason: "lost", code: 1006, heardAt: 0 } };
  const closed = { ...base, link: { status: "closed" } };
  const table = [
    ["an open socket is live", connecting, { type: "open", id: 3 }, "live", ["timer"]],
    ["a late open is nothing", connecting, { type: "open", id: 2 }, "connecting", []],
    ["a late close is nothing", live, { type: "close", id: 2, code: 1000 }, "live", []],
    ["a socket that never opens is given up", connecting, { type: "timer" }, "waiting", ["drop", "timer"]],
    ["a lost socket waits", live, { type: "close", id: 3, code: 1006 }, "waiting", ["drop", "timer"]],
    ["waiting ends in a dial", waiting, { type: "timer" }, "connecting", ["drop", "dial", "timer"]],
    ["hiding stops the wait's timer", waiting, { type: "hide" }, "waiting", ["drop", "timer"]],
    ["hiding keeps a live socket", live, { type: "hide" }, "live", []],
    ["shown while waiting dials at once", waiting, { type: "wake", open: false }, "connecting", ["drop", "dial", "timer"]],
    ["shown with a closed socket dials at once", live, { type: "wake", open: false }, "connecting", ["drop", "dial", "timer"]],
    ["shown with an open one stays", live, { type: "wake", open: true }, "live", []],
    ["back online, a quiet socket is replaced", live, { type: "wake", open: true, online: true, now: 2000 }, "connecting", ["drop", "dial", "timer"]],
    ["shut cancels all", waiting, { type: "shut" }, "closed", ["drop", "timer"]],
    ["closed hears no timer", closed, { type: "timer" }, "closed", []],
    ["closed hears no wake", closed, { type: "wake", open: false }, "closed", []],
    ["closed connects nowhere", closed, { type: "connect", target: base.target }, "closed", []],
    ["idle wakes to nothing", initial, { type: "wake", open: false }, "idle", []],
  ];
  for (const [name, before, event, status, effects] of table)
    await t.test(name, () => {
      const frozen = structuredClone(before);
      const after = step(before, { now: 0, random: 0, ...event });
      assert.equal(after.state.link.status, status);
      assert.deepEqual(after.effects.map((effect) => effect.type), effects);
      assert.deepEqual(before, frozen, "step changes nothing in place");
    });
});

test("up to the cap no gap is shorter than the one before, whatever the dice say", () => {
  for (let n = 0; n < 4; n++) assert.ok(delay(n + 1, 0.999999) >= delay(n, 0) - 0.02);
  assert.equal(delay(0, 0), 2000);
  assert.equal(delay(1, 0), 3000);
  assert.equal(delay(50, 0), 15000);
  assert.ok(delay(50, 0.9999) >= 10000);
});

test("the backoff grows while connections fail and only a proved one resets it", () => {
  const { clock, dialed, last, viewer } = watching("h:1", { token: "x" });
  const gaps = () => dialed.slice(1).map((socket, i) => socket.at - dialed[i].at);
  for (const ms of [2000, 3000, 4500]) { last().fail(); clock.pass(ms); }
  assert.deepEqual(gaps(), [2000, 3000, 4500]);
  last().open();
  clock.pass(3999);
  last().fail(1006);
  assert.equal(viewer.state.retryAt - clock.now(), 6750, "opened, yet it proved nothing");
  clock.pass(6750);
  last().open();
  clock.pass(4000);
  last().fail(1006);
  assert.equal(viewer.state.retryAt - clock.now(), 2000);
});

test("a socket that does not open within 8 s is given up", () => {
  const { clock, dialed, viewer } = watching();
  clock.pass(8000);
  assert.equal(viewer.state.reason, "timeout");
  assert.ok(dialed[0].closed);
});

test("bye: its words are passed on, its retryAfterMs is kept, even when the page is shown meanwhile", () => {
  const { clock, page, dialed, last, viewer } = watching();
  last().open();
  last().say({ type: "bye", reason: "stopping", retryAfterMs: 1500 });
  assert.deepEqual([viewer.state.status, viewer.state.reason, viewer.state.retryAt - clock.now()], ["waiting", "stopping", 1500]);
  page.show();
  clock.pass(1499);
  assert.equal(dialed.length, 1);
  clock.pass(1);
  assert.equal(dialed.length, 2);
});

test("a bye without a proper wish waits as any loss does", () => {
  for (const frame of [{}, { retryAfterMs: null }, { retryAfterMs: "5" }]) {
    const { clock, last, viewer } = watching();
    last().open();
    last().say({ type: "bye", ...frame });
    assert.deepEqual([viewer.state.reason, viewer.state.retryAt - clock.now()], ["bye", 2000]);
  }
});

test("close codes and reasons surface, and it tries on", () => {
  for (const [code, said, reason] of [[4404, "", "deleted"], [1008, "", "refused"], [1008, "token expired", "token expired"], [1001, "", "stopping"], [1013, "", "busy"], [1006, "", "lost"]]) {
    const { clock, dialed, last, viewer } = watching();
    last().open();
    last().fail(code, said);
    assert.deepEqual([viewer.state.reason, viewer.state.code], [reason, code]);
    clock.pass(2000);
    assert.equal(dialed.length, 2);
  }
});

test("close is for ever: no timer, no socket, no page event brings it back", () => {
  for (const prepare of [() => {}, (s) => s.open(), (s) => s.fail()]) {
    const { clock, page, dialed, last, viewer } = watching("h:1", { token: "x" });
    prepare(last());
    viewer.close();
    assert.equal(clock.timers.size, 0);
    dialed[0].onopen();
    dialed[0].fail();
    page.show();
    page.dispatchEvent(new Event("online"));
    viewer.connect("elsewhere:1");
    clock.pass(1e6);
    assert.deepEqual([viewer.state.status, dialed.length], ["closed", 1]);
  }
});

test("close within a listener, and a listener that throws, leave no socket behind", (t) => {
  const { clock, dialed, last, viewer, events } = watching("h:1", { token: "x" });
  const thrown = [];
  t.mock.method(Promise, "reject", (error) => thrown.push(error.message));
  viewer.subscribe(() => { throw new Error("the page's own"); });
  viewer.subscribe((event) => event.state?.status === "connecting" && viewer.close());
  last().fail();
  clock.pass(2000);
  assert.equal(thrown[0], "the page's own", "reported, not swallowed");
  assert.deepEqual(events.map((event) => event.state.status), ["waiting", "connecting", "closed"]);
  assert.ok(dialed.every((socket) => socket.closed || socket.readyState === 3));
});

test("switching from A to B never returns to A", () => {
  const { clock, dialed, viewer, events } = watching("a:1");
  dialed[0].open();
  dialed[0].say(snapshot("5"));
  viewer.connect("b:1", { topic: "t" });
  assert.equal(viewer.session, null);
  dialed[0].say(snapshot("6"));
  dialed[0].fail();
  clock.pass(100_000);
  assert.deepEqual([...new Set(dialed.slice(1).map((socket) => socket.url))], ["ws://b:1/?topic=t"]);
  assert.equal(viewer.session, null);
  assert.equal(events.filter((event) => event.type === "session").length, 1);
});

test("hidden: nothing is dialed; shown: dialed at once", () => {
  const { clock, page, dialed, last, viewer } = watching("h:1", { token: "x" });
  page.show(true);
  last().fail();
  assert.deepEqual([viewer.state.status, viewer.state.retryAt], ["waiting", null]);
  clock.pass(600_000);
  assert.equal(dialed.length, 1);
  page.dispatchEvent(new Event("online"));
  page.dispatchEvent(new Event("pageshow"));
  assert.equal(dialed.length, 1, "still hidden");
  page.show();
  page.dispatchEvent(new Event("pageshow"));
  page.dispatchEvent(new Event("online"));
  assert.equal(dialed.length, 2, "one dial, however many events announce it");
});

test("born hidden, it waits to be seen", () => {
  const page = new Page();
  page.hidden = true;
  const { dialed, viewer } = watching("h:1", { document: page, window: page });
  assert.deepEqual([viewer.state.status, viewer.state.reason, dialed.length], ["waiting", "hidden", 0]);
  page.show();
  assert.equal(dialed.length, 1);
});

test("shown again, a socket that missed a heartbeat is replaced, a fresh one is kept", () => {
  const { clock, page, dialed, last } = watching();
  last().open();
  last().say(hello());
  page.show(true);
  clock.time += 7000; // frozen: no timer runs
  last().say({ type: "heartbeat", revision: "5", hostSeenMs: 0, source: "alive" });
  page.show();
  assert.equal(dialed.length, 1);
  page.show(true);
  clock.time += 8000;
  page.show();
  assert.equal(dialed.length, 2);
});

test("a proved connection that is replaced when shown leaves no old failures behind", () => {
  const { clock, page, last, viewer } = watching("h:1", { token: "x" });
  for (const ms of [2000, 3000, 4500]) { last().fail(); clock.pass(ms); }
  last().open();
  clock.pass(60_000);
  page.show(true);
  last().readyState = 3;
  page.show();
  last().fail();
  assert.equal(viewer.state.retryAt - clock.now(), 2000);
});

test("without heartbeats, a socket hidden for half a minute is replaced", () => {
  const { clock, page, dialed, last } = watching();
  last().open("");
  for (const [ms, dials] of [[29_000, 1], [31_000, 2]]) {
    page.show(true);
    clock.pass(ms);
    page.show();
    assert.equal(dialed.length, dials);
  }
});

test("React Native: AppState in place of a document", () => {
  let change, removed;
  const appState = { currentState: "background", addEventListener: (_, fn) => ((change = fn), { remove: () => (removed = true) }) };
  const { dialed, viewer } = watching("h:1", { appState, document: undefined, window: undefined });
  assert.equal(dialed.length, 0);
  change("inactive");
  assert.equal(dialed.length, 1);
  viewer.close();
  assert.ok(removed);
});

test("heartbeats missed for 2.5 intervals turn an open socket into waiting; without a hello there is no deadline", () => {
  const { clock, last, viewer } = watching();
  last().open();
  last().say(hello({ heartbeatMs: 1000 }));
  clock.pass(2000);
  last().say({ type: "heartbeat", revision: "5", hostSeenMs: 100, source: "alive" });
  clock.pass(2499);
  assert.equal(viewer.state.status, "live");
  clock.pass(1);
  assert.deepEqual([viewer.state.status, viewer.state.reason, viewer.state.heardAt], ["waiting", "silent", clock.now() - 2500]);
  const plain = watching();
  plain.last().open("");
  plain.clock.pass(1e7);
  assert.equal(plain.viewer.state.status, "live");
});

test("the host's own state: alive, silent, ended, and since when", () => {
  const { clock, last, viewer } = watching();
  last().open();
  last().say(hello());
  assert.deepEqual([viewer.state.server, viewer.state.host], ["onlooker/0.1.0", null]);
  last().say({ type: "heartbeat", revision: "5", hostSeenMs: 1200, source: "ended" });
  assert.deepEqual(viewer.state.host, { source: "ended", seenAt: clock.now() - 1200 });
  last().say({ type: "heartbeat", revision: "5", hostSeenMs: null, source: "silent" });
  assert.deepEqual(viewer.state.host, { source: "silent", seenAt: null });
});

test("snapshots rebuild, deltas retune, old revisions are nothing", () => {
  const { last, viewer, events } = watching();
  last().open();
  last().say(delta("9", { speed: 9 }));
  assert.equal(viewer.session, null, "a delta before any snapshot");
  last().say(snapshot("10"));
  const first = viewer.session;
  last().say(delta("11", { speed: 2 }));
  assert.deepEqual([viewer.session.config, viewer.revision, first.config], [{ speed: 2 }, 11, { speed: 1 }]);
  assert.equal(viewer.session.data, first.data, "what did not change is the same object");
  for (const old of [delta("11", { speed: 3 }), delta("10", { speed: 3 }), snapshot("11"), snapshot("9")]) last().say(old);
  assert.deepEqual(viewer.session.config, { speed: 2 });
  last().say(delta("9007199254740991", { speed: 4 }));
  last().say(delta("9007199254740993", { speed: 5 }));
  assert.equal(viewer.revision, 2 ** 53 - 1);
  assert.deepEqual(events.filter((e) => e.type !== "state").map((e) => [e.type, e.changed]), [["session", undefined], ["config", { speed: 2 }], ["config", { speed: 4 }]]);
});

test("what is malformed, unknown or binary changes nothing", () => {
  const { last, viewer } = watching();
  last().open();
  last().say(snapshot("10"));
  const before = viewer.session;
  const junk = ["", "{", "null", "1", "[]", '"x"', '{"type":"constructor"}', '{"type":"session_update"}', '{"type":"session_update","payload":[]}',
    '{"type":"session_update","payload":null,"revision":"11"}', '{"type":"config_update","payload":7,"revision":"11"}', '{"type":"config_update","revision":"011","payload":{"speed":5}}',
    '{"type":"config_update","revision":"-1","payload":{"speed":5}}', '{"type":"nonsense","revision":"99","payload":{}}', new Uint8Array([1, 2]), "\u0000"];
  for (const text of junk) last().say(text);
  assert.deepEqual([viewer.session, viewer.revision, viewer.state.status], [before, 10, "live"]);
});

test("__proto__ in a config is a field, not a prototype", () => {
  const { last, viewer } = watching();
  last().open();
  last().say('{"type":"session_update","payload":{"name":"n","config":{"__proto__":{"bad":1}}}}');
  last().say('{"type":"config_update","payload":{"__proto__":{"bad":2}}}');
  assert.equal(viewer.session.config.bad, undefined);
  assert.equal({}.bad, undefined);
});

test("what the host broadcasts arrives as it is", () => {
  const { last, events } = watching();
  last().open();
  last().say('{"type":"reload"}');
  assert.deepEqual(events.at(-1), { type: "message", text: '{"type":"reload"}' });
});

test("the whitelist lets fields in by name and type", () => {
  const fields = { speed: "number", on: "boolean", list: "array", box: "object", word: "string" };
  const { last, viewer } = watching("h:1", { fields });
  last().open();
  last().say(snapshot("1", { ...SESSION, config: { speed: "fast", on: true, list: {}, box: [], word: null, constructor: 1 } }));
  assert.deepEqual(viewer.session.config, { on: true });
  last().say(delta("2", { speed: 2, other: 3, list: [1], box: { a: 1 }, word: "w", on: null }));
  assert.deepEqual(viewer.session.config, { on: true, speed: 2, list: [1], box: { a: 1 }, word: "w" });
});

test("a lost viewer resumes from its revision", async (t) => {
  const again = (options) => {
    const all = watching("h:1", { token: "x", ...options });
    all.last().open();
    all.last().say(hello());
    all.last().say(snapshot("10"));
    all.last().fail(1006);
    all.clock.pass(2000);
    all.last().open();
    return all;
  };
  await t.test("asking with since", () => {
    assert.equal(again().last().url, "ws://h:1/?since=10");
    assert.equal(again({ resume: false }).last().url, "ws://h:1/");
  });
  await t.test("a delta merges", () => {
    const { last, viewer } = again();
    last().say(hello({ resumed: "delta", revision: "12" }));
    last().say(delta("12", { speed: 3 }));
    assert.deepEqual([viewer.session.config, viewer.revision], [{ speed: 3 }, 12]);
  });
  await t.test("current: an old snapshot does not count", () => {
    const { last, viewer } = again();
    last().say(hello({ resumed: "current", revision: "10" }));
    last().say(snapshot("9", { ...SESSION, name: "old" }));
    assert.equal(viewer.session.name, "Demo");
  });
  await t.test("a restarted daemon's snapshot counts, though its revision is lower", () => {
    const { last, viewer } = again();
    last().say(hello({ resumed: "snapshot", revision: "3" }));
    last().say(snapshot("3", { ...SESSION, name: "new" }));
    assert.deepEqual([viewer.session.name, viewer.revision], ["new", 3]);
    last().say(snapshot("2", { ...SESSION, name: "older" }));
    assert.equal(viewer.session.name, "new");
  });
  await t.test("so does one behind a daemon that says no hello", () => {
    const { last, viewer } = again();
    last().say(snapshot("3", { ...SESSION, name: "new" }));
    assert.equal(viewer.session.name, "new");
  });
});

test("a server that takes no subprotocol is asked plainly at once, and one that ever took it never is", () => {
  const { clock, dialed, last } = watching("h:1");
  last().fail(1006);
  assert.deepEqual(dialed.map((socket) => socket.protocols), [["onlooker.v1"], []]);
  last().fail(1006);
  clock.pass(2000);
  last().open("onlooker.v1");
  last().fail(1006);
  clock.pass(3000);
  last().fail(1006);
  assert.deepEqual(dialed.map((socket) => socket.protocols.length), [1, 0, 1, 1]);
  assert.deepEqual(watching("h:1", { plain: true }).last().protocols, []);
});

test("a constructor that throws is a failed try", async () => {
  const clock = new Clock();
  class Refusing { constructor() { throw new Error("mixed content"); } }
  const viewer = connect("h:1", { WebSocket: Refusing, ...clock, random: () => 0, document: null, window: null });
  await new Promise((done) => viewer.subscribe(({ state }) => state?.status === "waiting" && done()));
  assert.match(viewer.state.reason, /mixed content/);
  viewer.close();
});

test("without an address it is idle until told one", () => {
  const { dialed, viewer } = watching(null);
  assert.deepEqual([viewer.state, dialed.length], [{ status: "idle" }, 0]);
  viewer.connect("h:1");
  assert.equal(viewer.state.status, "connecting");
});

test("an unsubscribed listener hears nothing more, and one function may listen twice", () => {
  const { last, viewer } = watching();
  const heard = [];
  const listener = ({ type }) => heard.push(type);
  const first = viewer.subscribe(listener);
  viewer.subscribe(listener);
  last().open();
  first();
  last().say(snapshot("1"));
  assert.deepEqual(heard, ["state", "state", "session"]);
});
