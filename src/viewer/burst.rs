//! Events that wait together leave together, in one write per socket.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::broadcast::{self, error::TryRecvError};

use crate::hub::Event;
use crate::state::revision::Revision;
use crate::wire::frame::{Encoding, Frame};

/// Frames are joined up to this many bytes, so that nothing large is copied.
const JOINED_BYTES: usize = 256 * 1024;

/// One event, or several that follow each other: flushes of one topic, or texts for it.
pub struct Burst {
    events: Vec<Event>,
    /// By encoding; made when the first viewer needs it.
    joined: [OnceLock<Bytes>; 4],
}

impl Burst {
    /// The first event and all that already wait behind it, in order; and whether some were lost
    /// because this shard was too slow.
    pub fn collect(first: Event, events: &mut broadcast::Receiver<Event>) -> (Vec<Burst>, bool) {
        let mut bytes = size(&first);
        let mut bursts = vec![Burst::of(first)];
        while bytes < JOINED_BYTES {
            let next = match events.try_recv() {
                Ok(event) => event,
                Err(error) => return (bursts, matches!(error, TryRecvError::Lagged(_))),
            };
            bytes += size(&next);
            match bursts.last_mut() {
                Some(last) if bytes <= JOINED_BYTES && follows(last.last(), &next) => {
                    last.events.push(next);
                }
                _ => bursts.push(Burst::of(next)),
            }
        }
        (bursts, false)
    }

    fn of(event: Event) -> Burst {
        Burst {
            events: vec![event],
            joined: Default::default(),
        }
    }

    pub fn last(&self) -> &Event {
        &self.events[self.events.len() - 1]
    }

    /// The revision from which a burst of flushes leads on.
    pub fn from(&self) -> Option<Revision> {
        match &self.events[0] {
            Event::Flush(flushed) => Some(flushed.from),
            _ => None,
        }
    }

    /// Counts the viewers that were given its texts.
    pub fn given_to(&self, viewers: usize) {
        for event in &self.events {
            if let Event::Text(text) = event {
                text.given_to(viewers);
            }
        }
    }

    fn frames(&self) -> impl Iterator<Item = &Arc<Frame>> {
        self.events.iter().filter_map(Event::frame)
    }

    /// Whether there is nothing to send: only refusals were announced.
    pub fn is_silent(&self) -> bool {
        self.frames().next().is_none()
    }

    /// All of it as one piece. None when that would first have to be encoded for long, which is
    /// only so in an encoding that no viewer used yet when the event left.
    pub fn bytes(&self, encoding: Encoding) -> Option<&Bytes> {
        let mut frames = self.frames();
        match (frames.next(), frames.next()) {
            (None, _) => None,
            (Some(only), None) => only.ready(encoding),
            _ => Some(self.joined[encoding.index()].get_or_init(|| {
                let all = self.frames().map(|frame| &frame.bytes(encoding)[..]);
                all.collect::<Vec<_>>().concat().into()
            })),
        }
    }
}

fn size(event: &Event) -> usize {
    event.frame().map_or(0, |frame| frame.text_len())
}

fn follows(last: &Event, next: &Event) -> bool {
    let in_order = match (last, next) {
        (Event::Flush(last), Event::Flush(next)) => last.to == next.from,
        (Event::Text(_), Event::Text(_)) => true,
        _ => false,
    };
    in_order && Arc::ptr_eq(last.entry(), next.entry())
}
