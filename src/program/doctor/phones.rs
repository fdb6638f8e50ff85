//! What phones have reported, and the whole report as a session and as JSON.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::http::Reported;
use crate::hub::notices::network;
use crate::wire::{CheckLine, Verdict};

/// More are not kept, of all and of one address (of IPv6: one /64): a room has fewer, and a stranger
/// could send any number.
const MOST: usize = 20;
const MOST_OF_ONE: usize = 3;

/// Both halves: the host's, and those of the phones in the order in which they came.
pub struct Report {
    host: Vec<CheckLine>,
    phones: Vec<Phone>,
    /// Whether one had to make room for one at another address.
    pub is_crowded: bool,
}

/// One that has reported.
#[derive(Serialize)]
pub struct Phone {
    pub id: String,
    pub device: String,
    #[serde(skip)]
    address: IpAddr,
    pub lines: Vec<CheckLine>,
    pub done: bool,
}

impl Phone {
    /// Anybody can call himself an iPhone: the address tells who it was.
    pub fn name(&self) -> String {
        format!("{} at {}", self.device, self.address)
    }

    /// The checks that something was wrong with.
    pub fn wrong(&self) -> impl Iterator<Item = &'static str> {
        wrong(&self.lines)
    }
}

impl Report {
    pub fn new(host: Vec<CheckLine>) -> Report {
        Report {
            host,
            phones: Vec::new(),
            is_crowded: false,
        }
    }

    /// Takes in that no phone came, which is a line of the host's half.
    pub fn nobody(&mut self, waited: Duration) -> Option<&CheckLine> {
        if !self.phones.is_empty() {
            return None;
        }
        let found = format!("no phone came within {waited:?}");
        self.host.push(CheckLine::wrong("phone", found, NOBODY));
        self.host.last()
    }

    /// Takes a phone's report in. Returns the phone, and those of its lines that are new.
    pub fn take(&mut self, reported: Reported) -> (&Phone, &[CheckLine]) {
        let Reported {
            device,
            address,
            report,
        } = reported;
        let is_same = |phone: &Phone| phone.address == address && phone.id == report.id;
        let at = match self.phones.iter().position(is_same) {
            Some(at) => at,
            None => {
                self.make_room(network(address));
                self.phones.push(Phone {
                    id: report.id,
                    device,
                    address,
                    lines: Vec::new(),
                    done: false,
                });
                self.phones.len() - 1
            }
        };
        let phone = &mut self.phones[at];
        let known = match report.lines.starts_with(&phone.lines) {
            true => phone.lines.len(),
            // Tried again, from the start.
            false => 0,
        };
        (phone.lines, phone.done) = (report.lines, report.done);
        (phone, &phone.lines[known..])
    }

    /// For a phone of a network. Of the network with the most, one goes that had not finished, or
    /// else the oldest.
    fn make_room(&mut self, from: IpAddr) {
        let of = |one: IpAddr| {
            let phones = self.phones.iter();
            phones.filter(|phone| network(phone.address) == one).count()
        };
        let all = self.phones.iter().map(|phone| network(phone.address));
        let busiest = match of(from) {
            MOST_OF_ONE.. => Some(from),
            _ if self.phones.len() < MOST => None,
            _ => all.max_by_key(|one| of(*one)),
        };
        let Some(busiest) = busiest else {
            return;
        };
        let phones = self.phones.iter().enumerate();
        let all = phones.filter(|(_, phone)| network(phone.address) == busiest);
        if let Some((at, _)) = all.min_by_key(|(_, phone)| phone.done) {
            self.phones.remove(at);
            self.is_crowded |= busiest != from;
        }
    }

    /// The checks that something was wrong with, each phone's with its device.
    pub fn wrong(&self) -> Vec<String> {
        let host = wrong(&self.host).map(str::to_owned);
        let phones = self.phones.iter().flat_map(|phone| {
            phone
                .wrong()
                .map(move |check| format!("{check} ({})", phone.name()))
        });
        host.chain(phones).collect()
    }

    /// As the session that the page shows.
    pub fn session(&self) -> Value {
        json!({
            "name": "onlooker doctor",
            "data": { "host": self.host, "phones": self.phones },
            "config": {},
        })
    }

