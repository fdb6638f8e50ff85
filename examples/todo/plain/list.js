// What both pages of the example know about their list.

/** As in onlooker.toml. */
export const COLUMNS = ["id", "text", "completed"];

/** The room that the address names: `?room=NAME`. */
export const roomName = new URLSearchParams(location.search).get("room") || "list";

export const title = roomName[0].toUpperCase() + roomName.slice(1).replaceAll(/[_-]/g, " ");

/** Where the room is on a daemon. A name may have characters that mean something in an address. */
export const roomPath = `/parties/main/${encodeURIComponent(roomName)}`;

/** Where to go from a room that cannot be entered. */
export const wayOut = `${location.pathname}${location.hash}`;

/** A row's id; pages from the local network have no `crypto.randomUUID`. */
export const newId = () => Math.random().toString(36).slice(2, 12);

/** Each room has a colour of its own, which its name decides. */
export function dress() {
  document.title = title;
  const hue = [...roomName].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 95);
  document.documentElement.style.setProperty("--hue", String(hue));
}

/** What a person needs to know about the connection to the daemon at this address. */
export function sentence({ status, reason }, address) {
  if (status === "live") return { tone: "live", text: "live" };
  if (status === "lost") return { tone: "stop", text: "offline · what you do waits 10 s for the connection" };
  if (status === "refused") return { tone: "stop", text: `refused: ${reason}` };
  if (status === "closed") return { tone: "wait", text: "closed" };
  return { tone: "wait", text: reason ? `connecting to ${address}: ${reason}` : `connecting to ${address}…` };
}

/** The pulse beats with what comes, not with time. */
export function beat(state) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  state.animate([{ scale: 1 }, { scale: 1.7 }, { scale: 1 }], { pseudoElement: "::before", duration: 200, easing: "ease-out" });
}

/** Where the address itself is at fault, such as a token that is not encoded. */
export const unusable = (error) => `this address cannot be used: ${error.message}`;

const DEEDS = { create: "added", update: "changed", delete: "deleted", "delete-all": "deleted" };

/** What was not done, and why. */
export const excuse = ({ type, payload }, error) => `${payload?.text ? `“${payload.text}” was` : "That was"} not ${DEEDS[type]}: ${error.message}`;

/** What was being typed into a row that somebody has deleted, and where it is now. */
export const orphan = (before, words, isKept) => `“${before}” was deleted meanwhile. ${isKept ? "Your words are in the field above: Add keeps them." : `You wrote: “${words}”`}`;

export function counted(rows) {
  const done = rows.filter(([, , completed]) => completed).length;
  return `${rows.length - done} open · ${done} done`;
}
