// How long people wait at the viewer page, as a Markdown table: `bench/run pages`. Tests assert no times, machines are busy.

import { once } from "node:events";
import { connect } from "node:net";

import { firstState, launch, newPage, ownVisibility, says, setHidden, tile } from "./browser.js";
import { bigSession, run, sessionFile, startDaemon } from "./daemon.js";

/** @typedef {import("node:test").TestContext} Script */
/** @typedef {import("./browser.js").Page} Page */

const session = { name: "Harbour", data: { histogram: [1, 5, 9, 4, 2] }, config: { speed: 1 }, metadata: {} };

/** @param {string} what @param {number[]} times */
function row(what, times) {
  const sorted = times.toSorted((a, b) => a - b);
  console.log(`| ${what} | ${Math.round(sorted[times.length >> 1])} | ${Math.round(sorted[times.length - 1])} | ${times.length} |`);
}

/** @param {number} rounds @param {() => Promise<number>} measure */
async function times(rounds, measure) {
  const all = [];
  for (let round = 0; round < rounds; round += 1) all.push(await measure());
  return all;
}

/** @param {Page} page @param {string} url */
async function visit(page, url) {
  await page.goto(url);
  return firstState(page);
}

/** @param {Script} script @param {number} port requests that never end */
async function strangers(script, port) {
  for (let i = 0; i < 200; i += 1) {
    const socket = connect(port, "127.0.0.1");
    script.after(() => socket.destroy());
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ");
  }
}

/** Keeps when the connection line last said what. @param {Page} page */
async function recordSentences(page) {
  await page.addInitScript(() => {
    /** @type {Record<string, number>} */
    const said = {};
    Object.assign(window, { said });
    addEventListener("DOMContentLoaded", () => {
      const line = /** @type {HTMLElement} */ (document.querySelector("#connection"));
      new MutationObserver(() => void (said[line.textContent] = Date.now())).observe(line, { childList: true, characterData: true, subtree: true });
    });
  });
}

/** @param {Page} page @param {string} sentence when it said so */
async function saidAt(page, sentence) {
  await says(page, sentence);
  return page.evaluate((text) => /** @type {any} */ (window).said[text], sentence);
}

/** @param {Script} script @param {import("./browser.js").Browser} browser */
async function paint(script, browser) {
  const daemon = await startDaemon(script, await sessionFile(script, session));
  const page = await newPage(script, browser);
  row("until the first state is painted", await times(15, () => visit(page, daemon.origin)));
  await strangers(script, daemon.port);
  row("the same, behind 200 requests that never end", await times(15, () => visit(page, daemon.origin)));
}

/** @param {Script} script @param {import("./browser.js").Browser} browser */
async function edit(script, browser) {
  const daemon = await startDaemon(script, [...(await sessionFile(script, bigSession())), "--debounce", "0ms"]);
  const page = await newPage(script, browser);
  await visit(page, daemon.origin);
  await page.evaluate(() => {
    Object.assign(window, { tasks: [] });
    new PerformanceObserver((list) => /** @type {any} */ (window).tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask" });
  });
  let speed = 1;
  row("one field of a 5 MB session: the longest task (0: none of 50 ms)", await times(9, async () => {
    speed += 1;
    await daemon.api("PATCH", "/api/topics/main/config", { speed });
    await tile(page, "speed").locator(".tile-text", { hasText: String(speed) }).waitFor();
    return page.evaluate(() => Math.max(0, .../** @type {any} */ (window).tasks.splice(0)));
  }));
}

/** @param {Script} script @param {import("./browser.js").Browser} browser */
async function comeBack(script, browser) {
  const args = await sessionFile(script, session);
  const page = await newPage(script, browser);
  await recordSentences(page);
  await ownVisibility(page);
  let daemon = await startDaemon(script, args);
  /** @type {number[]} */
  const back = [];
  const lost = await times(5, async () => {
    await page.goto(daemon.origin);
    await says(page, "live");
    await setHidden(page, true);
    const killed = Date.now();
    await daemon.stop("SIGKILL");
    const noticed = (await saidAt(page, "reconnecting…")) - killed;
    daemon = await startDaemon(script, args, { port: daemon.port });
    const shown = Date.now();
    await setHidden(page, false);
    back.push((await saidAt(page, "live")) - shown);
    return noticed;
  });
  row("until a killed daemon is noticed", lost);
  row("until a hidden page that is shown again is live, with the daemon back", back);
}

await run(async (script) => {
  const browser = await launch();
  script.after(() => browser.close());
  console.log("\n### The viewer page in Chromium: milliseconds\n");
  console.log("| what | p50 | worst | of |\n| --- | ---: | ---: | ---: |");
  await paint(script, browser);
  await edit(script, browser);
  await comeBack(script, browser);
});
