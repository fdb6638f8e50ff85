//! The other end of a connection, as its requests know it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use super::pending::Slot;

/// What the requests of one connection share.
pub struct Peer {
    pub address: SocketAddr,
    /// Returned with the first request that is let in.
    slot: Mutex<Option<Slot>>,
    /// The connection in the count of its address; a WebSocket takes it along.
    pub counted: Arc<Counted>,
}

impl Peer {
    /// A peer that has not shown yet what it may do.
    pub fn new(address: SocketAddr, slot: Slot, counted: Counted) -> Arc<Peer> {
        Arc::new(Peer {
            address,
            slot: Mutex::new(Some(slot)),
            counted: Arc::new(counted),
        })
    }

    /// The IP address as people know it: never IPv4 inside IPv6.
    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }

    /// Notes that the connection has shown what it may do.
    pub fn settle(&self, is_host: bool) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slot.take()
            && is_host
        {
            slot.know_host();
        }
    }
}

/// How many connections each address has.
type Counts = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

/// One of the connections of an address, until it is dropped.
pub struct Counted(Counts, IpAddr);

impl Counted {
    /// Counts one more connection, and returns how many there are now.
    pub fn new(counts: &Counts, address: IpAddr) -> (Counted, usize) {
        let counted = Counted(counts.clone(), address);
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        *count += 1;
        (counted, *count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}
