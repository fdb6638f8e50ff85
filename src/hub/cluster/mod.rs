//! Topics and rows of rooms that several daemons share: two buckets of NATS hold the newest state of each.
//!
//! ```text
//!  writer ─► write ─► turn of the entry ─► draft ─► put, if nothing is newer ─► take ─► the writer's answer
//!                                            ▲                │ raced, unknown     ▲
//!                                            └── the newest ◄─┘                    │
//!                                                        watch of the bucket ──────┘
//! ```
//!
//! Nothing but `take` changes what is shared, whoever has written it: it is shown once it is kept. What is
//! different between topics and rows is what they do as `Shared`.

mod actions;
mod hosts;
mod part;
mod peers;
mod presence;
mod put;
mod rows;
mod said;
mod share;
mod shared;
mod slots;
mod step;
mod take;
mod told;
mod topic;
mod wait;
mod write;

pub use part::Cluster;
pub use said::Said;
pub use told::{ClusterState, Daemon};
