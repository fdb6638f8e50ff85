//! A room's hosts, where they decide on its actions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::reply::Reply;
use crate::state::json::Json;
use crate::wire::room::ask_host;

/// How many questions may wait for a host that does not read them.
pub const QUESTIONS: usize = 256;

/// How many may wait for its answers. What comes too late for whoever asked is done all the same.
const WAITING: usize = 4_096;

/// The hosts of a room, and what they were asked.
#[derive(Default)]
pub struct Hosts(Mutex<Asked>);

#[derive(Default)]
pub struct Asked {
    /// How many questions and hosts there ever were.
    pub numbers: u64,
    /// Those that are connected; the last one is asked.
    pub lines: Vec<(u64, mpsc::Sender<String>)>,
    pub waiting: HashMap<u64, Waiting>,
}

/// A question that has no answer yet.
pub struct Waiting {
    pub host: u64,
    pub channel: usize,
    pub reply: Reply,
}

/// What a host is asked.
pub struct Question<'a> {
    /// The place of the channel, and its name.
    pub channel: usize,
    pub name: &'a str,
    pub action: &'a Json,
    /// Who asks: what its client calls it, and its device.
    pub from: (&'a str, &'a str),
}

impl Hosts {
    /// How many are connected.
    pub fn count(&self) -> usize {
        self.asked().lines.len()
    }

    /// Asks the host that came last.
    ///
    /// # Errors
    /// Gives the reply back, and says why nobody was asked.
    pub fn ask(&self, question: &Question<'_>, reply: Reply) -> Result<(), (Reply, &'static str)> {
        // Dropped when the lock is free again: there may be something to log of them.
        let mut late = Vec::new();
        let mut asked = self.asked();
        if asked.waiting.len() >= WAITING {
            // Whoever waited for these was told that it took too long.
            let is_late = |_: &u64, waiting: &mut Waiting| waiting.reply.answer.is_closed();
            late.extend(asked.waiting.extract_if(is_late));
        }
        asked.numbers += 1;
        let number = asked.numbers;
        let Some((host, line)) = asked.lines.last() else {
            return Err((
                reply,
                "no host is connected, which would decide on it (/host?room=)",
            ));
        };
        let Question {
            channel,
            name,
            action,
            from,
        } = *question;
        if asked.waiting.len() >= WAITING
            || line.try_send(ask_host(number, name, action, from)).is_err()
        {
            return Err((reply, "the host does not keep up with what it is asked"));
        }
        let waiting = Waiting {
            host: *host,
            channel,
            reply,
        };
        asked.waiting.insert(number, waiting);
        Ok(())
    }

    pub(super) fn asked(&self) -> MutexGuard<'_, Asked> {
        // A panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
