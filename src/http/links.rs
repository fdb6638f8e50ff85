//! Where people and programs find the daemon.

use std::net::SocketAddr;

use super::options::LinkOptions;
use crate::access::{Access, PageLink, Token};
use crate::discovery::address::{self, Candidate};
use crate::state::name::TopicName;

/// Where people and programs find the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// The page, with the viewer token in its fragment if there is one.
    pub page: PageLink,
    /// The viewer socket.
    pub socket: String,
    /// The host panel, with the host token in its fragment if there is one.
    pub host: PageLink,
    /// The advertised address, or the first one found.
    pub local_ip: String,
    /// The page's URL for each address, best first, and what is known about the address.
    pub candidates: Vec<(PageLink, String)>,
}

impl Links {
    /// The page's link for a topic other than the default one.
    pub fn page_of(&self, topic: &TopicName) -> PageLink {
        self.beside(&format!("?topic={topic}"))
    }

    /// The same, led by the address that is so many further on in the list, which is a ring.
    pub fn turned(mut self, turn: usize) -> Links {
        let count = self.candidates.len().max(1);
        self.candidates.rotate_left(turn % count);
        let Some((page, _)) = self.candidates.first().cloned() else {
            return self;
        };
        let (before, now) = (authority(&self.page).to_owned(), authority(&page));
        self.socket = self.socket.replacen(&before, now, 1);
        self.host = PageLink::new(self.host.replacen(&before, now, 1));
        self.local_ip = now
            .rsplit_once(':')
            .map_or(now, |(host, _)| host)
            .to_owned();
        self.page = page;
        self
    }

    /// The link to the check of a phone's connection.
    pub fn check(&self) -> PageLink {
        self.beside("check")
    }

    /// The page's link with this at the end of its path.
    fn beside(&self, end: &str) -> PageLink {
        let page = self.page.without_token();
        let fragment = &self.page[page.len()..];
        PageLink::new(format!("{page}{end}{fragment}"))
    }

    /// The links of a daemon that listens on `local`, on a machine with these addresses.
    pub fn new(
        options: &LinkOptions,
        encrypted: bool,
        local: SocketAddr,
        found: &[Candidate],
        access: &Access,
    ) -> Links {
        let (http, ws) = match encrypted {
            true => ("https", "wss"),
            false => ("http", "ws"),
        };
        let mut places = places(options, local, found);
        if places.is_empty() {
            let own = address::url_host(address::from_here(local.ip()));
            places.push((own, local.port(), "this machine only".to_owned()));
        }
        let (host, port, _) = places[0].clone();
        let fragment = |key: char, token: &Option<Token>| {
            let text = |token: &Token| format!("#{key}={}", token.reveal());
            token.as_ref().map_or(String::new(), text)
        };
        let watch = fragment('t', &access.viewer_token);
        let page = |host: &str, port: u16| PageLink::new(format!("{http}://{host}:{port}/{watch}"));
        let write = fragment('h', &access.host_token);
        let candidates = places.into_iter();
        Links {
            page: page(&host, port),
            socket: format!("{ws}://{host}:{port}"),
            host: PageLink::new(format!("{http}://{host}:{port}/host{write}")),
            local_ip: host,
            candidates: candidates
                .map(|(host, port, reason)| (page(&host, port), reason))
                .collect(),
        }
    }
}

/// Host and port of a link of ours, which always has both.
fn authority(link: &str) -> &str {
    link.split('/').nth(2).unwrap_or_default()
}

/// Host, port and reason of each address, best first.
fn places(
    options: &LinkOptions,
    local: SocketAddr,
    found: &[Candidate],
) -> Vec<(String, u16, String)> {
    let advertised = options.advertise.iter().map(|advertised| {
        let (host, port) = split_port(advertised, local.port());
        (host.to_owned(), port, "as advertised".to_owned())
    });
    let bound =
        |candidate: &&Candidate| local.ip().is_unspecified() || candidate.address == local.ip();
    let reachable = found.iter().filter(bound).map(|candidate| {
        let reason = format!("{}: {}", candidate.interface, candidate.reach);
        (address::url_host(candidate.address), local.port(), reason)
    });
    advertised.chain(reachable).collect()
}

/// `HOST[:PORT]`, with an IPv6 address in brackets if a port follows.
fn split_port(text: &str, default: u16) -> (&str, u16) {
    let split = text.rsplit_once(':');
    match split.map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (text, default),
    }
}
