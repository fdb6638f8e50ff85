/** A clock that moves only when told, a socket that does only what the test does, and a page that hides on command. */

export class Clock {
  time = 1_000_000_000_000;
  timers = new Map();
  #last = 0;

  now = () => this.time;
  setTimeout = (run, ms) => (this.timers.set(++this.#last, { at: this.time + ms, run }), this.#last);
  clearTimeout = (id) => this.timers.delete(id);

  /** Lets `ms` pass; timers run in order, at their time. */
  pass(ms) {
    const end = this.time + ms;
    for (;;) {
      const [id, next] = [...this.timers].sort((a, b) => a[1].at - b[1].at)[0] ?? [];
      if (!next || next.at > end) break;
      this.timers.delete(id);
      this.time = Math.max(this.time, next.at);
      next.run();
    }
    this.time = end;
  }
}

/** Every socket ever dialed, newest last, with the clock's time of the dial. */
export function sockets(clock) {
  const dialed = [];
  class FakeSocket {
    readyState = 0;
    protocol = "";
    sent = [];
    constructor(url, protocols = []) {
      Object.assign(this, { url, protocols, at: clock.now() });
      dialed.push(this);
    }
    open(protocol = this.protocols[0] ?? "") {
      Object.assign(this, { readyState: 1, protocol });
      this.onopen({});
    }
    say(frame) {
      this.onmessage({ data: typeof frame === "string" || frame instanceof Uint8Array ? frame : JSON.stringify(frame) });
    }
    fail(code = 1006, reason = "") {
      this.readyState = 3;
      this.onclose({ code, reason });
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.closed = true;
      this.readyState = 2;
    }
  }
  return { dialed, FakeSocket, last: () => dialed.at(-1) };
}

/** A document and window in one. */
export class Page extends EventTarget {
  hidden = false;
  show(hidden = false) {
    this.hidden = hidden;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

export const tick = () => new Promise((done) => setImmediate(done));

/** The same dice every time. */
export function dice(seed) {
  return (n) => (seed = (seed * 48271) % 2147483647) % n;
}
