import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { LIMIT, dials, launch, newPage, ownVisibility, reads, countDials, recordTexts, says, setHidden } from "./browser.js";
import { sessionFile, startDaemon } from "./daemon.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

const session = { name: "Steady", data: { a: 1 }, config: { speed: 1 }, metadata: {} };

test("a killed daemon: reconnecting, again and again, and live again with the state", async (t) => {
  const args = await sessionFile(t, session);
  const daemon = await startDaemon(t, args);
  const page = await newPage(t, browser);
  await countDials(page);
  await page.goto(daemon.origin);
  await says(page, "live");
  await reads(page, "#name", "Steady");

  await daemon.stop("SIGKILL");
  await says(page, "reconnecting…");
  assert.equal(await page.locator("#content").getAttribute("data-stale"), "true");
  assert.equal(await page.locator("#name").textContent(), "Steady", "the last state stays readable");

  await page.waitForFunction(() => /** @type {any} */ (window).dials >= 4, undefined, { timeout: 60_000 });

  await startDaemon(t, args, { port: daemon.port });
  await says(page, "live");
  await reads(page, "#name", "Steady");
  assert.equal(await page.locator("#content").getAttribute("data-stale"), "false");
});

test("state that has been old for long is called frozen, with the time", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  await reads(page, "#name", "Steady");
  await daemon.stop("SIGKILL");
  await says(page, "reconnecting…");
  await page.waitForFunction(() => /^frozen since \d\d:\d\d$/.test(document.querySelector("#connection")?.textContent ?? ""), undefined, { timeout: 60_000 });
});

test("a daemon stopped in order says so", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  await says(page, "live");
  await daemon.stop("SIGTERM");
  await says(page, "the host has stopped");
});

test("restarted by hand, a daemon that stopped in order is live again, and has stopped until then", async (t) => {
  const args = await sessionFile(t, session);
  const daemon = await startDaemon(t, args);
  const page = await newPage(t, browser);
  await countDials(page);
  await recordTexts(page, "#connection");
  await page.goto(daemon.origin);
  await says(page, "live");
  await daemon.stop("SIGTERM");
  await says(page, "the host has stopped");
  const before = await dials(page);
  await page.waitForFunction((least) => /** @type {any} */ (window).dials > least, before + 3, { timeout: LIMIT });
  await startDaemon(t, args, { port: daemon.port });
  await says(page, "live");
  const said = await page.evaluate(() => [.../** @type {any} */ (window).texts]);
  assert.ok(!said.some((text) => /reconnecting|frozen/.test(text)), said.join(", "));
});

test("a host that stopped and lets nobody in without its new code says so, where it said that it has stopped", async (t) => {
  const args = await sessionFile(t, session);
  const daemon = await startDaemon(t, args);
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  await says(page, "live");
  await daemon.stop("SIGTERM");
  await says(page, "the host has stopped");
  await startDaemon(t, [...args, "--viewer-token", "viewer-token-0123456789abcdef0123"], { port: daemon.port });
  await page.locator("#unreachable h2", { hasText: "only those who scan its code" }).waitFor({ timeout: 2 * LIMIT });
  await says(page, "scan the code again");
  assert.equal(await page.locator("#elsewhere").isVisible(), false);
  await reads(page, "#name", "Steady");
});

test("a deleted topic stays deleted, until there is one again", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  await daemon.api("PUT", "/api/topics/other", { ...session, name: "Other" });
  const page = await newPage(t, browser);
  await countDials(page);
  await page.goto(`${daemon.origin}/?topic=other`);
  await says(page, "live");
  await daemon.api("DELETE", "/api/topics/other");
  await says(page, "the host deleted this topic");
  await page.waitForFunction(() => /** @type {any} */ (window).dials >= 3, undefined, { timeout: 60_000 });
  await says(page, "the host deleted this topic");
  await daemon.api("PUT", "/api/topics/other", { ...session, name: "Other again" });
  await reads(page, "#name", "Other again");
  await says(page, "live");
});

test("how old it is comes from the daemon, goes on with the time, and starts over with a change", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const page = await newPage(t, browser);
  await page.clock.install({ time: new Date("1999-12-31T12:00:00Z") });
  // Three minutes at the daemon are three minutes here, though this clock is decades behind; the rest is silence.
  await page.routeWebSocket(/./, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((text) => {
      const frame = JSON.parse(String(text));
      if (frame.type === "hello") socket.send(JSON.stringify({ ...frame, changedMs: 200_000, heartbeatMs: 0 }));
      else if (frame.type !== "heartbeat") socket.send(text);
    });
  });
  await page.goto(daemon.origin);
  await reads(page, "#about", "updated 3 min ago");
  assert.match(String(await page.locator("#about").getAttribute("title")), /1999/);
  await page.clock.runFor(60_000);
  await reads(page, "#about", "updated 4 min ago");
  await says(page, "live");
  await daemon.api("PATCH", "/api/topics/main/config", { speed: 2 });
  await reads(page, "#about", "updated just now");
  await page.clock.runFor(30_000);
  await reads(page, "#about", "updated 30 s ago");
});

test("a source that was attached and has ended is frozen; the state stays", async (t) => {
  const daemon = await startDaemon(t, ["serve", "-"], { piped: true });
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  daemon.pipe(`${JSON.stringify(session)}\n`);
  await reads(page, "#name", "Steady");
  await says(page, "live");
  daemon.pipe(null);
  await page.waitForFunction(() => /^frozen since \d\d:\d\d$/.test(document.querySelector("#connection")?.textContent ?? ""), undefined, { timeout: LIMIT });
  await reads(page, "#detail", "the source ended or broke off");
  await reads(page, "#name", "Steady");
  await daemon.api("PATCH", "/api/topics/main/config", { speed: 2 });
  await says(page, "live");
});

test("a hidden page does not dial; shown again it does, and is live", async (t) => {
  const args = await sessionFile(t, session);
  const daemon = await startDaemon(t, args);
  const page = await newPage(t, browser);
  await page.clock.install();
  await countDials(page);
  await ownVisibility(page);
  await page.goto(daemon.origin);
  await says(page, "live");
  await setHidden(page, true);
  await daemon.stop("SIGKILL");
  await says(page, "reconnecting…");
  const before = await dials(page);
  await startDaemon(t, args, { port: daemon.port });
  // Longer than any gap, in which a visible page would have dialled.
  await page.clock.runFor(60_000);
  assert.equal(await dials(page), before, "dials while hidden");

  await setHidden(page, false);
  await says(page, "live");
  assert.equal(await dials(page), before + 1);
});
