//! Events that wait together leave together: one write per socket instead of many.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::broadcast::{self, error::TryRecvError};

use crate::hub::{Event, Text, TopicEntry};
use crate::state::revision::Revision;
use crate::wire::frame::{Encoding, Frame};

/// Joining stops here, so that nothing large is copied.
const JOINED_BYTES: usize = 256 * 1024;

/// Consecutive events of one topic.
pub struct Burst {
    /// Whose.
    pub entry: Arc<TopicEntry>,
    /// What they are.
    pub load: Load,
    frames: Vec<Arc<Frame>>,
    /// Of a host: those who sent them wait for what becomes of them.
    texts: Vec<Arc<Text>>,
    /// By encoding; made when the first viewer needs it.
    joined: [OnceLock<Bytes>; 4],
}

/// What a burst brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// The way from one revision to another.
    Flush { from: Revision, to: Revision },
    /// A host's own texts.
    Text,
    /// Everything once more.
    Resend,
    /// The topic is deleted.
    Deleted,
}

impl Burst {
    /// The first event and all that already wait behind it, in their order; and whether some
    /// were lost because this shard was too slow.
    pub fn collect(first: Event, events: &mut broadcast::Receiver<Event>) -> (Vec<Burst>, bool) {
        let first = Burst::of(first);
        let mut bytes = first.size();
        let mut bursts = vec![first];
        while bytes < JOINED_BYTES {
            let next = match events.try_recv() {
                Ok(event) => Burst::of(event),
                Err(error) => return (bursts, matches!(error, TryRecvError::Lagged(_))),
            };
            bytes += next.size();
            match bursts.last_mut() {
                Some(last) if last.takes(&next) => last.append(next),
                _ => bursts.push(next),
            }
        }
        (bursts, false)
    }

    fn of(event: Event) -> Burst {
        let mut texts = Vec::new();
        let (entry, load, frame) = match event {
            Event::Flush(flushed) => {
                let load = Load::Flush {
                    from: flushed.from,
                    to: flushed.to,
                };
                (flushed.entry.clone(), load, flushed.frame.clone())
            }
            Event::Text(text) => {
                let (entry, frame) = (text.entry.clone(), text.frame.clone());
                texts.push(text);
                (entry, Load::Text, Some(frame))
            }
            Event::Resend(entry) => (entry, Load::Resend, None),
            Event::Deleted(entry) => (entry, Load::Deleted, None),
        };
        Burst {
            entry,
            load,
            frames: frame.into_iter().collect(),
            texts,
            joined: Default::default(),
        }
    }

    /// So many viewers were given it.
    pub fn given_to(&self, viewers: usize) {
        self.texts.iter().for_each(|text| text.given_to(viewers));
    }

    fn size(&self) -> usize {
        self.frames.iter().map(|frame| frame.text_len()).sum()
    }

    fn takes(&self, next: &Burst) -> bool {
        let follows = match (self.load, next.load) {
            (Load::Flush { to, .. }, Load::Flush { from, .. }) => to == from,
            (Load::Text, Load::Text) => true,
            _ => false,
        };
        follows && Arc::ptr_eq(&self.entry, &next.entry)
    }

    fn append(&mut self, next: Burst) {
        if let (Load::Flush { to, .. }, Load::Flush { to: last, .. }) = (&mut self.load, next.load)
        {
            *to = last;
        }
        self.frames.extend(next.frames);
        self.texts.extend(next.texts);
    }

    /// All of it as one piece; none when there is nothing to send.
    pub fn bytes(&self, encoding: Encoding) -> Option<&Bytes> {
        let [first, more @ ..] = self.frames.as_slice() else {
            return None;
        };
        if more.is_empty() {
            return Some(first.bytes(encoding));
        }
        let join = || {
            self.frames
                .iter()
                .map(|frame| &frame.bytes(encoding)[..])
                .collect::<Vec<_>>()
                .concat()
                .into()
        };
        Some(self.joined[encoding.index()].get_or_init(join))
    }
}
