/**
 * onlooker/react: a topic as a hook, in React and React Native.
 * @module
 */
/** @import { LinkState, Options, Session } from "./types.js" */
import { useMemo, useSyncExternalStore } from "react";
import { connect } from "./onlooker.js";

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
 * A viewer that lives as long as it has a subscriber.
 * @param {string | null | undefined} url
 * @param {Options} [options]
 * @returns {{subscribe: (listener: () => void) => () => void, getSnapshot: () => View}}
 */
export function watching(url, options) {
  let view = IDLE;
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** @type {import("./types.js").Viewer | null} */
  let viewer = null;

  function start() {
    viewer = connect(url ?? null, options);
    view = look(viewer);
    viewer.subscribe((event, now) => {
      if (event.type === "message") return;
      view = look(now);
      listeners.forEach((listener) => listener());
    });
  }

  return {
    getSnapshot: () => view,
    subscribe(listener) {
      listeners.add(listener);
      if (!viewer) start();
      return () => {
        listeners.delete(listener);
        if (listeners.size || !viewer) return;
        const left = viewer;
        viewer = null;
        left.close();
      };
    },
  };
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
