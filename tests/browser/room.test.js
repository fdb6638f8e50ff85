// Who is in the room, and what it sees while things move.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { LIMIT, PHONE, launch, moves, newPage, reads, recordTexts, says } from "./browser.js";
import { sessionFile, startDaemon } from "./daemon.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

const session = { name: "Room", data: { a: 1 }, config: { speed: 1 }, metadata: {} };
const fields = `
[fields]
speed = { type = "number", min = 0, max = 5, step = 0.01 }
`;

const SPEED = "#config li .tile-text";

/** @param {import("./daemon.js").Daemon} daemon @returns {Promise<any[]>} */
const viewers = (daemon) => daemon.api("GET", "/api/viewers");

/** Waits until so many viewers are listed. @param {import("./daemon.js").Daemon} daemon @param {number} count */
async function listed(daemon, count) {
  const signal = AbortSignal.timeout(LIMIT);
  while ((await viewers(daemon)).length !== count) {
    signal.throwIfAborted();
    await new Promise((soon) => setTimeout(soon, 20));
  }
}

/**
 * A daemon with a session, its page and its panel.
 * @param {import("node:test").TestContext} t
 * @param {(page: import("./browser.js").Page) => Promise<void>} [prepare] what the page needs before it is opened
 */
async function room(t, prepare) {
  const daemon = await startDaemon(t, await sessionFile(t, session, fields));
  const page = await newPage(t, browser, { viewport: PHONE });
  await prepare?.(page);
  await page.goto(daemon.origin);
  await says(page, "live");
  const panel = await newPage(t, browser);
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  const slider = panel.getByRole("slider", { name: "speed" });
  await slider.waitFor();
  return { daemon, page, panel, slider };
}

test("a stream from a pipe is seen moving, at the defaults", async (t) => {
  const daemon = await startDaemon(t, ["serve", "-"], { piped: true });
  const page = await newPage(t, browser);
  await recordTexts(page, SPEED);
  let speed = 0;
  const stream = setInterval(() => daemon.pipe(`${JSON.stringify({ ...session, config: { speed: (speed += 1) } })}\n`), 100);
  t.after(() => clearInterval(stream));
  await page.goto(daemon.origin);
  await says(page, "live");
  // The stream does not pause before these have been seen.
  await moves(page, 4);
});

test("a slider that is dragged is seen moving before it is let go", async (t) => {
  const { page, panel, slider } = await room(t, (page) => recordTexts(page, SPEED));
  /** @type {number[]} */
  const writes = [];
  panel.on("request", (request) => request.method() === "PUT" && writes.push(request.postDataJSON().value));
  const box = await slider.boundingBox();
  assert.ok(box);
  const at = (/** @type {number} */ part) => panel.mouse.move(box.x + 20 + part * (box.width - 40), box.y + box.height / 2);
  await at(0.2);
  await panel.mouse.down();
  const seen = moves(page, 4);
  // A hand that moves for four seconds.
  for (let step = 0; step < 80; step += 1) {
    await at(0.2 + (0.6 * step) / 80);
    await new Promise((next) => setTimeout(next, 50));
  }
  await seen;
  await panel.mouse.up();
  const shown = await slider.inputValue();
  await reads(page, SPEED, String(Number(shown)));
  assert.equal(writes.at(-1), Number(shown), "the last value is written, always");
  assert.deepEqual(writes, writes.toSorted((a, b) => a - b), "in the order in which they were chosen");
});

test("a panel that is left with a slider still moving writes its last value", async (t) => {
  const { page, panel, slider } = await room(t);
  // On two connections at once, the first value and the last could overtake each other: the first one has arrived.
  const written = panel.waitForResponse((answer) => answer.request().method() === "PUT");
  await slider.evaluate((input) => {
    const answered = new Promise((resolve) => {
      const real = fetch;
      window.fetch = async (...what) => {
        const answer = await real(...what);
        setTimeout(resolve);
        return answer;
      };
    });
    const move = (/** @type {string} */ speed) => {
      /** @type {HTMLInputElement} */ (input).value = speed;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    };
    move("2");
    answered.then(() => {
      move("3");
      move("4");
      location.assign("about:blank");
    });
  });
  await written;
  await reads(page, SPEED, "4");
});

test("a topic that is left with a slider still moving gets its last value, and the next topic does not", async (t) => {
  const { daemon, page, panel, slider } = await room(t);
  await daemon.api("PUT", "/api/topics/other", { ...session, name: "Other" });
  await panel.locator("#topic option[value=other]").waitFor({ state: "attached" });
  // In one turn of the page: what waits for its time has not been written yet.
  await panel.evaluate(() => {
    const [slider, topic] = ["[data-field=speed] input", "#topic"].map((where) => /** @type {HTMLInputElement} */ (document.querySelector(where)));
    for (const speed of ["2", "3", "4"]) {
      slider.value = speed;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }
    topic.value = "other";
    topic.dispatchEvent(new Event("change"));
  });
  await reads(page, SPEED, "4");
  await slider.waitFor();
  await reads(panel, "#name", "Other");
  assert.equal((await daemon.api("GET", "/api/topics/other/config/speed")).value, 1);
});

test("a host panel is not counted, and a reloaded phone is one viewer", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const panel = await newPage(t, browser);
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  await says(panel, "live");
  await panel.locator("#nobody").waitFor();
  const phone = await newPage(t, browser, { viewport: PHONE });
  await phone.goto(daemon.origin);
  await says(phone, "live");
  assert.equal((await daemon.api("GET", "/api/status")).clientCount, 1);
  for (let turn = 0; turn < 5; turn += 1) {
    await phone.reload();
    await says(phone, "live");
    assert.equal((await viewers(daemon)).length, 1, `after reload ${turn + 1}`);
  }
  await reads(panel, "#viewer-count", "1");
});

test("a tab that was duplicated: both are live, and stay apart when they are reloaded", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const first = await newPage(t, browser);
  await first.goto(daemon.origin);
  await says(first, "live");
  const opened = first.waitForEvent("popup");
  // A window that a page opens begins with a copy of what its tab keeps, as a duplicated tab does.
  await first.evaluate(() => void window.open(location.href));
  const second = await opened;
  const ids = () => Promise.all([first, second].map((page) => page.evaluate(() => sessionStorage.getItem("onlooker.viewer-id"))));
  await says(second, "live");
  await listed(daemon, 2);
  await says(first, "live");
  const [one, other] = await ids();
  assert.ok(one && other && one !== other);
  for (const page of [first, second]) {
    await page.reload();
    await says(page, "live");
  }
  await listed(daemon, 2);
  assert.deepEqual(await ids(), [one, other]);
});

test("frozen by the host, viewers keep what they see; let go, they see what is true", async (t) => {
  const { daemon, page, panel } = await room(t);
  await panel.getByRole("button", { name: "Freeze" }).click();
  await panel.getByRole("button", { name: "Let go" }).waitFor();
  await daemon.api("PATCH", "/api/topics/main/config", { speed: 4 });
  await says(page, "paused by the host");
  assert.equal(await page.locator(SPEED).textContent(), "1");
  assert.equal(await page.locator("#content").getAttribute("data-stale"), "false");
  await panel.getByRole("button", { name: "Let go" }).click();
  await reads(page, SPEED, "4");
  await says(page, "live");
  await panel.getByRole("button", { name: "Freeze" }).waitFor();
});
