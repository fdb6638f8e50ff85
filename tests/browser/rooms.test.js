// A list that several people edit: the pages of examples/todo in a real Chromium, and a phone that only watches.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { LIMIT, PHONE, launch, newPage, overflow } from "./browser.js";
import { startDaemon } from "./daemon.js";

/** @typedef {import("./browser.js").Page} Page */
/** @typedef {import("node:test").TestContext} Test */

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

const example = fileURLToPath(new URL("../../examples/todo/", import.meta.url));
const ROWS = "/api/rooms/main/list/todos";

/**
 * @param {Test} test
 * @returns {Promise<string>} a folder that ends with it
 */
async function scratch(test) {
  const folder = await mkdtemp(join(tmpdir(), "onlooker-rooms-"));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The arguments of a daemon with the example's list, and one of its pages. @param {string} site */
const served = (site) => ["serve", "--config", join(example, "onlooker.toml"), "--viewer", join(example, site)];

/** @param {Page} page @param {string} word what the line of the connection begins with */
const states = (page, word) => page.locator("#state", { hasText: new RegExp(`^${word}`) }).waitFor();

/** @param {Test} test @param {string} address @param {import("playwright-core").BrowserContextOptions} [options] */
async function enter(test, address, options) {
  const page = await newPage(test, browser, options);
  await page.goto(address);
  await states(page, "live");
  return page;
}

/** @param {Page} page @param {string} text */
async function add(page, text) {
  await page.getByRole("textbox", { name: "What is to be done?" }).fill(text);
  await page.keyboard.press("Enter");
}

/** @param {Page} page @param {string} text */
const item = (page, text) => page.locator("#list li").filter({ has: page.getByRole("button", { name: text, exact: true }) });

/** @param {Page} page @param {string} from @param {string} to */
async function edit(page, from, to) {
  await page.getByRole("button", { name: from, exact: true }).click();
  await page.getByRole("textbox", { name: "change the text" }).fill(to);
  await page.keyboard.press("Enter");
}

/** @param {Page} page @param {string} text */
async function remove(page, text) {
  await item(page, text).hover();
  await item(page, text).getByRole("button", { name: "delete" }).click();
}

/** Waits until a page shows exactly these texts, all confirmed; one that is done ends with a tick. @param {Page} page @param {string[]} texts */
async function shows(page, texts) {
  await page.waitForFunction((wanted) => {
    const items = [...document.querySelectorAll("#list li")].map((item) => /** @type {HTMLElement} */ (item));
    const shown = items.map((item) => `${item.querySelector(".text")?.textContent}${item.dataset.done === "1" ? " ✓" : ""}`);
    return JSON.stringify(shown) === wanted && items.every((item) => item.dataset.pending === "false");
  }, JSON.stringify(texts), { timeout: LIMIT });
}

/** What the daemon itself has. @param {import("./daemon.js").Daemon} daemon @returns {Promise<string[]>} */
async function table(daemon) {
  const { rows } = await daemon.api("GET", ROWS);
  const sorted = rows.toSorted((/** @type {any[]} */ a, /** @type {any[]} */ b) => (a.at(-3) ?? 0) - (b.at(-3) ?? 0));
  return sorted.map((/** @type {any[]} */ [, text, done]) => text + (done ? " ✓" : ""));
}

/**
 * What people do with a list, on two pages: a laptop's and a phone's.
 * @param {Test} t @param {import("./daemon.js").Daemon} daemon @param {string} [query]
 */
async function twoEdit(t, daemon, query = "") {
  const laptop = await enter(t, `${daemon.origin}/${query}`);
  const phone = await enter(t, `${daemon.origin}/${query}`, { viewport: PHONE, colorScheme: "dark" });
  await add(laptop, "Milk");
  await shows(phone, ["Milk"]);
  await add(phone, "Oranges, the small ones from the corner shop that are only there on Thursdays");
  await add(phone, "Bread");
  await shows(laptop, ["Milk", "Oranges, the small ones from the corner shop that are only there on Thursdays", "Bread"]);
  assert.equal(await overflow(phone), 0);
  await edit(phone, "Oranges, the small ones from the corner shop that are only there on Thursdays", "Oranges");
  await item(laptop, "Milk").getByRole("checkbox").click();
  for (const page of [laptop, phone]) await shows(page, ["Milk ✓", "Oranges", "Bread"]);
  await remove(laptop, "Bread");
  for (const page of [laptop, phone]) await shows(page, ["Milk ✓", "Oranges"]);
  assert.deepEqual(await table(daemon), ["Milk ✓", "Oranges"]);
  return { laptop, phone };
}

/**
 * What happens to a row while somebody edits it.
 * @param {Test} t @param {import("./daemon.js").Daemon} daemon @param {string} [query]
 */
async function editedMeanwhile(t, daemon, query = "?room=meanwhile") {
  const laptop = await enter(t, `${daemon.origin}/${query}`);
  const phone = await enter(t, `${daemon.origin}/${query}`, { viewport: PHONE });
  const begin = (/** @type {string} */ text) => phone.getByRole("button", { name: text, exact: true }).click();
  await add(laptop, "Milk");
  await shows(phone, ["Milk"]);
  await begin("Milk");
  await edit(laptop, "Milk", "Oat milk");
  assert.ok(await laptop.getByRole("button", { name: "Oat milk" }).evaluate((button) => button === document.activeElement), "the focus is back on the row");
  await add(laptop, "Bread");
  await item(phone, "Bread").waitFor();
  await phone.keyboard.press("Enter");
  await item(phone, "Bread").getByRole("checkbox").click();
  for (const page of [laptop, phone]) await shows(page, ["Oat milk", "Bread ✓"]);

  await begin("Oat milk");
  await phone.getByRole("textbox", { name: "change the text" }).fill("Soy milk");
  await remove(laptop, "Oat milk");
  await phone.locator("#fault", { hasText: "“Oat milk” was deleted meanwhile" }).waitFor();
  assert.equal(await phone.getByRole("textbox", { name: "What is to be done?" }).inputValue(), "Soy milk");
  await phone.getByRole("button", { name: "Add" }).click();
  for (const page of [laptop, phone]) await shows(page, ["Bread ✓", "Soy milk"]);
}

/** Rooms that cannot be: the page says so, whole, and leads out. @param {Test} t @param {import("./daemon.js").Daemon} daemon */
async function noSuchRoom(t, daemon) {
  const page = await newPage(t, browser, { viewport: PHONE });
  for (const room of ["a/b", "a?b", "a#b", `no/${"long".repeat(40)}`]) {
    await page.goto(`${daemon.origin}/?room=${encodeURIComponent(room)}`);
    await states(page, "refused: ");
    assert.ok(await page.getByRole("button", { name: "Add" }).isDisabled());
    assert.equal(await overflow(page), 0);
  }
  await page.getByRole("link", { name: "Open another list" }).click();
  await states(page, "live");
  const lost = await newPage(t, browser);
  await lost.goto(`${daemon.origin}/#t=%`);
  await states(lost, "this address cannot be used: ");
  await lost.getByRole("link", { name: "Open another list" }).click();
  await states(lost, "live");
}

test("an edit writes only what was typed, and what was typed outlives its row", async (t) => editedMeanwhile(t, await startDaemon(t, served("plain"))));

test("a room that cannot be is refused in words", async (t) => {
  const daemon = await startDaemon(t, served("plain"));
  await noSuchRoom(t, daemon);
});

test("two pages edit one list, without a build; what is deleted all at once is gone on both", async (t) => {
  const daemon = await startDaemon(t, served("plain"));
  const { laptop, phone } = await twoEdit(t, daemon);
  await laptop.locator("#count", { hasText: "1 open · 1 done" }).waitFor();
  laptop.once("dialog", (dialog) => dialog.accept());
  await laptop.getByRole("button", { name: "Delete all" }).click();
  for (const page of [laptop, phone]) await page.getByText("Nothing to do.").waitFor();
  assert.deepEqual(await table(daemon), []);
});

test("a daemon that is killed: what is done meanwhile waits, and everybody ends with its table", async (t) => {
  const args = [...served("plain"), "--store", join(await scratch(t), "list.db")];
  const daemon = await startDaemon(t, args);
  const { laptop, phone } = await twoEdit(t, daemon);
  await daemon.stop("SIGKILL");
  for (const page of [laptop, phone]) await states(page, "offline");
  await add(laptop, "Candles");
  await edit(phone, "Oranges", "Lemons");
  await item(laptop, "Candles").waitFor();
  const again = await startDaemon(t, args, { port: daemon.port });
  for (const page of [laptop, phone]) {
    await states(page, "live");
    await shows(page, ["Milk ✓", "Lemons", "Candles"]);
  }
  assert.deepEqual(await table(again), ["Milk ✓", "Lemons", "Candles"]);
});

test("a daemon without a store forgets, and so do the pages", async (t) => {
  const daemon = await startDaemon(t, served("plain"));
  const { laptop, phone } = await twoEdit(t, daemon);
  await daemon.stop("SIGKILL");
  await states(phone, "offline");
  await startDaemon(t, served("plain"), { port: daemon.port });
  for (const page of [laptop, phone]) await page.getByText("Nothing to do.").waitFor();
});

test("what is refused is rolled back and says why", async (t) => {
  const folder = await scratch(t);
  const config = await readFile(join(example, "onlooker.toml"), "utf8");
  await writeFile(join(folder, "onlooker.toml"), config.replace('writers = "viewers"', 'writers = "host"'));
  const daemon = await startDaemon(t, ["serve", "--config", join(folder, "onlooker.toml"), "--viewer", join(example, "plain")]);
  const host = await enter(t, `${daemon.origin}/#h=${daemon.hostToken}`);
  const viewer = await enter(t, daemon.origin);
  await add(host, "Milk");
  await shows(viewer, ["Milk"]);
  await remove(viewer, "Milk");
  await viewer.locator("#fault", { hasText: /^That was not deleted: .*host/ }).waitFor();
  await shows(viewer, ["Milk"]);
  await shows(host, ["Milk"]);
});

test("who may not watch is told so", async (t) => {
  const token = "a-viewer-token-of-a-test-0123456789";
  const daemon = await startDaemon(t, [...served("plain"), "--viewer-token", token]);
  const stranger = await newPage(t, browser);
  await stranger.goto(`${daemon.origin}/#t=wrong`);
  await states(stranger, "refused: .*token");
  const guest = await enter(t, `${daemon.origin}/#t=${token}`);
  await add(guest, "Milk");
  await shows(guest, ["Milk"]);
});

test("a phone with the built-in page sees the list", async (t) => {
  const plain = served("plain");
  const daemon = await startDaemon(t, plain.slice(0, plain.indexOf("--viewer")));
  await daemon.api("POST", `${ROWS}/actions`, { type: "create", payload: { id: "a", text: "Milk", completed: 0 } });
  const phone = await newPage(t, browser, { viewport: PHONE });
  await phone.goto(`${daemon.origin}/?topic=main.list`);
  await phone.getByText("Milk").first().waitFor();
  await daemon.api("POST", `${ROWS}/actions`, { type: "update", payload: { id: "a", text: "Oat milk" } });
  await phone.getByText("Oat milk").first().waitFor();
});

test("with React: over onlooker's hook and over partysync's wire, in one list", { skip: !existsSync(join(example, "node_modules")) && "npm install in examples/todo first" }, async (t) => {
  const site = join(await scratch(t), "dist");
  await promisify(execFile)("npm", ["run", "build", "--", "--outDir", site, "--logLevel", "error"], { cwd: example });
  for (const query of ["", "?with=partysync"])
    await t.test(query || "ours", async (t) => {
      const args = ["serve", "--config", join(example, "onlooker.toml"), "--viewer", site, "--store", join(await scratch(t), "list.db")];
      const daemon = await startDaemon(t, args);
      if (!query) await noSuchRoom(t, daemon);
      await editedMeanwhile(t, daemon, `?room=meanwhile${query.replace("?", "&")}`);
      const { laptop, phone } = await twoEdit(t, daemon, query);
      const other = await enter(t, `${daemon.origin}/${query ? "" : "?with=partysync"}`);
      await shows(other, ["Milk ✓", "Oranges"]);
      await daemon.stop("SIGKILL");
      for (const page of [laptop, phone, other]) await states(page, "offline");
      await edit(phone, "Oranges", "Lemons");
      const again = await startDaemon(t, args, { port: daemon.port });
      for (const page of [laptop, phone, other]) {
        await states(page, "live");
        await shows(page, ["Milk ✓", "Lemons"]);
      }
      await remove(other, "Lemons");
      for (const page of [laptop, phone]) await shows(page, ["Milk ✓"]);
      assert.deepEqual(await table(again), ["Milk ✓"]);
    });
});
