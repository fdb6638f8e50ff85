//! What is held for viewers that have not taken it yet, counted for all viewers together. A piece
//! counts once, however many viewers it is being sent to.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

pub struct Held {
    limit: usize,
    pieces: Mutex<Pieces>,
    over: watch::Sender<()>,
}

#[derive(Default)]
struct Pieces {
    /// By the address of their bytes, which nothing else can have while they are held.
    known: HashMap<usize, Known>,
    /// How many bytes are held that have not been given up.
    kept: usize,
    /// How many bytes have been given up and are still held.
    given_up: usize,
}

struct Known {
    length: usize,
    holders: usize,
    since: Instant,
    /// Its viewers are to be cut off.
    given_up: bool,
}

/// Shared bytes that a viewer has not taken yet.
pub struct Piece {
    bytes: Bytes,
    held: Arc<Held>,
}

impl Held {
    /// Holds up to so many bytes. Beyond that, the pieces that cost the most for the fewest viewers
    /// are given up.
    pub fn new(limit: usize) -> Arc<Held> {
        Arc::new(Held {
            limit,
            pieces: Mutex::default(),
            over: watch::Sender::default(),
        })
    }

    /// Holds bytes for one more viewer.
    pub fn hold(self: &Arc<Held>, bytes: Bytes) -> Piece {
        let now = Instant::now();
        let mut pieces = self.lock();
        pieces.add(&bytes, now);
        if pieces.give_up(self.limit, now) {
            self.over.send_replace(());
        }
        Piece {
            bytes,
            held: self.clone(),
        }
    }

    /// Whether anything has been given up and is still held.
    pub fn is_over(&self) -> bool {
        self.lock().given_up > 0
    }

    /// Changes whenever more is given up.
    pub fn over(&self) -> watch::Receiver<()> {
        self.over.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pieces {
    fn add(&mut self, bytes: &Bytes, now: Instant) {
        let known = self.known.entry(bytes.as_ptr().addr());
        let known = known.or_insert_with(|| {
            self.kept += bytes.len();
            Known {
                length: bytes.len(),
                holders: 0,
                since: now,
                given_up: false,
            }
        });
        known.holders += 1;
    }

    /// Returns whether there was too much.
    fn give_up(&mut self, limit: usize, now: Instant) -> bool {
        let too_much = self.kept > limit;
        while self.kept > limit {
            let kept = self.known.values_mut().filter(|known| !known.given_up);
            let Some(worst) = kept.max_by_key(|known| known.cost(now)) else {
                break;
            };
            worst.given_up = true;
            self.kept -= worst.length;
            self.given_up += worst.length;
        }
        too_much
    }

    fn remove(&mut self, bytes: &Bytes) {
        let place = bytes.as_ptr().addr();
        let Some(known) = self.known.get_mut(&place) else {
            return;
        };
        known.holders -= 1;
        if known.holders > 0 {
            return;
        }
        match known.given_up {
            true => self.given_up -= known.length,
            false => self.kept -= known.length,
        }
        self.known.remove(&place);
    }
}

impl Known {
    /// Bytes times how long they have been held, for each viewer that would be cut off. What is
    /// being sent to many viewers, or has only just begun, is kept the longest.
    fn cost(&self, now: Instant) -> u128 {
        self.length as u128 * (now - self.since).as_micros() / self.holders as u128
    }
}

impl Piece {
    pub fn is_given_up(&self) -> bool {
        let pieces = self.held.lock();
        let known = pieces.known.get(&self.bytes.as_ptr().addr());
        known.is_some_and(|known| known.given_up)
    }
}

impl Deref for Piece {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.held.lock().remove(&self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Bytes of their own, a second later.
    async fn bytes(length: usize) -> Bytes {
        tokio::time::advance(Duration::from_secs(1)).await;
        vec![0; length].into()
    }

    fn given_up(pieces: &[&Piece]) -> Vec<bool> {
        pieces.iter().map(|piece| piece.is_given_up()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_counts_once_however_many_are_sent_it() {
        let (held, shared) = (Held::new(10), bytes(10).await);
        let all: Vec<Piece> = (0..100).map(|_| held.hold(shared.clone())).collect();
        assert!(!held.is_over());
        drop(all);
        let again = held.hold(bytes(10).await);
        assert_eq!(given_up(&[&again]), [false], "nothing is left of the first");
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_the_most_for_the_fewest_goes() {
        let held = Held::new(20);
        let mut over = held.over();
        let small = held.hold(bytes(1).await);
        let many = bytes(6).await;
        let many = [held.hold(many.clone()), held.hold(many)];
        let old = held.hold(bytes(6).await);
        let large = held.hold(bytes(7).await);
        assert!(!held.is_over() && !over.has_changed().unwrap());
        let newest = held.hold(bytes(6).await);
        let all = [&small, &many[0], &old, &large, &newest];
        assert_eq!(given_up(&all), [false, false, true, false, false]);
        assert!(held.is_over());
        over.changed().await.unwrap();
        drop((small, many, old, large, newest));
        assert!(!held.is_over());
    }
}
