import { useEffect, useMemo, useState } from "react";

/** partysync gives an action up after so long (ms). */
const PATIENCE = 10_000;

/**
 * The least hook with the form of partysync's `useSync`, which is not on npm: it asks once, merges what comes by id, and shows actions until they
 * are answered. After a reconnect it asks for nothing; the daemon sends what it missed.
 */
export function useSync(channel, socket, optimisticReducer) {
  const [table, setTable] = useState(() => new Map());
  const [underway, setUnderway] = useState([]);

  useEffect(() => {
    const hear = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.channel !== channel) return;
      const changed = frame.payload ?? frame.result ?? [];
      setTable((table) => new Map([...table, ...changed.map((row) => [row[0], row])]));
      if (frame.rpc) setUnderway((all) => all.filter(({ id }) => id !== frame.id));
    };
    socket.addEventListener("message", hear);
    socket.send(JSON.stringify({ channel, sync: true, from: null }));
    return () => socket.removeEventListener("message", hear);
  }, [socket, channel]);

  const rows = useMemo(() => {
    const live = [...table.values()].filter((row) => row.at(-1) === null).sort((a, b) => a.at(-3) - b.at(-3));
    return underway.reduce((rows, { action }) => optimisticReducer(rows, action), live);
  }, [table, underway, optimisticReducer]);

  const [sendAction] = useState(() => (action) => {
    const id = Math.random().toString(36).slice(2, 10);
    setUnderway((all) => [...all, { id, action }]);
    socket.send(JSON.stringify({ id, channel, rpc: true, action }));
    setTimeout(() => setUnderway((all) => all.filter((one) => one.id !== id)), PATIENCE);
  });
  return [rows, sendAction];
}
