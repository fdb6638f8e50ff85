//! onlooker shows one machine's live state to every screen in the room: a host writes,
//! viewers watch.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = onlooker::Server::start(Default::default()).await?;
//! println!("watch it at {}", server.links().page);
//! let topic = server.topic("main")?;
//! topic.set(&serde_json::json!({"data": [1, 2, 3], "config": {"speed": 1}})).await?;
//! topic.set_field("speed", &1.5).await?;
//! server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! What follows is for those who change the library.
//!
//! # The layers, in reading order
//!
//! A folder is a layer, and answers one question.
//!
//! | layer | folder | what it answers |
//! | --- | --- | --- |
//! | 1 | `state` | what is shown: JSON, sessions, revisions, the whitelist, topics, the debounce; the rows of rooms |
//! | 2 | `wire` | how it is said: messages, problems, frames |
//! | 3 | `discovery` | where it is found: addresses and the QR code |
//! | 4 | `store` `cluster` | what survives: a file, and what is whole of a damaged one; what several daemons share |
//! | 5 | `hub` | who is told: topics and rooms by name, flushes, the channel to the viewers, the thread that keeps changes |
//! | 6 | `access` | who may: tokens, names, passes |
//! | 7 | `source` | who writes: files, standard input, hosts of topics and rooms, other daemons |
//! | 8 | `viewer` | who watches, and who edits rows: the shards, people, `/sync` |
//! | 9 | `http` | the door: connections, the gate, routes, pages |
//! | 10 | `options` `server` | the library's face |
//! | 11 | `program` `main` | the program around it: command line, configuration, terminal, doctor |
//!
//! A folder imports only from those above it in this table, or from its own.
//!
//! # The way of a change
//!
//! A source, a request or a host's message becomes a `state::topic::Change`, which `Topic::write`
//! accepts or refuses. With a store, its writer is answered once the thread that keeps changes has
//! made it durable; what cannot be kept is rolled back, even if the writer has gone meanwhile.
//! After the debounce the flusher turns what has changed into one `wire::frame::Frame`, encodes it
//! in the ways that the topic's viewers use, and sends it through `broadcast::channel` to the shards.
//! A viewer that is at the revision where the flush begins is sent the shared bytes. Any other, new,
//! slow, or on a shard that lagged, is answered by `Topic::since`.
//!
//! In a cluster a change is drafted from the newest state, put into the bucket if nothing is newer
//! there, and shown once the bucket holds it, by the same function that shows what other daemons
//! write (`hub::cluster::Shared::show`). A relay is a viewer of its upstream: what it is sent goes
//! with its revision through `hub::follow::Follower` to `Topic::follow`, and leaves at once. From
//! there on both are changes like any other.
//!
//! # The way of an action
//!
//! In a room, what one of its people wants goes from its reader to its `Seat`, and becomes the edits
//! of some rows, by `state::room::Action` or by the room's host. `Book::write` makes new versions of
//! the rows, `Book::keep` shows them once they are durable, or need not be. Then the answer is in
//! the seat, and the room's shard is told: whoever has reached the time at which the change begins
//! is sent the shared bytes. Any other, and whoever asked, is told by `Telling` what it lacks, piece
//! by piece.
//!
//! # Invariants
//!
//! 1. Layers 1 and 2 never await, read a clock, or touch a socket or a file.
//! 2. Nothing but `Topic::write`, whose applying may be done before, and `Topic::adopt` and
//!    `Topic::follow`, for a state that arrives with its revision, changes a session; nothing but `Topic::since`
//!    decides what a viewer lacks.
//!    In a cluster nothing but taking what the bucket holds changes a shared topic or row.
//!    Nothing but `Book::write` makes rows, and nothing but `Book::keep` shows them (`Book::restore` puts
//!    them back at the start, `Book::forget` takes deleted ones out); in a cluster these are `Book::draft`
//!    and, for what the bucket holds, `Book::take`. `Telling` decides what a person lacks.
//! 3. No lock is held across an await, and none while something large is encoded, except the one
//!    that keeps a topic's flushes in order: no runtime thread waits for that.
//! 4. No unbounded queue and no detached task: every task ends on a token and is waited for. Only a
//!    blocking read, of standard input or of a file on a drive that hangs, cannot be cancelled.
//! 5. No viewer can delay a write or another viewer by what it does or fails to do: it can only
//!    read, pong and close. (An encoding that it asked for is made before a flush leaves, for all
//!    viewers; no writer waits.) One of a room's people may write as well, so many actions in a while:
//!    its reader sees to them, never its shard, and others wait no longer than each change takes.
//! 6. Access is decided once, before the handler runs and before a 101, and becomes a value that the
//!    handler takes. When the rules change, the value says so, and whoever holds it is disconnected.
//! 7. A frame is encoded and compressed once per encoding, however many viewers receive it; so is a
//!    change of rows, for the people who lack just that.
//! 8. Without a store, and without a cluster, nothing is different except that an `Option` is `None`.
//! 9. Whoever was answered is told: an acknowledged value reaches its writer again when it changes.
//! 10. `since` trusts only a revision that this history has made, or began with.
//! 11. The cost of new values for fields depends on those fields, not on the session around them; that
//!     of an action or a sync on the rows that it changes or sends, not on the table around them.
//! 12. No two changes of a room have the same time, whatever the clock does, and nobody is sent a row
//!     older than one that it was sent before. In a cluster, daemons may give the same time to two rows,
//!     never to two versions of one; there each daemon gives what it takes a place in an order of its own.

