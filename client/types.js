/**
 * The types of the client's core, for readers and for `tsc`; nothing here runs.
 * Instants are milliseconds since 1970 (`Date.now()`), durations are milliseconds.
 * @module
 */
export {};

/**
 * A topic's whole state. It never changes in place: every change makes a new object, and after a `config_update`
 * `data` and `metadata` are still the same objects, so `useEffect(rebuild, [session.data])` rebuilds only when it must.
 * @typedef {object} Session
 * @property {string} name
 * @property {any} data
 * @property {Record<string, any>} config the fields
 * @property {any} metadata
 */

/**
 * The state of a viewer's connection.
 * - `idle`: no address yet. - `connecting`: a socket is being opened. - `live`: it is open.
 * - `waiting`: it was lost or never opened; the next attempt is at `retryAt`. - `closed`: `close()` was called; final.
 * @typedef {Idle | Connecting | Live | Waiting | Closed} LinkState
 */
/** @typedef {{status: "idle"}} Idle */
/**
 * @typedef {object} Connecting
 * @property {"connecting"} status
 * @property {number} attempt failed attempts since a connection last proved itself
 * @property {number} heardAt when the last frame arrived; 0 if none ever did
 */
/**
 * @typedef {object} Live
 * @property {"live"} status
 * @property {number} openedAt
 * @property {string | null} server the server named in `hello`, such as "onlooker/0.1.0"; null from a plain recipe server
 * @property {HostSeen | null} host what the newest heartbeat said about the host; null before the first one
 * @property {number | null} changedAt when what is shown changed last ("updated 3 min ago"), by this device's clock, whatever the daemon's
 *   says; null if unknown: there is no session yet, or a plain recipe server has not sent a change yet
 * @property {boolean} frozen whether the host has frozen what viewers are shown
 * @property {string} [lost] what the daemon gets its state from and has no connection to: `upstream`, where it relays another one; `nats`, in a cluster
 */
/**
 * @typedef {object} HostSeen
 * @property {"alive" | "silent" | "ended"} source `silent`: nothing came from it for a while, which is
 *   nothing wrong; `ended`: it was attached, and was lost
 * @property {number | null} seenAt when the host was last heard from ("frozen since 14:03")
 */
/**
 * @typedef {object} Waiting
 * @property {"waiting"} status
 * @property {number} attempt failed attempts since a connection last proved itself
 * @property {number | null} retryAt null while hidden: it reconnects at once when shown again
 * @property {string} reason why there is no connection: the daemon's own words (a `bye`, a close reason), or `unreachable`,
 *   `lost`, `timeout` (did not open in time), `silent` (missed its heartbeats), `deleted` (4404), `refused` (1008), `busy` (1013),
 *   `replaced` (a newer connection had its id; it takes a new id and dials again), `hidden`. After `stopping` it stays `stopping` until it is live again
 * @property {number | null} code the close code, if the socket closed
 * @property {number} heardAt when the last frame arrived ("frozen since …"); 0 if none ever did
 */
/** @typedef {{status: "closed"}} Closed */

/** @typedef {SessionEvent | ConfigEvent | StateEvent | MessageEvent} ViewerEvent */
/**
 * Everything is new: rebuild. `origins` has the fields whose writer identified itself.
 * @typedef {{type: "session", session: Session, revision: number | null, origins: Record<string, Origin>}} SessionEvent
 */
/**
 * Only `changed` fields are new: retune. `origins` has those whose writer identified itself.
 * @typedef {{type: "config", session: Session, revision: number | null, changed: Record<string, any>, origins: Record<string, Origin>}} ConfigEvent
 */
/**
 * The connection's state is new. A session or a change tells of its `changedAt` itself: no such event comes with it.
 * @typedef {{type: "state", state: LinkState}} StateEvent
 */
/**
 * A text that is not one of our frames: a host's broadcast, verbatim.
 * @typedef {{type: "message", text: string}} MessageEvent
 */
/**
 * Who wrote a field last.
 * @typedef {{revision: number, sourceId?: string, deviceId?: number, localRevision?: number}} Origin
 */

/** @typedef {"number" | "string" | "boolean" | "array" | "object"} FieldType */
/** @typedef {Record<string, FieldType>} Fields */

/**
 * Where to connect to.
 * @typedef {object} Where
 * @property {string} [topic] defaults to the daemon's default topic
 * @property {string} [token] a viewer token; also read from the address's fragment (`#t=…`, as in the QR code)
 */

