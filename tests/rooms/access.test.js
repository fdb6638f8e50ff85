// Who may do what, and over HTTP.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { HOST_TOKEN, roomOf, startRooms, suiteOfRooms, watched } from "./daemon.js";
import { request } from "./hosts.js";
import { Raw, addressOf, upgradeStatus } from "./raw.js";
import { Tab } from "./tab.js";

const VIEWER_TOKEN = "room-tests-viewer-token-0123456789abcdef";

describe("writers", () => {
  const room = suiteOfRooms();

  room("a channel for hosts: who shows the host token writes, the others watch", async (t, room) => {
    const host = await new Tab(t, room, ["guarded"], { query: { token: HOST_TOKEN } }).settled();
    const guest = await new Tab(t, room, ["guarded", "todos"]).settled();
    const [row] = await host.act("guarded", "create", { id: "a", text: "tea" });
    await guest.shows("guarded", [row]);
    await assert.rejects(guest.act("guarded", "update", { id: "a", text: "coffee" }), /token/);
    await assert.rejects(guest.act("guarded", "delete-all"), /token/);
    await guest.shows("guarded", [row]);
    await guest.act("todos", "create", { id: "a", text: "tea", completed: 0 });
  });

  room("a token may be a subprotocol, as browsers need it", async (t, room) => {
    const protocol = `onlooker.token.${Buffer.from(HOST_TOKEN).toString("base64url")}`;
    const raw = await Raw.open(t, room, { protocols: [protocol] });
    await raw.sync("guarded");
    assert.equal(raw.socket.protocol, protocol);
    await raw.do("guarded", "create", { id: "a", text: "tea" });
  });

  room("a wrong token lets nobody write", async (t, room) => {
    const raw = await Raw.open(t, room, { token: "a-wrong-token-0123456789abcdefghij" });
    await raw.sync("guarded");
    await raw.refused("guarded", "create", { id: "a", text: "tea" });
  });

  room("a channel without actions refuses them all, host or not", async (t, room) => {
    for (const token of [undefined, HOST_TOKEN]) {
      const raw = await Raw.open(t, room, { token });
      assert.deepEqual(await raw.sync("told"), []);
      await raw.refused("told", "create", { id: "a", text: "tea" });
      await raw.refused("told", "delete-all");
      await raw.quiet();
    }
  });
});

test("with a viewer token, a room is for those who show it or the host token", async (t) => {
  const daemon = await startRooms(t, { args: ["--viewer-token", VIEWER_TOKEN] });
  const room = roomOf(daemon, "closed");
  await watched(room, async () => {
    assert.equal(await upgradeStatus(addressOf(daemon, "closed", {})), 401);
    assert.equal(await upgradeStatus(addressOf(daemon, "closed", { token: "wrong-token-0123456789abcdef0123456" })), 401);
    const viewer = await new Tab(t, room, ["todos", "guarded"], { query: { token: VIEWER_TOKEN } }).settled();
    const host = await new Tab(t, room, ["todos", "guarded"], { query: { token: HOST_TOKEN } }).settled();
    const [row] = await viewer.act("todos", "create", { id: "a", text: "tea", completed: 0 });
    await host.shows("todos", [row]);
    await assert.rejects(viewer.act("guarded", "create", { id: "a", text: "tea" }), /token/);
    await host.act("guarded", "create", { id: "a", text: "tea" });
    assert.equal((await request(daemon, "GET", "/api/rooms/main/closed/todos", { token: null })).status, 401);
    assert.equal((await request(daemon, "GET", "/api/rooms/main/closed/todos", { token: VIEWER_TOKEN })).status, 200);
    assert.equal((await request(daemon, "POST", "/api/rooms/main/closed/todos/actions", { token: VIEWER_TOKEN, body: { type: "delete-all" } })).status, 401);
  });
});

describe("HTTP", () => {
  const room = suiteOfRooms();

  room("a channel's rows, with the names of their members and an ETag", async (t, room) => {
    const path = `/api/rooms/main/${room.name}/todos`;
    const raw = await Raw.open(t, room);
    await raw.sync("todos");
    const [first] = await raw.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    const answer = await request(room.daemon, "GET", path, { token: null });
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, { columns: ["id", "text", "completed", "created_at", "updated_at", "deleted_at"], rows: [first] });
    assert.ok(answer.etag);
    const same = await request(room.daemon, "GET", path, { headers: { "if-none-match": String(answer.etag) } });
    assert.deepEqual([same.status, same.text], [304, ""]);
    const [second] = await raw.do("todos", "create", { id: "b", text: "cake", completed: 0 });
    const newer = await request(room.daemon, "GET", path, { headers: { "if-none-match": String(answer.etag) } });
    assert.deepEqual([newer.status, newer.json.rows], [200, [first, second]]);
    assert.notEqual(newer.etag, answer.etag);
  });

  room("what is newer than `from`, deletions included", async (t, room) => {
    const raw = await Raw.open(t, room);
    await raw.sync("todos");
    const [first] = await raw.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    const [second] = await raw.do("todos", "create", { id: "b", text: "cake", completed: 0 });
    const [gone] = await raw.do("todos", "delete", { id: "a" });
    assert.deepEqual(await room.rows("todos"), [second]);
    const newer = await room.rows("todos", `?from=${first[4] + 1}`);
    assert.deepEqual(newer, [second, gone], "in the order of their changes");
    assert.deepEqual(await room.rows("todos", `?from=${gone[4]}`), [gone]);
    assert.deepEqual(await room.rows("todos", `?from=${gone[4] + 1}`), [second], "a time that the room has not reached is none");
  });

  room("an action over HTTP is an action: validated, answered, sent to everybody; for hosts only", async (t, room) => {
    const path = `/api/rooms/main/${room.name}/todos/actions`;
    const tab = await new Tab(t, room, ["todos"]).settled();
    const action = { type: "create", payload: { id: "a", text: "tea", completed: 0 } };
    assert.equal((await request(room.daemon, "POST", path, { body: action, token: null })).status, 401);
    assert.deepEqual(await room.rows("todos"), []);
    const answer = await request(room.daemon, "POST", path, { body: action });
    assert.equal(answer.status, 200, answer.text);
    const [row] = await room.rows("todos");
    assert.ok(answer.text.includes(JSON.stringify(row)), answer.text);
    await tab.shows("todos", [row]);
    const wrong = await request(room.daemon, "POST", path, { body: { type: "update", payload: { id: "a", completed: "yes" } } });
    assert.equal(wrong.status, 422);
    assert.match(wrong.json.detail, /completed/);
    assert.equal((await request(room.daemon, "POST", path, { body: { type: "rename" } })).status, 422);
    await tab.shows("todos", [row]);
  });

  room("a channel that is not declared is 404, a party 400", async (t, room) => {
    const statusOf = async (/** @type {string} */ path) => (await request(room.daemon, "GET", `/api/rooms/${path}`)).status;
    for (const channel of ["nothing", "__proto__"]) assert.equal(await statusOf(`main/${room.name}/${channel}`), 404, channel);
    assert.equal(await statusOf(`kitchen/${room.name}/todos`), 400, "a party that may have no rooms");
  });
});
