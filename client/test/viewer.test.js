import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { connect, delay, initial, step, target } from "../onlooker.js";
import { Clock, Page, sockets } from "./clock.js";

/** A viewer whose whole world is in the test's hands; without an id, so that addresses are what they are. */
function watching(url = "ws://host:9876", options = {}) {
  const clock = new Clock();
  const page = new Page();
  const { dialed, FakeSocket, last } = sockets(clock);
  const { now, setTimeout, clearTimeout } = clock;
  const viewer = connect(url, { WebSocket: FakeSocket, now, setTimeout, clearTimeout, random: () => 0, document: page, window: page, id: "", ...options });
  const events = [];
  viewer.subscribe((event) => events.push(event));
  return { clock, page, dialed, last, viewer, events };
}
const gaps = (dialed) => dialed.slice(1).map((socket, i) => socket.at - dialed[i].at);
const SESSION = { name: "Demo", data: { a: 1 }, config: { speed: 1 }, metadata: {} };
const snapshot = (revision, payload = SESSION) => ({ type: "session_update", topic: "main", revision, payload });
const delta = (revision, payload) => ({ type: "config_update", topic: "main", revision, payload });
const hello = (more = {}) => ({ type: "hello", protocol: 1, server: "onlooker/0.1.0", topic: "main", revision: "5", resumed: "snapshot", heartbeatMs: 5000, ...more });

