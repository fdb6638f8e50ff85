import { usePartySocket } from "partysocket/react";
import { useEffect, useState } from "react";

// Whoever has partysync:  import { useSync } from "partysync/react";
import { useSync } from "./use-sync.js";

/** The list as a partysync app has it: a PartySocket, `useSync`, and a reducer that guesses what the daemon will do. */
export function useTheirs({ host, room, token }) {
  const socket = usePartySocket({ host, room: encodeURIComponent(room), protocol: location.protocol === "https:" ? "wss" : "ws", query: { token } });
  const [rows, act] = useSync("todos", socket, guess);
  return { rows, act, state: useSocketState(socket) };
}

function guess(rows, { type, payload }) {
  switch (type) {
    case "create": return [...rows, [payload.id, payload.text, payload.completed, Date.now(), null, null]];
    case "update": return rows.map((row) => (row[0] === payload.id ? [row[0], payload.text ?? row[1], payload.completed ?? row[2], row[3], null, null] : row));
    case "delete": return rows.filter((row) => row[0] !== payload.id);
    case "delete-all": return [];
    default: return rows;
  }
}

/** partysync does not say how its connection is; the socket does. The first thing that comes, also after a loss, are the rows. */
function useSocketState(socket) {
  const [state, setState] = useState({ status: "connecting", reason: null });
  useEffect(() => {
    const heard = () => setState((state) => (state.status === "live" ? state : { status: "live", reason: null }));
    const lost = () => setState(({ status }) => ({ status: status === "live" ? "lost" : status, reason: "unreachable" }));
    socket.addEventListener("message", heard);
    socket.addEventListener("close", lost);
    return () => {
      socket.removeEventListener("message", heard);
      socket.removeEventListener("close", lost);
    };
  }, [socket]);
  return state;
}
