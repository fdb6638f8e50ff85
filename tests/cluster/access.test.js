// Sizes that do not fit, and credentials.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { credentials } from "./creds.js";
import { startMembers } from "./daemon.js";
import { startServer, temporaryFolder } from "./servers.js";
import { untilAnswered } from "./until.js";

const PATH = "/api/topics/main";
const SECRET = "secret-of-the-cluster-0123456789";

/** @param {string} value */
const session = (value) => ({ name: "Access", data: null, config: { value }, metadata: {} });

test("what does not fit into a message of the server is 413, names the setting, and is not half written", async (t) => {
  const server = await startServer(t, { more: "max_payload: 65536" });
  const members = await startMembers(t, [server.url], { count: 2 });
  await members[0].must("PUT", PATH, session("small"));
  const large = await members[0].ask("PUT", PATH, { body: { ...session("large"), data: "x".repeat(1_000_000) } });
  if (large.status === 413) {
    assert.match(large.json.detail, /max_payload/);
  } else assert.equal(large.status, 200, large.text);
  const expected = large.status === 413 ? "small" : "large";
  for (const member of members) {
    await untilAnswered(`${member.name} shows ${expected}`, async () => (await member.must("GET", PATH)).json.data.config.value === expected);
  }
  await members[1].must("PUT", `${PATH}/config/value`, { value: "after" });
  const [newcomer] = await startMembers(t, [server.url], { count: 1 });
  for (const member of [...members, newcomer]) {
    await untilAnswered(`${member.name} shows what came after`, async () => (await member.must("GET", PATH)).json.data.config.value === "after");
  }
});

/** @type {[string, string, (url: string) => string][]} */
const WAYS = [
  ["a user and a password", `authorization { user: ada, password: "${SECRET}" }`, (url) => url.replace("nats://", `nats://ada:${SECRET}@`)],
  ["a token", `authorization { token: "${SECRET}" }`, (url) => url.replace("nats://", `nats://${SECRET}@`)],
];

/**
 * A daemon that is let in, and never says with what.
 * @param {import("node:test").TestContext} t
 * @param {{ lines: string, args?: string[], url?: (url: string) => string, secrets: string[] }} way
 */
async function letIn(t, { lines, args = [], url = (/** @type {string} */ url) => url, secrets }) {
  const server = await startServer(t, { more: lines });
  const [member] = await startMembers(t, [url(server.url)], { count: 1, args: ["-vv", ...args] });
  await member.must("PUT", PATH, session("in"));
  await server.stop("SIGKILL");
  await untilAnswered("it has noticed", async () => (await member.ask("GET", "/readyz")).status === 503);
  const answers = [await member.ask("GET", "/api/status"), await member.ask("PUT", PATH, { body: session("no") }), await member.ask("GET", "/readyz"), await member.ask("GET", "/metrics")];
  assert.notEqual(member.log, "");
  for (const text of [...answers.map(({ text }) => text), member.log]) for (const secret of secrets) assert.ok(!text.includes(secret), text);
}

for (const [what, lines, url] of WAYS) {
  test(`${what} in the address let a daemon in, and are nowhere in its log or its answers`, (t) => letIn(t, { lines, url, secrets: [SECRET] }));
}

test("so does a file of credentials", async (t) => {
  const { lines, file, secrets } = credentials();
  const path = join(await temporaryFolder(t), "host.creds");
  await writeFile(path, file, { mode: 0o600 });
  await letIn(t, { lines, args: ["--nats-creds", path], secrets });
});

test("a wrong password is said, at the start or while it runs, without the password", async (t) => {
  const server = await startServer(t, { more: `authorization { user: ada, password: "right-0123456789" }` });
  const wrong = server.url.replace("nats://", `nats://ada:${SECRET}@`);
  try {
    const [member] = await startMembers(t, [wrong], { count: 1, args: ["-v"], join: false });
    await untilAnswered(() => `the log says why: ${member.log}`, () => /authori[sz]ation|credentials|password/i.test(member.log));
    assert.ok(!member.log.includes(SECRET), member.log);
    assert.equal((await member.ask("GET", "/readyz")).status, 503);
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    // The first line is the command of this test.
    const said = message.split("\n").slice(1).join("\n");
    assert.match(said, /authori[sz]ation|credentials|password/i);
    assert.ok(!said.includes(SECRET), said);
  }
});
