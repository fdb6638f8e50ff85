import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import WebSocket, { WebSocketServer } from "ws";
import { connect } from "../onlooker.js";

const PAYLOAD = { name: "Recipe", data: [1, 2], config: { speed: 1 }, metadata: {} };

/** A recipe server: a session for every newcomer, no revision, no hello; by default no subprotocol either. */
async function recipe(t, options = { handleProtocols: () => false }) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", ...options });
  await once(server, "listening");
  server.on("connection", (socket) => socket.send(JSON.stringify({ type: "session_update", payload: PAYLOAD })));
  t.after(() => {
    server.clients.forEach((socket) => socket.terminate());
    server.close();
  });
  return { server, url: `127.0.0.1:${server.address().port}` };
}

/** The next event of a kind. */
const next = (viewer, wanted) => new Promise((done) => {
  const end = viewer.subscribe((event) => wanted(event) && (end(), done(event)));
});

function watch(t, url, options) {
  const viewer = connect(url, { WebSocket, ...options });
  t.after(() => viewer.close());
  return viewer;
}

for (const [name, options] of [["takes no subprotocol", undefined], ["takes the first one offered", {}]])
  test(`a recipe server that ${name}: session, fields, and again after a loss`, { timeout: 20_000 }, async (t) => {
    const { server, url } = await recipe(t, options);
    // Only the retry is hurried; what decides about it is the same.
    const viewer = watch(t, url, { setTimeout: (run, ms) => setTimeout(run, ms / 100) });
    await next(viewer, ({ type }) => type === "session");
    assert.deepEqual([viewer.session, viewer.revision, viewer.state.status, viewer.state.server], [PAYLOAD, null, "live", null]);
    const [socket] = server.clients;
    const retuned = next(viewer, ({ type }) => type === "config");
    socket.send(Buffer.from("binary"), { binary: true });
    socket.send("not json");
    socket.send(JSON.stringify({ type: "config_update", payload: { speed: 2 } }));
    assert.deepEqual((await retuned).changed, { speed: 2 });
    const lost = next(viewer, ({ state }) => state?.status === "waiting");
    const again = next(viewer, ({ type }) => type === "session");
    socket.terminate();
    assert.equal((await lost).state.reason, "lost");
    await again;
    assert.equal(viewer.session.config.speed, 1);
  });

test("nobody there: the reason is told", async (t) => {
  const { server, url } = await recipe(t);
  server.close();
  const viewer = watch(t, url);
  const { state } = await next(viewer, ({ state }) => state?.status === "waiting");
  assert.match(state.reason, /ECONNREFUSED|unreachable/);
});

test("a refused token: the reason is told, and it is not asked without", async (t) => {
  const { server, url } = await recipe(t, { verifyClient: (_, answer) => answer(false, 401) });
  let asked = 0;
  server.on("wsClientError", () => {});
  server.options.verifyClient = (info, answer) => (asked++, answer(info.req.headers["sec-websocket-protocol"].includes("nothing"), 401));
  const viewer = watch(t, `${url}/#t=wrong`);
  const { state } = await next(viewer, ({ state }) => state?.status === "waiting");
  assert.match(state.reason, /401/);
  assert.equal(asked, 1);
});

test("closed while it connects, nothing is thrown and nothing arrives", async (t) => {
  const { server, url } = await recipe(t, {});
  const viewer = watch(t, url);
  viewer.close();
  const other = watch(t, url);
  await next(other, ({ type }) => type === "session");
  assert.deepEqual([viewer.session, viewer.state.status], [null, "closed"]);
  assert.ok(server.clients.size <= 1);
});
