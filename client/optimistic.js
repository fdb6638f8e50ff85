/**
 * onlooker/optimistic: a control that responds to the finger at once and converges on the truth, even with several writers.
 *
 * A tap shows its value at once. One request per field is in flight; taps in the meantime become one follow-up with the
 * newest value. The last write wins across devices: somebody else's write that is newer than ours, and arrives after the
 * newest tap, cancels the follow-up.
 * @module
 */
/** @import { Origin, Viewer } from "./types.js" */

/**
 * A field's value as the daemon has it. Revisions are only ever compared.
 * @typedef {object} Truth
 * @property {any} [value]
 * @property {number} serverRevision
 */
/**
 * A truth that was pushed, with its writer if that identified itself.
 * @typedef {Truth & {deviceId?: number, localRevision?: number}} Push
 */
/**
 * @typedef {object} FieldOptions
 * @property {() => any} get returns the value on screen
 * @property {(value: any) => void} set shows a value
 * @property {(value: any, from: {deviceId: number, localRevision: number}) => Promise<Truth>} send writes it; rejects when refused
 * @property {() => Promise<Truth>} [reload] reads the truth after an error; without it, the last confirmed value is restored
 * @property {(error: unknown) => void} [onError] called for refused writes and failed reloads
 * @property {number} [deviceId] this writer's id, at most 10^14; random by default. Do not keep it across page loads: local revisions start over
 */
/**
 * @typedef {object} Field
 * @property {(value: any) => void} tap the user's wish: shown at once, sent when possible
 * @property {(push: Push) => void} push a delta from the daemon
 * @property {(truth: Truth, origin?: Origin) => void} snapshot the field in a whole session from the daemon, at the session's revision, and who
 *   wrote it, if known; a revision lower than an earlier push comes from a restarted daemon, and counts
 * @property {(viewer: Viewer) => () => void} follow consumes a viewer's events; returns a function that stops it
 * @property {boolean} busy whether a request is in flight
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
  /** The revision of the newest known truth, from responses and from the viewer alike. */
  let serverRevision = -1;
  let confirmed = get();
  /** The newest tap's value. */
  let wish = confirmed;
  /** The newest revision seen by the viewer. Responses may be ahead of it; only a restarted daemon is behind. */
  let heard = -1;
  let pushes = 0;
  let busy = false;
  /** The newest truth is somebody else's, and arrived after the newest tap. */
  let foreign = false;

  /** Shows the wish while it is on its way, unless somebody else's write has overtaken it. */
  const show = () => {
    const value = busy && !foreign ? wish : confirmed;
    if (!same(value, get())) set(value);
  };

  /** @param {Truth} truth */
  const confirm = (truth) => {
    serverRevision = truth.serverRevision;
    confirmed = truth.value;
  };

  /** A greater local revision is from the device's previous life. @param {Push} push */
  const isOwn = (push) => push.deviceId === deviceId && (push.localRevision ?? Infinity) <= localRevision;

  /** Takes in a write newer than everything known. After one of our own, a newer tap still has to be sent. @param {Push} push */
  function learn(push) {
    confirm(push);
    foreign = !isOwn(push);
    if (!foreign && push.localRevision === localRevision) wish = push.value;
    show();
  }

  /** Sends the wish until no tap is newer than what was sent. */
  async function work() {
    for (let sent = -1; sent !== localRevision && !foreign; ) {
      sent = localRevision;
      try {
        const value = wish;
        const reply = { value, ...(await send(value, { deviceId, localRevision: sent })), deviceId, localRevision: sent };
        // A reply older than a push is out of date. If it is as old as the push, that push carried our value already.
        if (reply.serverRevision >= serverRevision) learn(reply);
      } catch (error) {
        onError(error);
        if (localRevision === sent || foreign) await recover();
      }
    }
    busy = false;
    show();
  }

  /** After an error the wish was not granted: returns to the truth, unless there is a newer wish. */
  async function recover() {
    const known = pushes;
    try {
      const truth = await reload?.();
      // A push that arrived meanwhile may be newer than this response; without one, the response counts at any revision.
      if (!truth || (known !== pushes && truth.serverRevision < serverRevision)) return;
      confirm(truth);
      if (isOwn(truth)) foreign = false;
    } catch (error) {
      onError(error);
    }
  }

  return {
    deviceId,
    get busy() {
      return busy;
    },
    tap(value) {
      const idle = !busy;
      localRevision++;
      foreign = false;
      busy = true;
      wish = value;
      show();
      wish = get();
      if (idle) work();
    },
    push(push) {
      const { deviceId: by, serverRevision: at, value } = push;
      heard = Math.max(heard, at);
      if (at <= serverRevision) return;
      pushes++;
      // Without a device the revision may be the frame's: a different value is somebody else's write, the same value is no news.
      if (by === undefined && same(value, confirmed)) serverRevision = at;
      else learn(push);
    },
    snapshot(truth, origin) {
      if (truth.serverRevision < heard) serverRevision = -1;
      heard = truth.serverRevision;
      this.push(origin ? { ...origin, value: truth.value, serverRevision: origin.revision } : truth);
    },
    follow(viewer) {
      /** @param {number | null} revision null from a plain recipe server */
      const at = (revision) => revision ?? serverRevision + 1;
      const { session, revision } = viewer;
      if (session) this.snapshot({ value: session.config[key], serverRevision: at(revision) });
      return viewer.subscribe((event) => {
        if (event.type === "session") this.snapshot({ value: event.session.config[key], serverRevision: at(event.revision) }, event.origins[key]);
        if (event.type !== "config") return;
        heard = at(event.revision);
        if (!Object.hasOwn(event.changed, key)) return;
        const origin = event.origins[key];
        this.push({ ...origin, value: event.changed[key], serverRevision: origin?.revision ?? heard });
      });
    },
  };
}

/**
 * `send` and `reload` over the daemon's HTTP interface.
 * @param {string} url the daemon's URL, such as `http://192.168.1.5:9876`
 * @param {string} key the field's name
 * @param {{token?: string, topic?: string, fetch?: typeof fetch}} [options] the host token; the topic defaults to `main`
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
