import { useOnlooker } from "onlooker/react";
import { useEffect, useRef } from "react";

/** @param {{ address: string }} props */
export function App({ address }) {
  const { state, session } = useOnlooker(address);
  return (
    <main style={{ maxWidth: "40rem", margin: "3rem auto", padding: "0 1rem", font: "1.125rem/1.5 system-ui" }}>
      <p role="status">{state.status === "live" ? "live" : "reconnecting…"}</p>
      {session && <Scene session={session} />}
    </main>
  );
}

/** @param {{ session: import("../../../client/types.js").Session }} props */
function Scene({ session }) {
  const builds = useRef(0);

  // While only fields change, `data` stays the same object: this runs for a session_update, never for a config_update.
  useEffect(() => {
    builds.current += 1;
    console.log(`scene built ${builds.current} times`);
  }, [session.data]);

  return (
    <>
      <h1>{session.name}</h1>
      <dl>
        {Object.entries(session.config).map(([field, value]) => (
          <div key={field}>
            <dt>{field}</dt>
            <dd>{JSON.stringify(value)}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}
