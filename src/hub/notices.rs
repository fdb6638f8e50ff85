//! What strangers cause and a host wants to know: refusals, and viewers that were sent away. All
//! of it is counted; each address gets a few log lines a minute, and all of them together not
//! many. The rest is summed up when the minute is over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::wire::close;

/// Lines that one address may cause in a minute, and all of them together.
const LINES_OF_ONE: u32 = 5;
const LINES_OF_ALL: u32 = 30;
/// The same of actions in rooms, which only `-v` tells of.
const ACTIONS_OF_ONE: u32 = 30;
const ACTIONS_OF_ALL: u32 = 300;
const MINUTE: Duration = Duration::from_secs(60);

/// How much of a text from outside is shown, in characters.
const LONGEST: usize = 200;

/// Why a connection, a request or a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its address has too many connections.
    Address,
    /// It had not shown anything yet when a newer one needed its place.
    Pending,
    /// It sent something other than HTTP.
    Malformed,
    /// It named another host.
    Host,
    /// A token is missing or wrong.
    Token,
    /// Too many wrong tokens came from there.
    LockedOut,
    /// An origin that may not connect, or a writer on another machine.
    Forbidden,
    /// There is no room left, or the daemon is stopping.
    Full,
    /// The request or message itself cannot be granted.
    Request,
}

/// Why a viewer, or a reader of `/sync`, was sent away; a host only for [`Away::Revoked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// A host wanted it.
    Kicked,
    /// What let it in is no longer valid.
    Revoked,
    /// Its topic was deleted.
    Deleted,
    /// It answered no pings.
    Silent,
    /// It took none of what it was sent.
    Stalled,
    /// Too much was waiting for it.
    InFlight,
    /// It sent more than a viewer may.
    Flood,
    /// It broke RFC 6455.
    Protocol,
}

/// What is counted, by reason.
#[derive(Default)]
pub struct Notices {
    lines: Mutex<Lines>,
    actions: Mutex<Lines>,
    refused: [AtomicU64; Reason::ALL.len()],
    away: [AtomicU64; Away::ALL.len()],
}

/// The lines of this minute.
#[derive(Default)]
struct Lines {
    said: u32,
    by: BTreeMap<IpAddr, Told>,
    /// From addresses that came when all lines were used up.
    others: u64,
}

#[derive(Default)]
struct Told {
    said: u32,
    more: u64,
}

impl Reason {
    /// All of them in the order of their numbers, with their names in metrics and log lines.
    const ALL: [(Reason, &str); 9] = [
        (Reason::Address, "address"),
        (Reason::Pending, "pending"),
        (Reason::Malformed, "malformed"),
        (Reason::Host, "host"),
        (Reason::Token, "token"),
        (Reason::LockedOut, "locked_out"),
        (Reason::Forbidden, "forbidden"),
        (Reason::Full, "full"),
        (Reason::Request, "request"),
    ];

    /// The one for an answer with this HTTP status.
    pub fn of(status: u16) -> Reason {
        match status {
            401 => Reason::Token,
            403 => Reason::Forbidden,
            421 => Reason::Host,
            429 => Reason::LockedOut,
            503 => Reason::Full,
            _ => Reason::Request,
        }
    }

    /// Its name in metrics and log lines.
    pub fn label(self) -> &'static str {
        Reason::ALL[self as usize].1
    }
}

impl Away {
    /// All of them in the order of their numbers, with their names in metrics and log lines, and
    /// for people.
    const ALL: [(Away, &str, &str); 8] = [
        (Away::Kicked, "kicked", "a host disconnected it"),
        (Away::Revoked, "revoked", "what let it in holds no more"),
        (Away::Deleted, "deleted", "its topic was deleted"),
        (Away::Silent, "silent", "it does not answer"),
        (Away::Stalled, "stalled", "it takes nothing"),
        (Away::InFlight, "in_flight", "too much is in flight"),
        (Away::Flood, "flood", "it sends too much"),
        (
            Away::Protocol,
            "protocol",
            "it broke the WebSocket protocol",
        ),
    ];

    /// The one for a broken rule, by its close code.
    pub fn of(code: u16) -> Away {
        match code {
            close::POLICY => Away::Flood,
            close::TRY_LATER => Away::InFlight,
            _ => Away::Protocol,
        }
    }

    /// Its name in metrics and log lines.
    pub fn label(self) -> &'static str {
        Away::ALL[self as usize].1
    }

    /// For people.
    pub fn text(self) -> &'static str {
        Away::ALL[self as usize].2
    }
}

impl Notices {
    /// Counts a refusal. Returns whether it may be logged.
    #[must_use]
    pub fn refused(&self, reason: Reason, address: IpAddr) -> bool {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
        // That an address is locked out is logged even after everything that led to it.
        let most = LINES_OF_ONE + u32::from(reason == Reason::LockedOut);
        lock(&self.lines).take(address, (most, LINES_OF_ALL))
    }

    /// Counts a viewer that is sent away. Returns whether it may be logged.
    #[must_use]
    pub fn sent_away(&self, away: Away, address: IpAddr) -> bool {
        self.away[away as usize].fetch_add(1, Ordering::Relaxed);
        match away {
            // No stranger can cause that.
            Away::Kicked => true,
            // The topic's own line says it.
            Away::Deleted => false,
            _ => lock(&self.lines).take(address, (LINES_OF_ONE, LINES_OF_ALL)),
        }
    }

