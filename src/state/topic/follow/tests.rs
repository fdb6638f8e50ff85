//! One daemon writes, others follow, and viewers move between them: whoever applies what it is sent
//! holds what the daemon shows that sent it.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::state::fields::Whitelist;
use crate::state::json::Json;
use crate::state::session::Session;
use crate::state::topic::{Rules, Update};

const DAEMONS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Field(u8, u8),
    Data(u8),
    Announce,
    /// A daemon hears of the present state, and of so many revisions before it.
    Hear(usize, usize),
    Flush(usize),
    /// A viewer comes to a daemon.
    Move(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4u8, 0..3u8).prop_map(|(field, value)| Step::Field(field, value)),
        1 => (0..3u8).prop_map(Step::Data),
        1 => Just(Step::Announce),
        5 => (1..DAEMONS, 0..9usize).prop_map(|(daemon, known)| Step::Hear(daemon, known)),
        4 => (0..DAEMONS).prop_map(Step::Flush),
        4 => (0..6usize, 0..DAEMONS).prop_map(|(viewer, daemon)| Step::Move(viewer, daemon)),
    ]
}

#[derive(Clone, Default)]
struct Viewer {
    at: usize,
    revision: Option<Revision>,
    session: Option<Session>,
}

impl Viewer {
    fn apply(&mut self, update: &Update) {
        match update {
            Update::Snapshot(version) => {
                (self.revision, self.session) =
                    (Some(version.revision), Some(version.session.clone()));
            }
            Update::Delta {
                revision, fields, ..
            } => {
                let session = self.session.as_mut().expect("it has a session");
                for (field, value) in fields {
                    session.config.set(field, value.clone());
                }
                self.revision = Some(*revision);
            }
        }
    }
}

fn topic() -> Topic {
    let rules = Rules {
        whitelist: Whitelist::learning(),
        ignore: Vec::new(),
        max_session: 1 << 20,
    };
    Topic::new("x", rules, Revision::ZERO)
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).expect("JSON")
}

struct Run {
    daemons: Vec<Topic>,
    viewers: Vec<Viewer>,
    now: u64,
}

impl Run {
    fn write(&mut self, change: Change) {
        self.now += 10;
        let (topic, writer) = (&mut self.daemons[0], Arc::default());
        let applied = topic.base().apply(&change, &AtomicBool::new(false));
        let draft = topic.draft(&change, applied, self.now, &writer);
        let draft = draft.expect("it is accepted");
        topic
            .write(&change, self.now, &writer)
            .expect("it is accepted");
        assert_eq!(topic.held(), Some((draft.version, draft.structural)));
    }

    fn hear(&mut self, daemon: usize, known: usize) {
        let origin = &self.daemons[0];
        let known = origin.made.iter().rev().take(known).copied().collect();
        let arrival = Arrival {
            version: origin.version().expect("it was written"),
            structural: Some(origin.structural),
            known,
            fields: None,
        };
        if arrival.version.revision > self.daemons[daemon].revision {
            self.daemons[daemon].follow(arrival);
        }
    }

    fn flush(&mut self, daemon: usize) {
        let Some(flush) = self.daemons[daemon].flush() else {
            return;
        };
        for viewer in self.viewers.iter_mut().filter(|viewer| viewer.at == daemon) {
            if viewer.revision == Some(flush.from) {
                viewer.revision = Some(flush.to);
                flush.update.iter().for_each(|update| viewer.apply(update));
            }
        }
        (0..self.viewers.len()).for_each(|viewer| self.catch_up(viewer));
    }

