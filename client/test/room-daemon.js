/**
 * A model of the daemon's half of a room with one channel, `todos`: no sockets and no time, every frame is handed over when the test says so.
 * What it answers is written from the design's wire table, not from the client.
 */

export const COLUMNS = ["id", "text", "completed"];

/** The newest of each id. */
const put = (table, row) => table.set(row[0], row);

export class Daemon {
  /** Deleted rows as well. */
  table = new Map();
  connections = new Set();
  last = 0;
  up = true;
  /** Actions that were carried out, by the id of their frame. */
  done = [];

  constructor(clock) {
    this.clock = clock;
  }

  live() {
    return [...this.table.values()].filter((row) => row[5] === null).sort((a, b) => a[3] - b[3]);
  }

  stamp() {
    return (this.last = Math.max(this.clock.now(), this.last + 1));
  }

  accept(socket) {
    const connection = { socket, in: [], out: [] };
    this.connections.add(connection);
    socket.connection = connection;
    socket.send = (text) => connection.in.push(text);
    socket.close = () => {
      socket.readyState = 2;
      socket.closed = true;
    };
    return connection;
  }

  /** Reads one frame of a connection. */
  read(connection) {
    const text = connection.in.shift();
    if (text === undefined) return;
    const frame = JSON.parse(text);
    const { channel, id } = frame;
    const say = (answer) => connection.out.push(JSON.stringify(answer));
    const refuse = (why) => say({ type: "error", rpc: true, channel, id: id ?? null, error: [why] });
    if (channel !== "todos") return refuse(`there is no channel "${channel}"`);
    if (frame.sync) return this.answer(frame.from, say);
    try {
      const rows = this.perform(frame.action);
      this.done.push(id);
      say({ type: "success", rpc: true, channel, id, result: rows });
      const news = JSON.stringify({ broadcast: true, type: "update", channel, payload: rows });
      for (const other of this.connections) if (other !== connection) other.out.push(news);
    } catch (error) {
      refuse(error.message);
    }
  }

  answer(from, say) {
    const all = from === null || from > this.last;
    const since = (row) => all || row[4] >= from;
    say({ sync: true, channel: "todos", payload: this.live().filter(since) });
    const gone = [...this.table.values()].filter((row) => row[5] !== null && !all && since(row));
    if (gone.length) say({ broadcast: true, type: "update", channel: "todos", payload: gone });
  }

  /** Everything, to one who has not asked. */
  tellAll({ out }) {
    this.answer(null, (answer) => out.push(JSON.stringify(answer)));
    const gone = [...this.table.values()].filter((row) => row[5] !== null);
    if (gone.length) out.push(JSON.stringify({ broadcast: true, type: "update", channel: "todos", payload: gone }));
  }

  perform({ type, payload = {} }) {
    const { id } = payload;
    const known = this.table.get(id)?.[5] === null ? this.table.get(id) : null;
    const save = (row) => (put(this.table, row), row);
    const unknown = Object.keys(payload).find((name) => !COLUMNS.includes(name));
    if (unknown) throw Error(`there is no column "${unknown}"`);
    if (type === "create") {
      if (known) throw Error(`there is a row "${id}"`);
      if (payload.text === "") throw Error("a text is needed");
      const at = this.stamp();
      return [save([id ?? `made-${at}`, payload.text, Number(payload.completed), at, at, null])];
    }
    if (type === "update" || type === "delete") {
      if (!known) throw Error(`there is no row "${id}"`);
      const at = this.stamp();
      if (type === "delete") return [save([...known.slice(0, 4), at, at])];
      return [save([id, payload.text ?? known[1], Number(payload.completed ?? known[2]), known[3], at, null])];
    }
    if (type === "delete-all") return this.live().map((row) => this.stamp() && save([...row.slice(0, 4), this.last, this.last]));
    throw Error(`there is no action "${type}"`);
  }

  /** Hands over one frame to a page. */
  deliver({ socket, out }) {
    const text = out.shift();
    if (text !== undefined && !socket.closed && socket.readyState === 1) socket.onmessage({ data: text });
  }

  /** A connection is gone; what was on its way to the page is lost, and so is what the daemon had not read. */
  cut(connection) {
    this.connections.delete(connection);
    const { socket } = connection;
    if (socket.readyState < 2) socket.fail();
  }

  stop({ forgetting = false } = {}) {
    this.up = false;
    [...this.connections].forEach((connection) => this.cut(connection));
    if (forgetting) [this.table, this.last] = [new Map(), 0];
  }

  /** Reads and hands over everything there is. */
  run() {
    for (let busy = true; busy; ) {
      busy = false;
      for (const connection of this.connections) {
        if (connection.socket.closed) this.connections.delete(connection);
        busy ||= connection.in.length + connection.out.length > 0;
        this.read(connection);
        this.deliver(connection);
      }
    }
  }
}