    /// Whether an action in a room may be logged that came from there.
    #[must_use]
    pub fn acted(&self, address: IpAddr) -> bool {
        lock(&self.actions).take(address, (ACTIONS_OF_ONE, ACTIONS_OF_ALL))
    }

    /// How much was refused, by the reasons' names.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        let labels = Reason::ALL.iter().map(|(_, label)| *label);
        labels.zip(self.refused.iter().map(read)).collect()
    }

    /// How many viewers were sent away, by the reasons' names.
    pub fn departures(&self) -> Vec<(&'static str, u64)> {
        let labels = Away::ALL.iter().map(|(_, label, _)| *label);
        labels.zip(self.away.iter().map(read)).collect()
    }

    /// Sums up after each minute what was not logged in it, until `stop`.
    pub async fn sum_up(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(MINUTE)).await.is_some() {
            self.end_minute();
        }
        self.end_minute();
    }

    fn end_minute(&self) {
        mem::take(&mut *lock(&self.lines)).sum_up(|address, more| match address {
            Some(address) => {
                tracing::info!(address, more, "… and more refusals or disconnections");
            }
            None => tracing::info!(
                more,
                "… and more refusals or disconnections, from other addresses"
            ),
        });
        mem::take(&mut *lock(&self.actions)).sum_up(|address, more| match address {
            Some(address) => tracing::debug!(address, more, "… and more actions"),
            None => tracing::debug!(more, "… and more actions, from other addresses"),
        });
    }
}

impl Lines {
    /// Takes one of an address's lines if any are left, of those that one and all have; counts
    /// otherwise.
    fn take(&mut self, address: IpAddr, (of_one, of_all): (u32, u32)) -> bool {
        let address = network(address);
        if self.said == of_all && !self.by.contains_key(&address) {
            self.others += 1;
            return false;
        }
        let told = self.by.entry(address).or_default();
        let left = told.said < of_one && self.said < of_all;
        match left {
            true => (told.said, self.said) = (told.said + 1, self.said + 1),
            false => told.more += 1,
        }
        left
    }

    /// Tells how many more there were of each address, and of others.
    fn sum_up(&self, tell: impl Fn(Option<String>, u64)) {
        for (address, told) in self.by.iter().filter(|(_, told)| told.more > 0) {
            tell(Some(shown(*address)), told.more);
        }
        if self.others > 0 {
            tell(None, self.others);
        }
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an address is counted under: whoever has one IPv6 address has all of its /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        v4 => v4,
    }
}

fn shown(network: IpAddr) -> String {
    match network {
        IpAddr::V6(address) => format!("{address}/64"),
        v4 => v4.to_string(),
    }
}

/// The beginning of a text from outside, whose length a stranger may choose.
pub fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(notices: &Notices, reason: Reason, addresses: impl Iterator<Item = String>) -> usize {
        let addresses = addresses.map(|address| address.parse().unwrap());
        addresses
            .filter(|address| notices.refused(reason, *address))
            .count()
    }

    #[test]
    fn an_address_has_its_lines_and_the_rest_is_counted() {
        let notices = Notices::default();
        let one =
            |reason, count| said(&notices, reason, vec!["10.0.0.1".into(); count].into_iter());
        assert_eq!(one(Reason::Token, 1000), 5);
        assert_eq!(one(Reason::LockedOut, 1000), 1, "it is told once");
        let network = (0..1000).map(|host| format!("2001:db8::{host:x}"));
        assert_eq!(said(&notices, Reason::Request, network), 5);
        assert!(notices.sent_away(Away::Flood, [10, 0, 0, 2].into()));
        let more: Vec<u64> = lock(&notices.lines)
            .by
            .values()
            .map(|told| told.more)
            .collect();
        assert_eq!(more, [995 + 999, 0, 995]);
        assert!(notices.refusals().contains(&("token", 1000)));
        assert!(notices.departures().contains(&("flood", 1)));
        notices.end_minute();
        assert_eq!(one(Reason::Token, 9), 5);
    }

    #[test]
    fn many_addresses_have_few_lines_together() {
        let notices = Notices::default();
        let many = (0..10_000).map(|n| format!("10.0.{}.{}", n / 250, n % 250));
        assert_eq!(said(&notices, Reason::Token, many), 30);
        assert_eq!(lock(&notices.lines).by.len(), 30, "no more is remembered");
        assert_eq!(lock(&notices.lines).others, 9970);
        assert!(notices.sent_away(Away::Kicked, [10, 0, 0, 1].into()));
    }

    #[test]
    fn labels_are_in_the_order_of_their_numbers() {
        let reasons = Reason::ALL.iter().enumerate();
        assert!(
            reasons
                .clone()
                .all(|(at, (reason, _))| at == *reason as usize)
        );
        let aways = Away::ALL.iter().enumerate();
        assert!(aways.clone().all(|(at, (away, ..))| at == *away as usize));
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(10_000);
        assert_eq!(cut(&long).chars().count(), LONGEST + 1);
    }
}
