import assert from "node:assert/strict";
import test from "node:test";
import { StrictMode, createElement } from "react";
import { act, create } from "react-test-renderer";
import { useOnlooker, useRoom } from "../react.js";
import { Clock, sockets } from "./clock.js";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const SESSION = { name: "Demo", data: { a: 1 }, config: { speed: 1 }, metadata: {} };

/** A component that keeps what it saw of a hook. */
function rendering(strict, hook = ({ url, topic }, environment) => useOnlooker(url, { ...environment, topic })) {
  const clock = new Clock();
  const { dialed, FakeSocket, last } = sockets(clock);
  const { now, setTimeout, clearTimeout } = clock;
  const environment = { WebSocket: FakeSocket, now, setTimeout, clearTimeout, random: () => 0, document: null, window: null, id: "" };
  const seen = [];
  const Show = (props) => (seen.push(hook(props, environment)), null);
  let root;
  const render = async (props) => {
    const element = createElement(Show, props);
    const tree = strict ? createElement(StrictMode, null, element) : element;
    await act(() => (root ? root.update(tree) : (root = create(tree))));
  };
  return { clock, dialed, last, seen, render, now: () => seen.at(-1), unmount: () => act(() => root.unmount()) };
}

test("the hook shows the session, and keeps data the same object while fields change", async () => {
  const { last, render, now, unmount, seen, dialed } = rendering();
  await render({ url: "h:1" });
  assert.equal(now().state.status, "connecting");
  await act(() => last().open());
  await act(() => last().say({ type: "session_update", revision: "1", payload: SESSION }));
  const { data } = now().session;
  await act(() => last().say({ type: "config_update", revision: "2", payload: { speed: 2 } }));
  assert.deepEqual([now().session.config, now().revision], [{ speed: 2 }, 2]);
  assert.equal(now().session.data, data);
  const renders = seen.length;
  await act(() => last().say({ type: "config_update", revision: "2", payload: { speed: 3 } }));
  assert.equal(seen.length, renders, "nothing new, no render");
  await render({ url: "h:1" });
  assert.equal(dialed.length, 1, "a render is no reason to dial");
  await unmount();
  assert.ok(dialed[0].closed);
});

test("another address or topic begins anew; none is idle", async () => {
  const { dialed, last, render, now } = rendering();
  await render({ url: null });
  assert.equal(now().state.status, "idle");
  await render({ url: "a:1" });
  await act(() => last().open());
  await act(() => last().say({ type: "session_update", payload: SESSION }));
  await render({ url: "a:1", topic: "lab" });
  assert.equal(now().session, null);
  assert.deepEqual(dialed.map(({ url, closed }) => [url, !!closed]), [["ws://a:1/", true], ["ws://a:1/?topic=lab", false]]);
});

test("StrictMode leaves one socket open", async () => {
  const { dialed, render, unmount } = rendering(true);
  await render({ url: "h:1" });
  assert.equal(dialed.filter(({ closed }) => !closed).length, 1);
  await unmount();
  assert.equal(dialed.filter(({ closed }) => !closed).length, 0);
});

const room = ({ url, channel = "todos", token }, environment) => useRoom(url, channel, { ...environment, columns: ["id", "text"], token });
const LIST = "http://h:1/parties/main/list";
const sync = (...payload) => ({ sync: true, channel: "todos", payload });

test("the hook of a room: rows, state, an action that is refused", async () => {
  const { last, render, now, seen, unmount, dialed } = rendering(false, room);
  await render({ url: LIST });
  assert.deepEqual([now().rows, now().state.status], [[], "connecting"]);
  const { act: perform } = now();
  await act(() => last().open());
  await act(() => last().say(sync(["a", "one", 1, 1, null])));
  assert.deepEqual([now().rows, now().state.status], [[["a", "one", 1, 1, null]], "live"]);
  assert.equal(now().act, perform, "stays the same");
  const renders = seen.length;
  await act(() => last().say(sync(["a", "one", 1, 1, null])));
  await render({ url: LIST });
  assert.deepEqual([seen.length, dialed.length], [renders + 1, 1], "nothing new, no render; a render is no reason to dial");
  let refused;
  await act(() => void (refused = assert.rejects(now().act({ type: "delete-all" }), { message: "no" })));
  assert.deepEqual(now().rows, []);
  await act(() => last().say({ type: "error", rpc: true, channel: "todos", id: last().sent.at(-1).id, error: ["no"] }));
  await refused;
  assert.equal(now().rows.length, 1);
  await unmount();
  assert.ok(dialed[0].closed);
  await assert.rejects(perform({ type: "delete-all" }), { message: "not in a room" });
});

test("another room, channel or token begins anew; none is no room", async () => {
  const { dialed, last, render, now } = rendering(false, room);
  await render({ url: null });
  assert.deepEqual([dialed.length, now().rows, now().state.status], [0, [], "connecting"]);
  await render({ url: LIST });
  await act(() => last().open());
  await act(() => last().say(sync(["a", "one", 1, 1, null])));
  for (const props of [{ url: `${LIST}2` }, { url: LIST, channel: "notes" }, { url: LIST, channel: "notes", token: "t" }]) {
    await render(props);
    assert.deepEqual([now().rows, dialed.filter(({ closed }) => !closed).length], [[], 1]);
  }
  assert.match(last().url, /\/list\?_pk=\w+&token=t$/);
});

test("StrictMode leaves one socket in a room, and its actions go there", async () => {
  const { dialed, last, render, now, unmount } = rendering(true, room);
  await render({ url: LIST });
  assert.equal(dialed.filter(({ closed }) => !closed).length, 1);
  await act(() => last().open());
  await act(() => last().say(sync()));
  assert.equal(now().state.status, "live");
  let done;
  await act(() => void (done = now().act({ type: "create", payload: { id: "a", text: "one" } })));
  assert.deepEqual(now().rows.map(([id, text]) => [id, text]), [["a", "one"]]);
  await act(() => last().say({ type: "success", rpc: true, channel: "todos", id: last().sent.at(-1).id, result: [["a", "one", 1, 1, null]] }));
  assert.deepEqual(await done, [["a", "one", 1, 1, null]]);
  await unmount();
  assert.equal(dialed.filter(({ closed }) => !closed).length, 0);
});
