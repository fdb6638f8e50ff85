import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { LIMIT, dials, launch, newPage, ownVisibility, reads, recordDials, says, setHidden } from "./browser.js";
import { sessionFile, startDaemon } from "./daemon.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

const session = { name: "Steady", data: { a: 1 }, config: { speed: 1 }, metadata: {} };

test("a killed daemon: reconnecting within two seconds, ever longer gaps, and live again with the state", async (t) => {
  const args = await sessionFile(t, session);
  const daemon = await startDaemon(t, args);
  const page = await newPage(t, browser);
  await recordDials(page);
  await page.goto(daemon.origin);
  await says(page, "live");
  await reads(page, "#name", "Steady");

  const killedAt = Date.now();
  await daemon.stop("SIGKILL");
  await says(page, "reconnecting…");
  assert.ok(Date.now() - killedAt < 2_000, `noticed after ${Date.now() - killedAt} ms`);
  assert.equal(await page.locator("#content").getAttribute("data-stale"), "true");
  assert.equal(await page.locator("#name").textContent(), "Steady", "the last state stays readable");

  await page.waitForFunction(() => /** @type {any} */ (window).dials.length >= 5, undefined, { timeout: 60_000 });
  const times = (await dials(page)).slice(1);
  const gaps = times.slice(1).map((time, i) => time - times[i]);
  t.diagnostic(`gaps between attempts: ${gaps.map(Math.round).join(", ")} ms`);
  // Steps of 2 s × 1.5ⁿ, each spread over the way from the step before; timers may be a little early or late.
  gaps.forEach((gap, i) => {
    const step = 2_000 * 1.5 ** (i + 1);
    assert.ok(gap > (step * 2) / 3 - 100 && gap < step + 1_500, `gap ${i} is ${gap} ms`);
  });

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

test("a hidden page does not dial; shown again it is live within a second", async (t) => {
  const args = await sessionFile(t, session);
  const daemon = await startDaemon(t, args);
  const page = await newPage(t, browser);
  await recordDials(page);
  await ownVisibility(page);
  await page.goto(daemon.origin);
  await says(page, "live");
  await setHidden(page, true);
  await daemon.stop("SIGKILL");
  await says(page, "reconnecting…");
  const before = (await dials(page)).length;
  await startDaemon(t, args, { port: daemon.port });
  // Longer than the first gap can be, in which a visible page would have dialled.
  await page.waitForFunction((from) => performance.now() - from > 4_000, await page.evaluate(() => performance.now()), { timeout: LIMIT });
  assert.equal((await dials(page)).length, before, "dials while hidden");

  const took = await page.evaluate(() => {
    const from = performance.now();
    const line = /** @type {HTMLElement} */ (document.querySelector("#connection"));
    const live = new Promise((resolve) => {
      new MutationObserver(() => line.textContent === "live" && resolve(performance.now() - from)).observe(line, { childList: true, characterData: true, subtree: true });
    });
    /** @type {any} */ (window).setHidden(false);
    return live;
  });
  t.diagnostic(`live again after ${Math.round(Number(took))} ms`);
  assert.ok(Number(took) < 1_000, `live after ${took} ms`);
});
