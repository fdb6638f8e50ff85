//! Connections that have not shown yet what they may do: few, and fewer from one address. The
//! oldest makes room for the newest, so that silent ones keep nobody out.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::hub::notices::network;

/// How many hosts' addresses are remembered.
const HOSTS: usize = 64;

pub struct Pending {
    limit: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The oldest first.
    slots: BTreeMap<Origin, BTreeMap<u64, CancellationToken>>,
    arrived: u64,
    hosts: HashSet<IpAddr>,
}

/// Where connections come from, as far as slots are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// This machine, or one that has shown the host token: strangers take no slot from it.
    Known(IpAddr),
    /// An IPv4 address, or the IPv6 network that one customer may choose addresses from.
    Stranger(IpAddr),
}

/// One connection's slot, until it is dropped.
pub struct Slot {
    /// Cancelled when somebody newer needs the slot.
    pub evicted: CancellationToken,
    pending: Arc<Pending>,
    origin: Origin,
    address: IpAddr,
    /// Counts the connections of the daemon.
    pub number: u64,
}

impl Pending {
    /// This many slots for strangers; one address may have half of them.
    pub fn new(limit: usize) -> Arc<Pending> {
        Arc::new(Pending {
            limit,
            waiting: Mutex::default(),
        })
    }

    /// A slot for a connection from an address. If none is left, the oldest connection of the
    /// address that has the most loses its own.
    pub fn slot(self: &Arc<Pending>, address: IpAddr) -> Slot {
        let evicted = CancellationToken::new();
        let mut waiting = self.lock();
        waiting.arrived += 1;
        let (number, origin) = (waiting.arrived, waiting.origin(address));
        let slots = waiting.slots.entry(origin).or_default();
        slots.insert(number, evicted.clone());
        let own = slots.len();
        if let Origin::Stranger(_) = origin {
            if own > (self.limit / 2).max(1) {
                waiting.evict(origin);
            } else if let Some(greediest) = waiting.greediest(self.limit) {
                waiting.evict(greediest);
            }
        }
        Slot {
            evicted,
            pending: self.clone(),
            origin,
            address,
            number,
        }
    }

    /// Ends the oldest such connection from an address; returns whether there was one.
    pub fn evict(&self, address: IpAddr) -> bool {
        let mut waiting = self.lock();
        let origin = waiting.origin(address);
        waiting.evict(origin)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn origin(&self, address: IpAddr) -> Origin {
        let known = address.to_canonical();
        match known.is_loopback() || self.hosts.contains(&known) {
            true => Origin::Known(known),
            false => Origin::Stranger(network(address)),
        }
    }

    /// Who has the most slots, if strangers have more than the limit.
    fn greediest(&self, limit: usize) -> Option<Origin> {
        let strangers = || {
            let all = self.slots.iter();
            all.filter(|(origin, _)| matches!(origin, Origin::Stranger(_)))
        };
        let count: usize = strangers().map(|(_, slots)| slots.len()).sum();
        let oldest = |slots: &BTreeMap<u64, _>| slots.keys().next().copied().map(std::cmp::Reverse);
        let most = strangers().max_by_key(|(_, slots)| (slots.len(), oldest(slots)));
        most.filter(|_| count > limit).map(|(origin, _)| *origin)
    }

    fn evict(&mut self, origin: Origin) -> bool {
        let Some(slots) = self.slots.get_mut(&origin) else {
            return false;
        };
        let oldest = slots.pop_first();
        if slots.is_empty() {
            self.slots.remove(&origin);
        }
        oldest.map(|(_, evicted)| evicted.cancel()).is_some()
    }
}

impl Slot {
    /// Remembers the address of a connection that has shown the host token.
    pub fn know_host(&self) {
        let mut waiting = self.pending.lock();
        if waiting.hosts.len() < HOSTS {
            waiting.hosts.insert(self.address.to_canonical());
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut waiting = self.pending.lock();
        let Some(slots) = waiting.slots.get_mut(&self.origin) else {
            return;
        };
        slots.remove(&self.number);
        if slots.is_empty() {
            waiting.slots.remove(&self.origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(slots: &[Slot]) -> Vec<bool> {
        let open = |slot: &Slot| !slot.evicted.is_cancelled();
        slots.iter().map(open).collect()
    }

    fn from(pending: &Arc<Pending>, addresses: &[&str]) -> Vec<Slot> {
        let slot = |address: &&str| pending.slot(address.parse().unwrap());
        addresses.iter().map(slot).collect()
    }

    #[test]
    fn one_address_has_its_share_and_its_oldest_makes_room() {
        let pending = Pending::new(4);
        let first = from(&pending, &["10.0.0.1"; 3]);
        assert_eq!(open(&first), [false, true, true]);
        let second = from(&pending, &["10.0.0.2", "10.0.0.2"]);
        assert_eq!(open(&second), [true, true], "its share is its own");
        drop(first);
        assert_eq!(open(&from(&pending, &["10.0.0.1"; 2])), [true, true]);
    }

    #[test]
    fn the_greediest_address_makes_room() {
        let pending = Pending::new(4);
        let first = from(&pending, &["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3"]);
        let more = from(&pending, &["10.0.0.4", "10.0.0.5"]);
        assert_eq!(open(&first), [false, false, true, true], "then the oldest");
        assert_eq!(open(&more), [true, true]);
    }

    #[test]
    fn whoever_chooses_from_a_network_is_one() {
        let pending = Pending::new(4);
        let one = ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:8000::3"];
        assert_eq!(open(&from(&pending, &one)), [false, true, true]);
        let two = ["2001:db8:0:1::1", "2001:db8:0:2::1"];
        assert_eq!(open(&from(&pending, &two)), [true, true]);
    }

    #[test]
    fn strangers_take_no_slot_from_this_machine_or_a_host() {
        let pending = Pending::new(2);
        let here = from(&pending, &["127.0.0.1", "::1", "::ffff:127.0.0.1"]);
        from(&pending, &["10.0.0.9"])[0].know_host();
        let host = from(&pending, &["10.0.0.9", "10.0.0.9", "10.0.0.9"]);
        let strangers = from(&pending, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(open(&strangers), [false, true, true]);
        assert_eq!(open(&here), [true; 3]);
        assert_eq!(open(&host), [true; 3]);
        assert!(pending.evict("127.0.0.1".parse().unwrap()));
        assert_eq!(open(&here), [false, true, true]);
        assert!(
            !pending.evict("10.0.0.1".parse().unwrap()),
            "it has none left"
        );
    }
}
