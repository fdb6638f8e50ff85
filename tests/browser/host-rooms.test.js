// The rooms on the host panel, with real people in them.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { PHONE, launch, newPage, overflow, reads } from "./browser.js";
import { sessionFile, startDaemon } from "./daemon.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

const session = { name: "Desk", data: { a: 1 }, config: {}, metadata: {} };
const todos = `
[rooms]
parties = ["main"]

[rooms.channels.todos]
columns = { id = "string", text = "string" }
writers = "viewers"
`;
const asked = `
[rooms.channels.asked]
columns = { id = "string" }
actions = "host"
writers = "viewers"
`;

/** A desk with rooms. @param {import("node:test").TestContext} t @param {string} settings */
async function desk(t, settings) {
  const daemon = await startDaemon(t, await sessionFile(t, session, settings));
  const panel = await newPage(t, browser, { viewport: PHONE });
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  await reads(panel, "#name", "Desk");
  return { daemon, panel };
}

/**
 * A phone in a room, on a page that keeps its socket.
 * @param {import("node:test").TestContext} t
 * @param {import("./daemon.js").Daemon} daemon
 * @param {string} path
 */
async function join(t, daemon, path) {
  const phone = await newPage(t, browser, { userAgent: "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/604.1" });
  await phone.goto(`${daemon.origin}/healthz`);
  await phone.evaluate(
    (path) =>
      new Promise((opened) => {
        const socket = new WebSocket(`ws://${location.host}${path}`);
        socket.onopen = opened;
        Object.assign(window, { socket, sentAway: new Promise((closed) => (socket.onclose = ({ code }) => closed(code))) });
      }),
    path,
  );
  return phone;
}

test("a room has its people and rows on the panel, and leads to its topic where it is shown", async (t) => {
  const { daemon, panel } = await desk(t, `${todos}show = true\n${asked}`);
  await reads(panel, "#room-count", "0");
  await panel.locator("#no-rooms").waitFor();
  for (const text of ["milk", "bread"]) {
    await daemon.api("POST", "/api/rooms/main/lobby/todos/actions", { type: "create", payload: { text } });
  }
  const room = panel.locator(".room", { hasText: "main/lobby" });
  await room.getByText("todos: 2 rows").waitFor();
  await room.getByText("0 people").waitFor();
  assert.equal(await room.locator(".state").isVisible(), false, "nobody is there to ask for anything");
  await join(t, daemon, "/parties/main/lobby");
  await room.getByText("1 person").waitFor();
  await room.getByText("no host to decide").waitFor();
  await join(t, daemon, `/host?room=main/lobby&token=${daemon.hostToken}`);
  await room.getByText("its host decides").waitFor();
  assert.equal(await room.getByRole("link").getAttribute("href"), "/?topic=main.lobby");
  assert.equal(await overflow(panel), 0);

  const watching = await newPage(t, browser);
  await watching.goto(new URL("/?topic=main.lobby", daemon.origin).href);
  await watching.getByText("milk").waitFor();
});

test("after a restart with another configuration, a room that is still there shows its channels as they are now", async (t) => {
  const args = await sessionFile(t, session, `${todos}show = true\n`);
  const daemon = await startDaemon(t, args);
  const panel = await newPage(t, browser);
  const milk = (/** @type {import("./daemon.js").Daemon} */ daemon) => daemon.api("POST", "/api/rooms/main/lobby/todos/actions", { type: "create", payload: { text: "milk" } });
  await milk(daemon);
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  const room = panel.locator(".room", { hasText: "main/lobby" });
  await room.getByRole("link").waitFor();
  await daemon.stop();
  await writeFile(args[args.indexOf("--config") + 1], `${todos}${asked}`);
  await milk(await startDaemon(t, args, { port: daemon.port }));
  await room.getByText("asked: 0 rows").waitFor();
  assert.equal(await room.getByRole("link").count(), 0);
});

test("a person is listed with the room, and can be sent away", async (t) => {
  const { daemon, panel } = await desk(t, todos);
  const phone = await join(t, daemon, "/parties/main/lobby");
  const entry = panel.locator(".viewer", { hasText: "iPad" });
  await entry.getByText("in main/lobby").waitFor();
  await entry.getByText("up to date").waitFor();
  // Nothing of it is shown, and nobody decides.
  const room = panel.locator(".room");
  assert.equal(await room.getByRole("link").count(), 0);
  assert.equal(await room.locator(".state").isVisible(), false);
  await entry.getByRole("button", { name: /^Disconnect/ }).click();
  assert.equal(await phone.evaluate(() => /** @type {any} */ (window).sentAway), 1008);
  await entry.waitFor({ state: "detached" });
});

test("without channels there are no rooms on the panel", async (t) => {
  const { panel } = await desk(t, "");
  await panel.locator("#viewer-count", { hasText: "0" }).waitFor();
  assert.equal(await panel.locator("#rooms-card").isVisible(), false);
  assert.equal(await panel.locator("#roster-name").textContent(), "Viewers");
});
