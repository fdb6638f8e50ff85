// Several pages and a daemon that loses connections, restarts and forgets, at moments that a seed decides; then everything is quiet.

import assert from "node:assert/strict";
import test from "node:test";
import { connectRoom } from "../rooms.js";
import { Clock, Page, dice, sockets, tick } from "./clock.js";
import { COLUMNS, Daemon } from "./room-daemon.js";

/** Pages in one room of a daemon that is a model. */
function world(count) {
  const clock = new Clock();
  const daemon = new Daemon(clock);
  const { dialed, FakeSocket } = sockets(clock);
  const { now, setTimeout, clearTimeout } = clock;
  const page = () => {
    const document = new Page();
    const room = connectRoom("http://h:1/parties/main/list", "todos", {
      WebSocket: FakeSocket, now, setTimeout, clearTimeout, random: () => 0.5, document, window: document, columns: COLUMNS,
    });
    return { room, document };
  };
  const pages = Array.from({ length: count }, page);
  /** Sockets that are being opened. */
  const knocking = () => dialed.filter((socket) => socket.readyState === 0 && !socket.closed);
  const open = (socket) => {
    if (!daemon.up) return socket.fail();
    daemon.accept(socket);
    socket.open("");
  };
  /** Everybody is back, and everything is handed over. */
  const settle = async () => {
    daemon.up = true;
    for (const { document } of pages) document.show();
    for (let round = 0; round < 60; round++) {
      knocking().forEach(open);
      daemon.run();
      await tick();
      clock.pass(1000);
    }
    daemon.run();
  };
  return { clock, daemon, pages, knocking, open, settle };
}

test("two pages race for one row: the last write stands on both, and each heard what became of its own", async () => {
  const { daemon, pages, knocking, open, settle } = world(2);
  knocking().forEach(open);
  daemon.run();
  const [one, other] = pages.map(({ room }) => room);
  await Promise.all([one.act({ type: "create", payload: { id: "a", text: "start", completed: false } }), daemon.run()]);
  const mine = one.act({ type: "update", payload: { id: "a", text: "mine" } });
  const theirs = other.act({ type: "update", payload: { id: "a", text: "theirs" } });
  const shown = () => [one, other].map(({ rows }) => rows[0][1]);
  assert.deepEqual(shown(), ["mine", "theirs"]);
  const [first, second] = daemon.connections;
  daemon.read(second);
  daemon.read(first);
  daemon.deliver(first);
  assert.deepEqual(shown(), ["mine", "theirs"], "one's own wish stays on top until it is answered");
  await settle();
  assert.deepEqual([shown(), (await mine)[0][1], (await theirs)[0][1]], [["mine", "mine"], "mine", "theirs"]);
});

test("two pages create the same row: one of them is told that it is there", async () => {
  const { daemon, pages, knocking, open, settle } = world(2);
  knocking().forEach(open);
  daemon.run();
  const both = pages.map(({ room }, i) => room.act({ type: "create", payload: { id: "a", text: `from ${i}`, completed: 0 } }));
  const ends = Promise.allSettled(both);
  await settle();
  assert.deepEqual((await ends).map(({ reason, value }) => reason?.message ?? value[0][1]), ["from 0", 'there is a row "a"']);
  for (const { room } of pages) assert.deepEqual(room.rows, daemon.live());
});

/** Whether the rows that an action resolved with are what it wanted. */
function isWanted({ type, payload = {} }, rows) {
  if (type === "delete" || type === "delete-all") return rows.every((row) => row[5] !== null && (type === "delete-all" || row[0] === payload.id));
  return rows.length === 1 && rows[0][5] === null && Object.entries(payload).every(([name, value]) => rows[0][COLUMNS.indexOf(name)] === (value === true ? 1 : value || 0));
}

/** One random life of a room. */
async function live(seed, forgetting) {
  const roll = dice(seed);
  const { clock, daemon, pages, knocking, open, settle } = world(3);
  const ends = [];
  let made = 0;
  const pick = (list) => list[roll(list.length)];
  const act = () => {
    const id = `${roll(8)}`;
    const text = `text ${++made}`;
    const action = pick([
      { type: "create", payload: { id, text, completed: roll(2) === 0 } },
      { type: "create", payload: { text: roll(4) ? text : "", completed: 0 } },
      { type: "update", payload: { id, text } },
      { type: "update", payload: { id, completed: roll(2) } },
      { type: "update", payload: { id, colour: "red" } },
      { type: "delete", payload: { id } },
      roll(6) ? { type: "update", payload: { id, text } } : { type: "delete-all" },
    ]);
    const ending = { action, settled: 0 };
    ends.push(ending);
    pick(pages).room.act(action).then((rows) => Object.assign(ending, { rows }), (error) => Object.assign(ending, { error })).finally(() => ending.settled++);
  };
  const moves = [
    act, act, act,
    () => daemon.connections.size && daemon.read(pick([...daemon.connections])),
    () => daemon.connections.size && daemon.read(pick([...daemon.connections])),
    () => daemon.connections.size && daemon.deliver(pick([...daemon.connections])),
    () => daemon.connections.size && daemon.deliver(pick([...daemon.connections])),
    // Nobody knows how late an ask arrives: the daemon may have sent everything unasked before it.
    () => daemon.connections.size && roll(4) === 0 && daemon.tellAll(pick([...daemon.connections])),
    () => knocking().length && open(pick(knocking())),
    () => roll(3) || (daemon.connections.size && daemon.cut(pick([...daemon.connections]))),
    () => roll(8) || daemon.stop({ forgetting }),
    () => (daemon.up ||= roll(3) === 0),
    () => clock.pass(roll(400)),
    () => roll(12) || clock.pass(roll(20_000)),
    () => roll(12) || (clock.time -= roll(3_600_000)),
    () => roll(6) || pick(pages).document.show(roll(2) === 0),
    () => roll(8) || pick(pages).document.dispatchEvent(new Event("online")),
  ];
  for (let i = 0; i < 400; i++) {
    pick(moves)();
    if (roll(3) === 0) await tick();
  }
  await settle();
  pages.forEach(({ room }, i) => {
    assert.deepEqual(room.rows, daemon.live(), `seed ${seed}, page ${i}`);
    assert.equal(room.state.status, "live", `seed ${seed}, page ${i}`);
  });
  assert.deepEqual(ends.filter(({ settled }) => settled !== 1), [], `seed ${seed}: every action ends once`);
  assert.deepEqual(ends.filter(({ action, rows }) => rows && !isWanted(action, rows)), [], `seed ${seed}: what resolves has what was wanted`);
  assert.equal(new Set(daemon.done).size, daemon.done.length, `seed ${seed}: none is carried out twice`);
  return ends;
}

const SEEDS = Number(process.env.SEEDS ?? 150);

for (const [name, forgetting] of [["a daemon with a store", false], ["a daemon that forgets", true]])
  test(`${SEEDS} random lives with ${name}: all pages end with its table`, async () => {
    let done = 0, refused = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const ends = await live(seed, forgetting);
      done += ends.filter(({ rows }) => rows).length;
      refused += ends.filter(({ error }) => error).length;
    }
    assert.ok(done > SEEDS && refused > SEEDS, `they were not idle: ${done} done, ${refused} refused`);
  });
