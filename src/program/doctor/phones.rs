//! What phones have reported, and the whole report as a session and as JSON.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::http::Reported;
use crate::wire::{CheckLine, Verdict};

/// More are not kept: a room has fewer, and a stranger could send any number.
const MOST: usize = 20;

/// Both halves: the host's, and those of the phones in the order in which they came.
pub struct Report {
    host: Vec<CheckLine>,
    phones: Vec<Phone>,
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
    /// The checks that something was wrong with.
    pub fn wrong(&self) -> impl Iterator<Item = &'static str> {
        wrong(&self.lines)
    }
}

impl Report {
    pub fn new(host: Vec<CheckLine>) -> Report {
        let phones = Vec::new();
        Report { host, phones }
    }

    /// Takes a phone's report in. Returns the phone, and those of its lines that are new; `None` if
    /// there is no room for another phone.
    pub fn take(&mut self, reported: Reported) -> Option<(&Phone, &[CheckLine])> {
        let Reported {
            device,
            address,
            report,
        } = reported;
        let is_same = |phone: &Phone| phone.address == address && phone.id == report.id;
        let at = match self.phones.iter().position(is_same) {
            Some(at) => at,
            None if self.phones.len() >= MOST => return None,
            None => {
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
        Some((phone, &phone.lines[known..]))
    }

    /// The checks that something was wrong with, each phone's with its device.
    pub fn wrong(&self) -> Vec<String> {
        let host = wrong(&self.host).map(str::to_owned);
        let phones = self.phones.iter().flat_map(|phone| {
            phone
                .wrong()
                .map(move |name| format!("{name} ({})", phone.device))
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
        let phones = self.phones.iter().flat_map(|phone| &phone.lines);
        let worst = self.host.iter().chain(phones).map(|line| line.verdict);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "verdict": worst.max().unwrap_or(Verdict::Good),
            "host": self.host,
            "phones": self.phones,
        })
    }
}

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
        let mut new =
            |checks: &[_], done| report.take(reported("a", checks, done)).unwrap().1.len();
        assert_eq!(new(&[request], false), 1);
        assert_eq!(new(&[request, upgrade], true), 1);
        assert_eq!(new(&[request, upgrade], true), 0);
        assert_eq!(new(&[("request", Verdict::Note)], false), 1);
        assert_eq!(new(&[("request", Verdict::Note), upgrade], false), 1);
        assert_eq!(report.wrong(), ["upgrade (iPhone)"]);
        let all = report.document();
        assert_eq!(all["verdict"], "wrong");
        assert_eq!(all["phones"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn there_is_room_for_so_many_phones() {
        let mut report = Report::new(Vec::new());
        for at in 0..100 {
            let taken = report.take(reported(&at.to_string(), &[], false)).is_some();
            assert_eq!(taken, at < MOST);
        }
        assert!(
            report.take(reported("1", &[], true)).is_some(),
            "a known one"
        );
    }
}
