//! onlooker shows one machine's live state to every screen in the room: a host writes,
//! viewers watch.
//!
//! # The rooms, in reading order
//!
//! A folder is a layer, and answers one question.
//!
//! | layer | room | what it answers |
//! | --- | --- | --- |
//! | 1 | [`state`] | what is shown: JSON, sessions, revisions, the whitelist, topics, the debounce |
//! | 2 | [`wire`] | how it is said: messages, problems, frames |
//! | 3 | [`discovery`] | where it is found: addresses and the QR code |
//! | 4 | [`store`] | what survives: a file, and what is whole of a damaged one |
//! | 5 | [`hub`] | who is told: topics by name, flushes, the channel to the viewers, the thread that keeps changes |
//! | 6 | [`access`] | who may: tokens, names, passes |
//! | 7 | [`source`] | who writes: files, standard input, hosts |
//! | 8 | [`viewer`] | who watches: the shards, `/sync` |
//! | 9 | [`http`] | the door: connections, the gate, routes, pages |
//! | 10 | [`options`] [`server`] | the library's face |
//! | 11 | [`program`] `main` | the program around it: command line, configuration, terminal |
//!
//! A room imports only from those above it in this table, or from its own.
//!
//! # The way of one change
//!
//! A source, a request or a host's message becomes a [`state::topic::Change`]. [`state::topic::Topic::write`]
//! accepts or refuses it. With a [`store`] its writer is answered when the thread that writes
//! has made it durable; what cannot be kept is taken back, whoever is still there to hear of it.
//! After the [debounced](state::debounce) pause the flusher takes what changed as one [`wire::frame::Frame`], which
//! goes through `broadcast::channel` to the shards of [`viewer`], and each viewer that is where
//! the flush begins is sent the shared bytes. Whoever is elsewhere, a newcomer, a lagging shard
//! or a slow phone, is answered by [`state::topic::Topic::since`].
//!
//! # Invariants
//!
//! 1. Layers 1 and 2 never await, read a clock, or touch a socket.
//! 2. Nothing but `Topic::write` and `Topic::adopt`, for a state that comes with its revision,
//!    changes a session; nothing but `Topic::since` answers what a viewer lacks.
//! 3. No lock is held across an await. None is held while something large is encoded, but the one
//!    that keeps a topic's flushes in their order, for which nobody waits on a runtime thread.
//! 4. No unbounded queue, no detached task: every task ends on a token and is waited for. The one
//!    exception is the thread that reads standard input: a blocking read cannot be called off.
//! 5. A viewer can delay neither a write nor another viewer. It can read, answer pings and close.
//! 6. Access is decided once, before the 101, and becomes a value that the next function takes. Where
//!    the rules change, that value says so, and who holds it ends.
//! 7. A frame is encoded and compressed once, however many viewers receive it.
//! 8. Without a store nothing is different except that an `Option` is `None`.
//! 9. Who was answered is told: a value that was acknowledged reaches its writer again when it changes.
//! 10. `since` trusts only a revision that this history made, or began with.
//! 11. Other values for fields cost by those fields, not by the session around them.

pub mod access;
pub mod discovery;
pub mod http;
pub mod hub;
pub mod options;
#[doc(hidden)]
pub mod program;
pub mod server;
pub mod source;
pub mod state;
pub mod store;
pub mod viewer;
pub mod wire;
