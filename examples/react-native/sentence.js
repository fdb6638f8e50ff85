// The state of the connection, in plain words. Never silently stale: anything but "live" is old state, and says so.

/**
 * @param {import("../../client/types.js").LinkState} state
 * @returns {{ tone: "live" | "wait" | "stop", text: string }}
 */
export function sentence(state) {
  if (state.status === "live") return liveSentence(state);
  if (state.status === "waiting" && state.reason === "stopping") return { tone: "stop", text: "the host has stopped" };
  if (state.status === "waiting" || state.status === "connecting") {
    const since = state.heardAt;
    return { tone: "wait", text: since ? `reconnecting… last state from ${clock(since)}` : "connecting…" };
  }
  return { tone: "stop", text: "disconnected" };
}

/** A host that wrote once and left is live; one that was attached and lost is not. @param {import("../../client/types.js").Live} state */
function liveSentence({ host, frozen }) {
  if (frozen) return { tone: "wait", text: "paused by the host" };
  if (host?.source === "ended") return { tone: "stop", text: host.seenAt ? `frozen since ${clock(host.seenAt)}` : "frozen" };
  return { tone: "live", text: "live" };
}

/** @param {number} time */
function clock(time) {
  const date = new Date(time);
  return [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
}
