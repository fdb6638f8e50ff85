//! What a shard is asked to do.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::inbound::Signal;
use super::write_side::{NewViewer, ViewerInfo};
use crate::hub::Catchup;
use crate::state::name::TopicName;

/// By its viewers' readers, by the encoder, and by the rest of the daemon. A viewer's key is its
/// place in the shard, which is free for another one after [`Command::Gone`].
pub enum Command {
    /// A viewer that came at this time.
    Join(Box<NewViewer>, Instant),
    /// A viewer's socket, which was full, takes more.
    Writable(usize),
    /// A viewer has sent something that has to be answered.
    Heard(usize, Signal),
    /// A viewer's socket has ended, and so has its reader.
    Gone(usize),
    /// What the viewer with this key and id lacks has been encoded.
    Encoded(usize, u64, Catchup),
    /// Lists the viewers.
    List(oneshot::Sender<Vec<ViewerInfo>>),
    /// Tells whether there is a viewer that calls itself so.
    Knows((TopicName, Box<str>), oneshot::Sender<bool>),
    /// Sends the viewer with this id away, and tells whether there is one.
    Disconnect(u64, oneshot::Sender<bool>),
    /// Sends those away whose pass was revoked.
    Check,
}
