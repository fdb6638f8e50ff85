//! The heart's promise: after any sequence of writes, flushes, joins, resumes, drops and lags,
//! every viewer that applies its frames in order holds exactly the host's session.

use onlooker::fields::{Field, Whitelist};
use onlooker::json::{Json, Kind};
use onlooker::name::TopicName;
use onlooker::protocol;
use onlooker::revision::Revision;
use onlooker::session::Session;
use onlooker::topic::{Change, Rules, Topic, Update, Writer};
use proptest::prelude::*;
use serde_json::Value;

#[derive(Clone, Debug)]
enum Step {
    Replace(Vec<(u8, u8)>, u8),
    Fields(Vec<(u8, u8)>),
    Merge(u8, u8),
    Refused,
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
    revision: Option<Revision>,
    connected: bool,
    lagging: bool,
}

const FIELDS: [&str; 4] = ["speed", "color", "on", "extra"];

/// A value for a field; some are of another type, one is null.
fn value(field: usize, pick: u8) -> &'static str {
    let values: [&[&str]; 4] = [
        &["1", "2", "2.50", "1E+2"],
        &["\"a\"", "\"b\""],
        &["true", "false"],
        &["1", "\"x\"", "[1]", "null"],
    ];
    values[field][usize::from(pick) % values[field].len()]
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn fields(picks: &[(u8, u8)]) -> Vec<(String, Json)> {
    let field = |pick: &(u8, u8)| usize::from(pick.0) % FIELDS.len();
    picks
        .iter()
        .map(|pick| {
            (
                FIELDS[field(pick)].to_owned(),
                json(value(field(pick), pick.1)),
            )
        })
        .collect()
}

