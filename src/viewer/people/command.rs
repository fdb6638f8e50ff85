//! What a shard of people is asked to do.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::person::NewPerson;
use crate::viewer::ViewerInfo;
use crate::viewer::inbound::Signal;

/// What a shard is asked to do. A person's key is its place in the shard.
pub enum Command {
    /// A person that came at this time.
    Join(Box<NewPerson>, Instant),
    /// Its socket may take more, or there may be something to be sent to it.
    Pump(usize),
    /// It has sent something that has to be answered.
    Heard(usize, Signal),
    /// Its socket has ended, and so has its reader.
    Gone(usize),
    /// Lists the people.
    List(oneshot::Sender<Vec<ViewerInfo>>),
    /// Sends the one with this id away, and tells whether there is one.
    Disconnect(u64, oneshot::Sender<bool>),
    /// Sends those away whose pass was revoked.
    Check,
}
