// The same with React 19: a hook of our own that uses what partysync's uses, so that optimistic rows are React's.

import { reported } from "./reported.js";

import assert from "node:assert/strict";
import { describe } from "node:test";
import { createElement, startTransition, useEffect, useOptimistic, useState } from "react";
import { create } from "react-test-renderer";

import { CHANNELS, suiteOfRooms } from "./daemon.js";
import { reducerOf } from "./hook.js";
import { Raw } from "./raw.js";
import { Tab, textOf } from "./tab.js";
import { changed, until } from "./until.js";

/** @typedef {import("./ledger.js").Row} Row */

const reducer = reducerOf(Object.keys(CHANNELS.todos.columns));

/** @param {Row[]} rows @param {Row[]} news */
function merge(rows, news) {
  const all = new Map(rows.map((row) => [row[0], row]));
  for (const row of news) row.at(-1) === null ? all.set(row[0], row) : all.delete(row[0]);
  return [...all.values()];
}

/** Rows in React's state; what is under way is an optimistic state over them. @param {import("partysocket").PartySocket} socket @param {string} channel */
function useRows(socket, channel) {
  const [rows, setRows] = useState(/** @type {Row[]} */ ([]));
  const [shown, show] = useOptimistic(rows, reducer);
  useEffect(() => {
    const listening = new AbortController();
    const take = (/** @type {any} */ { data }) => {
      const message = JSON.parse(data);
      if (message.channel === channel && message.payload) setRows((known) => merge(known, message.payload));
    };
    socket.addEventListener("message", take, { signal: listening.signal });
    socket.send(JSON.stringify({ channel, sync: true, from: null }));
    return () => listening.abort();
  }, [socket, channel]);
  const act = (/** @type {import("./hook.js").Action} */ action) =>
    startTransition(async () => {
      show(action);
      const news = await call(socket, channel, action);
      startTransition(() => setRows((known) => merge(known, news)));
    });
  return /** @type {const} */ ([shown, act]);
}

/** @param {import("partysocket").PartySocket} socket @param {string} channel @param {any} action @returns {Promise<Row[]>} */
function call(socket, channel, action) {
  const id = crypto.randomUUID();
  return new Promise((resolve, reject) => {
    const take = (/** @type {any} */ { data }) => {
      const message = JSON.parse(data);
      if (message.id !== id) return;
      socket.removeEventListener("message", take);
      if (message.type === "success") resolve(message.result);
      else reject(new Error(message.error.join("\n")));
    };
    socket.addEventListener("message", take);
    socket.send(JSON.stringify({ id, channel, rpc: true, action }));
  });
}

/** A page that is rendered: all the lists that it has shown, and its actions. @param {import("node:test").TestContext} t @param {import("./daemon.js").Room} room */
function render(t, room) {
  const tab = new Tab(t, room, []);
  /** @type {{ tab: Tab, shown: Row[][], act: (action: import("./hook.js").Action) => void }} */
  const page = { tab, shown: [], act: () => {} };
  const List = () => {
    const [rows, act] = useRows(tab.socket, "todos");
    useEffect(() => {
      page.shown.push(rows);
      page.act = act;
      changed();
    });
    return createElement("ul", null, ...rows.map((row) => createElement("li", { key: row[0] }, row[1])));
  };
  const root = create(createElement(List));
  t.after(() => root.unmount());
  return page;
}

describe("with React", () => {
  const room = suiteOfRooms();

  room("optimistic, confirmed, shown to others, rolled back, healed", async (t, room) => {
    const writer = await Raw.open(t, room);
    await writer.sync("todos");
    const [one, two] = [render(t, room), render(t, room)];
    await until("both have rendered", () => [one, two].every((page) => page.shown.length > 0 && page.tab.isOpen));

    one.act({ type: "create", payload: { id: "a", text: "tea", completed: 0 } });
    await until("the first shows it", () => one.shown.at(-1)?.length === 1);
    await until("the second shows it", () => two.shown.at(-1)?.length === 1);
    const [row] = await room.rows("todos");
    await until("it is confirmed", () => textOf(one.shown.at(-1) ?? []) === textOf([row]));
    assert.deepEqual(two.shown.at(-1), [row]);

    one.act({ type: "update", payload: { id: "a", completed: "yes" } });
    await until("the wrong value shows", () => one.shown.some((rows) => rows[0]?.[2] === "yes"));
    await until("it is rolled back", () => textOf(one.shown.at(-1) ?? []) === textOf([row]));
    await until("React reports the refusal", () => reported.length === 1);
    assert.match(reported[0].message, /completed/);

    const back = one.tab.away();
    await writer.do("todos", "create", { id: "b", text: "cake", completed: 0 });
    await writer.do("todos", "delete", { id: "a" });
    back();
    const table = await room.rows("todos");
    for (const page of [one, two]) await until("it shows the table", () => textOf(page.shown.at(-1) ?? []) === textOf(table));
  });
});
