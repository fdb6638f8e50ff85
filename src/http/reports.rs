//! What phones report from `/check`: handed over to whoever wants it, so much and no more.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::hub::notices::network;
use crate::wire::{PhoneReport, Problem};

/// What one address (of IPv6: one /64) may report in a minute: a phone reports each line when it is
/// found.
const REPORTS_OF_ONE: u32 = 60;
/// The same after so many of all together, so that a few cannot keep the others out.
const REPORTS_OF_ALL: u32 = 600;
const SHARE: u32 = 20;
/// More addresses are not counted in a minute, and not heard.
const MOST_ADDRESSES: usize = 250;
const MINUTE: Duration = Duration::from_secs(60);

/// A phone's report, and whose it is.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The phone in a few words: `iPhone · Safari`.
    pub device: String,
    /// Where it came from.
    pub address: IpAddr,
    /// What it says.
    pub report: PhoneReport,
}

/// Where phones' reports go, and how many there were.
pub struct Reports {
    to: mpsc::Sender<Reported>,
    minute: Mutex<Minute>,
}

struct Minute {
    began: Instant,
    by: BTreeMap<IpAddr, u32>,
    all: u32,
}

impl Reports {
    /// Hands reports over to whoever receives them.
    pub fn new(to: mpsc::Sender<Reported>) -> Reports {
        let minute = Mutex::new(Minute::new());
        Reports { to, minute }
    }

    /// Hands one over.
    /// Fails with 429 for one too many, 503 while nobody keeps up.
    pub fn take(&self, reported: Reported) -> Result<(), Problem> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if !minute.allows(reported.address) {
            return Err(Problem::new(429, "too many reports: wait a minute"));
        }
        let full = |_| Problem::unavailable("the host takes no more reports now");
        self.to.try_send(reported).map_err(full)
    }
}

impl Minute {
    fn new() -> Minute {
        Minute {
            began: Instant::now(),
            by: BTreeMap::new(),
            all: 0,
        }
    }

    fn allows(&mut self, address: IpAddr) -> bool {
        if self.began.elapsed() >= MINUTE {
            *self = Minute::new();
        }
        let address = network(address);
        if self.by.len() >= MOST_ADDRESSES && !self.by.contains_key(&address) {
            return false;
        }
        let limit = match self.all < REPORTS_OF_ALL {
            true => REPORTS_OF_ONE,
            false => SHARE,
        };
        let of_one = self.by.entry(address).or_insert(0);
        if *of_one >= limit {
            return false;
        }
        *of_one += 1;
        self.all += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_use_up_what_all_may_report() {
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut minute = Minute::new();
        let allowed = (0..100).filter(|_| minute.allows(one)).count();
        assert_eq!(allowed, REPORTS_OF_ONE as usize);
        assert!(minute.allows(other));
        tokio::time::advance(MINUTE).await;
        assert!(minute.allows(one));
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_cannot_keep_the_others_out() {
        let mut minute = Minute::new();
        let at = |number: u32| IpAddr::from(number.to_be_bytes());
        let mut heard = |number| (0..100).filter(|_| minute.allows(at(number))).count();
        let of_many: Vec<usize> = (0..MOST_ADDRESSES as u32).map(&mut heard).collect();
        assert!(
            of_many[..10]
                .iter()
                .all(|of_one| *of_one == REPORTS_OF_ONE as usize)
        );
        assert!(of_many[10..].iter().all(|of_one| *of_one == SHARE as usize));
        assert_eq!(heard(MOST_ADDRESSES as u32), 0);
        assert_eq!(minute.by.len(), MOST_ADDRESSES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one() {
        let mut minute = Minute::new();
        let hosts = (0..100).map(|host| format!("2001:db8::{host:x}").parse().unwrap());
        let allowed = hosts.filter(|host| minute.allows(*host)).count();
        assert_eq!(allowed, REPORTS_OF_ONE as usize);
    }
}
