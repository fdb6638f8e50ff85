//! The heart's promise: after any sequence of writes, refusals, losses, flushes, joins, resumes,
//! drops and lags, every viewer that applies its frames in order holds exactly the host's
//! session, to the letter, and knows who wrote it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use onlooker::internals::fields::{Field, Whitelist};
use onlooker::internals::json::{Json, Kind};
use onlooker::internals::name::TopicName;
use onlooker::internals::revision::Revision;
use onlooker::internals::session::Session;
use onlooker::internals::topic::{Change, Origins, Rules, Topic, Update, Version, Writer, Written};
use onlooker::internals::wire;
use proptest::prelude::*;
use serde_json::Value;

#[derive(Clone, Debug)]
enum Step {
    Replace(Vec<(u8, u8)>, u8),
    /// One of the viewers writes, and holds what it was answered.
    Fields(Vec<(u8, u8)>, usize),
    Merge(u8, u8),
    Patch(u8, u8),
    Refused,
    /// The present state is durable, or the next one only, or all that is not is lost.
    Keep,
    KeepNext,
    Lose,
    /// A host freezes what viewers see, or lets go.
    Freeze(bool),
    /// The daemon starts again with what was durable, and maybe with an earlier clock.
    Restart(bool),
    Flush,
    Join,
    /// A viewer goes away, or comes back with what it had.
    Toggle(usize),
    /// A viewer misses flushes until it is brought to now.
    Lag(usize),
    CatchUp(usize),
}

#[derive(Default)]
struct Viewer {
    session: Option<Value>,
    origins: BTreeMap<String, Value>,
    /// Of which revision each field is, as far as the viewer was told.
    held: BTreeMap<String, Revision>,
    revision: Option<Revision>,
    connected: bool,
    lagging: bool,
}

const FIELDS: [&str; 5] = ["speed", "color", "on", "extra", "label"];