// Some functions are there for the program alone.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]

mod access;
#[cfg_attr(not(feature = "nats"), path = "cluster/absent.rs")]
mod cluster;
mod discovery;
mod http;
mod hub;
mod options;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod program;
mod server;
mod source;
mod state;
#[cfg_attr(not(feature = "store"), path = "store/absent.rs")]
mod store;
mod viewer;
mod wire;

pub use access::{PageLink, Token};
pub use cluster::{ClusterOptions, NatsUrl};
pub use http::{
    ChannelStatus, Links, RelayStatus, Reloaded, RoomStatus, Status, StoreStatus, TopicStatus,
};
pub use hub::cluster::{ClusterState, Daemon};
pub use hub::{Receipt, WriteError};
pub use options::{
    AccessOptions, Flow, HostToken, Invalid, Limits, LinkOptions, Options, Page, RoomOptions,
    Source, StoreFailure, TlsFiles, Upstream,
};
pub use server::{Server, SetError, StartError, TopicHandle};
pub use state::fields::{Field, FieldError};
pub use state::json::{Json, JsonError, Kind};
pub use state::name::{NameError, TopicName};
pub use state::revision::Revision;
pub use state::room::{Actions, Channel, Columns, RoomError, RoomName, Writers};
pub use state::session::{Config, Session, ShapeError};
pub use state::topic::Refusal;
pub use store::StoreError;
pub use viewer::ViewerInfo;
pub use wire::MessageError;

/// What the tests, the benchmarks and the fuzzers of this repository need besides. Nothing is
/// promised of it.
#[doc(hidden)]
pub mod internals {
    pub use crate::state::{fields, json, name, revision, room, session, topic};

    /// How it is said.
    pub mod wire {
        pub use crate::wire::*;
    }

    #[cfg(fuzzing)]
    pub use crate::{
        http::{agreed_deflate, switching},
        hub::{Hub, HubOptions},
        source::{document, host},
        viewer::{Inbound, Signal},
    };

    /// Who may.
    #[cfg(fuzzing)]
    pub mod access {
        pub use crate::access::*;
    }

    /// What survives.
    #[cfg(fuzzing)]
    pub mod store {
        pub use crate::store::*;
    }
}
