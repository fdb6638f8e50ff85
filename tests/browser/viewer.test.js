import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";

import { PHONE, firstState, launch, newPage, overflow, reads, recordShifts, says, tile } from "./browser.js";
import { bigSession, sessionFile, startDaemon } from "./daemon.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

/** @type {import("./daemon.js").Session} */
const session = {
  name: "Harbour",
  data: {
    camera: { model: "K-20", iso: 400 },
    histogram: [1, 5, 9, 4, 2],
    path: [{ x: 0, y: 0 }, { x: 1, y: 2 }, { x: 3, y: -1 }],
    shots: [{ id: 1, kept: true }, { id: 2, kept: false }],
    picture: "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
  },
  config: { speed: 1.5, on: true, tint: "#2dd4bf", mode: "calm", note: "Pier 4" },
  metadata: { author: "studio" },
};

const fields = `
[fields]
speed = { type = "number", min = 0, max = 5, step = 0.1 }
on = "boolean"
tint = "string"
mode = { type = "string", options = ["calm", "vivid"] }
note = "string"
`;

test("the page shows the session, each thing as what it is", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session, fields));
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  await says(page, "live");
  await reads(page, "#name", "Harbour");
  assert.equal(await page.title(), "Harbour");
  assert.equal(await tile(page, "speed").locator(".tile-text").textContent(), "1.5");
  assert.equal(await tile(page, "speed").locator("svg.sparkline").count(), 1);
  assert.equal(await tile(page, "on").locator(".switch").getAttribute("data-on"), "true");
  assert.equal(await tile(page, "tint").locator(".swatch").evaluate((swatch) => swatch.style.backgroundColor), "rgb(45, 212, 191)");
  await tile(page, "mode").locator(".choices li[data-chosen=true]", { hasText: "calm" }).waitFor({ state: "attached" });
  assert.equal(await page.getByRole("img", { name: "line chart of 5 points, from 1 to 9" }).count(), 1);
  assert.equal(await page.getByRole("img", { name: "line chart of 3 points, from -1 to 2" }).count(), 1);
  assert.deepEqual(await page.locator("#data th[scope=col]").allTextContents(), ["#", "id", "kept"]);
  assert.equal(await page.locator("#data .image img").evaluate((image) => /** @type {HTMLImageElement} */ (image).src), session.data.picture);
  assert.match(String(await page.locator("#data").textContent()), /model.*K-20/);
});

test("folding and unfolding works with the keyboard, and survives changes", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  const camera = page.locator("#data summary", { hasText: "camera" });
  await camera.press("Enter");
  await page.locator("#data details:not([open]) > summary", { hasText: "camera" }).waitFor();
  await daemon.api("PATCH", "/api/topics/main", { data: { camera: { iso: 800 } } });
  await page.locator("#data details:not([open]) > summary", { hasText: "camera" }).waitFor();
  await camera.press("Enter");
  await page.locator("#data .value", { hasText: /^800$/ }).waitFor();
});

test("a field edit changes its number, and moves nothing", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session, fields));
  const page = await newPage(t, browser, { viewport: PHONE });
  await recordShifts(page);
  await page.goto(daemon.origin);
  await reads(page, "#name", "Harbour");
  await page.waitForFunction(() => document.querySelector(".choices"));
  const before = await page.evaluate(() => /** @type {any} */ (window).shifts);
  for (const speed of [0.1, 4.25, 3.333333333, 5]) {
    await daemon.api("PATCH", "/api/topics/main/config", { speed, on: speed > 1, note: "n".repeat(Math.round(speed * 40)), mode: speed > 1 ? "vivid" : "calm" });
    await tile(page, "speed").locator(".tile-text", { hasText: String(Number(speed.toPrecision(7))) }).waitFor();
  }
  const shifts = await page.evaluate(() => /** @type {any} */ (window).shifts);
  assert.equal(shifts, before, "layout shifts while values changed");
  assert.ok(shifts < 0.1, `layout shift of ${shifts} while loading`);
});

