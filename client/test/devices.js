import { connect } from "../onlooker.js";
import { field } from "../optimistic.js";
import { Clock, sockets } from "./clock.js";

/** Greater values are refused. */
export const MOST = 5;

/**
 * One topic of a daemon, as docs/protocol.md has it, with a field that devices write. Two faults can be had: `takesBack`
 * does not send what went there and back within one debounce, `nameless` does not say in a whole session who wrote its fields.
 */
export class Daemon {
  revision = 1000;
  structural = 1000;
  flushed = 1000;
  session = { name: "s", data: 0, config: { speed: 0, other: 0 }, metadata: {} };
  origins = { speed: { revision: 1000 }, other: { revision: 1000 } };
  /** What the config was when it left last. */
  left = this.session.config;
  /** Every write of the field, oldest first, and devices' writes that changed nothing. */
  log = [];

  constructor({ takesBack = false, nameless = false } = {}) {
    Object.assign(this, { takesBack, nameless });
  }

  /** Replaces the config, and the data if there is any. */
  write({ data = this.session.data, config }, from = {}) {
    const before = this.session.config;
    const names = Object.keys({ ...before, ...config });
    const changed = names.filter((name) => before[name] !== config[name]);
    const structural = data !== this.session.data || changed.some((name) => !(name in before) || !(name in config));
    if (structural || changed.length) this.revision++;
    if (structural) this.structural = this.revision;
    for (const name of changed) {
      delete this.origins[name];
      if (name in config) this.origins[name] = { revision: this.revision, ...from };
    }
    this.session = { ...this.session, data, config };
    if (from.deviceId || changed.includes("speed")) this.log.push({ ...from, revision: this.revision, changed: changed.includes("speed") });
  }

  /** A device's write of the field; one that changes nothing is answered with the field's own revision. */
  put(value, from) {
    if (value > MOST) {
      this.revision++;
      throw new Error("refused");
    }
    this.write({ config: { ...this.session.config, speed: value } }, from);
    return { ...this.get(), ...from };
  }

  get() {
    const { revision, ...from } = this.origins.speed ?? {};
    if (!revision) throw new Error("not found");
    return { value: this.session.config.speed, serverRevision: revision, ...from };
  }

  /** The one rule: the smallest frame that brings a viewer at `revision` to now. */
  since(revision) {
    if (revision === this.revision) return null;
    const { config } = this.session;
    if (!(revision >= this.structural)) return this.frame("session_update", this.session, Object.keys(config));
    const back = (name) => this.takesBack && revision === this.flushed && this.left[name] === config[name];
    const names = Object.keys(config).filter((name) => this.origins[name].revision > revision && !back(name));
    return names.length ? this.frame("config_update", Object.fromEntries(names.map((name) => [name, config[name]])), names) : null;
  }

  frame(type, payload, names) {
    const named = names.filter((name) => this.origins[name].deviceId && !(this.nameless && type === "session_update"));
    const origins = Object.fromEntries(named.map((name) => [name, this.origins[name]]));
    return { type, topic: "main", revision: String(this.revision), payload, ...(named.length && { origins }) };
  }

  /** The debounce is over. */
  flush(devices) {
    for (const device of devices.filter(({ up }) => up)) {
      const frame = this.since(device.at);
      if (frame) device.wire.push(frame);
      device.at = this.revision;
    }
    this.flushed = this.revision;
    this.left = this.session.config;
  }

  /** With a store: state and names are the same, but everybody is sent a whole session. */
  restart(devices) {
    for (const device of devices) {
      for (const request of device.requests) request.lost = true;
      if (device.up) device.cut();
    }
    this.structural = this.flushed = this.revision;
    this.left = this.session.config;
  }
}

/** A page with a control, a viewer and a way to write. Nothing arrives unless the test says so. */
export class Device {
  shown = 0;
  up = false;
  /** Where the daemon knows its viewer to be. */
  at = null;
  /** Frames on their way to it. */
  wire = [];
  requests = [];
  /** Local revisions whose write was refused or lost: the user heard of it. */
  failed = new Set();
  taps = 0;
  answered = 0;
  /** The newest revision it was told of, by a frame or an answer, before the last tap. */
  told = 0;

  constructor(id, daemon) {
    Object.assign(this, { id, daemon, clock: new Clock() });
    const { last, FakeSocket } = sockets(this.clock);
    const { now, setTimeout, clearTimeout } = this.clock;
    this.socket = last;
    this.viewer = connect("h:1", { WebSocket: FakeSocket, now, setTimeout, clearTimeout, token: "x", random: () => 0, document: null, window: null });
    const ask = (reach, local) => new Promise((resolve, reject) => this.requests.push({ reach, local, resolve, reject }));
    this.field = field("speed", {
      deviceId: id,
      get: () => this.shown,
      set: (value) => (this.shown = value),
      send: (value, from) => ask(() => daemon.put(value, from), from.localRevision),
      reload: () => ask(() => daemon.get()),
    });
    this.field.follow(this.viewer);
  }

  join() {
    while (this.viewer.state.status !== "connecting") this.clock.pass(1000);
    const since = Number(/since=(\d+)/.exec(this.socket().url)?.[1] ?? NaN);
    const frame = this.daemon.since(since);
    const resumed = { session_update: "snapshot", config_update: "delta" }[frame?.type] ?? "current";
    this.wire = [{ type: "hello", protocol: 1, server: "x", topic: "main", revision: String(this.daemon.revision), resumed, heartbeatMs: 1e9 }];
    if (frame) this.wire.push(frame);
    Object.assign(this, { up: true, at: this.daemon.revision });
    this.socket().open();
  }

  cut() {
    this.up = false;
    this.wire = [];
    this.socket().fail();
  }

  toggle() {
    if (this.up) this.cut();
    else this.join();
  }

  tap(value) {
    this.taps++;
    this.told = Math.max(this.viewer.revision ?? 0, this.answered);
    this.field.tap(value);
  }

  /** Each of its requests goes one step on: to the daemon, then back with the answer, unless it is lost. */
  advance() {
    for (const request of this.requests.splice(0)) {
      const { reach, local, answer, error = request.lost ? "lost" : null, resolve, reject } = request;
      if (error) {
        this.failed.add(local);
        reject(new Error(error));
      } else if (answer) {
        this.answered = Math.max(this.answered, answer.serverRevision);
        resolve(answer);
      } else {
        try {
          request.answer = reach();
        } catch (refusal) {
          request.error = refusal.message;
        }
        this.requests.push(request);
      }
    }
  }

  /** The next frame arrives. */
  hear() {
    if (this.wire.length) this.socket().say(this.wire.shift());
  }

  /** Whether its user's last wish was lost without a word. */
  lost() {
    const mine = (entry) => entry.deviceId === this.id;
    const { log } = this.daemon;
    if (!this.taps || this.failed.has(this.taps) || log.some((entry) => mine(entry) && entry.localRevision === this.taps)) return false;
    // Never sent: then another's write is newer than all of ours, and was told after the tap.
    const last = log.findLastIndex((entry) => mine(entry) && entry.changed);
    return !log.slice(last + 1).some((entry) => !mine(entry) && entry.changed && entry.revision > this.told);
  }
}