test("the core stays one file without imports, under 5 KB gzipped", () => {
  const source = readFileSync(new URL("../onlooker.js", import.meta.url));
  assert.doesNotMatch(source.toString(), /^import |[^.]import\(/m);
  assert.ok(gzipSync(source, { level: 9 }).length < 5120, `${gzipSync(source, { level: 9 }).length} bytes`);
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
  const live = { ...base, openedAt: 0, heardAt: 0, link: { status: "live", openedAt: 0, server: null, host: null, changedAt: null, frozen: false } };
  const waiting = { ...base, attempt: 2, dialedAt: -1000, link: { status: "waiting", attempt: 2, retryAt: 9, reason: "lost", code: 1006, heardAt: 0 } };
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
    ["shown again right after a dial waits a moment", { ...waiting, dialedAt: 0 }, { type: "wake", open: false }, "waiting", ["drop", "timer"]],
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

test("three tries within a second, then the recipe's; no gap is shorter than the one before, whatever the dice say", () => {
  const longest = Array.from({ length: 12 }, (_, n) => delay(n, 0));
  assert.deepEqual(longest, [250, 300, 400, 2000, 3000, 4500, 6750, 10125, 15000, 15000, 15000, 15000]);
  assert.ok(longest[0] + longest[1] + longest[2] < 1000);
  assert.ok(longest[0] - delay(0, 0.999999) > 249, "a room's first tries are spread over a quarter of a second");
  for (let n = 0; n < 8; n++) assert.ok(delay(n + 1, 0.999999) >= delay(n, 0) - 0.02);
  assert.ok(delay(0, 0.999999) >= 0 && delay(50, 0.9999) >= 10000);
});

test("the delays are the caller's", () => {
  const { clock, dialed, last } = watching("h:1", { token: "x", delays: [50, 700] });
  for (const ms of [50, 700, 700]) { last().fail(); clock.pass(ms); }
  assert.deepEqual(gaps(dialed), [50, 700, 700]);
  assert.deepEqual([delay(0, 0.5, [1000]), delay(9, 0.5, [1000, 2000])], [500, 1500]);
  assert.equal(target("h:1", { delays: [] }).delays.length, 9, "none are the usual ones, not none at all");
});

test("the backoff grows while connections fail and only a proved one resets it", () => {
  const { clock, dialed, last, viewer } = watching("h:1", { token: "x" });
  for (const ms of [250, 300, 400, 2000]) { last().fail(); clock.pass(ms); }
  assert.deepEqual(gaps(dialed), [250, 300, 400, 2000]);
  last().open();
  clock.pass(3999);
  last().fail(1006);
  assert.equal(viewer.state.retryAt - clock.now(), 3000, "opened, yet it proved nothing");
  clock.pass(3000);
  last().open();
  clock.pass(4000);
  last().fail(1006);
  assert.equal(viewer.state.retryAt - clock.now(), 250);
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
    assert.deepEqual([viewer.state.reason, viewer.state.retryAt - clock.now()], ["bye", 250]);
  }
});

test("close codes and reasons surface, and it tries on", () => {
  for (const [code, said, reason] of [[4404, "", "deleted"], [1008, "", "refused"], [1008, "token expired", "token expired"], [1001, "", "stopping"], [1013, "", "busy"], [4409, "", "replaced"], [1006, "", "lost"]]) {
    const { clock, dialed, last, viewer } = watching();
    last().open();
    last().fail(code, said);
    assert.deepEqual([viewer.state.reason, viewer.state.code], [reason, code]);
    clock.pass(250);
    assert.equal(dialed.length, 2);
  }
});

/** Tries until it is live or `ms` are over; each fails at once. */
function failing({ clock, last, viewer }, ms) {
  const end = clock.now() + ms;
  while (clock.now() < end) {
    if (viewer.state.status === "connecting") last().fail(1006);
    clock.pass(1);
  }
}

test("a host that stopped has stopped until it is back, and is looked for every second at first", () => {
  for (const random of [0, 0.5, 0.9999]) {
    const all = watching("h:1", { random: () => random });
    const { clock, dialed, last, viewer } = all;
    last().open();
    clock.pass(5000);
    const stopped = clock.now();
    last().say({ type: "bye", reason: "stopping", retryAfterMs: 400 });
    failing(all, 60_000);
    assert.deepEqual([viewer.state.reason, viewer.state.code], ["stopping", null]);
    const tries = dialed.slice(1).map((socket) => socket.at - stopped);
    assert.equal(tries[0], 400, "the daemon says when the first one comes");
    const early = tries.filter((at) => at <= 15_000);
    early.forEach((at, i) => assert.ok(at - (early[i - 1] ?? 0) <= 1000, `${early}`));
    assert.ok(early.length <= 40, `${early.length} tries`);
    const later = tries.filter((at) => at > 17_000);
    later.forEach((at, i) => assert.ok(i < 1 || at - later[i - 1] >= delay(3 + i, 0.9999) - 2, `the recipe's from there on: ${later}`));
    while (viewer.state.status !== "connecting") clock.pass(100);
    last().open();
    assert.equal(viewer.state.status, "live");
    last().fail(1006);
    assert.equal(viewer.state.reason, "lost", "and what it was is forgotten");
  }
});

test("a server without a bye that closes with 1001 has stopped too", () => {
  const all = watching("h:1");
  all.last().open("");
  all.last().fail(1001);
  failing(all, 5000);
  assert.equal(all.viewer.state.reason, "stopping");
});

test("focus, pageshow and visibilitychange dial at once, but never in a loop", () => {
  const { clock, page, dialed, last, viewer } = watching("h:1", { token: "x" });
  for (const ms of [250, 300, 400, 2000, 3000]) { last().fail(); clock.pass(ms); }
  last().fail();
  clock.pass(300);
  const before = dialed.length;
  page.dispatchEvent(new Event("focus"));
  assert.equal(dialed.length, before + 1);
  for (let burst = 0; burst < 500; burst++) {
    if (viewer.state.status === "connecting") last().fail();
    for (const event of ["focus", "pageshow", "visibilitychange"]) page.dispatchEvent(new Event(event));
    clock.pass(2);
  }
  assert.ok(dialed.length - before <= 6, `${dialed.length - before} dials in a second of events`);
  if (viewer.state.status === "waiting") clock.pass(250);
  last().open();
  const live = dialed.length;
  for (let burst = 0; burst < 100; burst++) page.dispatchEvent(new Event("focus"));
  assert.deepEqual([dialed.length, viewer.state.status], [live, "live"], "a healthy socket is left alone");
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

/** The clock is set back an hour; timers come when they would have. */
function setBack(clock) {
  clock.time -= 3_600_000;
  for (const timer of clock.timers.values()) timer.at -= 3_600_000;
}

test("a clock that is set back an hour makes no wait longer", async (t) => {
  await t.test("shown, it dials", () => {
    const { clock, page, dialed, last } = watching("h:1", { token: "x" });
    for (const ms of [250, 300, 400]) { last().fail(); clock.pass(ms); }
    last().fail();
    clock.pass(1000);
    setBack(clock);
    page.show();
    clock.pass(250);
    assert.equal(dialed.length, 5);
  });
  await t.test("a bye's wish is kept, and not for an hour", () => {
    const { clock, page, dialed, last } = watching();
    last().open();
    last().say({ type: "bye", reason: "stopping", retryAfterMs: 1500 });
    clock.pass(500);
    setBack(clock);
    page.show();
    // How long ago the clock was set back, nobody can tell: what had passed of the wait by then may begin again.
    clock.pass(999);
    assert.equal(dialed.length, 1);
    clock.pass(501);
    assert.equal(dialed.length, 2);
  });
  await t.test("nor is a host that stopped looked for every second for an hour", () => {
    const all = watching();
    all.last().open();
    all.last().say({ type: "bye", reason: "stopping", retryAfterMs: 400 });
    failing(all, 5000);
    setBack(all.clock);
    failing(all, 60_000);
    assert.ok(all.viewer.state.retryAt - all.clock.now() > 1000 || all.viewer.state.status === "connecting");
    assert.ok(all.dialed.length < 60, `${all.dialed.length} dials`);
  });
  await t.test("a dead socket is found out after a few heartbeats", () => {
    const { clock, last, events } = watching();
    last().open();
    last().say(hello());
    clock.pass(6000);
    setBack(clock);
    clock.pass(25_000);
    assert.ok(events.some(({ state }) => state?.reason === "silent"));
  });
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
  for (const ms of [250, 300, 400]) { last().fail(); clock.pass(ms); }
  last().open();
  clock.pass(60_000);
  page.show(true);
  last().readyState = 3;
  page.show();
  last().fail();
  assert.equal(viewer.state.retryAt - clock.now(), 250);
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

const changedAgo = ({ clock, viewer }) => viewer.state.changedAt === null ? null : clock.now() - viewer.state.changedAt;

test("when it changed: the daemon's word as measured here, whatever the two clocks say", () => {
  const all = watching();
  const { clock, last, viewer, events } = all;
  clock.time = 5; // 1970
  last().open();
  assert.equal(changedAgo(all), null);
  last().say(hello({ changedMs: 180_000 }));
  assert.equal(changedAgo(all), 180_000);
  last().say(snapshot("5"));
  assert.equal(changedAgo(all), 180_000, "what only catches up is no change");
  clock.pass(2000);
  last().say(delta("6", { speed: 2 }));
  assert.equal(changedAgo(all), 0, "a change is news when it arrives");
  assert.equal(events.at(-1).type, "config", "and says so itself");
  clock.pass(1000);
  last().say(delta("6", { speed: 2 }));
  assert.equal(changedAgo(all), 1000, "an old frame is none");
  last().say({ type: "heartbeat", revision: "6", hostSeenMs: 0, changedMs: 1200, source: "alive" });
  assert.equal(changedAgo(all), 1200);
  last().say({ type: "heartbeat", revision: "6", hostSeenMs: 0, source: "alive" });
  assert.equal(changedAgo(all), 1200, "kept where nothing is said");
  assert.equal(viewer.state.status, "live");
});

test("what catches up and what is news", async (t) => {
  const said = (...frames) => {
    const all = watching();
    all.last().open(frames[0].type === "hello" ? "onlooker.v1" : "");
    frames.forEach((frame) => all.last().say(frame));
    return changedAgo(all);
  };
  await t.test("a first session is news", () => assert.equal(said(hello({ revision: "0" }), snapshot("5")), 0));
  await t.test("a viewer that was current is told only news", () => assert.equal(said(hello({ resumed: "current", changedMs: 9 }), snapshot("6")), 0));
  await t.test("a daemon that does not say when", () => assert.equal(said(hello(), snapshot("5")), null));
  await t.test("a plain server's first session: who knows", () => assert.equal(said(snapshot(undefined)), null));
  await t.test("its changes", () => assert.equal(said(snapshot(undefined), delta(undefined, { speed: 2 })), 0));
});

test("an upstream that is lost, and back", () => {
  const { last, viewer } = watching();
  last().open();
  last().say(hello({ lost: "upstream" }));
  assert.equal(viewer.state.lost, "upstream");
  last().say({ type: "heartbeat", revision: "5", source: "silent", lost: "upstream" });
  assert.equal(viewer.state.lost, "upstream");
  last().say({ type: "heartbeat", revision: "5", source: "alive" });
  assert.equal(viewer.state.lost, undefined);
});

test("frozen by the host, and let go", () => {
  const { last, viewer } = watching();
  last().open();
  assert.equal(viewer.state.frozen, false);
  last().say(hello({ frozen: true }));
  assert.equal(viewer.state.frozen, true);
  last().say({ type: "heartbeat", revision: "5", source: "alive", frozen: true });
  assert.equal(viewer.state.frozen, true);
  last().say({ type: "heartbeat", revision: "5", source: "alive" });
  assert.equal(viewer.state.frozen, false);
});

const idOf = (socket) => new URL(socket.url).searchParams.get("id");

test("each viewer has an id of its own, which a reload may keep and a dial without a subprotocol never carries", () => {
  const [one, two] = [watching("h:1", { id: undefined }), watching("h:1", { id: undefined })];
  assert.match(idOf(one.last()), /^[A-Za-z0-9_-]{16,44}$/);
  assert.notEqual(idOf(one.last()), idOf(two.last()));
  assert.equal(one.viewer.id, idOf(one.last()));
  one.last().open();
  one.last().fail(1006);
  one.clock.pass(250);
  assert.equal(idOf(one.last()), idOf(one.dialed[0]), "the same after a loss");
  one.viewer.connect("b:1");
  assert.equal(idOf(one.last()), idOf(one.dialed[0]), "and elsewhere");
  assert.equal(watching("h:1/?x=1", { id: "tab-7" }).last().url, "ws://h:1/?x=1&id=tab-7");
  assert.equal(watching("h:1", { id: "tab-7", plain: true }).last().url, "ws://h:1/");
  two.last().fail(1006);
  assert.deepEqual([two.last().url, two.last().protocols], ["ws://h:1/", []], "retried plainly");
  two.last().fail(1006);
  two.clock.pass(250);
  assert.ok(idOf(two.last()), "but a server that may speak onlooker.v1 is told again");
});

test("without crypto, as in React Native, there is an id too", (t) => {
  const there = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  if (there) t.after(() => Object.defineProperty(globalThis, "crypto", there));
  Object.defineProperty(globalThis, "crypto", { value: undefined, configurable: true });
  const ids = [1, 2].map(() => idOf(watching("h:1", { id: undefined }).last()));
  ids.forEach((id) => assert.match(id, /^[A-Za-z0-9_-]{16,44}$/));
  assert.notEqual(ids[0], ids[1]);
});

test("replaced by another with its id, it takes a new one and is back at once", () => {
  const { clock, dialed, last, viewer } = watching("h:1", { id: "copied", random: () => 0.7 });
  last().open();
  last().say({ type: "bye", reason: "replaced", retryAfterMs: 0 });
  clock.pass(0);
  assert.equal(dialed.length, 2);
  assert.match(viewer.id, /^copied-[a-z0-9]+$/);
  assert.equal(idOf(last()), viewer.id);
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