test("a name with markup in it is shown as text, and so is everything else", async (t) => {
  const evil = "<img src=x onerror=alert(1)>";
  const nasty = { name: evil, data: { [evil]: evil, rows: [{ [evil]: evil }, { [evil]: evil }] }, config: { [evil]: evil, other: evil }, metadata: { [evil]: evil } };
  const daemon = await startDaemon(t, await sessionFile(t, nasty));
  for (const path of ["/", `/host#h=${daemon.hostToken}`]) {
    const page = await newPage(t, browser);
    page.on("dialog", () => assert.fail("a script of the host's data ran"));
    await page.goto(daemon.origin + path);
    await reads(page, "#name", evil);
    await page.waitForFunction((text) => document.title.includes(text), evil);
    assert.equal(await page.locator('img[src="x"]').count(), 0);
  }
});

test("nothing is wider than a phone", async (t) => {
  const wide = { ...session, name: "Donaudampfschifffahrtsgesellschaftskapitän".repeat(3), data: { ...session.data, ["k".repeat(200)]: "v".repeat(5000), shots: [Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`column number ${i}`, i])), {a: 1}] } };
  const daemon = await startDaemon(t, await sessionFile(t, wide, fields));
  for (const path of ["/", `/host#h=${daemon.hostToken}`]) {
    const page = await newPage(t, browser, { viewport: PHONE, isMobile: true });
    await page.goto(daemon.origin + path);
    await reads(page, "#name", wide.name);
    assert.equal(await page.evaluate(() => innerWidth), PHONE.width, "the page zoomed out to fit");
    assert.equal(await overflow(page), 0, `${path} scrolls sideways`);
  }
});

test("a session of 5 MB stays smooth", async (t) => {
  const big = bigSession();
  assert.ok(JSON.stringify(big).length > 4_000_000);
  const daemon = await startDaemon(t, await sessionFile(t, big));
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  await reads(page, "#name", "Big");
  const elements = await page.evaluate(() => document.querySelectorAll("*").length);
  assert.ok(elements < 2_000, `${elements} elements for what is on the screen`);
  await page.locator("#data summary", { hasText: "rows" }).first().click();
  await page.locator("#data summary", { hasText: "10000 … 19999" }).first().click();
  await page.locator("#data summary", { hasText: "12300 … 12399" }).first().click();
  await page.locator("#data summary", { hasText: /^12345/ }).first().waitFor();
  // A change of one field must not cost what the whole session costs.
  await page.evaluate(() => {
    const rebuilt = { times: 0 };
    Object.assign(window, { rebuilt });
    const tree = /** @type {HTMLElement} */ (document.querySelector("#data"));
    new MutationObserver((records) => (rebuilt.times += records.length)).observe(tree, { childList: true, characterData: true, subtree: true });
  });
  await daemon.api("PATCH", "/api/topics/main/config", { speed: 2 });
  await tile(page, "speed").locator(".tile-text", { hasText: "2" }).waitFor();
  assert.equal(await page.evaluate(() => /** @type {any} */ (window).rebuilt.times), 0, "a field edit rebuilt what shows the data");
});

test("the viewer token travels in the fragment, and without it the page says what is missing", async (t) => {
  const daemon = await startDaemon(t, [...(await sessionFile(t, session)), "--viewer-token", "viewer-token-0123456789abcdef0123"]);
  const barred = await newPage(t, browser);
  await barred.goto(daemon.origin);
  await barred.locator("#unreachable", { hasText: "requires a token" }).waitFor();
  const page = await newPage(t, browser);
  /** @type {string[]} */
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(`${daemon.origin}/#t=viewer-token-0123456789abcdef0123`);
  await says(page, "live");
  await reads(page, "#name", "Harbour");
  assert.ok(!asked.some((url) => new URL(url).search.includes("viewer-token")));
});

test("the page's topic is honoured", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  await daemon.api("PUT", "/api/topics/other", { name: "The other one", data: {}, config: {}, metadata: {} });
  const page = await newPage(t, browser);
  await page.goto(`${daemon.origin}/?topic=other`);
  await reads(page, "#name", "The other one");
});