    /// For programs.
    pub fn document(&self) -> Value {
        let told = |phone: &Phone| {
            let mut told = json!(phone);
            told["address"] = json!(phone.address);
            told
        };
        let told: Vec<Value> = self.phones.iter().map(told).collect();
        let phones = self.phones.iter().flat_map(|phone| &phone.lines);
        let worst = self.host.iter().chain(phones).map(|line| line.verdict);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "verdict": worst.max().unwrap_or(Verdict::Good),
            "host": self.host,
            "phones": told,
        })
    }
}

/// What it means that no phone comes.
pub const NOBODY: &str = "if one has tried: is it in the same Wi-Fi (not the guests' one, not mobile data), and without a VPN? \
Many guest networks keep devices apart; then only another network helps, such as the phone's own hotspot. \
A firewall may be in the way too, and other addresses of this machine are listed above: try them";

fn wrong(lines: &[CheckLine]) -> impl Iterator<Item = &'static str> {
    let wrong = lines.iter().filter(|line| line.verdict == Verdict::Wrong);
    wrong.map(|line| line.check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PhoneReport;

    fn reported(id: &str, checks: &[(&'static str, Verdict)], done: bool) -> Reported {
        let line = |(check, verdict): &(&'static str, Verdict)| CheckLine {
            verdict: *verdict,
            ..CheckLine::good(check, "found")
        };
        Reported {
            device: "iPhone".to_owned(),
            address: IpAddr::from([10, 0, 0, 1]),
            report: PhoneReport {
                id: id.to_owned(),
                lines: checks.iter().map(line).collect(),
                done,
            },
        }
    }

    #[test]
    fn a_phone_tells_what_is_new_and_starts_over_when_it_tries_again() {
        let mut report = Report::new(vec![CheckLine::good("port", "free")]);
        let (request, upgrade) = (("request", Verdict::Good), ("upgrade", Verdict::Wrong));
        let mut new = |checks: &[_], done| report.take(reported("a", checks, done)).1.len();
        assert_eq!(new(&[request], false), 1);
        assert_eq!(new(&[request, upgrade], true), 1);
        assert_eq!(new(&[request, upgrade], true), 0);
        assert_eq!(new(&[("request", Verdict::Note)], false), 1);
        assert_eq!(new(&[("request", Verdict::Note), upgrade], false), 1);
        assert_eq!(report.wrong(), ["upgrade (iPhone at 10.0.0.1)"]);
        let all = report.document();
        assert_eq!(all["verdict"], "wrong");
        assert_eq!(all["phones"].as_array().unwrap().len(), 1);
        assert_eq!(all["phones"][0]["address"], "10.0.0.1");
    }

    #[test]
    fn one_address_cannot_take_the_places_of_others() {
        let mut report = Report::new(Vec::new());
        report.take(reported("mine", &[], false));
        for at in 0..100 {
            let mut other = reported(&at.to_string(), &[], true);
            other.address = IpAddr::from([10, 0, 0, 2]);
            report.take(other);
        }
        assert_eq!(report.phones.len(), 1 + MOST_OF_ONE);
        assert!(report.phones.iter().any(|phone| phone.id == "mine"));
        assert!(!report.is_crowded);
    }

    #[test]
    fn there_is_room_for_so_many_phones() {
        let mut report = Report::new(Vec::new());
        for at in 0..100 {
            let mut phone = reported("a", &[], true);
            phone.address = IpAddr::from([10, 0, 1, at]);
            report.take(phone);
            assert_eq!(report.phones.len(), MOST.min(usize::from(at) + 1));
        }
        assert!(report.is_crowded);
        report.take(reported("last", &[], false));
        assert!(report.phones.iter().any(|phone| phone.id == "last"));
    }

    #[test]
    fn that_nobody_came_is_wrong() {
        let mut report = Report::new(Vec::new());
        assert!(report.nobody(Duration::from_secs(2)).is_some());
        assert_eq!(report.wrong(), ["phone"]);
        assert_eq!(report.host[0].found, "no phone came within 2s");
        let mut report = Report::new(Vec::new());
        report.take(reported("a", &[], false));
        assert_eq!(report.nobody(Duration::from_secs(2)), None);
    }
}
