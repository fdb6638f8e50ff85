// A room whose channels are shown is a topic as well, for those who know nothing of rooms.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { once } from "node:events";
import { WebSocket } from "ws";

import { HOST_TOKEN, suiteOfRooms } from "./daemon.js";
import { request, watchTopic } from "./hosts.js";
import { Raw } from "./raw.js";
import { changed, until } from "./until.js";

/** @param {any} viewer @param {string} channel @param {string} key @param {any} value */
const seen = (viewer, channel, key, value) => () => viewer.session && Object.values(viewer.session.data[channel] ?? {}).some((row) => row[key] === value);

describe("a room as a topic", () => {
  const room = suiteOfRooms();

  room("a plain viewer sees the live rows of the shown channels as objects, and follows them", async (t, room) => {
    const raw = await Raw.open(t, room);
    for (const channel of ["todos", "counts", "things"]) await raw.sync(channel);
    const [row] = await raw.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    const viewer = await watchTopic(t, room.daemon, `main.${room.name}`);
    await until("the viewer sees the row", seen(viewer, "todos", "text", "tea"));
    const [shown] = /** @type {any[]} */ (Object.values(viewer.session.data.todos));
    assert.deepEqual([shown.id, shown.text, shown.completed], row.slice(0, 3));
    assert.deepEqual(Object.keys(viewer.session.data).sort(), ["counts", "todos"]);
    assert.equal(Object.hasOwn(viewer.session.data, "things"), false, "this channel is not shown");

    await raw.do("todos", "update", { id: "a", text: "coffee" });
    await raw.do("counts", "create", { id: 7, count: 1 });
    await until("the viewer sees both changes", () => seen(viewer, "todos", "text", "coffee")() && seen(viewer, "counts", "id", 7)());
    await raw.do("todos", "delete", { id: "a" });
    await until("the viewer sees the end of the row", () => Object.values(viewer.session.data.todos).length === 0);
  });

  room("it is there for GET and for /sync", async (t, room) => {
    const topic = `main.${room.name}`;
    const raw = await Raw.open(t, room);
    await raw.sync("todos");
    await raw.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    const told = new WebSocket(`ws://127.0.0.1:${room.daemon.port}/sync?topic=${topic}`);
    t.after(() => told.terminate());
    /** @type {any[]} */
    const events = [];
    told.on("message", (data) => (events.push(JSON.parse(String(data))), changed()));
    await once(told, "open");
    const pulled = async (/** @type {string} */ text) => {
      for (let count = 1; ; count++) {
        await until(`event ${count} tells of ${text}`, () => events.length >= count);
        const { json } = await request(room.daemon, "GET", `/api/topics/${topic}`);
        if (Object.values(json.data.data.todos).some((row) => row.text === text)) return;
      }
    };
    await pulled("tea");
    await raw.do("todos", "update", { id: "a", text: "coffee" });
    await pulled("coffee");
    assert.ok(events.every((event) => event.topic === topic));
  });

  room("no host may write it: 409 names the room, and nothing changes", async (t, room) => {
    const topic = `main.${room.name}`;
    const raw = await Raw.open(t, room);
    await raw.sync("todos");
    await raw.do("todos", "create", { id: "a", text: "tea", completed: 0 });
    const viewer = await watchTopic(t, room.daemon, topic);
    await until("the viewer sees the row", seen(viewer, "todos", "text", "tea"));
    const session = { name: "Other", data: {}, config: { a: 1 }, metadata: {} };
    for (const [method, path, body] of [
      ["PUT", `/api/topics/${topic}`, session],
      ["PATCH", `/api/topics/${topic}`, { data: {} }],
      ["PATCH", `/api/topics/${topic}/config`, { a: 2 }],
      ["PUT", `/api/topics/${topic}/config/a`, { value: 2 }],
      ["DELETE", `/api/topics/${topic}`, undefined],
      ["PUT", `/api/topics/main.another-${room.name}`, session],
    ]) {
      const answer = await request(room.daemon, String(method), String(path), { body });
      assert.equal(answer.status, 409, `${method} ${path}: ${answer.status} ${answer.text}`);
    }
    assert.match((await request(room.daemon, "PUT", `/api/topics/${topic}`, { body: session })).json.detail, new RegExp(room.name));
    const host = new WebSocket(`ws://127.0.0.1:${room.daemon.port}/host?topic=${topic}`, { headers: { authorization: `Bearer ${HOST_TOKEN}` } });
    t.after(() => host.terminate());
    const status = await new Promise((resolve) => {
      host.on("unexpected-response", (_, response) => resolve(response.statusCode));
      host.on("open", () => host.send(JSON.stringify({ type: "session_update", payload: session, id: 1 })));
      host.on("message", (data) => resolve(JSON.parse(String(data)).status));
      host.on("error", () => {});
    });
    assert.equal(status, 409);
    await raw.do("todos", "update", { id: "a", text: "coffee" });
    await until("the viewer still follows the room", seen(viewer, "todos", "text", "coffee"));
    assert.equal((await request(room.daemon, "PUT", "/api/topics/mainly", { body: session })).status, 201, "only names that begin with a party and a dot");
  });
});
