//! What several daemons share: a key-value bucket of NATS JetStream, and messages between them.
//!
//! The engine orders, replicates and remembers; nothing of that is here. This layer says how a topic is
//! spelled in a bucket, and in which ways a write can end: kept, raced, refused, or unknown.

mod bucket;
mod connection;
mod ended;
mod options;
mod record;
mod row;

pub use bucket::{Bucket, Watch};
pub use connection::{Asker, Connection};
pub use ended::{Entry, Look, Put};
pub use options::{ClusterOptions, NatsUrl};
pub use record::{Held, Mark, Record, key_of, topic_of};
pub use row::{LONGEST_ID, RowKey, SharedRow};
