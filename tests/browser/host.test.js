import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { PHONE, launch, newPage, overflow, reads, says, tile } from "./browser.js";
import { sessionFile, startDaemon } from "./daemon.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

const session = { name: "Desk", data: { a: 1 }, config: { speed: 1, gain: 2, mode: "calm", on: false, note: "hello", tint: "#2dd4bf" }, metadata: {} };
const fields = `
[fields]
speed = { type = "number", min = 0, max = 5, step = 0.5, label = "Speed of it" }
gain = { type = "number", max = 10 }
mode = { type = "string", options = ["calm", "vivid"] }
on = "boolean"
note = "string"
tint = "string"
`;

/** @param {import("node:test").TestContext} t */
async function desk(t) {
  const daemon = await startDaemon(t, await sessionFile(t, session, fields));
  const panel = await newPage(t, browser);
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  await reads(panel, "#name", "Desk");
  await panel.locator(".control").first().waitFor();
  return { daemon, panel };
}

test("the panel asks for the host token, and keeps it out of the address bar", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session, fields));
  const page = await newPage(t, browser);
  await page.goto(`${daemon.origin}/host`);
  await page.locator("#token").fill("not-the-token");
  await page.locator("#token-form button").click();
  await page.locator("#token-problem:not(:empty)").waitFor();
  assert.equal(await page.locator("#panel").isVisible(), false);
  await page.locator("#token").fill(daemon.hostToken);
  await page.locator("#token-form button").click();
  await page.locator("#panel").waitFor();

  const linked = await newPage(t, browser);
  await linked.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  await linked.locator("#panel").waitFor();
  assert.equal(linked.url(), `${daemon.origin}/host`);
  await linked.reload();
  await linked.locator("#panel").waitFor();
});

test("every kind of control moves a viewer's page", async (t) => {
  const { daemon, panel } = await desk(t);
  const viewer = await newPage(t, browser);
  await viewer.goto(daemon.origin);
  await reads(viewer, "#name", "Desk");
  const shows = (/** @type {string} */ name, /** @type {string} */ text) => tile(viewer, name).locator(".tile-text", { hasText: text }).waitFor();

  await panel.getByRole("slider", { name: "Speed of it" }).fill("3.5");
  await shows("Speed of it", "3.5");
  await panel.getByLabel("gain").fill("7");
  await panel.getByLabel("gain").press("Enter");
  await shows("gain", "7");
  await panel.getByLabel("mode").selectOption("vivid");
  await shows("mode", "vivid");
  await panel.getByRole("switch", { name: "on" }).click();
  await shows("on", "on");
  await panel.getByLabel("note").fill("bye");
  await panel.getByLabel("note").press("Enter");
  await shows("note", "bye");
  await panel.locator('[data-field="tint"] input[type="color"]').fill("#ff8800");
  await shows("tint", "#ff8800");
  await panel.locator("#last-write", { hasText: "tint by this panel" }).waitFor();
});

test("a refused write says why beside its control, and the true value comes back", async (t) => {
  const { panel } = await desk(t);
  const gain = panel.getByLabel("gain");
  await gain.evaluate((input) => input.removeAttribute("max"));
  await gain.fill("99");
  await gain.press("Enter");
  await panel.locator('[data-field="gain"] .problem:not(:empty)').waitFor();
  assert.equal(await gain.inputValue(), "2");
  await gain.fill("3");
  await gain.press("Enter");
  await panel.locator('[data-field="gain"] .problem:empty').waitFor({ state: "attached" });
});

