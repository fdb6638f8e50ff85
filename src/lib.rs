//! onlooker shows one machine's live state to every screen in the room: a host writes,
//! viewers watch.
//!
//! # The rooms, in reading order
//!
//! | layer | rooms | hold |
//! | --- | --- | --- |
//! | 1 | [`json`] [`name`] [`revision`] [`session`] [`fields`] [`token`] [`options`] | the state's shape and version, the whitelist, secrets, what can be set |
//! | 2 | [`topic`] [`debounce`] [`protocol`] | `write` and `since`; when changes leave; the wire's JSON |
//! | 3 | [`frame`] [`store`] | a message as bytes, encoded once; topics that survive, by one thread that writes |
//! | 4 | [`notices`] [`hub`] | what strangers bring about, told and counted; topics by name, flushers, the channel to the viewers |
//! | 5 | [`access`] [`discovery`] [`viewer`] [`host`] [`source`] [`invalidation`] | who may connect; the address and its code; those who watch, write and fetch |
//! | 6 | [`http`] | connections, the gate, routes, pages |
//! | 7 | [`server`] [`demo`] | the library's face; what `onlooker demo` shows |
//! | 8 | `config` `cli` `terminal` `main` | the program around it |
//!
//! A room imports only from lower layers, or from its own.
//!
//! # The way of one change
//!
//! A source, a request or a host's message becomes a [`topic::Change`]. [`topic::Topic::write`]
//! accepts or refuses it. With a [`store`] its writer is answered when the thread that writes
//! has made it durable; what cannot be kept is taken back, whoever is still there to hear of it.
//! After the [`debounce`]d pause the flusher takes what changed as one [`frame::Frame`], which
//! goes through `broadcast::channel` to the shards of [`viewer`], and each viewer that is where
//! the flush begins is sent the shared bytes. Whoever is elsewhere, a newcomer, a lagging shard
//! or a slow phone, is answered by [`topic::Topic::since`].
//!
//! # Invariants
//!
//! 1. Layers 1 to 3 never await, read a clock, or touch a socket.
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
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod config;
pub mod debounce;
pub mod demo;
pub mod discovery;
pub mod fields;
pub mod frame;
pub mod host;
pub mod http;
pub mod hub;
pub mod invalidation;
pub mod json;
pub mod name;
pub mod notices;
pub mod options;
pub mod protocol;
pub mod revision;
pub mod server;
pub mod session;
pub mod source;
pub mod store;
#[doc(hidden)]
pub mod terminal;
pub mod token;
pub mod topic;
pub mod viewer;
