import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { PHONE, launch, newPage, overflow, reads, says } from "./browser.js";
import { sessionFile, startDaemon } from "./daemon.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

const session = { name: "Desk", data: {}, config: { speed: 1, gain: 2 }, metadata: {} };
const config = `
ignore = ["/metadata/ui"]

[fields]
speed = { type = "number", min = 0, max = 5, step = 0.5 }
gain = { type = "number", max = 10 }
`;

/**
 * @param {import("node:test").TestContext} t
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
async function desk(t, options) {
  const daemon = await startDaemon(t, await sessionFile(t, session, config));
  const panel = await newPage(t, browser, options);
  await panel.goto(`${daemon.origin}/host#h=${daemon.hostToken}`);
  await reads(panel, "#name", "Desk");
  return { daemon, panel };
}

/** @param {import("./browser.js").Page} panel @param {string | RegExp} sentence a part of a line's */
const line = (panel, sentence) => panel.locator(".change", { hasText: sentence });

test("the panel says to whom a change was sent", async (t) => {
  const { daemon, panel } = await desk(t);
  await line(panel, "from main.json · sent").waitFor();
  const viewer = await newPage(t, browser);
  await viewer.goto(daemon.origin);
  await says(viewer, "live");
  await panel.getByRole("slider", { name: "speed" }).fill("3.5");
  await line(panel, /speed from this panel · sent to 1 viewer ·/).waitFor();
  await daemon.api("PATCH", "/api/topics/main/config", { gain: 3 });
  await line(panel, /gain from this machine · sent to 1 viewer ·/).waitFor();
  assert.equal(await panel.locator("#no-changes").isVisible(), false);
});

test("the panel says by which rule a change was refused", async (t) => {
  const { daemon, panel } = await desk(t, { viewport: PHONE });
  await assert.rejects(daemon.api("PATCH", "/api/topics/main/config", { speed: 9 }));
  const refused = line(panel, "speed from this machine · refused: speed: expected number from 0 to 5");
  await refused.waitFor();
  assert.equal(await refused.getAttribute("data-verdict"), "refused");
  assert.equal(await overflow(panel), 0);
});

test("the panel says that a change was ignored, or changed nothing", async (t) => {
  const { daemon, panel } = await desk(t);
  await daemon.api("PATCH", "/api/topics/main", { metadata: { ui: { zoom: 2 } } });
  await line(panel, "metadata from this machine · ignored: nothing else differs: /metadata/ui").waitFor();
  await daemon.api("PATCH", "/api/topics/main/config", { gain: 2 });
  await line(panel, "gain from this machine · nothing differs").waitFor();
});

test("each topic has changes of its own", async (t) => {
  const { daemon, panel } = await desk(t);
  await daemon.api("PUT", "/api/topics/other", { name: "Other", data: {}, config: { only: true }, metadata: {} });
  await panel.locator("#topic").selectOption("other");
  await line(panel, "whole session from this machine").waitFor();
  await line(panel, "from main.json").waitFor({ state: "detached" });
});

test("what was asked about a topic that has been left is not shown", async (t) => {
  const { daemon, panel } = await desk(t);
  await daemon.api("PUT", "/api/topics/other", { name: "Other", data: {}, config: { only: true }, metadata: {} });
  await panel.locator("#topic option[value=other]").waitFor({ state: "attached" });
  /** @type {(() => Promise<unknown>)[]} */
  const late = [];
  const asked = new Promise((resolve) => panel.route("**/topics/main/changes", (route) => resolve(late.push(() => route.continue()))));
  await asked;
  await panel.locator("#topic").selectOption("other");
  await line(panel, "whole session from this machine").waitFor();
  const answered = panel.waitForResponse("**/topics/main/changes");
  await Promise.all(late.map((answer) => answer()));
  await (await answered).finished();
  // A later look at the other topic shows that the late answer had its chance.
  await panel.waitForResponse("**/topics/other/changes");
  assert.equal(await line(panel, "from main.json").count(), 0);
});