test("what others write shows on the panel, with their name", async (t) => {
  const { daemon, panel } = await desk(t);
  await fetch(`${daemon.origin}/api/topics/main/config`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${daemon.hostToken}`, "content-type": "application/json", "onlooker-source-id": "lighting-desk" },
    body: JSON.stringify({ speed: 4.5 }),
  });
  await panel.waitForFunction(() => /** @type {HTMLInputElement} */ (document.querySelector('[data-field="speed"] input')).value === "4.5");
  await panel.locator("#last-write", { hasText: "speed by lighting-desk" }).waitFor();
});

test("the panel lists the viewers and can send one away", async (t) => {
  const { daemon, panel } = await desk(t);
  const phone = await newPage(t, browser, {
    viewport: PHONE,
    userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
  });
  await phone.goto(daemon.origin);
  await says(phone, "live");
  const entry = panel.locator(".viewer", { hasText: "iPhone" });
  await entry.waitFor();
  await entry.locator(".state", { hasText: "up to date" }).waitFor();
  assert.match(String(await entry.textContent()), /127\.0\.0\.1/);
  await entry.getByRole("button", { name: /^Disconnect/ }).click();
  await says(phone, "disconnected by the host");
  await entry.waitFor({ state: "detached" });
});

test("where the host is gone, the panel is out of use and asks nothing, until it is back", async (t) => {
  const args = await sessionFile(t, session, fields);
  const daemon = await startDaemon(t, args);
  const panel = await newPage(t, browser);
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  await says(panel, "live");
  await panel.locator('#panel[data-stale="false"]').waitFor();
  await daemon.stop("SIGTERM");
  await panel.locator('#panel[data-stale="true"][inert]').waitFor();
  await startDaemon(t, args, { port: daemon.port });
  await panel.locator('#panel[data-stale="false"]:not([inert])').waitFor();
  await panel.getByRole("button", { name: "Freeze" }).click();
  await panel.getByRole("button", { name: "Let go" }).waitFor();
});

test("everything can be sent again", async (t) => {
  const { daemon, panel } = await desk(t);
  const viewer = await newPage(t, browser);
  await viewer.goto(daemon.origin);
  await says(viewer, "live");
  await panel.locator("#resend").click();
  await panel.locator("#resent", { hasText: /sent to \d+ viewer/ }).waitFor();
});

test("the code fills a projector's screen, and its address is readable", async (t) => {
  const { panel } = await desk(t);
  await panel.waitForFunction(() => /** @type {HTMLImageElement} */ (document.querySelector("#qr")).naturalWidth > 0);
  await panel.locator("#enlarge").click();
  const code = await panel.locator("#projector-qr").boundingBox();
  assert.ok(code && code.height > 400, `the code is ${code?.height} pixels high`);
  assert.match(String(await panel.locator("#projector-address").textContent()), /:\d+$/);
  await panel.locator("#projector button").click();
  await panel.locator("#projector").waitFor({ state: "hidden" });
});

test("where the host has several addresses, the next one is a click away; code and link follow", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session, fields));
  const panel = await newPage(t, browser);
  const urls = ["http://192.168.1.20:9876/", "http://10.0.0.7:9876/"];
  const answer = async (/** @type {import("playwright-core").Route} */ route) => {
    const status = await daemon.api("GET", "/api/status");
    return route.fulfill({ json: { ...status, urls } });
  };
  await panel.route("**/api/status", answer);
  await panel.route("**/api/next-address", (route) => (urls.reverse(), answer(route)));
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  await reads(panel, "#address", "192.168.1.20:9876");
  const code = panel.waitForRequest("**/qr.svg");
  await panel.getByRole("button", { name: "Next address" }).click();
  await reads(panel, "#address", "10.0.0.7:9876");
  await code;
  // Changed elsewhere, such as with a key in the terminal, it follows too.
  urls.reverse();
  await reads(panel, "#address", "192.168.1.20:9876");
});

test("the daemons of a cluster are listed, and a lost NATS is said", async (t) => {
  const daemon = await startDaemon(t, await sessionFile(t, session, fields));
  const panel = await newPage(t, browser);
  const daemons = [
    { id: "a", url: "http://192.168.1.20:9876/", viewers: 2, version: "0.1.0" },
    { id: "b", url: "http://192.168.1.21:9876/", viewers: 1, version: "0.1.0" },
  ];
  /** @type {object | undefined} */
  let cluster;
  await panel.route("**/api/status", async (route) => {
    const status = await daemon.api("GET", "/api/status");
    return route.fulfill({ json: { ...status, cluster } });
  });
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  await reads(panel, "#name", "Desk");
  assert.equal(await panel.locator("#cluster-card").isVisible(), false);

  cluster = { state: "connected", server: "n1 (nats-server 2.15.1)", sinceMs: 1795226400123, daemons };
  await reads(panel, "#daemon-count", "2");
  await reads(panel, "#cluster-sum", "3 viewers in all · NATS at n1 (nats-server 2.15.1)");
  const entries = panel.locator("#daemons li");
  assert.match(await entries.nth(0).innerText(), /192\.168\.1\.20:9876[^]*this one[^]*2 viewers/);
  assert.match(await entries.nth(1).innerText(), /192\.168\.1\.21:9876[^]*1 viewer\b/);

  cluster = { state: "lost", sinceMs: 1795226400123, error: "connection refused", daemons: daemons.slice(0, 1) };
  await panel.locator("#cluster-problem", { hasText: /NATS is lost since .*\(connection refused\): nothing can be written/ }).waitFor();
  await reads(panel, "#daemon-count", "1");
  await reads(panel, "#cluster-sum", "");
  assert.equal(await overflow(panel), 0);
});

test("with one address there is no next one", async (t) => {
  const { panel } = await desk(t);
  await panel.locator("#viewer-count", { hasText: "0" }).waitFor();
  assert.equal(await panel.locator("#next-address").isVisible(), false);
});

test("topics can be picked", async (t) => {
  const { daemon, panel } = await desk(t);
  await daemon.api("PUT", "/api/topics/other", { name: "The other one", data: {}, config: { only: true }, metadata: {} });
  await panel.locator("#topic").selectOption("other");
  await reads(panel, "#name", "The other one");
  assert.equal(await overflow(panel), 0);
});

test("the panel begins with the topic that the code leads to, session or not", async (t) => {
  const daemon = await startDaemon(t, ["serve", "--topic", "scene"]);
  await daemon.api("PUT", "/api/topics/main", { name: "The main one", data: {}, config: {}, metadata: {} });
  const panel = await newPage(t, browser);
  const dialled = panel.waitForEvent("websocket");
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  assert.equal(new URL((await dialled).url()).searchParams.get("topic"), "scene");
  await panel.locator("#address", { hasText: /:\d+$/ }).waitFor();
  assert.equal(await panel.locator("#topic").inputValue(), "scene");
  await daemon.api("PUT", "/api/topics/scene", { name: "The scene", data: {}, config: {}, metadata: {} });
  await reads(panel, "#name", "The scene");

  await panel.locator("#topic").selectOption("main");
  await reads(panel, "#name", "The main one");
  await panel.locator("#address", { hasText: /:\d+\/\?topic=main$/ }).waitFor();
});
