import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { PHONE, launch, newPage, overflow, reads, says } from "./browser.js";
import { startDaemon } from "./daemon.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

/** @param {import("./browser.js").Page} page */
function builds(page) {
  return page.evaluate(() => Number(document.documentElement.dataset.sceneBuilds));
}

test("a field edit retunes the running wave; a data edit builds it anew, once", async (t) => {
  const daemon = await startDaemon(t, ["demo"]);
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  await says(page, "live");
  await reads(page, "#name", "Wave");
  assert.equal(await builds(page), 1);

  // The greatest step of the phase between two frames: a restarted animation would jump back.
  await page.evaluate(() => {
    const seen = { least: Infinity, frames: 0 };
    Object.assign(window, { seen });
    let before = Number(document.documentElement.dataset.phase);
    const look = () => {
      const phase = Number(document.documentElement.dataset.phase);
      seen.least = Math.min(seen.least, phase - before);
      seen.frames += 1;
      before = phase;
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await daemon.api("PATCH", "/api/topics/main/config", { speed: 2.5 });
  await reads(page, "#speed", "2.5");
  await daemon.api("PUT", "/api/topics/main/config/amplitude", { value: 0.3 });
  await reads(page, "#amplitude", "0.3");
  assert.equal(await builds(page), 1, "field edits build nothing");

  await daemon.api("PATCH", "/api/topics/main", { data: { shape: "triangle" } });
  await reads(page, "#shape", "triangle");
  assert.equal(await builds(page), 2, "a data edit builds once");
  const seen = await page.evaluate(() => /** @type {any} */ (window).seen);
  assert.ok(seen.frames > 5, "the wave is running");
  assert.ok(seen.least >= 0, `the wave jumped back by ${seen.least}`);
});

test("a slider of the host panel moves the demo on another page", async (t) => {
  const daemon = await startDaemon(t, ["demo"]);
  const demo = await newPage(t, browser, { viewport: PHONE });
  const panel = await newPage(t, browser);
  await demo.goto(daemon.origin);
  await reads(demo, "#speed", "1");
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  const slider = panel.getByRole("slider", { name: "speed" });
  await slider.focus();
  await panel.keyboard.press("End");
  await reads(demo, "#speed", String(Number(await slider.getAttribute("max"))));
  assert.equal(await builds(demo), 1);
  await panel.getByRole("switch", { name: "paused" }).click();
  await reads(demo, "#speed", "paused");
  assert.equal(await overflow(demo), 0);
});
