/**
 * onlooker/react: a topic and a room as hooks, in React and React Native.
 * @module
 */
/** @import { LinkState, Options, Session } from "./types.js" */
/** @import { Action, ConnectOptions, RoomState, Row } from "./rooms.js" */
import { useMemo, useSyncExternalStore } from "react";
import { connect } from "./onlooker.js";
import { connectRoom } from "./rooms.js";

/**
 * What a component sees: a new object for every change, so that React can compare.
 * @typedef {object} View
 * @property {LinkState} state
 * @property {Session | null} session
 * @property {number | null} revision
 */

/** @type {View} */
const IDLE = { state: { status: "idle" }, session: null, revision: null };

/**
 * What lives as long as it has a subscriber, as something that React can look at.
 * @template {{subscribe: (listener: (event: {type: string}) => void) => unknown, close: () => void}} L
 * @template V
 * @param {V} idle what is seen before it lives
 * @param {() => L} begin
 * @param {(living: L) => V} look
 */
function sharing(idle, begin, look) {
  let view = idle;
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** @type {L | null} */
  let living = null;

  function start() {
    const it = (living = begin());
    view = look(it);
    it.subscribe(({ type }) => {
      if (type === "message") return;
      view = look(it);
      listeners.forEach((listener) => listener());
    });
  }

  return {
    living: () => living,
    getSnapshot: () => view,
    /** @param {() => void} listener */
    subscribe(listener) {
      listeners.add(listener);
      if (!living) start();
      return () => {
        listeners.delete(listener);
        if (listeners.size || !living) return;
        const left = living;
        living = null;
        left.close();
      };
    },
  };
}

/**
 * A viewer that lives as long as it has a subscriber.
 * @param {string | null | undefined} url
 * @param {Options} [options]
 * @returns {{subscribe: (listener: () => void) => () => void, getSnapshot: () => View}}
 */
export function watching(url, options) {
  return sharing(IDLE, () => connect(url ?? null, options), look);
}

/** @param {import("./types.js").Viewer} viewer @returns {View} */
const look = ({ state, session, revision }) => ({ state, session, revision });

/**
 * Watches a topic while the component is mounted. A change of address, topic or token starts over; other options take effect
 * when it connects. `session.data` stays the same object while only fields change: `useEffect(rebuild, [session?.data])`.
 * @param {string | null | undefined} url the viewer is idle while there is none
 * @param {Options} [options]
 * @returns {View}
 */
export function useOnlooker(url, options) {
  const { topic, token } = options ?? {};
  const { subscribe, getSnapshot } = useMemo(() => watching(url, options), [url, topic, token]);
  return useSyncExternalStore(subscribe, getSnapshot, getSnapshot);
}

/**
 * What a component sees of a room.
 * @typedef {object} RoomView
 * @property {Row[]} rows
 * @property {RoomState} state
 * @property {(action: Action) => Promise<Row[]>} act stays the same function, and rejects while the component is not mounted
 */

/** @param {string | null | undefined} url @param {string} channel @param {ConnectOptions} [options] */
function takingPart(url, channel, options) {
  /** @param {Action} action */
  const act = async (action) => {
    const room = part.living();
    if (!room) throw Error("not in a room");
    return room.act(action);
  };
  /** @type {RoomView} */
  const outside = { rows: [], state: { status: "connecting", reason: null, retryAt: null }, act };
  const part = sharing(outside, () => connectRoom(url ?? "", channel, options), ({ rows, state }) => ({ rows, state, act }));
  return url ? part : { ...part, subscribe: () => () => {} };
}

/**
 * Takes part in a room while the component is mounted. A change of address, channel or token starts over; other options take effect when it connects.
 * @param {string | null | undefined} url `http(s)://HOST/parties/PARTY/ROOM`; while there is none, it is in no room
 * @param {string} channel
 * @param {ConnectOptions} [options]
 * @returns {RoomView}
 */
export function useRoom(url, channel, options) {
  const { token } = options ?? {};
  const { subscribe, getSnapshot } = useMemo(() => takingPart(url, channel, options), [url, channel, token]);
  return useSyncExternalStore(subscribe, getSnapshot, getSnapshot);
}
