// A way between two servers that can be cut: a TCP proxy of ours.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** @typedef {import("node:net").Socket} Socket */

export class Way {
  /** Both ends of what is connected. @type {Set<Socket>} */
  #sockets = new Set();
  #isCut = false;

  /**
   * Takes connections on one port and carries them to another, both on loopback.
   * @param {import("node:test").TestContext} test
   * @param {number} from
   * @param {number} to
   */
  static async open(test, from, to) {
    const way = new Way();
    const server = createServer((near) => way.#carry(near, to));
    test.after(() => (way.#drop(), server.close()));
    server.listen(from, "127.0.0.1");
    await once(server, "listening");
    return way;
  }

  /** From now on nothing arrives, and nobody is told: as if a cable had been pulled. */
  cut() {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  /** The connections of before have been lost; new ones are carried. */
  heal() {
    this.#isCut = false;
    this.#drop();
  }

  /** @param {Socket} near @param {number} to */
  #carry(near, to) {
    if (this.#isCut) return this.#hold(near);
    const far = connect(to, "127.0.0.1");
    for (const [one, other] of [[near, far], [far, near]]) {
      this.#hold(one);
      one.on("close", () => this.#isCut || other.destroy());
      one.pipe(other);
    }
  }

  /** @param {Socket} socket */
  #hold(socket) {
    this.#sockets.add(socket);
    socket.setNoDelay(true).on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #drop() {
    for (const socket of this.#sockets) socket.destroy();
  }
}
