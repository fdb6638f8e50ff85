//! What is known of the daemon that a topic's state comes from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::clock::unix_micros;
use crate::wire::{Lost, ShownState, SourceState, UpstreamState};

/// The upstream of a topic, and what it says of its own hosts and viewers.
pub struct Relay {
    /// Without its token.
    url: String,
    link: Mutex<Link>,
    connections: AtomicU64,
    /// Marked when what heartbeats say is different.
    news: watch::Sender<()>,
}

/// The connection to an upstream.
struct Link {
    /// Since when it has been as it is, in milliseconds since 1970.
    since_ms: u64,
    /// Why it is lost; none while it is there.
    lost: Option<String>,
    source: SourceState,
    host_seen: Instant,
    /// What the upstream's own viewers are told.
    shown: ShownState,
}

/// How the connection to an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayState {
    /// The upstream, without its token.
    pub url: String,
    /// Since when it has been as it is, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why it is lost; none while it is there.
    pub lost: Option<String>,
    /// How often a connection was made.
    pub connections: u64,
}

impl Relay {
    pub(super) fn new(url: &str, news: watch::Sender<()>) -> Relay {
        let link = Link {
            since_ms: now_ms(),
            lost: Some("it has not been reached yet".to_owned()),
            source: SourceState::Silent,
            host_seen: Instant::now(),
            shown: ShownState::default(),
        };
        Relay {
            url: url.to_owned(),
            link: Mutex::new(link),
            connections: AtomicU64::new(0),
            news,
        }
    }

    /// The upstream, without its token.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How the connection is.
    pub fn state(&self) -> RelayState {
        let link = self.link();
        RelayState {
            url: self.url.clone(),
            since_ms: link.since_ms,
            lost: link.lost.clone(),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }

    /// How long ago the origin's host was heard of, and what it does; it is silent while that is
    /// not known.
    pub(super) fn host(&self) -> (Duration, SourceState) {
        let link = self.link();
        let source = match link.lost {
            Some(_) => SourceState::Silent,
            None => link.source,
        };
        (link.host_seen.elapsed(), source)
    }

    /// What is said of it to those who watch here, at `place`.
    pub(super) fn shown(&self, place: &str) -> ShownState {
        let link = self.link();
        let mut shown = match link.lost {
            Some(_) => ShownState {
                lost: Some(Lost::Upstream),
                ..ShownState::default()
            },
            None => link.shown.clone(),
        };
        shown.way.push(place.to_owned());
        shown
    }

    /// It said how things are: it is there.
    pub(super) fn heard(&self, mut state: UpstreamState) {
        let mut link = self.link();
        if link.lost.is_none() && state.shown.way.is_empty() {
            // An origin says it once.
            state.shown.way.clone_from(&link.shown.way);
        }
        let source = state.source.unwrap_or(link.source);
        let same = link.lost.is_none() && link.source == source && {
            let (now, before) = (&state.shown, &link.shown);
            (now.frozen, now.lost, &now.way) == (before.frozen, before.lost, &before.way)
        };
        if link.lost.take().is_some() {
            link.since_ms = now_ms();
            self.connections.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(ago) = state.host_seen_ms.map(Duration::from_millis) {
            let now = Instant::now();
            link.host_seen = now.checked_sub(ago).unwrap_or(now);
        }
        (link.source, link.shown) = (source, state.shown);
        drop(link);
        if !same {
            self.news.send_replace(());
        }
    }

    /// The connection is lost, or could not be made.
    pub(super) fn lose(&self, reason: &str) {
        let mut link = self.link();
        let was_there = link.lost.is_none();
        link.lost = Some(reason.to_owned());
        if was_there {
            link.since_ms = now_ms();
            drop(link);
            self.news.send_replace(());
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    unix_micros() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(way: &[&str], source: SourceState) -> UpstreamState {
        UpstreamState {
            source: Some(source),
            host_seen_ms: Some(1000),
            shown: ShownState {
                way: way.iter().map(|place| (*place).to_owned()).collect(),
                ..ShownState::default()
            },
        }
    }

    #[test]
    fn what_is_said_once_holds_until_it_is_lost() {
        let (news, mut heard) = watch::channel(());
        let mut is_news = || {
            let changed = heard.has_changed().unwrap();
            heard.mark_unchanged();
            changed
        };
        let relay = Relay::new("ws://a:1", news);
        let way = || relay.shown("c/main").way;
        let lost = || (relay.shown("c/main").lost, relay.host().1);
        let alive = SourceState::Alive;
        assert_eq!(lost(), (Some(Lost::Upstream), SourceState::Silent));
        relay.heard(said(&["a/main"], alive));
        assert!(is_news());
        assert_eq!(lost(), (None, alive));
        relay.heard(said(&[], alive));
        assert!(!is_news(), "nothing differs");
        assert_eq!(way(), ["a/main", "c/main"]);
        relay.heard(said(&["a/main", "b/main"], alive));
        assert!(is_news());
        assert_eq!(way(), ["a/main", "b/main", "c/main"]);
        relay.heard(said(&[], SourceState::Ended));
        assert!(is_news());
        relay.lose("it is away");
        assert!(is_news());
        relay.lose("it is still away");
        assert!(!is_news());
        assert_eq!(way(), ["c/main"]);
        assert_eq!(relay.state().lost.as_deref(), Some("it is still away"));
        // Another one may be there by now, that says nothing of it.
        relay.heard(said(&[], alive));
        assert_eq!(way(), ["c/main"]);
        assert_eq!(relay.state().connections, 2);
    }
}
