// One Chromium for a test file; a context, and so a fresh profile, for each test.

import { chromium } from "playwright-core";

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** How long a condition may take to come true before a test fails; generous, since machines are busy. */
export const LIMIT = 30_000;

export const PHONE = { width: 390, height: 844 };

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {import("playwright-core").Browser} Browser */

/** @returns {Promise<Browser>} */
export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });
}

/**
 * A page in a profile of its own, which fails its test when it throws or breaks the policy it was sent with.
 * @param {import("node:test").TestContext} test
 * @param {Browser} browser
 * @param {import("playwright-core").BrowserContextOptions} [options]
 * @returns {Promise<Page>}
 */
export async function newPage(test, browser, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  /** @type {string[]} */
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) faults.push(message.text());
  });
  test.after(async () => {
    await context.close();
    if (faults.length > 0) throw new Error(`the page complained:\n${faults.join("\n")}`);
  });
  return page;
}

/** @param {Page} page @param {string} sentence what the connection line says */
export async function says(page, sentence) {
  await page.locator("#connection", { hasText: sentence }).waitFor();
}

/** @param {Page} page @param {string} selector @param {string} text exactly */
export async function reads(page, selector, text) {
  await page.waitForFunction(([where, what]) => document.querySelector(where)?.textContent === what, [selector, text], { timeout: LIMIT });
}

/** @param {Page} page the value in the tile of this field @param {string} field */
export function tile(page, field) {
  return page.locator("#config > li", { has: page.locator(".tile-name", { hasText: new RegExp(`^${field}$`) }) });
}

/**
 * Counts the sockets that are made, before any script of the page runs.
 * @param {Page} page
 */
export async function countDials(page) {
  await page.addInitScript(() => {
    const Real = WebSocket;
    Object.assign(window, { dials: 0 });
    window.WebSocket = class extends Real {
      /** @param {string | URL} url @param {string | string[]} [protocols] */
      constructor(url, protocols) {
        /** @type {any} */ (window).dials += 1;
        super(url, protocols);
      }
    };
  });
}

/** @param {Page} page @returns {Promise<number>} */
export function dials(page) {
  return page.evaluate(() => /** @type {any} */ (window).dials);
}

/**
 * Lets a test decide whether the page is visible: headless tabs always are.
 * @param {Page} page
 */
export async function ownVisibility(page) {
  await page.addInitScript(() => {
    let hidden = false;
    Object.defineProperty(document, "hidden", { get: () => hidden });
    Object.defineProperty(document, "visibilityState", { get: () => (hidden ? "hidden" : "visible") });
    Object.assign(window, {
      /** @param {boolean} next */
      setHidden(next) {
        hidden = next;
        document.dispatchEvent(new Event("visibilitychange"));
      },
    });
  });
}

/** @param {Page} page @param {boolean} hidden */
export async function setHidden(page, hidden) {
  await page.evaluate((next) => /** @type {any} */ (window).setHidden(next), hidden);
}

/**
 * How far things have moved without anybody touching them since the page was opened.
 * @param {Page} page
 */
export async function recordShifts(page) {
  await page.addInitScript(() => {
    Object.assign(window, { shifts: 0 });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) /** @type {any} */ (window).shifts += /** @type {any} */ (entry).value;
    }).observe({ type: "layout-shift", buffered: true });
  });
}

/** @param {Page} page @returns {Promise<number>} how many ms after its navigation the viewer page had painted the first state */
export async function firstState(page) {
  const mark = await page.waitForFunction(() => performance.getEntriesByName("onlooker-first-state")[0]?.startTime, undefined, { timeout: LIMIT });
  return mark.jsonValue();
}

/**
 * Keeps every text that an element ever shows, from the next load of the page on.
 * @param {Page} page
 * @param {string} selector
 */
export async function recordTexts(page, selector) {
  await page.addInitScript((where) => {
    /** @type {Set<string>} */
    const texts = new Set();
    Object.assign(window, { texts });
    const look = () => void texts.add(document.querySelector(where)?.textContent ?? "");
    new MutationObserver(look).observe(document, { childList: true, characterData: true, subtree: true });
  }, selector);
}

/** Waits until the element has shown so many more different texts than by now. @param {Page} page @param {number} count */
export async function moves(page, count) {
  const before = await page.evaluate(() => /** @type {any} */ (window).texts.size);
  await page.waitForFunction((most) => /** @type {any} */ (window).texts.size >= most, before + count, { timeout: LIMIT });
}

/** @param {Page} page how many pixels it is wider than the screen */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}