/**
 * @typedef {object} Environment
 * @property {Fields} [fields] accept only these config fields, and only with these types
 * @property {string} [id] what this viewer calls itself, 1 to 64 of `A-Z a-z 0-9 _ -`: a newer connection with the same id replaces an older one, so
 *   that nobody is counted twice. Random by default; keep `viewer.id` across reloads. Empty: none. It is sent as `?id=` with every dial that offers
 *   `onlooker.v1`, so a plain server sees it in the first one; a dial without a subprotocol has none
 * @property {number[]} [delays] milliseconds before the first, the second, … attempt; the last one repeats. Each is spread at random down to the
 *   one before it, the first down to 0. By default three within a second, then 2 s, 3 s, 4.5 s … 15 s
 * @property {boolean} [resume] after a lost connection, request only what changed (default true)
 * @property {boolean} [plain] offer no subprotocol at all (default false: if a server refuses it, the viewer retries without one at once)
 * @property {new (url: string, protocols?: string[]) => any} [WebSocket] defaults to the global one; in Node 20, pass that of `ws`
 * @property {AppState} [appState] React Native's `AppState`, used instead of the document
 * @property {{hidden: boolean, addEventListener: Function, removeEventListener: Function} | null} [document] the document whose visibility counts; null means always visible
 * @property {{addEventListener?: Function, removeEventListener?: Function} | null} [window] where to listen for `pageshow`, `focus` and `online`
 * @property {() => number} [now] the clock, milliseconds since 1970
 * @property {() => number} [random] returns a number from 0 up to, but not including, 1
 * @property {(run: () => void, ms: number) => any} [setTimeout]
 * @property {(timer: any) => void} [clearTimeout]
 */
/** @typedef {Where & Environment} Options */
/** @typedef {{currentState: string, addEventListener(type: "change", listener: (state: any) => void): {remove(): void}}} AppState */

/**
 * @typedef {object} Viewer
 * @property {LinkState} state
 * @property {Session | null} session null until the first snapshot
 * @property {number | null} revision of `session`; null from a plain recipe server
 * @property {string} id what it calls itself; another one after it was `replaced`
 * @property {(listener: (event: ViewerEvent, viewer: Viewer) => void) => () => void} subscribe returns a function that unsubscribes
 * @property {(url: string, where?: Where) => void} connect moves to another address or topic and never comes back to the old one
 * @property {(text: string) => boolean} send returns false when not live. Only `/host` listens: what a viewer sends is discarded
 * @property {() => void} close ends the viewer for good: no socket, timer or listener on the page remains
 */

/** @typedef {{url: string, token: string | null, fields?: Fields, id: string, delays: number[], resume: boolean, plain: boolean}} Target */

/**
 * Everything a viewer remembers; what `step` works on.
 * @typedef {object} Machine
 * @property {LinkState} link
 * @property {Target | null} target
 * @property {number} id the socket in use; events from any other are late and ignored
 * @property {boolean} spoken whether this target has accepted `onlooker.v1` before
 * @property {boolean} plain whether this dial offers no subprotocol
 * @property {number} attempt failed attempts since a connection last proved itself
 * @property {number} readyAt when the daemon's `bye` allows the next dial
 * @property {{reason: string, code: number | null}} lost why there is no connection
 * @property {number} now when the last event came: when an earlier one follows, the clock was set back, and every instant here is moved with it,
 *   so that no wait grows
 * @property {number} lostAt when it was last live
 * @property {number} dialedAt
 * @property {number} openedAt
 * @property {number} heardAt 0: never
 * @property {number} heartbeatMs 0: none announced
 * @property {number | null} hiddenAt null: shown
 * @property {boolean} fresh whether the next snapshot counts whatever its revision: it is the first of a connection, and the daemon may have restarted
 * @property {boolean} behind whether the next update only catches up, which is no news
 * @property {Session | null} session
 * @property {number | null} revision
 */

/**
 * What happens to a viewer. Every event carries the time and a random number from 0 up to 1.
 * @typedef {{now: number, random: number} & Happening} StepEvent
 */
/**
 * @typedef {{type: "connect", target: Target}
 *   | {type: "open", id: number, protocol?: string}
 *   | {type: "message", id: number, data: unknown}
 *   | {type: "close", id: number, code?: number | null, reason?: string}
 *   | {type: "timer"} | {type: "hide"} | {type: "shut"}
 *   | {type: "wake", open: boolean, online?: boolean}} Happening
 */
/**
 * What to do: `drop` the socket, `dial` a new one, set the only timer (null: none), `tell` the listeners.
 * @typedef {{type: "drop"}
 *   | {type: "dial", id: number, url: string, protocols: string[]}
 *   | {type: "timer", ms: number | null}
 *   | {type: "tell", event: ViewerEvent}} Effect
 */
/** @typedef {{state: Machine, effects: Effect[]}} Step */

/** One rule of `step`. @typedef {(m: Machine, e: any, ...more: any[]) => Step} Rule */
/** @typedef {(state: Machine, ...effects: Effect[]) => Step} Then */
/** @typedef {(part: any) => Effect} ToEffect */

/**
 * Reads an address: an http(s) or ws(s) URL, or a bare `host:port` (the port defaults to 9876). Throws a TypeError for anything else;
 * its message leaves out the query and the fragment, which may hold a token.
 * @typedef {(url: string, options?: Options) => Target} ReadTarget
 */
/**
 * What follows from an event. Pure: the time and a random number come with the event, and what to do is returned as effects.
 * @typedef {(machine: Machine, event: StepEvent) => Step} StepFunction
 */
/**
 * Watches a topic until `close()`; with a null address, idle until `viewer.connect(url)`.
 * @typedef {(url: string | null, options?: Options) => Viewer} Connect
 */
/**
 * Milliseconds before the next attempt, given how many failed, a random number from 0 up to 1, and the `delays`. Jitter spreads each step
 * down to the one before it, so viewers scatter and gaps do not shrink on the way up.
 * @typedef {(attempt: number, random: number, delays?: number[]) => number} Delay
 */
