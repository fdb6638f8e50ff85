// A bucket and a subject into which somebody else writes: daemons say what is wrong, and go on.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { it } from "node:test";

import { startMembers } from "./daemon.js";
import { startServer } from "./servers.js";
import { untilAnswered } from "./until.js";

/**
 * Whoever may write to the server.
 * @param {import("node:test").TestContext} test
 * @param {import("./servers.js").NatsServer} server
 */
async function stranger(test, server) {
  const socket = connect(server.port, "127.0.0.1");
  test.after(() => socket.destroy());
  await once(socket, "data");
  socket.write('CONNECT {"verbose":false}\r\n');
  return (/** @type {string} */ subject, /** @type {string} */ text) => socket.write(`PUB ${subject} ${Buffer.byteLength(text)}\r\n${text}\r\n`);
}

const session = { name: "Main", data: 1, config: { a: 1 }, metadata: {} };
/** @param {number} revision @param {object} [more] */
const record = (revision, more = {}) => JSON.stringify({ onlooker: 1, revision, structural: revision, recent: [], origins: {}, session, ...more });

it("what cannot be read is named, left as it is, and the last good state stays", async (t) => {
  const server = await startServer(t);
  const members = await startMembers(t, [server.url], { count: 2 });
  const [one, other] = members;
  const say = await stranger(t, server);
  for (const [topic, text, why] of [
    ["garbage", "garbage", /cannot be read, and is left as it is: expected value/],
    ["newer", record(1_800_000_000_000_000, { onlooker: 2 }), /its format is 2, and this program reads 1/],
    ["clock", record(2 ** 53 - 1), /a wrong clock has made its revision 9007199254740991/],
  ]) {
    await one.must("PUT", `/api/topics/${topic}`, session);
    await untilAnswered("the other one has it", async () => (await other.ask("GET", `/api/topics/${topic}`)).status === 200);
    say(`$KV.proof.${topic}`, String(text));
    await untilAnswered("writes are refused", async () => {
      const { status, json } = await other.ask("PUT", `/api/topics/${topic}`, { body: { ...session, data: 2 } });
      if (status !== 503) return false;
      assert.match(json.detail, /** @type {RegExp} */ (why));
      return true;
    });
    assert.deepEqual((await one.must("GET", `/api/topics/${topic}`)).json.data, session);
  }
});

it("daemons that somebody makes up have a limit, and what is no message is none", async (t) => {
  const server = await startServer(t);
  const [one] = await startMembers(t, [server.url], { count: 1 });
  const say = await stranger(t, server);
  const subject = "onlooker.proof.daemons";
  say(subject, "garbage");
  say(subject, JSON.stringify({ kind: "daemon", id: "loud", url: "", viewers: 1, version: "x".repeat(1000) }));
  for (let id = 0; id < 2_000; id++) say(subject, JSON.stringify({ kind: "daemon", id: `made-up-${id}`, url: "", viewers: Number.MAX_SAFE_INTEGER, version: "" }));
  const daemons = async () => (await one.must("GET", "/api/status")).json.cluster.daemons;
  await untilAnswered("they are listed", async () => (await daemons()).length > 1);
  say(subject, JSON.stringify({ kind: "left", id: "made-up-0" }));
  await untilAnswered("all were heard", async () => !(await daemons()).some((/** @type {any} */ { id }) => id === "made-up-0"));
  const listed = await daemons();
  assert.ok(listed.length <= 1_001, String(listed.length));
  assert.ok(!listed.some((/** @type {any} */ { id }) => id === "loud"));
  await one.must("PUT", "/api/topics/main", session);
});
