import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";

import { PHONE, launch, newPage, overflow, reads } from "./browser.js";
import { program, startDaemon } from "./daemon.js";

/** @type {import("./browser.js").Browser} */
let browser;
before(async () => void (browser = await launch()));
after(() => browser.close());

const AGENT = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
const TOKEN = "viewer-token-of-the-check";
const CHECKS = ["request", "upgrade", "first frame", "round trip", "clock", "wake lock", "secure context", "local network", "data saver"];

/**
 * A doctor that waits for a phone.
 * @param {import("node:test").TestContext} t
 * @param {NodeJS.ProcessEnv} [env]
 */
async function startDoctor(t, env = {}) {
  const args = ["doctor", "--port", "0", "--bind", "127.0.0.1", "--json", "--wait", "2m"];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  t.after(() => child.kill("SIGKILL"));
  const document = text(child.stdout);
  const ended = once(child, "exit");
  let told = "";
  const link = await new Promise((resolve, reject) => {
    child.stderr.on("data", (chunk) => {
      told += chunk;
      const found = /http:\S+\/check/.exec(told);
      if (found) resolve(found[0]);
    });
    ended.then(() => reject(new Error(told)));
  });
  return { link, told: () => told, end: async () => ({ code: (await ended)[0], report: JSON.parse(await document) }) };
}

/** @param {import("./browser.js").Page} page @param {string} where @returns {Promise<Record<string, string | undefined>[]>} */
function shown(page, where) {
  return page.evaluate((id) => {
    const lines = [.../** @type {HTMLElement} */ (document.getElementById(id)).querySelectorAll("li")];
    return lines.map((line) => ({ check: line.dataset.check, verdict: line.dataset.verdict, found: line.querySelector(".line-found")?.textContent ?? undefined }));
  }, where);
}

/** @param {import("./browser.js").Page} page */
async function concluded(page) {
  await page.waitForFunction(() => document.querySelector("#verdict")?.getAttribute("data-verdict") !== "running");
}

const bare = (/** @type {any[]} */ lines) => lines.map(({ check, verdict, found }) => ({ check, verdict, found }));

test("the doctor's report is the same at both ends", async (t) => {
  const doctor = await startDoctor(t);
  const page = await newPage(t, browser, { viewport: PHONE, userAgent: AGENT });
  await page.goto(doctor.link);
  await page.locator("#host li").first().waitFor();
  const host = await shown(page, "host");
  await concluded(page);
  const phone = await shown(page, "phone");

  const { code, report } = await doctor.end();
  assert.equal(code, 3, "it listens on loopback only");
  assert.equal(report.verdict, "wrong");
  assert.deepEqual(bare(report.host), host);
  assert.equal(report.phones.length, 1);
  const [{ device, lines, done }] = report.phones;
  assert.equal(device, "iPhone · Safari");
  assert.equal(done, true);
  assert.deepEqual(bare(lines), phone);
  assert.deepEqual(phone.map((line) => line.check), CHECKS);
  assert.equal(phone.filter((line) => line.verdict === "wrong").length, 0, JSON.stringify(phone));
  for (const { check, found } of phone) assert.ok(doctor.told().includes(`${check} `) && doctor.told().includes(String(found)), `${check} in ${doctor.told()}`);
  assert.equal(await overflow(page), 0);
});

test("a doctor with a viewer token takes only the reports of those who have it", async (t) => {
  const doctor = await startDoctor(t, { ONLOOKER_VIEWER_TOKEN: TOKEN });
  assert.ok(!doctor.told().includes(TOKEN), "a token in a log file");
  const stranger = await newPage(t, browser);
  await stranger.goto(doctor.link);
  await reads(stranger, "#verdict", "One thing is wrong");
  const lines = await shown(stranger, "phone");
  assert.deepEqual(lines[1], { check: "upgrade", verdict: "wrong", found: "the host wants a token, which this address does not carry" });
  assert.equal(await stranger.locator("#host-section").isHidden(), true);

  const guest = await newPage(t, browser);
  await guest.goto(`${doctor.link}#t=${TOKEN}`);
  const { report } = await doctor.end();
  assert.equal(report.phones.length, 1, "the guest's");
  assert.equal(report.phones[0].lines.find((/** @type {any} */ line) => line.check === "upgrade").verdict, "good");
});

test("a phone that cannot open a socket is told of at both ends", async (t) => {
  const doctor = await startDoctor(t);
  const page = await newPage(t, browser);
  await page.addInitScript(() => {
    window.WebSocket = /** @type {any} */ (class extends EventTarget {
      constructor() {
        super();
        setTimeout(() => this.onclose?.({ code: 1006 }));
      }
      /** @type {((event: { code: number }) => void) | undefined} */
      onclose;
      close() {}
    });
  });
  await page.goto(doctor.link);
  await reads(page, "#verdict", "One thing is wrong");
  const { code, report } = await doctor.end();
  assert.equal(code, 3);
  const wrong = report.phones[0].lines.filter((/** @type {any} */ line) => line.verdict === "wrong");
  assert.deepEqual(wrong.map((/** @type {any} */ line) => line.check), ["upgrade"]);
  assert.ok(wrong[0].wayOut.includes("--tls-cert"));
  assert.match(doctor.told(), /error: in the way of phones: address, upgrade \(.*\)$/m);
});

test("an ordinary daemon has the phone's half", async (t) => {
  const daemon = await startDaemon(t, ["serve"]);
  const page = await newPage(t, browser, { viewport: PHONE });
  /** @type {string[]} */
  const posts = [];
  page.on("request", (request) => void (request.method() === "POST" && posts.push(request.url())));
  await page.goto(`${daemon.origin}/check`);
  await concluded(page);
  const empty = await shown(page, "phone");
  assert.deepEqual(empty[2], { check: "first frame", verdict: "good", found: "nothing shown yet: the host has written nothing" });

  await daemon.api("PUT", "/api/topics/main", { name: "<b>Demo</b>", data: [1] });
  await page.click("#again");
  await page.locator("#phone li[data-check='first frame']", { hasText: "<b>Demo</b>," }).waitFor();
  await concluded(page);
  assert.deepEqual(posts, []);
  assert.equal(await page.locator("#host-section").isHidden(), true);
  await page.click("#open");
  await reads(page, "#name", "<b>Demo</b>");
});

test("with a viewer token, the link's is shown; a wrong one and another topic are named", async (t) => {
  const daemon = await startDaemon(t, ["serve", "--viewer-token", TOKEN]);
  const found = async (/** @type {string} */ rest) => {
    const page = await newPage(t, browser);
    await page.goto(`${daemon.origin}/check${rest}`);
    await concluded(page);
    return (await shown(page, "phone"))[1].found;
  };
  assert.equal(await found(`#t=${TOKEN}`), "the WebSocket opens");
  assert.equal(await found(""), "the host wants a token, which this address does not carry");
  assert.equal(await found("#t=wrong-and-long-enough"), "the host does not accept this link's token");
  assert.equal(await found(`?topic=none#t=${TOKEN}`), 'the host has no topic "none" yet');
});
