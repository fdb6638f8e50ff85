// Who is watching. Entries keep their place, so that a button never moves from under a finger.

import { bytesText, durationText, h, setText } from "./dom.js";

/** @typedef {{ id: number, topic: string, room?: string, device: string, address: string, connectedMs: number, revision: string | null, current: boolean, behindMs: number, bytes: number }} Onlooker */

/**
 * @param {HTMLElement} list
 * @param {(viewer: Onlooker) => void} onDisconnect
 * @returns {(viewers: Onlooker[], manyTopics: boolean) => void}
 */
export function createRoster(list, onDisconnect) {
  /** @type {Map<number, ReturnType<typeof createEntry>>} */
  let entries = new Map();
  return function show(viewers, manyTopics) {
    const kept = new Map();
    for (const viewer of viewers) {
      const entry = entries.get(viewer.id) ?? createEntry(viewer, onDisconnect);
      entries.delete(viewer.id);
      kept.set(viewer.id, entry);
      entry.update(viewer, manyTopics);
      if (!entry.element.isConnected) list.append(entry.element);
    }
    for (const entry of entries.values()) entry.element.remove();
    entries = kept;
  };
}

/**
 * @param {Onlooker} viewer
 * @param {(viewer: Onlooker) => void} onDisconnect
 */
function createEntry(viewer, onDisconnect) {
  const device = h("span", {});
  const state = h("span", { class: "state" });
  const [address, topic, since, bytes] = ["mono", "", "", ""].map((name) => h("span", { class: name }));
  const button = h("button", { type: "button" }, "Disconnect");
  button.addEventListener("click", () => {
    button.disabled = true;
    onDisconnect(viewer);
  });
  const facts = h("p", { class: "facts" }, address, topic, since, bytes);
  const element = h("li", { class: "viewer" }, h("p", { class: "device" }, device, state), facts, button);
  return {
    element,
    /** @param {Onlooker} next @param {boolean} manyTopics */
    update(next, manyTopics) {
      setText(device, next.device || "unknown device");
      const isBehind = next.behindMs > 0 || (next.room !== undefined && !next.current);
      const by = next.behindMs > 0 ? `${durationText(Math.max(1000, next.behindMs))} ` : "";
      setText(state, isBehind ? `${by}behind` : "up to date");
      state.dataset.current = String(!isBehind);
      setText(address, next.address);
      topic.hidden = !manyTopics && next.room === undefined;
      setText(topic, next.room === undefined ? next.topic : `in ${next.room}`);
      setText(since, `for ${durationText(next.connectedMs)}`);
      setText(bytes, bytesText(next.bytes));
      button.setAttribute("aria-label", `Disconnect ${next.device || "this viewer"} at ${next.address}`);
    },
  };
}
