// The state of the connection, in plain words. Never silently stale: anything but "live" is old state, and says so.

/**
 * @param {import("../../client/types.js").LinkState} state
 * @returns {{ tone: "live" | "wait" | "stop", text: string }}
 */
export function sentence(state) {
  if (state.status === "live") return liveSentence(state.host);
  if (state.status === "waiting" && state.reason === "stopping") return { tone: "stop", text: "the host has stopped" };
  if (state.status === "waiting" || state.status === "connecting") {
    const since = state.heardAt;
    return { tone: "wait", text: since ? `reconnecting… last state from ${clock(since)}` : "connecting…" };
  }
  return { tone: "stop", text: "disconnected" };
}

/** @param {import("../../client/types.js").HostSeen | null} host */
function liveSentence(host) {
  if (host?.source === "ended") return { tone: "stop", text: "the host has stopped" };
  if (host?.source === "silent") return { tone: "wait", text: host.seenAt ? `frozen since ${clock(host.seenAt)}` : "frozen" };
  return { tone: "live", text: "live" };
}

/** @param {number} time */
function clock(time) {
  const date = new Date(time);
  return [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
}
