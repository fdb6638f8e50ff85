/**
 * onlooker/host: makes a store the host of a topic. Pushes only what changed, over the host socket.
 *
 * One message is in flight at a time; all changes in the meantime, or while offline, become one message with the newest
 * state. So nothing queues up, however fast the store changes.
 * @module
 */
/** @import { LinkState, Options } from "./types.js" */
import { connect, target } from "./onlooker.js";

/** An ack that takes longer (ms) means a dead connection: the host socket has no heartbeats. */
const ACK_TIMEOUT = 10_000;
/** How long (ms) to wait before retrying a daemon that is full or stopping (429, 5xx). */
const RETRY = 2000;

/**
 * @template S
 * @typedef {{getState(): S, subscribe(listener: () => void): () => void}} PlainStore zustand, redux and similar stores
 */
/**
 * @template S
 * @typedef {{$state: S, $subscribe(listener: () => void, options?: any): () => void}} PiniaStore
 */
/**
 * Why the daemon refused a message, or what else went wrong.
 * @typedef {Error & {status?: number, errors?: {field: string, expected: string, got: string}[]}} HostError
 */
/**
 * @template S
 * @typedef {object} AttachOptions
 * @property {string} url the daemon's URL; a host link (`http://…/host#h=TOKEN`) carries its token
 * @property {string} [token] the host token
 * @property {string} [topic]
 * @property {(state: S) => any} [select] selects the session, or what becomes its data; defaults to the whole state
 * @property {string} [sourceId] identifies this writer in `origins`
 * @property {number} [deviceId] identifies this device in `origins`, at most 10^14
 * @property {(error: HostError) => void} [onError]
 * @property {(attachment: Attachment) => void} [onChange] called when its status, `synced` or `error` has changed
 */
/**
 * @typedef {object} Attachment
 * @property {LinkState} state
 * @property {boolean} synced whether the daemon holds the newest state
 * @property {number | null} revision of the last acknowledged message
 * @property {HostError | null} error what went wrong with the newest state; null once it is acknowledged
 * @property {() => void} close detaches from the store and the daemon for good
 */

/**
 * A session's parts as text, to compare with the next session.
 * @typedef {{session: any, rest: string, fields: Map<string, string>}} Image
 */

/** @param {any} session @returns {Image} */
function imageOf(session) {
  const { config = {}, ...rest } = Object(session);
  const splits = isObject(session) && isObject(config);
  const fields = Object.entries(splits ? config : {}).map(([name, value]) => /** @type {[string, string]} */ ([name, JSON.stringify(value)]));
  return { session, rest: JSON.stringify(splits ? rest : session), fields: new Map(fields.filter(([, text]) => text !== undefined)) };
}

/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * The smallest message that brings the daemon from one image to the other; null if none is needed.
 * @param {Image | null} from @param {Image} to
 * @returns {{type: "session_update" | "config_update", payload: any} | null}
 */
export function difference(from, to) {
  const whole = { type: /** @type {const} */ ("session_update"), payload: to.session };
  if (!from || from.rest !== to.rest || [...from.fields.keys()].some((name) => !to.fields.has(name))) return whole;
  const changed = [...to.fields].filter(([name, text]) => from.fields.get(name) !== text);
  if (!changed.length) return null;
  return { type: "config_update", payload: Object.fromEntries(changed.map(([name]) => [name, to.session.config[name]])) };
}

/**
 * Attaches a store: zustand, redux or anything else with `getState` and `subscribe`, or a Pinia store.
 * @template S
 * @param {PlainStore<S> | PiniaStore<S>} store
 * @param {AttachOptions<S> & Pick<Options, "WebSocket" | "now" | "random" | "setTimeout" | "clearTimeout" | "window">} options
 * @returns {Attachment}
 */
export function attach(store, options) {
  const { select = (/** @type {S} */ state) => state, onError = () => {}, onChange = () => {}, sourceId, deviceId } = options;
  const { setTimeout = globalThis.setTimeout, clearTimeout = globalThis.clearTimeout } = options;
  const read = () => ("$state" in store ? store.$state : store.getState());
  const to = target(options.url, { topic: options.topic, token: options.token });
  const url = to.url.replace(/(\/host|\/)?(\?.*)?$/, "/host$2");
  // A host keeps writing while its page is hidden.
  const { WebSocket, now, random, window } = options;
  const link = connect(null, { WebSocket, now, random, setTimeout, clearTimeout, window, document: null, id: "" });
  /** What the daemon holds; null if unknown. @type {Image | null} */
  let held = null;
  /** @type {{id: number, image: Image} | null} */
  let underway = null;
  let lastId = 0;
  let scheduled = false;
  let changed = true;
  let synced = false;
  let status = link.state.status;
  /** @type {number | null} */
  let revision = null;
  /** @type {HostError | null} */
  let error = null;
  /** @type {any} */
  let timer;

  /** @param {() => void} run @param {number} ms */
  function later(run, ms) {
    clearTimeout(timer);
    timer = setTimeout(run, ms);
  }

  function changes() {
    changed = true;
    synced = false;
    if (scheduled) return;
    scheduled = true;
    // Many changes in one turn become one message.
    Promise.resolve().then(() => {
      scheduled = false;
      push();
    });
  }

  /** Sends what the daemon lacks, unless a message is in flight. */
  function push() {
    if (underway || !changed || link.state.status !== "live") return;
    changed = false;
    try {
      const session = select(read());
      const image = imageOf(session);
      const message = image.rest === undefined ? null : difference(held, image);
      if (!message) return settle(null);
      underway = { id: ++lastId, image };
      link.send(JSON.stringify({ ...message, id: lastId, sourceId, deviceId }));
      later(redial, ACK_TIMEOUT);
    } catch (fault) {
      settle(/** @type {HostError} */ (fault));
    }
  }

  /** @param {HostError | null} fault */
  function settle(fault) {
    error = fault;
    synced = !fault && !changed;
    if (fault) onError(fault);
    onChange(attachment);
  }

  /** @param {string} text */
  function hear(text) {
    /** @type {any} */
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      return;
    }
    if (!underway || answer?.id !== underway.id || !(answer.type === "ack" || answer.type === "error")) return;
    clearTimeout(timer);
    const { image } = underway;
    underway = null;
    if (answer.type === "ack") {
      held = image;
      revision = Number(answer.revision) || revision;
      settle(null);
    } else {
      const { status, detail = "refused", errors } = answer;
      if (status === 429 || status >= 500) later(changes, RETRY);
      settle(Object.assign(new Error(detail), { status, errors }));
    }
    push();
  }

  function redial() {
    link.connect(url, { token: to.token ?? undefined });
  }

  const unsubscribe = "$subscribe" in store ? store.$subscribe(changes, { detached: true, flush: "sync" }) : store.subscribe(changes);
  link.subscribe((event) => {
    if (event.type === "message") hear(event.text);
    // Heartbeats change the state too; only a change of status is a change of connection.
    if (event.type !== "state" || event.state.status === status) return;
    status = event.state.status;
    clearTimeout(timer);
    underway = held = null;
    changed = true;
    synced = false;
    onChange(attachment);
    push();
  });
  /** @type {Attachment} */
  const attachment = {
    get state() { return link.state; },
    get synced() { return synced; },
    get revision() { return revision; },
    get error() { return error; },
    close() {
      unsubscribe();
      link.close();
      clearTimeout(timer);
    },
  };
  redial();
  return attachment;
}
