//! What a writer asks for besides its change, and the answer it gets.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Parts, Refusal, Writer};
use crate::wire::Problem;

/// How a change is to be written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The name the writer gives itself.
    pub writer: Arc<Writer>,
    /// Its address; none for a part of the program.
    pub address: Option<IpAddr>,
    /// What people call it if it has no address: a file's name, `stdin`; none: the library.
    pub source: Option<Arc<str>>,
    /// How long ago what it writes was made: a file is older than the daemon that has just started.
    pub age: Duration,
    /// Only if nothing has changed since this revision.
    pub if_match: Option<Revision>,
    /// Only if the topic exists already.
    pub existing: bool,
}

/// A change that was accepted.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The revision of this change; if it changed nothing, of the one that made the session so.
    pub revision: Revision,
    /// Where only fields were written: the revision of the last change of any of them.
    pub touched: Revision,
    /// Whether there was no session before.
    pub created: bool,
    /// The session now.
    pub session: Session,
    /// Whether it is as durable as was asked for: false only if the store fails and changes
    /// stand all the same.
    pub kept: bool,
    /// What it has changed, for people.
    pub(super) found: Found,
}

/// What a change that was accepted has changed.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// These parts of the session.
    Changed(Parts),
    /// Nothing, apart from what these pointers have dropped.
    Nothing(Vec<String>),
}

/// What a deletion has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// There was no session to delete.
    Nothing,
    /// It is gone.
    Gone,
    /// It is gone, but the store has not forgotten it yet.
    Unkept,
}

/// Why a change was not accepted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// The session cannot be changed in this way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The topic is at another revision than the writer believed.
    #[error("the topic is at revision {0} by now: fetch it and try again")]
    Stale(Revision),
    /// There is no such topic.
    #[error("there is no topic {0:?}")]
    NoTopic(String),
    /// No more topics fit.
    #[error("the limit of {0} topics is reached (--max-topics)")]
    Full(usize),
    /// The topic shows a room.
    #[error("this topic shows the room {0}, and changes with its rows: write them instead")]
    Room(String),
    /// The topic is another daemon's.
    #[error("this topic is relayed from {0}: write it there")]
    Relay(String),
    /// No more rooms fit.
    #[error("the limit of {0} rooms is reached (--max-rooms)")]
    Rooms(usize),
    /// The change could not be kept, so it was taken back.
    #[error("the change could not be kept, so it was taken back: {0} (--store)")]
    Store(String),
    /// NATS is lost, or refuses it: it was not written.
    #[error("NATS did not take the change, so nothing has changed: {0} (--nats)")]
    Cluster(String),
    /// NATS did not say what has become of it.
    #[error(
        "NATS did not say whether the change was kept, so it may have been: {0}: fetch the session and look (--nats)"
    )]
    Unknown(String),
    /// The topic's record would be larger than a message of NATS may be.
    #[error(
        "NATS takes messages of {0} bytes at most, and the topic would be larger: raise max_payload in the configuration of its servers, or make the session smaller"
    )]
    TooLargeForCluster(usize),
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

impl WriteError {
    /// Whether the same change may be accepted later, or has been and it is not known.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            WriteError::Store(_)
                | WriteError::Full(_)
                | WriteError::Cluster(_)
                | WriteError::Unknown(_)
        )
    }

    /// The rule that was broken, without a value.
    pub(super) fn rule(&self) -> String {
        match self {
            WriteError::Refused(refusal) => refusal.rule(),
            WriteError::Stale(revision) => {
                format!("If-Match is stale: the topic is at revision {revision} by now")
            }
            other => other.to_string(),
        }
    }

    /// What is at fault, if it is not the change as a whole.
    pub(super) fn parts(&self) -> Option<Parts> {
        match self {
            WriteError::Refused(refusal) => refusal.parts(),
            _ => None,
        }
    }

    /// As it is reported over HTTP and the host socket.
    pub fn problem(&self) -> Problem {
        let (status, cause) = match self {
            WriteError::Refused(Refusal::TooLarge(_)) | WriteError::TooLargeForCluster(_) => {
                (413, None)
            }
            WriteError::Unknown(_) => (504, None),
            WriteError::Refused(Refusal::Fields(_)) => {
                (422, Some("values that declared fields forbid"))
            }
            WriteError::Refused(Refusal::Invalid(_)) => {
                (422, Some("it cannot be applied to this session"))
            }
            WriteError::Stale(_) => (412, None),
            WriteError::NoTopic(_) => (404, Some("there is no such topic")),
            WriteError::Room(_) => (409, Some("the topic shows a room")),
            WriteError::Relay(_) => (409, Some("the topic is another daemon's")),
            WriteError::Store(_) => (507, None),
            WriteError::Full(_)
            | WriteError::Rooms(_)
            | WriteError::Cluster(_)
            | WriteError::Stopping => (503, None),
        };
        let mut problem = Problem::new(status, self.to_string());
        problem.cause = cause;
        match self {
            WriteError::Refused(Refusal::Fields(faults)) => problem.errors.clone_from(faults),
            WriteError::Stale(revision) => problem.revision = Some(revision.to_string().into()),
            _ => {}
        }
        problem
    }
}
