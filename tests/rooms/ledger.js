// What holds for every frame that a room sends, whatever the test is about: its exact shape, its rows, and
// that rows never go back. One ledger sees all connections of one room.

/** @typedef {any[]} Row the columns, then created_at, updated_at, deleted_at */
/** @typedef {Record<string, string[]>} Types a channel's column types, in order */

/** The members of each frame; `id` of an error may be null where the action had none. */
const SHAPES = {
  sync: ["channel", "payload", "sync"],
  success: ["channel", "id", "result", "rpc", "type"],
  error: ["channel", "error", "id", "rpc", "type"],
  exception: ["exception", "rpc", "type"],
  update: ["broadcast", "channel", "payload", "type"],
};

/** @type {Record<string, (value: any) => boolean>} */
const FITS = {
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  boolean: (value) => value === 0 || value === 1,
  array: (value) => Array.isArray(value),
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

const isText = (/** @type {any} */ value) => typeof value === "string";
const isTime = (/** @type {any} */ value) => Number.isSafeInteger(value) && value > 1e12;

export class Ledger {
  /** @type {string[]} */
  problems = [];
  /** The latest frames of all connections, for a message. @type {string[]} */
  log = [];
  #types;
  #connections = 0;
  /** Which version of which row each stamp belongs to. @type {Map<number, string>} */
  #versions = new Map();

  /** @param {Types} types */
  constructor(types) {
    this.#types = types;
  }

  /**
   * A new connection: what it is sent goes through `received`, which returns the message.
   * @param {string} name
   */
  connection(name) {
    const label = `${name}#${++this.#connections}`;
    /** The newest stamp of each row that this connection was sent. @type {Map<string, number>} */
    const newest = new Map();
    return {
      sent: (/** @type {any} */ data) => this.#note(`${label} → ${String(data)}`),
      received: (/** @type {any} */ data, /** @type {boolean} */ isBinary) => {
        this.#note(`${label} ← ${isBinary ? "(binary) " : ""}${String(data)}`);
        return this.#frame(label, newest, data, isBinary);
      },
      problem: (/** @type {string} */ text) => this.#problem(label, text),
    };
  }

  /** @param {string} line */
  #note(line) {
    this.log.push(line.length > 180 ? `${line.slice(0, 180)}…` : line);
    if (this.log.length > 400) this.log.splice(0, 100);
  }

  /** @param {string} label @param {string} text */
  #problem(label, text) {
    this.problems.push(`${label}: ${text}`);
  }

  /** @param {string} label @param {Map<string, number>} newest @param {any} data @param {boolean} isBinary */
  #frame(label, newest, data, isBinary) {
    if (isBinary) return this.#problem(label, "a binary frame");
    const text = String(data);
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return this.#problem(label, `not JSON: ${text.slice(0, 200)}`);
    }
    if (!FITS.object(message)) return this.#problem(label, `not an object: ${text.slice(0, 200)}`);
    const kind = this.#kind(message);
    if (!kind) return void this.#problem(label, `no frame of the table: ${text.slice(0, 300)}`);
    for (const row of message.result ?? message.payload ?? []) {
      const fault = this.#row(message.channel, row, kind) ?? this.#age(message.channel, row, newest);
      if (fault) this.#problem(label, `${fault}: ${JSON.stringify(row).slice(0, 200)} in ${text.slice(0, 300)}`);
    }
    return message;
  }

  /** @param {any} message */
  #kind(message) {
    const kind = message.sync === true ? "sync" : message.type;
    const shape = Object.hasOwn(SHAPES, kind) ? SHAPES[/** @type {keyof SHAPES} */ (kind)] : [];
    const members = Object.keys(message).sort();
    if (members.join() !== shape.join()) return null;
    const rows = message.result ?? message.payload;
    const texts = message.error ?? message.exception;
    const isAnswer = kind === "success" || kind === "error" || kind === "exception";
    const good =
      (rows === undefined || Array.isArray(rows)) &&
      (texts === undefined || (Array.isArray(texts) && texts.length > 0 && texts.every((text) => isText(text) && text !== ""))) &&
      (!isAnswer || message.rpc === true) &&
      (kind !== "update" || message.broadcast === true);
    return good ? kind : null;
  }

  /** @param {string} channel @param {Row} row @param {string} kind */
  #row(channel, row, kind) {
    const types = Object.hasOwn(this.#types, channel) ? this.#types[channel] : null;
    if (!types) return `rows of the channel ${channel}`;
    if (!Array.isArray(row) || row.length !== types.length + 3) return "not a row of this channel";
    const wrong = types.findIndex((type, at) => !FITS[type](row[at]));
    if (wrong !== -1) return `column ${wrong} is no ${types[wrong]}`;
    const [created, updated, deleted] = row.slice(-3);
    if (!isTime(created) || !isTime(updated) || created > updated) return "times that cannot be";
    if (deleted !== null && deleted !== updated) return "a deletion that is not its last change";
    if (kind === "sync" && deleted !== null) return "a deleted row in an answer to sync";
  }

  /** @param {string} channel @param {Row} row @param {Map<string, number>} newest */
  #age(channel, row, newest) {
    const stamp = row.at(-2);
    const version = JSON.stringify([channel, row]);
    const known = this.#versions.get(stamp);
    this.#versions.set(stamp, version);
    if (known !== undefined && known !== version) return `the stamp of ${known}`;
    const key = JSON.stringify([channel, row[0]]);
    const before = newest.get(key) ?? 0;
    newest.set(key, Math.max(before, stamp));
    if (stamp < before) return `older than ${before}, which was sent before`;
  }
}
