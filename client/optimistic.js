/**
 * onlooker/optimistic: a control that answers the finger at once and ends on the truth, with several writers at work.
 *
 * A tap shows its value at once. One request per field is under way; taps meanwhile become one follow-up with the newest
 * value. The last write wins across devices: a foreign push that comes after the newest tap cancels the follow-up.
 * @module
 */
/** @import { Viewer } from "./types.js" */

/**
 * A field's value as the daemon has it. Revisions only ever compare.
 * @typedef {object} Truth
 * @property {any} [value]
 * @property {number} serverRevision
 */
/**
 * A truth that was pushed, with the name of its writer if it gave one.
 * @typedef {Truth & {deviceId?: number, localRevision?: number}} Push
 */
/**
 * @typedef {object} FieldOptions
 * @property {() => any} get the value on show
 * @property {(value: any) => void} set shows a value
 * @property {(value: any, from: {deviceId: number, localRevision: number}) => Promise<Truth>} send writes it; rejects when refused
 * @property {() => Promise<Truth>} [reload] reads the truth after an error; without it the last confirmed value comes back
 * @property {(error: unknown) => void} [onError] hears of refused writes and failed reloads
 * @property {number} [deviceId] this writer, at most 10^14; random unless given. Not to be kept across page loads: local revisions start anew
 */
/**
 * @typedef {object} Field
 * @property {(value: any) => void} tap the user's wish: shown at once, sent when it can be
 * @property {(push: Push) => void} push a delta from the daemon
 * @property {(truth: Truth) => void} snapshot a whole session from the daemon; counts at any revision, for a restarted daemon's may be lower
 * @property {(viewer: Viewer) => () => void} follow feeds on a viewer's events; returns what ends it
 * @property {boolean} busy a request is under way
 * @property {number} deviceId
 */

/**
 * An optimistic field.
 * @param {string} key the field's name in `config`
 * @param {FieldOptions} options
 * @returns {Field}
 */
export function field(key, { get, set, send, reload, onError = () => {}, deviceId = Math.floor(Math.random() * 1e14) }) {
  let localRevision = 0;
  let serverRevision = -1;
  let confirmed = get();
  /** @type {{value: any} | null} the write under way */
  let sending = null;
  let busy = false;
  let pushes = 0;
  let foreign = false;

  /** @param {unknown} value */
  const show = (value) => {
    if (!same(value, get())) set(value);
  };

  /** @param {Truth} truth */
  const confirm = (truth) => {
    serverRevision = truth.serverRevision;
    confirmed = truth.value;
  };

  /** Sends the value on show until no tap is newer than what was sent. */
  async function work() {
    busy = true;
    for (let sent = -1; sent !== localRevision && !foreign; ) {
      sent = localRevision;
      sending = { value: get() };
      try {
        accept({ value: sending.value, ...(await send(sending.value, { deviceId, localRevision: sent })) }, sent);
      } catch (error) {
        onError(error);
        sending = null;
        if (localRevision === sent || foreign) await recover();
      }
      sending = null;
    }
    busy = false;
  }

  /** The reply to a write. @param {Truth} reply @param {number} sent its local revision */
  function accept(reply, sent) {
    if (!(reply.serverRevision > serverRevision)) return;
    confirm(reply);
    // A push older than this reply is history: what was written after it stands.
    if (sent === localRevision || foreign) show(reply.value);
  }

  /** After an error the value on show is a wish nobody granted: back to the truth, unless there is a newer wish. */
  async function recover() {
    const local = localRevision;
    const known = pushes;
    try {
      const truth = await reload?.();
      // A push that came meanwhile may be newer than this answer; alone, the answer counts at any revision.
      if (truth && (known === pushes || truth.serverRevision >= serverRevision)) confirm(truth);
    } catch (error) {
      onError(error);
    }
    if (local === localRevision) show(confirmed);
  }

  /** @param {Push} push */
  function apply(push) {
    pushes++;
    confirm(push);
    const own = push.deviceId === deviceId && push.localRevision !== undefined && push.localRevision <= localRevision;
    if (!own) foreign = true;
    // A newer tap is on show and will be sent, unless a foreign write has overtaken it.
    if (foreign || push.localRevision === localRevision) show(push.value);
  }

  return {
    deviceId,
    get busy() {
      return busy;
    },
    tap(value) {
      localRevision++;
      foreign = false;
      show(value);
      if (!busy) work();
    },
    push(push) {
      if (push.serverRevision > serverRevision) apply(push);
    },
    snapshot(truth) {
      // It repeats every field: only another value is another's write.
      if (same(truth.value, confirmed) || (sending && same(truth.value, sending.value))) {
        pushes++;
        confirm(truth);
        if (!busy) show(truth.value);
      } else apply(truth);
    },
    follow(viewer) {
      const { session, revision } = viewer;
      if (session) this.snapshot({ value: session.config[key], serverRevision: revision ?? 0 });
      return viewer.subscribe((event) => {
        if (event.type === "session") this.snapshot({ value: event.session.config[key], serverRevision: event.revision ?? 0 });
        if (event.type !== "config" || !Object.hasOwn(event.changed, key)) return;
        const { revision: at = event.revision ?? serverRevision + 1, deviceId, localRevision } = event.origins[key] ?? {};
        this.push({ value: event.changed[key], serverRevision: at, deviceId, localRevision });
      });
    },
  };
}

/**
 * `send` and `reload` over the daemon's HTTP interface.
 * @param {string} url the daemon's, such as `http://192.168.1.5:9876`
 * @param {string} key the field's name
 * @param {{token?: string, topic?: string, fetch?: typeof fetch}} [options] host token; `main` unless a topic is given
 * @returns {Pick<Required<FieldOptions>, "send" | "reload">}
 */
export function endpoint(url, key, { token, topic = "main", fetch = globalThis.fetch } = {}) {
  const address = new URL(`/api/topics/${encodeURIComponent(topic)}/config/${encodeURIComponent(key)}`, url);
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  /** @param {RequestInit} request */
  const ask = async (request) => {
    const response = await fetch(address, { headers, ...request });
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw Object.assign(new Error(body.detail ?? body.title ?? `HTTP ${response.status}`), { status: response.status, errors: body.errors });
    return body;
  };
  return {
    send: (value, from) => ask({ method: "PUT", body: JSON.stringify({ value, ...from }) }),
    reload: () => ask({}),
  };
}

/** @param {unknown} a @param {unknown} b */
const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);
