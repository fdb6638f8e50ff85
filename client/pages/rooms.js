// The rooms: who is there, how many rows each channel has, and whether somebody decides on actions.

import { counted, h, setText } from "./dom.js";

/** @typedef {{ room: string, people: number, hosts: number, rows: Record<string, number>, topic: string }} Room */
/** @typedef {Record<string, { actions: "rows" | "host" | "none", writers: "host" | "viewers", show: boolean }>} Channels as they are declared */

/**
 * @param {HTMLElement} list
 * @returns {(rooms: Room[], channels: Channels, fragment: string) => void} `fragment`: what a page's address needs besides its topic
 */
export function createRooms(list) {
  /** By room and what is declared. @type {Map<string, ReturnType<typeof createEntry>>} */
  let entries = new Map();
  return function show(rooms, channels, fragment) {
    const kept = new Map();
    for (const [at, room] of rooms.entries()) {
      // A host may be started again with other channels, or another token.
      const key = JSON.stringify([room.room, room.topic, channels, fragment]);
      const entry = entries.get(key) ?? createEntry(room, channels, fragment);
      entries.delete(key);
      kept.set(key, entry);
      entry.update(room);
      if (list.children[at] !== entry.element) list.insertBefore(entry.element, list.children[at] ?? null);
    }
    for (const entry of entries.values()) entry.element.remove();
    entries = kept;
  };
}

/** @param {Room} room @param {Channels} channels @param {string} fragment */
function createEntry({ room, topic }, channels, fragment) {
  const declared = Object.values(channels);
  const isShown = declared.some((channel) => channel.show);
  const isAsked = declared.some((channel) => channel.actions === "host");
  const watch = `/?topic=${encodeURIComponent(topic)}${fragment}`;
  const name = isShown ? h("a", { href: watch, target: "_blank", rel: "noopener", title: "Watch its rows" }, room) : h("span", {}, room);
  const [host, people] = ["state", ""].map((name) => h("span", { class: name }));
  const counts = new Map(Object.keys(channels).map((channel) => [channel, h("span", {})]));
  const facts = h("p", { class: "facts" }, people, ...counts.values());
  const element = h("li", { class: "room" }, h("p", { class: "device" }, name, host), facts);
  return {
    element,
    /** @param {Room} next */
    update(next) {
      setText(people, counted(next.people, "person", "people"));
      for (const [channel, count] of counts) setText(count, `${channel}: ${counted(next.rows[channel] ?? 0, "row")}`);
      host.hidden = next.hosts === 0 && !(isAsked && next.people > 0);
      host.dataset.current = String(next.hosts > 0);
      setText(host, hostText(next.hosts, isAsked));
    },
  };
}

/** @param {number} hosts @param {boolean} isAsked whether a host decides on actions */
function hostText(hosts, isAsked) {
  if (hosts === 0) return "no host to decide";
  if (isAsked) return "its host decides";
  return counted(hosts, "host");
}