test("where no host answers, the page asks for an address and goes there", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const page = await newPage(t, browser);
  // The same page from some other place: its files, but no onlooker behind it.
  await page.routeWebSocket(/elsewhere\.localhost/, (socket) => socket.close());
  await page.route(/elsewhere\.localhost/, async (route) => {
    const path = new URL(route.request().url()).pathname;
    if (path === "/healthz") return route.abort();
    const answer = await fetch(daemon.origin + path);
    return route.fulfill({ status: answer.status, contentType: answer.headers.get("content-type") ?? "", body: await answer.text() });
  });
  await page.goto("http://elsewhere.localhost/");
  await page.locator("#elsewhere").waitFor();
  await page.locator("#unreachable h2", { hasText: "Nothing answers at elsewhere.localhost" }).waitFor();
  assert.equal(await page.locator("#port").inputValue(), "9876");
  await page.locator("#elsewhere button").click();
  assert.equal(await page.locator("#host:invalid").count(), 1, "an address is required");
  await page.locator("#host").fill("127.0.0.1");
  await page.locator("#port").fill("port");
  assert.equal(await page.locator("#port:invalid").count(), 1, "the port is a number");
  await page.locator("#port").fill(String(daemon.port));
  await page.locator("#elsewhere button").click();
  await page.waitForURL(`${daemon.origin}/`);
  await reads(page, "#name", "Harbour");
});

test("where only the live connection fails, the page says so", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const page = await newPage(t, browser);
  await page.routeWebSocket(/./, (socket) => socket.close());
  await page.goto(daemon.origin);
  await page.locator("#unreachable h2", { hasText: "the live connection does not" }).waitFor();
  await page.locator('.tried li[data-ok="true"]', { hasText: "A plain request" }).waitFor();
  await page.locator('.tried li[data-ok="false"]', { hasText: "WebSocket" }).waitFor();
});

test("where there is no such topic, the page offers those that exist", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const page = await newPage(t, browser);
  await page.goto(`${daemon.origin}/?topic=nowhere`);
  await page.locator("#unreachable h2", { hasText: "no such topic" }).waitFor();
  await page.locator("#unreachable .links a", { hasText: "main" }).click();
  await says(page, "live");
  assert.equal(await page.locator("#unreachable").isVisible(), false);
});

test("where there is no room, the page says so, and connects once there is", async (t) => {
  const daemon = await startDaemon(t, [...(await sessionFile(t, session)), "--max-viewers", "1"]);
  const first = await newPage(t, browser);
  await first.goto(daemon.origin);
  await says(first, "live");
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  await page.locator("#unreachable", { hasText: "--max-viewers" }).waitFor();
  await first.close();
  await says(page, "live");
});

test("a page whose host is gone for long keeps what it shows, and says below it what to try", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const page = await newPage(t, browser);
  await page.goto(daemon.origin);
  await reads(page, "#name", "Harbour");
  await firstState(page);
  const before = await page.locator("#content").boundingBox();
  await daemon.stop("SIGKILL");
  await page.locator("#unreachable h2", { hasText: "Nothing answers" }).waitFor();
  await reads(page, "#name", "Harbour");
  assert.deepEqual(await page.locator("#content").boundingBox(), before, "what it shows has moved");
});

test("a copy of the page opened from a disk leads to the host", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session));
  const page = await newPage(t, browser);
  await page.goto(new URL("../../client/pages/viewer.html", import.meta.url).href);
  await page.locator("#host").fill("127.0.0.1");
  await page.locator("#port").fill(String(daemon.port));
  await page.locator("#elsewhere button").click();
  await page.waitForURL(`${daemon.origin}/`);
  await reads(page, "#name", "Harbour");
});

test("the page is light, and marks when it has painted the first state", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session, fields));
  /** @type {Map<string, number>} */
  const weights = new Map();
  const page = await newPage(t, browser);
  page.on("response", async (response) => {
    if (!response.url().includes("/api/") && response.ok()) weights.set(new URL(response.url()).pathname, gzipSync(await response.body()).length);
  });
  await page.goto(daemon.origin, { waitUntil: "networkidle" });
  assert.ok(await firstState(page));
  assert.equal(await page.locator("#name").textContent(), "Harbour");
  const weight = [...weights.values()].reduce((sum, each) => sum + each, 0);
  t.diagnostic(`viewer page: ${weight} bytes gzipped in ${weights.size} files`);
  assert.ok(weight < 60_000, `${weight} bytes gzipped`);
});
