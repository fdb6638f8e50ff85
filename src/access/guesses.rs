//! Wrong tokens, counted by where they come from. An address that shows too many is refused, but
//! the right token still gets in from there, so that no stranger can lock anybody out.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::hub::notices::network;
use crate::wire::Problem;

/// How many addresses are remembered.
pub const REMEMBERED: usize = 4096;

/// How many wrong tokens one address may show within [`SPAN`] before more are refused.
pub const GUESSES: u32 = 10;
const SPAN: Duration = Duration::from_secs(60);

/// How long the right token is delayed after too many wrong ones, and how many requests may be
/// waiting like that at a time.
const DELAY: Duration = Duration::from_secs(1);
pub const WAITING: usize = 64;

/// Stands for all addresses that find the table full. Nobody connects from it.
const STRANGERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What is remembered about those who showed a token where one is needed.
pub struct Guesses {
    seen: Mutex<Seen>,
    places: Semaphore,
    lock_outs: AtomicU64,
}

#[derive(Default)]
struct Seen {
    wrong: HashMap<IpAddr, (Instant, u32)>,
    /// Addresses that showed the right token: nobody is guessing there.
    trusted: HashSet<IpAddr>,
}

impl Default for Guesses {
    fn default() -> Guesses {
        Guesses {
            seen: Mutex::default(),
            places: Semaphore::new(WAITING),
            lock_outs: AtomicU64::new(0),
        }
    }
}

impl Guesses {
    /// A fresh start that remembers nobody; only the number of lock-outs stays.
    pub fn forgotten(&self) -> Guesses {
        Guesses {
            lock_outs: AtomicU64::new(self.lock_outs()),
            ..Guesses::default()
        }
    }

    /// Counts a wrong token.
    /// Fails with 429 after too many of them.
    pub fn wrong(&self, address: IpAddr) -> Result<(), Problem> {
        let address = network(address);
        let mut seen = self.seen();
        if seen.trusted.contains(&address) {
            return Ok(());
        }
        let (key, known) = seen.known(address);
        if known >= GUESSES {
            return Err(too_many("too many wrong tokens from this address"));
        }
        seen.wrong.entry(key).or_insert((Instant::now(), 0)).1 += 1;
        if known + 1 == GUESSES {
            self.lock_outs.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Trusts an address that showed the right token: at once, or with a delay after too many wrong
    /// ones.
    /// Fails with 429 if too many are waiting already.
    pub async fn right(&self, address: IpAddr) -> Result<(), Problem> {
        let address = network(address);
        if self.is_suspect(address) {
            let place = self.places.try_acquire();
            let _place = place.map_err(|_| too_many("too many wait after wrong tokens"))?;
            sleep(DELAY).await;
        }
        let mut seen = self.seen();
        if seen.trusted.len() < REMEMBERED {
            seen.trusted.insert(address);
        }
        Ok(())
    }

    /// How many times an address was locked out for showing too many wrong tokens.
    pub fn lock_outs(&self) -> u64 {
        self.lock_outs.load(Ordering::Relaxed)
    }

    fn is_suspect(&self, address: IpAddr) -> bool {
        let mut seen = self.seen();
        !seen.trusted.contains(&address) && seen.known(address).1 >= GUESSES
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// The address under which this one is counted, and its number of wrong tokens so far.
    fn known(&mut self, address: IpAddr) -> (IpAddr, u32) {
        let now = Instant::now();
        self.wrong
            .retain(|_, (since, _)| now.duration_since(*since) < SPAN);
        let has_room = self.wrong.len() < REMEMBERED;
        let key = match has_room || self.wrong.contains_key(&address) {
            true => address,
            false => STRANGERS,
        };
        (key, self.wrong.get(&key).map_or(0, |(_, count)| *count))
    }
}

fn too_many(what: &str) -> Problem {
    Problem::new(429, format!("{what}: wait a minute"))
}
