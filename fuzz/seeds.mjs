// Inputs to begin with, from the frames of the tests, the documents and the examples.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";

const root = new URL("..", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");

/** @param {string} target @param {(string | Buffer)[]} texts */
function seeds(target, texts) {
  const folder = new URL(`corpus/${target}/`, import.meta.url);
  mkdirSync(folder, { recursive: true });
  texts.forEach((text, number) => writeFileSync(new URL(`seed-${number}`, folder), text));
}

/** @param {string} text one byte a letter */
const bytes = (text) => Buffer.from(text, "latin1");

const frames = readdirSync(new URL("tests/frames", root)).map((name) => JSON.parse(read(`tests/frames/${name}`)));
const told = frames.map((frame) => frame.text).filter((text) => typeof text === "string");
const hosts = frames.filter((frame) => frame.direction === "from-host").map((frame) => frame.text);
const examples = [...read("docs/protocol.md").matchAll(/^```json\n(.*?)^```/gms)].flatMap((block) => block[1].trim().split("\n"));
const defaults = read("config/onlooker.toml");
const settings = defaults.replace(/^# (?=\w+ = |\[fields)/gm, "");

const files = [
  "a: &a [1.50, {b: 'c'}]\nd: [*a, *a]\ne: |\n  text\n  more\nf: >-\n  text\n? g\n: !!str 0x1f\n",
  "%YAML 1.2\n---\n- 007\n- .5e3\n- ~\n- !!float '1'\n...\n",
  '{ // a comment\n  "a": [1, 2, /* and */ ],\n}',
  'name;score\r\n"O""Neil";1,5\r\n\r\nAda;\r\n',
  "name,score\nAda,1.50\n",
  '{"a":1}\n\n{"data":{},"config":{"speed":1}}\n{"a"',
];
seeds("document", [...told, ...examples, ...files, read("examples/wave.json"), settings]);
seeds("host", [...hosts, hosts.join("\n"), bytes(`${hosts[0]}\n\0\x81\x80\0\0\0\0\x88\x80\0\0\0\0`)]);
seeds("config", [defaults, settings, `${settings}\0port=0\nhost_token=secret-0123\0qr=none\nignore=/metadata\nignore=/data/ui`]);
const head = (lines) => ["GET /?topic=main HTTP/1.1", "Host: localhost:9876", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
  "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", ...lines].join("\n");
const offers = ["permessage-deflate", "permessage-deflate; client_max_window_bits", 'x, permessage-deflate; server_max_window_bits="15"; client_no_context_takeover'];
seeds("upgrade", offers.map((offer) => head([`Sec-WebSocket-Extensions: ${offer}`])));
const session = hosts.map((text) => JSON.parse(text)).find((message) => message.type === "session_update").payload;
const line = (topic) => JSON.stringify({ topic, revision: "1795226400123456", session,
  origins: { speed: { revision: 1795226400123456, sourceId: "panel", deviceId: 7, localRevision: 3 } } });
const row = JSON.stringify({ room: "main/lobby", channel: "todos",
  row: { id: "a", text: "milk", created_at: 1795226400123, updated_at: 1795226400456, deleted_at: null } });
const start = JSON.stringify(session);
const op = (op, path, more) => JSON.stringify([{ op, path, ...more }]);
seeds("patch", [
  `{"data":["${"y".repeat(1000)}"]}\n60${op("copy", "/data/-", { from: "/data" })}`,
  `${start}\n130${op("copy", "/data/x", { from: "/data" })}\n${op("remove", "/data/x")}`,
  `{"data":[[],[1,2,3]]}\n200${op("add", "/data/1/0", { value: 0 })}\n99${op("move", "/data/0", { from: "/data/1/0" })}`,
  `${start}\n${op("test", "/config/speed", { value: 1 })}\n${op("replace", "/config/speed", { value: 2 })}`,
  `${start}\n${op("add", "/config/new", { value: { "a/b": "\u0001" } })}\n${op("replace", "", { value: session })}`,
  `${start}\n{"config":{"speed":null,"new":{"a":[null]}},"data":null}\n{"name":null,"metadata":{"by":{"x":1}}}\n{"metadata":{"by":{"x":null}}}`,
]);
const acts = (channel, ...actions) => actions.map((action, id) => JSON.stringify({ id, channel, rpc: true, action })).join("\n");
const columns = { a: true, b: 4.5, c: [1] };
const given = (channel, ...rows) => `>${JSON.stringify({ type: "rows", channel, rows })}`;
seeds("room", [
  ...frames.filter((frame) => /^from-(person|room-host)$/.test(frame.direction)).map((frame) => frame.text),
  acts("words", { type: "create", payload: { id: "x", ...columns } }, { type: "create", payload: columns },
    { type: "update", payload: { id: "\u0078", b: 1 } }, { type: "delete", payload: { id: "x" } }, { type: "delete-all" }),
  acts("numbers", { type: "create", payload: { id: 7, ...columns } }, { type: "update", payload: { id: 7.0, a: 0 } }, { type: "drop" }),
  [given("numbers", [1, 1, 2.50, []], { id: 2, ...columns, created_at: 5 }, [3, 0, 0, [], 1, 2, null]),
    given("numbers", { id: 1, deleted_at: 1 }, [2, null, null, null, 1, 2, 3])].join("\n"),
  '{"channel":"words","sync":true,"from":"1795226400123"}\nnull\n[]\n{"id":{"any":1}}',
]);
// The first four bytes choose which kind of input it is.
seeds("store", [bytes(`\xff\xff\xff\xff${line("main")}\n${row}\n${line("other")}`), "\0\0\0\0\0".repeat(9)]);
