//! The way in for states that another daemon has made, under its revisions: nothing is checked,
//! kept or announced.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::{State, TopicEntry};
use super::job::{Intent, Outcome};
use super::latest::{Author, Line, Verdict};
use super::life::Turn;
use super::presence::SourceGuard;
use super::receipt::{WriteError, WriteOptions};
use super::relay::{Relay, RelayState};
use super::{Event, Hub};
use crate::state::json::Json;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Arrival, Origin, Origins, Parts, Version, Writer};
use crate::wire::{NamedOrigins, UpstreamState};

/// Whoever brings a topic what another daemon makes of it.
pub struct Follower {
    hub: Hub,
    name: TopicName,
    relay: Arc<Relay>,
    /// This daemon's topic, in the way of a state.
    place: String,
    _source: SourceGuard,
}

/// What has arrived.
struct Arrived<'a> {
    arrival: Arrival,
    parts: Parts,
    /// The only one of its writers that gave a name, if all of it is of that one.
    writer: Arc<Writer>,
    from: &'a WriteOptions,
}

impl Hub {
    /// What is known of the upstream of a topic that is relayed.
    pub fn relay(&self, topic: &TopicName) -> Option<&Arc<Relay>> {
        self.0.relays.get(topic)
    }

    /// All topics that are relayed, and how their upstreams are.
    pub fn relays(&self) -> Vec<(TopicName, RelayState)> {
        let relays = self.0.relays.iter();
        relays
            .map(|(topic, relay)| (topic.clone(), relay.state()))
            .collect()
    }

    /// Brings a topic what its upstream makes of it, until the value is dropped. None where the
    /// options name no upstream for it.
    ///
    /// # Errors
    /// When there are too many topics already.
    pub fn follow_upstream(&self, name: &TopicName) -> Result<Option<Follower>, WriteError> {
        let Some(relay) = self.relay(name).cloned() else {
            return Ok(None);
        };
        let source = self.attach_source(name)?;
        Ok(Some(Follower {
            hub: self.clone(),
            name: name.clone(),
            relay,
            place: self.place_of(name),
            _source: source,
        }))
    }

    /// What a daemon's topic is called in the way of a state.
    pub(super) fn place_of(&self, topic: &TopicName) -> String {
        format!("{}/{topic}", self.0.id)
    }

    /// Refuses to write what is another daemon's.
    pub(super) fn is_own(&self, topic: &TopicName) -> Result<(), WriteError> {
        match self.relay(topic) {
            Some(relay) => Err(WriteError::Relay(relay.url().to_owned())),
            None => Ok(()),
        }
    }
}

impl Follower {
    /// This daemon's topic, in the way of a state.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The revision of the state that the topic has; none without one.
    pub fn revision(&self) -> Option<Revision> {
        let version = self.hub.topic(&self.name)?.state().topic.version()?;
        Some(version.revision)
    }

    /// Takes a whole session. `redraws` tells that something else than fields has changed, for
    /// sure; otherwise what differs decides.
    ///
    /// # Errors
    /// When there are too many topics already.
    pub fn take_session(
        &self,
        (revision, session): (Revision, Session),
        origins: NamedOrigins,
        redraws: bool,
        age: Duration,
    ) -> Result<(), WriteError> {
        let version = Version {
            revision,
            session,
            origins: origins.into_iter().map(named).collect::<Origins>(),
        };
        let arrival = Arrival {
            version,
            structural: redraws.then_some(revision),
            known: Vec::new(),
            fields: None,
        };
        self.take(Arrived {
            arrival,
            parts: Parts::whole(),
            writer: Arc::default(),
            from: &self.options(age),
        })
    }

    /// Takes new values of fields. Does nothing without a session.
    ///
    /// # Errors
    /// When there are too many topics already.
    pub fn take_fields(
        &self,
        (revision, fields): (Revision, Vec<(String, Json)>),
        origins: NamedOrigins,
        age: Duration,
    ) -> Result<(), WriteError> {
        let entry = self.entry()?;
        let Some(mut version) = entry.state().topic.version() else {
            return Ok(());
        };
        let parts = Parts::of(fields.iter().map(|(field, _)| field));
        let writer = only_writer(&fields, &origins);
        version.revision = revision;
        let names = fields.iter().map(|(field, _)| field.clone()).collect();
        for (field, value) in fields {
            version.session.config.set(&field, value);
            let writer = Arc::default();
            let unnamed = Origin { revision, writer };
            version.origins.insert_mut(field.into(), unnamed);
        }
        for (field, origin) in origins.into_iter().map(named) {
            version.origins.insert_mut(field, origin);
        }
        let arrival = Arrival {
            version,
            structural: None,
            known: Vec::new(),
            fields: Some(names),
        };
        self.take(Arrived {
            arrival,
            parts,
            writer,
            from: &self.options(age),
        })
    }