    fn catch_up(&mut self, viewer: usize) {
        let viewer = &mut self.viewers[viewer];
        let daemon = &mut self.daemons[viewer.at];
        // Whoever is ahead waits.
        if daemon.session.is_none() || viewer.revision > Some(daemon.revision) {
            return;
        }
        if let Some(update) = daemon.since(viewer.revision) {
            viewer.apply(&update);
        }
        viewer.revision = Some(daemon.revision);
        assert_eq!(viewer.session, daemon.session);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Field(field, value) => {
                let field = format!("f{field}");
                self.write(Change::Fields(vec![(field, json(&value.to_string()))]));
            }
            Step::Data(value) => {
                let patch = format!(r#"{{"data":{{"v":{value}}}}}"#);
                self.write(Change::Merge(json(&patch)));
            }
            Step::Announce => {
                self.now += 10;
                self.daemons[0].announce(self.now);
            }
            Step::Hear(daemon, known) => self.hear(daemon, known),
            Step::Flush(daemon) => self.flush(daemon),
            Step::Move(viewer, daemon) => {
                self.viewers[viewer].at = daemon;
                self.catch_up(viewer);
            }
        }
    }
}

proptest! {
    #[test]
    fn viewers_that_move_hold_what_is_shown(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run {
            daemons: (0..DAEMONS).map(|_| topic()).collect(),
            viewers: vec![Viewer::default(); 6],
            now: 1_000,
        };
        run.write(Change::Replace(Session::from_json(&json(r#"{"config":{"f0":0,"f1":0,"f2":0}}"#), "x").expect("a session")));
        for step in &steps {
            run.take(step);
        }
        for daemon in 1..DAEMONS {
            run.hear(daemon, 0);
            prop_assert_eq!(run.daemons[daemon].version(), run.daemons[0].version());
        }
    }
}

fn arrival(revision: u64, text: &str) -> Arrival {
    Arrival {
        version: Version {
            revision: Revision::new(revision).expect("a revision"),
            session: Session::from_json(&json(text), "x").expect("a session"),
            origins: Origins::new_sync(),
        },
        structural: None,
        known: Vec::new(),
        fields: None,
    }
}

#[test]
fn what_differs_decides_where_nothing_else_is_known() {
    let mut topic = topic();
    topic.follow(arrival(10, r#"{"config":{"a":1,"b":1}}"#));
    topic.flush();
    topic.follow(arrival(20, r#"{"config":{"a":2,"b":1}}"#));
    topic.follow(arrival(30, r#"{"config":{"a":2,"b":3}}"#));
    let ten = Revision::new(10);
    match topic.since(ten) {
        Some(Update::Delta { fields, .. }) => assert_eq!(fields.len(), 2),
        other => panic!("{other:?}"),
    }
    topic.follow(arrival(40, r#"{"data":1,"config":{"a":2,"b":3}}"#));
    assert!(matches!(topic.since(ten), Some(Update::Snapshot(_))));
}

#[test]
fn a_state_that_goes_back_is_sent_whole() {
    let mut topic = topic();
    topic.follow(arrival(20, r#"{"config":{"a":2}}"#));
    topic.flush();
    topic.follow(arrival(10, r#"{"config":{"a":1}}"#));
    let flush = topic.flush().expect("it differs");
    assert_eq!((flush.from.get(), flush.to.get()), (20, 10));
    assert!(matches!(flush.update, Some(Update::Snapshot(_))));
    topic.follow(arrival(30, r#"{"config":{"a":3}}"#));
    assert!(matches!(
        topic.since(Revision::new(20)),
        Some(Update::Snapshot(_))
    ));
}

#[test]
fn where_fields_are_named_no_other_is_looked_at() {
    let mut topic = topic();
    topic.follow(arrival(5, r#"{"config":{"a":1,"b":1}}"#));
    let mut named = arrival(6, r#"{"config":{"a":2,"b":1}}"#);
    named.fields = Some(vec!["a".to_owned()]);
    topic.follow(named);
    let update = topic.since(Revision::new(5));
    let Some(Update::Delta { fields, .. }) = update else {
        panic!("only a field differs: {update:?}");
    };
    assert_eq!(fields, [("a".into(), json("2"))]);
}
