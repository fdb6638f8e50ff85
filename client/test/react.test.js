import assert from "node:assert/strict";
import test from "node:test";
import { StrictMode, createElement } from "react";
import { act, create } from "react-test-renderer";
import { useOnlooker } from "../react.js";
import { Clock, sockets } from "./clock.js";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const SESSION = { name: "Demo", data: { a: 1 }, config: { speed: 1 }, metadata: {} };

/** A component that keeps what it saw. */
function rendering(strict) {
  const clock = new Clock();
  const { dialed, FakeSocket, last } = sockets(clock);
  const { now, setTimeout, clearTimeout } = clock;
  const environment = { WebSocket: FakeSocket, now, setTimeout, clearTimeout, random: () => 0, document: null, window: null, id: "" };
  const seen = [];
  const Show = ({ url, topic }) => (seen.push(useOnlooker(url, { ...environment, topic })), null);
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
