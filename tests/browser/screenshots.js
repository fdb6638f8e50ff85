// Takes the pictures under docs/images: `npm run screenshots`, with the daemon built.

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { launch, reads, says } from "./browser.js";
import { run, sessionFile, startDaemon } from "./daemon.js";

const images = fileURLToPath(new URL("../../docs/images/", import.meta.url));

const path = Array.from({ length: 120 }, (_, i) => ({ x: round(Math.cos(i / 9) * i), y: round(Math.sin(i / 9) * i) }));
const histogram = Array.from({ length: 96 }, (_, i) => round(100 * Math.exp(-(((i - 30) / 14) ** 2)) + 46 * Math.exp(-(((i - 68) / 9) ** 2))));

const harbour = {
  name: "Harbour at night",
  data: {
    camera: { model: "K-20", iso: 400, shutter: "1/8", stabilised: true },
    histogram,
    drift: path,
    shots: Array.from({ length: 40 }, (_, i) => ({ id: i + 1, title: `Pier ${1 + (i % 7)}`, exposure: round(0.5 + i * 0.1), kept: i % 3 === 0 })),
  },
  config: { exposure: 2.5, contrast: 0.4, mode: "calm", tint: "#2dd4bf", recording: true, caption: "Pier 4, looking west" },
  metadata: {},
};

const fields = `
[fields]
exposure = { type = "number", min = 0, max = 5, step = 0.1 }
contrast = { type = "number", min = 0, max = 1, step = 0.05 }
mode = { type = "string", options = ["calm", "vivid"] }
tint = "string"
recording = "boolean"
caption = "string"
`;

/** @param {number} value */
function round(value) {
  return Math.round(value * 100) / 100;
}

/** @param {import("./browser.js").Browser} browser @param {string} url @param {import("playwright-core").BrowserContextOptions} options */
async function open(browser, url, options) {
  const page = await (await browser.newContext(options)).newPage();
  await page.goto(url);
  await says(page, "live");
  return page;
}

/** @param {import("./browser.js").Page} page @param {string} name */
async function take(page, name) {
  // Pictures are of what stays: no fading highlight, no half-turned sign.
  await page.waitForFunction(() => document.getAnimations().every((animation) => animation instanceof CSSAnimation || animation.playState === "finished"));
  await page.screenshot({ path: `${images}${name}`, animations: "disabled" });
}

await run(async (script) => {
  await mkdir(images, { recursive: true });
  const browser = await launch();
  script.after(() => browser.close());

  const daemon = await startDaemon(script, await sessionFile(script, harbour, fields));
  const viewer = await open(browser, daemon.origin, { viewport: { width: 1120, height: 840 } });
  const phone = await open(browser, daemon.origin, {
    viewport: { width: 390, height: 844 },
    colorScheme: "dark",
    userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
  });
  for (let i = 1; i <= 24; i += 1) {
    const exposure = round(2.5 + 1.4 * Math.sin(i / 3));
    await daemon.api("PATCH", "/api/topics/main/config", { exposure, contrast: round(0.5 + 0.015 * i * Math.cos(i)) });
    await reads(viewer, "#config li:first-child .tile-text", String(exposure));
  }
  await take(viewer, "viewer.png");
  await take(phone, "viewer-phone.png");
  const panel = await open(browser, `${daemon.origin}/host#h=${daemon.hostToken}`, { viewport: { width: 1120, height: 1320 } });
  await panel.locator(".viewer", { hasText: "iPhone" }).waitFor();
  await panel.waitForFunction(() => /** @type {HTMLImageElement} */ (document.querySelector("#qr")).naturalWidth > 0);
  await panel.locator(".change").first().waitFor();
  await take(panel, "host.png");

  const wave = await startDaemon(script, ["demo"]);
  const demo = await open(browser, wave.origin, { viewport: { width: 880, height: 550 } });
  await wave.api("PATCH", "/api/topics/main/config", { speed: 1.5, amplitude: 0.8 });
  await reads(demo, "#amplitude", "0.8");
  await demo.waitForFunction(() => Number(document.documentElement.dataset.phase) > 0.6);
  await take(demo, "demo.png");
});