    fn take(&self, arrived: Arrived<'_>) -> Result<(), WriteError> {
        let entry = self.entry()?;
        let (present, next) = (
            entry.state().topic.revision(),
            arrived.arrival.version.revision,
        );
        let before = entry.follow(arrived);
        // What was replaced may be large: it is freed when nobody waits for the lock.
        drop(before);
        if next < present {
            // A flush does not reach viewers that are ahead of it.
            self.hub.send(Event::Resend(entry));
        }
        self.hub.mark_change();
        Ok(())
    }

    /// The upstream said how things are there.
    pub fn hear(&self, state: UpstreamState) {
        if let (Some(ago), Ok(entry)) = (state.shown.changed_ms, self.entry()) {
            let mut state = entry.state();
            if !state.topic.is_frozen() {
                state.changed = before_now(Duration::from_millis(ago));
            }
        }
        self.relay.heard(state);
        self.hub.mark_change();
    }

    /// The upstream is lost, or cannot be reached.
    pub fn lose(&self, reason: &str) {
        self.relay.lose(reason);
        self.hub.mark_change();
    }

    /// Passes on a text of the upstream's host.
    pub async fn tell(&self, text: String) {
        if let Ok(entry) = self.entry() {
            // How many viewers it reaches, nobody upstream asks.
            drop(self.hub.broadcast(&entry, text).await);
        }
    }

    /// Passes on that everything is to be sent again.
    pub fn resend(&self) {
        if let Ok(entry) = self.entry() {
            self.hub.resend_all(&entry);
        }
    }

    /// The topic was deleted upstream: so it is here. Its name goes on.
    pub fn delete(&self) {
        let Ok(entry) = self.entry() else { return };
        let leaves = entry.turn(&entry.state(), Turn::Deleting);
        if leaves {
            let intent = Intent::Delete { address: None };
            self.hub.settle(&entry, intent, &Outcome::Kept);
        }
    }

    fn entry(&self) -> Result<Arc<TopicEntry>, WriteError> {
        self.hub.open(&mut self.hub.topics_mut(), &self.name)
    }

    fn options(&self, age: Duration) -> WriteOptions {
        WriteOptions {
            source: Some(self.relay.url().into()),
            age,
            ..WriteOptions::default()
        }
    }
}

impl TopicEntry {
    /// Takes a state that another daemon has made. Returns the one before it.
    fn follow(&self, arrived: Arrived<'_>) -> impl Sized + use<> {
        let Arrived {
            arrival,
            parts,
            writer,
            from,
        } = arrived;
        let mut state = self.state();
        let before = state.topic.session().cloned();
        let revision = arrival.version.revision;
        state.topic.follow(arrival);
        state.authors.and(&writer);
        if !state.topic.is_frozen() {
            state.changed = before_now(from.age);
        }
        state.tell_followed(from, parts, revision);
        self.turn(&state, Turn::Written);
        self.wake(&mut state);
        // The pause that changes make was waited for upstream.
        state.debounce.hurry();
        self.changed.notify_one();
        (before, state.snapshot.take())
    }
}

impl State {
    fn tell_followed(&mut self, from: &WriteOptions, parts: Parts, revision: Revision) {
        self.latest.push(Line {
            by: Author::of(from),
            parts,
            verdict: match self.topic.is_frozen() {
                true => Verdict::Held,
                false => Verdict::Waiting,
            },
            revision: Some(revision),
            changes: 1,
            at: Instant::now(),
        });
    }
}

/// The writer of all these fields; one without a name if there are several.
fn only_writer(fields: &[(String, Json)], origins: &NamedOrigins) -> Arc<Writer> {
    let mut writers = origins.iter().map(|(_, origin)| &origin.writer);
    let first = writers.next().cloned().unwrap_or_default();
    let is_all = origins.len() == fields.len();
    let is_same = writers.all(|writer| writer.source_id == first.source_id);
    match is_all && is_same {
        true => first,
        false => Arc::default(),
    }
}

fn named((field, origin): (String, Origin)) -> (Arc<str>, Origin) {
    (field.into(), origin)
}

fn before_now(age: Duration) -> Option<Instant> {
    let now = Instant::now();
    Some(now.checked_sub(age).unwrap_or(now))
}
