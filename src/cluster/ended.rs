//! What comes back: from a bucket, and of the connection.

use bytes::Bytes;

/// How a write has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is kept, under this number of the bucket's.
    Kept(u64),
    /// Somebody else has written the key since the number that was expected.
    Raced,
    /// It was larger than so many bytes, which is as much as the server takes.
    TooLarge(usize),
    /// Nobody keeps the bucket at the moment, so it was not written: its servers choose a leader, or it
    /// is gone.
    NoLeader,
    /// The server has refused it for this reason: it was not written.
    Refused(String),
    /// Nothing came back: it may be written, or still be.
    Unknown(String),
}

/// What a bucket holds under a key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The bucket's number for this write.
    pub number: u64,
    /// None where somebody has deleted the key with a tool of NATS.
    pub value: Option<Bytes>,
    /// How many more there were when it was sent.
    pub pending: u64,
}

/// How the connection is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether there is one.
    pub connected: bool,
    /// How often there has been one.
    pub connects: u64,
    /// What was said last of why there is none.
    pub error: Option<String>,
}

/// A bucket's number of writes, and when it was made: another one of the name was made at another time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// When it was made.
    pub made: String,
    /// The number of its last write.
    pub last: u64,
    /// How many entries it has.
    pub entries: u64,
    /// On how many servers it is kept.
    pub replicas: usize,
}
