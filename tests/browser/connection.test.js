import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { LIMIT, dials, launch, newPage, ownVisibility, reads, countDials, says, setHidden } from "./browser.js";
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
