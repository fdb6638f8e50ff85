//! Which encodings the viewers of a topic use, so that what is sent to them is encoded before
//! it reaches the shards.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::wire::frame::{Encoding, Frame};

/// How many viewers of a topic use each encoding.
#[derive(Default)]
pub struct Encodings([AtomicUsize; 4]);

impl Encodings {
    /// Counts one more viewer that uses an encoding.
    pub fn add(&self, encoding: Encoding) {
        self.0[encoding.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one fewer.
    pub fn remove(&self, encoding: Encoding) {
        self.0[encoding.index()].fetch_sub(1, Ordering::Relaxed);
    }

    /// Makes every encoding of a frame that is in use. For a large frame this takes a while:
    /// deflating 15 MB takes a third of a second.
    pub fn encode(&self, frame: &Frame) {
        let used = |encoding: &Encoding| self.0[encoding.index()].load(Ordering::Relaxed) > 0;
        for encoding in Encoding::ALL.into_iter().filter(used) {
            frame.bytes(encoding);
        }
    }
}