/// A value for a field; some are of another type, one is null, one is written with an escape.
fn value(field: usize, pick: u8) -> &'static str {
    let values: [&[&str]; 5] = [
        &["1", "2", "2.50", "1E+2"],
        &["\"a\"", "\"b\""],
        &["true", "false"],
        &["1", "\"x\"", "[1]", "null"],
        &[r#""\u0041""#, "\"B\""],
    ];
    values[field][usize::from(pick) % values[field].len()]
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn fields(picks: &[(u8, u8)]) -> Vec<(String, Json)> {
    let field = |pick: &(u8, u8)| usize::from(pick.0) % FIELDS.len();
    let value = |pick: &(u8, u8)| json(value(field(pick), pick.1));
    let named = |pick| (FIELDS[field(pick)].to_owned(), value(pick));
    // As in an object, each is there once.
    let fields: BTreeMap<String, Json> = picks.iter().map(named).collect();
    fields.into_iter().collect()
}

fn change(step: &Step) -> Option<Change> {
    let field = |field: &u8| usize::from(*field) % FIELDS.len();
    Some(match step {
        Step::Replace(picks, data) => {
            let data = format!(r#"{{"n":{data},"by":"\u00e9"}}"#);
            let mut session = Session::of_data("test", json(&data));
            session.config = fields(picks).into_iter().collect();
            Change::Replace(session)
        }
        Step::Fields(picks, _) => Change::Fields(fields(picks)),
        Step::Merge(name, pick) => {
            let (name, value) = (FIELDS[field(name)], value(field(name), *pick));
            Change::Merge(json(&format!(r#"{{"config":{{"{name}":{value}}}}}"#)))
        }
        Step::Patch(name, pick) => {
            let (name, value) = (FIELDS[field(name)], value(field(name), *pick));
            let operations = format!(
                r#"[{{"op":"add","path":"/config/{name}","value":{value}}},{{"op":"add","path":"/data/x","value":{pick}}},{{"op":"remove","path":"/data/x"}}]"#
            );
            Change::Patch(serde_json::from_str(&operations).unwrap())
        }
        Step::Refused => Change::Fields(vec![("speed".to_owned(), json("-1"))]),
        _ => return None,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let picks = || prop::collection::vec((any::<u8>(), any::<u8>()), 0..4);
    prop_oneof![
        1 => (picks(), 0..3u8).prop_map(|(picks, data)| Step::Replace(picks, data)),
        6 => (picks(), 0..4usize).prop_map(|(picks, by)| Step::Fields(picks, by)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(field, pick)| Step::Merge(field, pick)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(field, pick)| Step::Patch(field, pick)),
        1 => Just(Step::Refused),
        2 => Just(Step::Keep),
        2 => Just(Step::KeepNext),
        1 => Just(Step::Lose),
        2 => any::<bool>().prop_map(Step::Freeze),
        1 => any::<bool>().prop_map(Step::Restart),
        4 => Just(Step::Flush),
        2 => Just(Step::Join),
        2 => (0..4usize).prop_map(Step::Toggle),
        1 => (0..4usize).prop_map(Step::Lag),
        1 => (0..4usize).prop_map(Step::CatchUp),
    ]
}

fn declared() -> Whitelist {
    let speed = Field {
        min: Some(0.0),
        max: Some(200.0),
        ..Field::of(Kind::Number)
    };
    let fields = [
        ("speed", speed),
        ("color", Field::of(Kind::String)),
        ("on", Field::of(Kind::Boolean)),
        ("label", Field::of(Kind::String)),
    ];
    let named = fields.map(|(name, field)| (name.to_owned(), field));
    Whitelist::Declared(named.into_iter().collect())
}

struct Room {
    topic: Topic,
    rules: Rules,
    /// Whether writers are answered when a change is durable, or at once.
    store: bool,
    /// Whether viewers see only what is durable.
    after_durable: bool,
    durable: Option<Version>,
    /// What is on its way to be durable.
    pending: Vec<Version>,
    /// Who waits for an answer.
    answers: Vec<(usize, Revision, Change)>,
    viewers: Vec<Viewer>,
    /// In steps; every life has microseconds of its own.
    clock: u64,
    life: u64,
}

impl Room {
    fn new(whitelist: Whitelist) -> Room {
        let rules = Rules {
            whitelist,
            ignore: vec!["/metadata/ui".into()],
            max_session: 1 << 20,
        };
        Room {
            topic: Topic::new("test", rules.clone(), Revision::ZERO),
            rules,
            store: false,
            after_durable: false,
            durable: None,
            pending: Vec::new(),
            answers: Vec::new(),
            viewers: Vec::new(),
            clock: 1000,
            life: 0,
        }
    }

    fn now(&self) -> u64 {
        self.clock * 10_000 + self.life * 100
    }

    fn take(&mut self, step: &Step) {
        let frozen = self.topic.is_frozen().then(|| self.topic.shown());
        self.take_step(step);
        let may_change = matches!(step, Step::Lose | Step::Restart(_) | Step::Freeze(_));
        if let Some(shown) = frozen.filter(|_| !may_change) {
            assert_eq!(self.topic.shown(), shown, "it is frozen");
        }
    }

    fn take_step(&mut self, step: &Step) {
        self.clock += 1;
        if let Some(change) = change(step) {
            return self.write(step, &change);
        }
        match *step {
            Step::Flush => self.flush(),
            Step::Keep => self.keep(self.pending.len()),
            Step::KeepNext => self.keep(self.pending.len().min(1)),
            Step::Lose => self.lose(),
            Step::Freeze(frozen) => self.freeze(frozen),
            Step::Restart(back) => self.restart(back),
            Step::Join => {
                self.viewers.push(Viewer {
                    connected: true,
                    ..Viewer::default()
                });
                self.catch_up(self.viewers.len() - 1);
            }
            Step::Toggle(index) if index < self.viewers.len() => {
                self.viewers[index].connected ^= true;
                self.catch_up(index);
            }
            Step::Lag(index) if index < self.viewers.len() => self.viewers[index].lagging = true,
            Step::CatchUp(index) if index < self.viewers.len() => self.catch_up(index),
            _ => {}
        }
    }

    fn write(&mut self, step: &Step, change: &Change) {
        let by = match step {
            Step::Fields(_, by) => Some(*by),
            _ => None,
        };
        let named = |by: usize| Writer {
            device_id: Some(by as u64),
            ..Writer::default()
        };
        // Every other one gives no name.
        let writer = by.filter(|by| by % 2 == 1).map(named).unwrap_or_default();
        let before = self.topic.version();
        match self.topic.write(change, self.now(), &Arc::new(writer)) {
            Ok(Written::Unchanged {
                revision, touched, ..
            }) => {
                assert_eq!(self.topic.version(), before);
                assert!(touched <= revision && self.topic.is_still(revision));
                self.answers
                    .extend(by.map(|by| (by, touched, change.clone())));
            }
            Ok(Written::Applied { revision, .. }) => {
                let then = before.map(|before| before.revision);
                assert!(Some(revision) > then && revision == self.topic.revision());
                self.answers
                    .extend(by.map(|by| (by, revision, change.clone())));
            }
            Err(_) => {
                assert_eq!(self.topic.version(), before);
                let at = self.topic.revision();
                self.topic.announce(self.now());
                assert_eq!(self.topic.is_still(at), before.is_some());
            }
        }
        match self.store {
            true => self.pending.extend(self.topic.version()),
            false => self.answer(self.topic.revision()),
        }
    }

    fn keep(&mut self, count: usize) {
        let kept = self.pending.drain(..count).next_back();
        if let Some(version) = kept {
            self.answer(version.revision);
            self.durable = Some(version);
        }
        self.show();
    }

    fn freeze(&mut self, frozen: bool) {
        match frozen {
            true if !self.topic.is_frozen() => self.topic.freeze(self.topic.shown()),
            true => {}
            false => self.let_go(),
        }
    }

    fn let_go(&mut self) {
        self.topic.show_all();
        self.show();
    }

    fn show(&mut self) {
        if self.after_durable {
            self.topic.show_only(self.durable.clone());
        }
    }

    /// Who wrote shows what it was answered, before any frame.
    fn answer(&mut self, durable: Revision) {
        let done = |(_, revision, _): &mut (usize, Revision, Change)| *revision <= durable;
        for (by, revision, change) in self.answers.extract_if(.., done) {
            let viewer = self.viewers.get_mut(by).filter(|viewer| viewer.connected);
            let (Some(viewer), Change::Fields(fields)) = (viewer, change) else {
                continue;
            };
            for (field, value) in fields {
                viewer.hear(&field, &value, revision);
            }
        }
    }

    fn lose(&mut self) {
        let present = self.topic.revision();
        let durable = self.durable.as_ref().map(|version| version.revision);
        if durable.is_some_and(|durable| durable < present) {
            let next = Revision::new(present.get() + 1).unwrap();
            self.answers.clear();
            self.pending.clear();
            let (session, origins) = match self.durable.clone() {
                Some(durable) => (Some(durable.session), durable.origins),
                None => (None, Origins::new_sync()),
            };
            let frozen = self.topic.is_frozen().then(|| self.topic.shown());
            self.topic.show_all();
            self.topic.adopt(next, session, origins);
            self.durable = self.topic.version();
            self.show();
            if let Some(shown) = frozen {
                let stands = shown.as_ref().map(|shown| shown.revision) <= durable;
                let shown = if stands { shown } else { self.topic.shown() };
                self.topic.freeze(shown);
            }
        }
    }

    fn restart(&mut self, back: bool) {
        self.life += 1;
        if back {
            self.clock -= 30;
        }
        self.topic = match self.durable.clone() {
            Some(kept) => Topic::restore("test", self.rules.clone(), kept, 1_000_000 * self.life),
            None => Topic::new("test", self.rules.clone(), Revision::ZERO),
        };
        self.answers.clear();
        self.pending.clear();
        self.show();
        for viewer in &mut self.viewers {
            viewer.connected = false;
        }
    }

    fn catch_up(&mut self, index: usize) {
        let viewer = &mut self.viewers[index];
        if viewer.connected {
            viewer.lagging = false;
            let update = self.topic.since(viewer.revision);
            viewer.apply(&self.topic, update.as_ref());
            viewer.revision = self.topic.shown().map(|shown| shown.revision);
        }
    }

    fn flush(&mut self) {
        let Some(flush) = self.topic.flush() else {
            return;
        };
        for index in 0..self.viewers.len() {
            let viewer = &mut self.viewers[index];
            if !viewer.connected || viewer.lagging || viewer.revision >= Some(flush.to) {
                continue;
            }
            if viewer.revision.unwrap_or_default() == flush.from {
                viewer.apply(&self.topic, flush.update.as_ref());
                viewer.revision = Some(flush.to);
            } else {
                self.catch_up(index);
            }
        }
    }
}

impl Viewer {
    /// An answer, which may come after a frame that is newer.
    fn hear(&mut self, field: &str, value: &Json, revision: Revision) {
        let shown = self.session.as_mut();
        let shown = shown.and_then(|session| session["config"].get_mut(field));
        let newer = self.held.get(field) < Some(&revision);
        if let Some(shown) = shown.filter(|_| newer) {
            *shown = value.value();
            self.held.insert(field.to_owned(), revision);
        }
    }

    /// Applies a frame as the contract tells viewers to, from the very text they receive.
    fn apply(&mut self, topic: &Topic, update: Option<&Update>) {
        let Some(update) = update else { return };
        let name: TopicName = "test".parse().unwrap();
        let mut frame: Value = serde_json::from_str(&wire::update(&name, update)).unwrap();
        let revision: Revision = frame["revision"].as_str().unwrap().parse().unwrap();
        let origins = frame.get("origins").and_then(Value::as_object).cloned();
        let origins = origins.unwrap_or_default();
        if frame["type"] == "session_update" {
            let config = frame["payload"]["config"].as_object().unwrap();
            self.held = config
                .keys()
                .map(|field| (field.clone(), revision))
                .collect();
            self.session = Some(frame["payload"].take());
            self.origins = origins.into_iter().collect();
            return;
        }
        assert!(
            Some(revision) > self.revision,
            "frames arrive in the order of their revisions"
        );
        let config = self.session.as_mut().unwrap()["config"]
            .as_object_mut()
            .unwrap();
        let payload = frame["payload"].as_object().unwrap();
        assert!(!payload.is_empty());
        for (field, value) in payload {
            assert!(
                topic.whitelist().fields().contains_key(field),
                "{field} is declared"
            );
            config.insert(field.clone(), value.clone());
            self.held.insert(field.clone(), revision);
            match origins.get(field) {
                Some(origin) => _ = self.origins.insert(field.clone(), origin.clone()),
                None => _ = self.origins.remove(field),
            }
        }
    }
}

fn run(whitelist: Whitelist, store: bool, after_durable: bool, steps: &[Step]) {
    let mut room = Room::new(whitelist);
    (room.store, room.after_durable) = (store, store && after_durable);
    room.show();
    steps.iter().for_each(|step| room.take(step));
    room.keep(room.pending.len());
    room.let_go();
    room.flush();
    for index in 0..room.viewers.len() {
        room.viewers[index].connected = true;
        room.catch_up(index);
    }
    let Some(version) = room.topic.version() else {
        return;
    };
    let host: Value = serde_json::from_str(&version.session.to_json()).unwrap();
    let origins = version
        .named_origins()
        .map(|(field, _)| field.to_owned())
        .collect::<Vec<_>>();
    for viewer in &room.viewers {
        let shown = viewer.session.as_ref().unwrap();
        // As text: with the keys in the same order, and the numbers to the digit.
        assert_eq!(shown.to_string(), host.to_string());
        let mut named: Vec<_> = viewer.origins.keys().cloned().collect();
        named.sort_by_key(|name| {
            host["config"]
                .as_object()
                .unwrap()
                .keys()
                .position(|key| key == name)
        });
        assert_eq!(named, origins);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_viewer_ends_equal_to_the_host_with_a_learned_whitelist(store: bool, after_durable: bool, steps in prop::collection::vec(step(), 0..60)) {
        run(Whitelist::learning(), store, after_durable, &steps);
    }

    #[test]
    fn every_viewer_ends_equal_to_the_host_with_a_declared_whitelist(store: bool, after_durable: bool, steps in prop::collection::vec(step(), 0..60)) {
        run(declared(), store, after_durable, &steps);
    }
}

fn room_with(session: &str) -> Room {
    let mut room = Room::new(Whitelist::learning());
    let session = Session::from_json(&json(session), "test").unwrap();
    room.topic
        .write(&Change::Replace(session), 1, &Arc::default())
        .unwrap();
    room.topic.flush();
    room
}

fn set(room: &mut Room, field: &str, value: &str, at: u64) -> Written {
    let change = Change::Fields(vec![(field.into(), json(value))]);
    room.topic.write(&change, at, &Arc::default()).unwrap()
}

#[test]
fn what_was_acknowledged_is_told_when_it_is_taken_back() {
    let mut room = room_with(r#"{"config":{"speed":1}}"#);
    set(&mut room, "speed", "2", 2);
    set(&mut room, "speed", "1", 3);
    let Some(Update::Delta { fields, .. }) = room.topic.flush().unwrap().update else {
        panic!("whoever was answered 2 is not told of 1");
    };
    assert_eq!(fields, [("speed".into(), json("1"))]);
}

#[test]
fn a_revision_of_nobody_is_answered_with_everything() {
    let mut room = room_with(r#"{"config":{"speed":1}}"#);
    let at = room.topic.revision();
    set(&mut room, "speed", "2", 100);
    let unknown = Revision::new(at.get() + 7);
    assert!(matches!(
        room.topic.since(unknown),
        Some(Update::Snapshot(_))
    ));
    assert!(matches!(
        room.topic.since(Some(at)),
        Some(Update::Delta { .. })
    ));
}

#[test]
fn another_order_of_the_fields_is_no_change() {
    let mut room = room_with(r#"{"config":{"a":1,"b":2}}"#);
    let replace = |room: &mut Room, text: &str| {
        let session = Session::from_json(&json(text), "test").unwrap();
        let written = room
            .topic
            .write(&Change::Replace(session), 9, &Arc::default());
        (written.unwrap(), room.topic.session().unwrap().to_json())
    };
    let (written, text) = replace(&mut room, r#"{"config":{"b":2,"a":1}}"#);
    assert!(matches!(written, Written::Unchanged { .. }), "{written:?}");
    assert!(text.contains(r#"{"a":1,"b":2}"#), "{text}");
    let (written, text) = replace(&mut room, r#"{"config":{"b":3,"a":1}}"#);
    assert!(
        matches!(
            written,
            Written::Applied {
                fields: Some(_),
                ..
            }
        ),
        "{written:?}"
    );
    assert!(text.contains(r#"{"a":1,"b":3}"#), "{text}");
}

#[test]
fn a_json_patch_that_changes_nothing_leaves_the_spelling() {
    let before =
        r#"{"name":"n","data":["\u0041",{"x":"\u00e9"}],"config":{"c":"\/"},"metadata":{}}"#;
    let mut room = room_with(before);
    let patch = r#"[{"op":"replace","path":"/data/0","value":"A"},{"op":"test","path":"/data/1/x","value":"é"},{"op":"replace","path":"/config/c","value":"/"}]"#;
    let patch = Change::Patch(serde_json::from_str(patch).unwrap());
    let written = room.topic.write(&patch, 9, &Arc::default());
    assert!(
        matches!(written, Ok(Written::Unchanged { .. })),
        "{written:?}"
    );
    assert_eq!(room.topic.session().unwrap().to_json(), before);
}

#[test]
fn a_declared_field_that_is_added_is_structural() {
    let mut room = Room::new(declared());
    let session = Session::from_json(&json(r#"{"config":{"speed":1}}"#), "test").unwrap();
    let replace = Change::Replace(session);
    room.topic.write(&replace, 1, &Arc::default()).unwrap();
    let written = set(&mut room, "color", "\"a\"", 2);
    assert!(
        matches!(written, Written::Applied { fields: None, .. }),
        "{written:?}"
    );
    let written = set(&mut room, "color", "\"b\"", 3);
    assert!(
        matches!(
            written,
            Written::Applied {
                fields: Some(_),
                ..
            }
        ),
        "{written:?}"
    );
}

#[test]
fn ignored_parts_make_no_revision() {
    let mut room = room_with(r#"{"config":{"speed":1},"metadata":{"ui":{"zoom":1}}}"#);
    let before = room.topic.revision();
    let zoom = Change::Merge(json(r#"{"metadata":{"ui":{"zoom":2}}}"#));
    let merged = room.topic.write(&zoom, 2, &Arc::default());
    let Ok(Written::Unchanged { ignored, .. }) = merged else {
        panic!("{merged:?}");
    };
    assert_eq!(ignored, ["/metadata/ui"], "and it is known why");
    assert_eq!(room.topic.revision(), before);
    assert_eq!(room.topic.session().unwrap().metadata.as_str(), "{}");
    let same = set(&mut room, "speed", "1", 3);
    assert!(
        matches!(&same, Written::Unchanged { ignored, .. } if ignored.is_empty()),
        "{same:?}"
    );
}

#[test]
fn a_named_writer_comes_back_in_origins() {
    let mut room = room_with(r#"{"config":{"speed":1,"color":"a"}}"#);
    let writer = Writer {
        source_id: Some("pad".into()),
        device_id: Some(7),
        local_revision: Some(3),
    };
    let speed = Change::Fields(vec![("speed".into(), json("2"))]);
    room.topic.write(&speed, 9, &Arc::new(writer)).unwrap();
    let text = |update: &Update| wire::update(&"main".parse().unwrap(), update);
    let update = room.topic.flush().unwrap().update.unwrap();
    let text_of_delta = text(&update);
    let whole = room.topic.since(None).unwrap();
    assert!(
        text(&whole).ends_with(r#""metadata":{}},"origins":{"speed":{"revision":9,"sourceId":"pad","deviceId":7,"localRevision":3}}}"#),
        "{}",
        text(&whole)
    );
    let text = text_of_delta;
    assert_eq!(
        text,
        r#"{"type":"config_update","topic":"main","revision":"9","payload":{"speed":2},"origins":{"speed":{"revision":9,"sourceId":"pad","deviceId":7,"localRevision":3}}}"#
    );
}

#[test]
fn a_patch_is_applied_as_a_whole_or_not_at_all() {
    let mut room = room_with(r#"{"data":{"a":1},"config":{}}"#);
    let mut patch = |text: &str| {
        let patch = serde_json::from_str(text).unwrap();
        room.topic
            .write(&Change::Patch(patch), 2, &Arc::default())
            .map(|_| room.topic.session().unwrap().data.to_string())
    };
    assert_eq!(
        patch(r#"[{"op":"replace","path":"/data/a","value":2}]"#),
        Ok(r#"{"a":2}"#.into())
    );
    let half = patch(
        r#"[{"op":"replace","path":"/data/a","value":3},{"op":"test","path":"/data/a","value":4}]"#,
    );
    assert!(half.unwrap_err().to_string().starts_with("operation 1:"));
    let doubling: Vec<String> = (0..60)
        .map(|index| format!(r#"{{"op":"copy","from":"/data","path":"/data/x{index}"}}"#))
        .collect();
    let too_large = patch(&format!("[{}]", doubling.join(","))).unwrap_err();
    assert!(
        too_large.to_string().contains("--max-session"),
        "{too_large}"
    );
    let nesting = vec![r#"{"op":"copy","from":"/data","path":"/data/x"}"#; 130];
    let too_deep = patch(&format!("[{}]", nesting.join(","))).unwrap_err();
    assert!(too_deep.to_string().contains("nesting"), "{too_deep}");
    assert_eq!(patch("[]"), Ok(r#"{"a":2}"#.into()));
}

#[test]
fn a_patch_that_is_called_off_is_not_done() {
    let patch = r#"[{"op":"add","path":"/data/a","value":2}]"#;
    let merge = Json::parse(br#"{"data":{"a":3}}"#).unwrap();
    let mut room = room_with(r#"{"data":{"a":1},"config":{}}"#);
    for change in [
        Change::Patch(serde_json::from_str(patch).unwrap()),
        Change::Merge(merge),
    ] {
        let mut written = |called_off| {
            let applied = room
                .topic
                .base()
                .apply(&change, &AtomicBool::new(called_off));
            let topic = &mut room.topic;
            topic.write_applied(&change, applied, 2, &Arc::default())
        };
        assert!(written(true).is_err(), "{change:?}");
        assert!(written(false).is_ok(), "{change:?}");
    }
}

#[test]
fn what_a_patch_costs_is_known_before_it_is_done() {
    let rows = format!(r#"{{"data":["{}"]}}"#, "y".repeat(1000));
    let refused = |document: &str, operations: Vec<String>| {
        let mut room = room_with(document);
        let patch = format!("[{}]", operations.join(","));
        let patch = Change::Patch(serde_json::from_str(&patch).unwrap());
        let written = room.topic.write(&patch, 2, &Arc::default());
        written.unwrap_err().to_string()
    };
    // Each copy holds all those before it: 2^60 of them in 4 KB.
    let copy = r#"{"op":"copy","from":"/data","path":"/data/-"}"#.to_owned();
    let error = refused(&rows, vec![copy; 60]);
    assert!(error.contains("--max-session"), "{error}");
    // Each insert moves all elements behind it.
    let insert = r#"{"op":"add","path":"/data/0","value":0}"#.to_owned();
    let error = refused(&rows, vec![insert; 200_000]);
    assert!(error.contains("too much work"), "{error}");
    // Each goes as deep again as the one before it.
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    let at = |level: usize| format!("/data{}/-", "/0".repeat(119 * level));
    let nest =
        (0..300).map(|level| format!(r#"{{"op":"add","path":"{}","value":{deep}}}"#, at(level)));
    let error = refused(r#"{"data":[]}"#, nest.collect());
    assert!(error.contains("nesting deeper"), "{error}");
}

#[test]
fn what_is_shown_later_is_told_however_much_was_written_since() {
    let mut room = room_with(r#"{"config":{"speed":1}}"#);
    room.topic.show_only(room.topic.version());
    let first = room.topic.revision();
    set(&mut room, "speed", "2", 2);
    let second = room.topic.version();
    for value in 0..5_000 {
        set(&mut room, "speed", &format!("0.{value}1"), 3);
    }
    assert_eq!(room.topic.since(Some(first)), None);
    assert!(room.topic.show_only(second));
    let Some(Update::Delta { fields, .. }) = room.topic.since(Some(first)) else {
        panic!("the fields are known");
    };
    assert_eq!(fields, [("speed".into(), json("2"))]);
}

#[test]
fn what_is_frozen_stays_and_all_that_was_written_follows() {
    let mut room = room_with(r#"{"config":{"speed":1,"on":true}}"#);
    let first = room.topic.revision();
    room.topic.freeze(room.topic.shown());
    for value in 0..10_000 {
        set(&mut room, "speed", &format!("0.{value}1"), 2);
    }
    assert_eq!(room.topic.since(Some(first)), None);
    assert!(!room.topic.show_only(room.topic.version()), "it is frozen");
    let Some(Update::Snapshot(newcomer)) = room.topic.since(None) else {
        panic!("a newcomer sees what the others see");
    };
    assert_eq!(newcomer.revision, first);
    room.topic.show_all();
    let Some(Update::Delta { fields, .. }) = room.topic.since(Some(first)) else {
        panic!("the fields are known");
    };
    assert_eq!(fields, [("speed".into(), json("0.99991"))]);
}

/// A path can name what no document may hold: the session would not be read back.
#[test]
fn a_field_is_named_as_a_document_may_name_it() {
    const RESERVED: &str = "$serde_json::private::Number";
    let mut room = room_with(r#"{"config":{"speed":1}}"#);
    let patch = format!(r#"[{{"op":"add","path":"/config/{RESERVED}","value":"1"}}]"#);
    let field = (RESERVED.to_owned(), json("1"));
    for change in [
        Change::Patch(serde_json::from_str(&patch).unwrap()),
        Change::Fields(vec![field]),
    ] {
        let refused = room.topic.write(&change, 2, &Arc::default());
        assert!(refused.unwrap_err().to_string().contains("reserved"));
    }
}