fn change(step: &Step) -> Option<Change> {
    Some(match step {
        Step::Replace(picks, data) => {
            let config = fields(picks).into_iter().collect();
            let mut session = Session::of_data("test", json(&data.to_string()));
            session.config = std::sync::Arc::new(config);
            Change::Replace(session)
        }
        Step::Fields(picks) => Change::Fields(fields(picks)),
        Step::Merge(field, pick) => {
            let field = usize::from(*field) % FIELDS.len();
            Change::Merge(json(&format!(
                r#"{{"config":{{"{}":{}}}}}"#,
                FIELDS[field],
                value(field, *pick)
            )))
        }
        Step::Refused => Change::Fields(vec![("speed".to_owned(), json("-1"))]),
        _ => return None,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let picks = || prop::collection::vec((any::<u8>(), any::<u8>()), 0..4);
    prop_oneof![
        1 => (picks(), 0..3u8).prop_map(|(picks, data)| Step::Replace(picks, data)),
        4 => picks().prop_map(Step::Fields),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(field, pick)| Step::Merge(field, pick)),
        1 => Just(Step::Refused),
        4 => Just(Step::Flush),
        1 => Just(Step::Join),
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
    ];
    Whitelist::Declared(
        fields
            .map(|(name, field)| (name.to_owned(), field))
            .into_iter()
            .collect(),
    )
}

struct Room {
    topic: Topic,
    viewers: Vec<Viewer>,
    clock: u64,
}

impl Room {
    fn new(whitelist: Whitelist) -> Room {
        let rules = Rules {
            whitelist,
            ignore: vec!["/metadata/ui".into()],
            max_session: 1 << 20,
        };
        Room {
            topic: Topic::new("test", rules),
            viewers: Vec::new(),
            clock: 1,
        }
    }

    fn take(&mut self, step: &Step) {
        self.clock += 1;
        if let Some(change) = change(step) {
            let before = (self.topic.revision(), self.topic.session().cloned());
            match self.topic.write(change, self.clock, &Writer::default()) {
                Ok(_) => assert!(self.topic.revision() >= before.0),
                Err(_) => assert_eq!(
                    (self.topic.revision(), self.topic.session().cloned()),
                    before
                ),
            }
            return;
        }
        match *step {
            Step::Flush => self.flush(),
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

    fn catch_up(&mut self, index: usize) {
        let viewer = &mut self.viewers[index];
        if viewer.connected {
            viewer.lagging = false;
            let update = self.topic.since(viewer.revision);
            viewer.apply(&self.topic, update.as_ref(), false);
            viewer.revision = self.topic.session().map(|_| self.topic.revision());
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
                viewer.apply(&self.topic, flush.update.as_ref(), true);
                viewer.revision = Some(flush.to);
            } else {
                self.catch_up(index);
            }
        }
    }
}

impl Viewer {
    /// Applies a frame as the contract tells viewers to, from the very text they receive.
    fn apply(&mut self, topic: &Topic, update: Option<&Update>, flushed: bool) {
        let Some(update) = update else { return };
        let name: TopicName = "test".parse().unwrap();
        let frame: Value = serde_json::from_str(&protocol::update(&name, update)).unwrap();
        let revision: Revision = frame["revision"].as_str().unwrap().parse().unwrap();
        assert!(
            Some(revision) > self.revision,
            "frames arrive in the order of their revisions"
        );
        if frame["type"] == "session_update" {
            self.session = Some(frame["payload"].clone());
            return;
        }
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
            let before = config.insert(field.clone(), value.clone());
            assert!(
                !flushed || before.as_ref() != Some(value),
                "{field} has changed"
            );
        }
    }
}

fn run(whitelist: Whitelist, steps: &[Step]) {
    let mut room = Room::new(whitelist);
    steps.iter().for_each(|step| room.take(step));
    room.flush();
    for index in 0..room.viewers.len() {
        room.catch_up(index);
    }
    let host = room
        .topic
        .session()
        .map(|session| serde_json::from_str::<Value>(&session.to_json()).unwrap());
    for viewer in room.viewers.iter().filter(|viewer| viewer.connected) {
        assert_eq!(viewer.session, host);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_viewer_ends_equal_to_the_host_with_a_learned_whitelist(steps in prop::collection::vec(step(), 0..60)) {
        run(Whitelist::learning(), &steps);
    }

    #[test]
    fn every_viewer_ends_equal_to_the_host_with_a_declared_whitelist(steps in prop::collection::vec(step(), 0..60)) {
        run(declared(), &steps);
    }
}

fn room_with(session: &str) -> Room {
    let mut room = Room::new(Whitelist::learning());
    let session = Session::from_json(&json(session), "test").unwrap();
    room.topic
        .write(Change::Replace(session), 1, &Writer::default())
        .unwrap();
    room.topic.flush();
    room
}

#[test]
fn what_is_taken_back_before_it_leaves_makes_no_frame() {
    let mut room = room_with(r#"{"config":{"speed":1}}"#);
    for speed in ["2", "1"] {
        room.topic
            .write(
                Change::Fields(vec![("speed".into(), json(speed))]),
                2,
                &Writer::default(),
            )
            .unwrap();
    }
    let flush = room.topic.flush().unwrap();
    assert!(flush.to > flush.from);
    assert_eq!(flush.update, None);
}

#[test]
fn ignored_parts_make_no_revision() {
    let mut room = room_with(r#"{"config":{"speed":1},"metadata":{"ui":{"zoom":1}}}"#);
    let before = room.topic.revision();
    let merged = room.topic.write(
        Change::Merge(json(r#"{"metadata":{"ui":{"zoom":2}}}"#)),
        2,
        &Writer::default(),
    );
    assert_eq!(merged, Ok(onlooker::topic::Written::Unchanged(before)));
    assert_eq!(room.topic.session().unwrap().metadata.as_str(), "{}");
}

#[test]
fn a_named_writer_comes_back_in_origins() {
    let mut room = room_with(r#"{"config":{"speed":1,"color":"a"}}"#);
    let writer = Writer {
        source_id: Some("pad".into()),
        device_id: Some(7),
        local_revision: Some(3),
    };
    room.topic
        .write(
            Change::Fields(vec![("speed".into(), json("2"))]),
            9,
            &writer,
        )
        .unwrap();
    let update = room.topic.flush().unwrap().update.unwrap();
    let text = protocol::update(&"main".parse().unwrap(), &update);
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
            .write(Change::Patch(patch), 2, &Writer::default())
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
