//! Changes of a session: JSON Patch, merge patch, fields. What they may cost is bounded, what
//! they make is what another library makes, what is refused leaves everything as it was, and
//! a viewer that was sent what `since` says has the same.

#![no_main]

mod common;

use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use common::{Key, Shape, bounded, document, many, value};
use libfuzzer_sys::fuzz_target;
use onlooker::internals::fields::Whitelist;
use onlooker::internals::json::{Json, MAX_DEPTH};
use onlooker::internals::revision::Revision;
use onlooker::internals::session::{Session, is_member};
use onlooker::internals::topic::{Change, Refusal, Rules, Topic, Update, Version, Written};
use onlooker::internals::wire;
use serde_json::{Map, Value, json};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    large: bool,
    start: Shape<'a>,
    changes: Vec<Asked<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Asked<'a> {
    Replace(Shape<'a>),
    Merge(Shape<'a>),
    Fields(Vec<(Key<'a>, Shape<'a>)>),
    Patch(Vec<Step<'a>>),
    /// The body as it comes; a number before a patch says how often it is repeated.
    Body(&'a str),
}

#[derive(Arbitrary, Debug)]
struct Step<'a> {
    op: Op<'a>,
    path: Path<'a>,
    times: u8,
}

#[derive(Arbitrary, Debug)]
enum Op<'a> {
    Add(Shape<'a>),
    Replace(Shape<'a>),
    Test(Shape<'a>),
    Remove,
    Copy(Path<'a>),
    Move(Path<'a>),
}

#[derive(Arbitrary, Debug)]
struct Path<'a> {
    member: u8,
    keys: Vec<Key<'a>>,
    zeros: u8,
    end: bool,
}

const NAME: &str = "fuzz";
const SIZES: [usize; 2] = [4 << 10, 32 << 10];

// Either texts, the session and then a change a line, or what bytes are made into.
fuzz_target!(|bytes: &[u8]| {
    if bytes.starts_with(b"{") {
        let lines = bytes.split(|byte| *byte == b'\n');
        let texts = lines.filter_map(|line| std::str::from_utf8(line).ok());
        let bodies = texts.map(|text| Asked::Body(text).read());
        pass(SIZES[0], bodies.flatten());
    } else if let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(bytes)) {
        let start = Asked::Replace(input.start).read();
        let changes = input.changes.iter().filter_map(Asked::read);
        pass(
            SIZES[usize::from(input.large)],
            start.into_iter().chain(changes),
        );
    }
});

fn pass(max_session: usize, changes: impl Iterator<Item = (String, Change)>) {
    let rules = Rules {
        whitelist: Whitelist::learning(),
        ignore: Vec::new(),
        max_session,
    };
    let mut topic = Topic::new(NAME, rules, Revision::default());
    for (text, change) in changes {
        step(&mut topic, &text, &change, max_session);
    }
}

fn step(topic: &mut Topic, text: &str, change: &Change, max_session: usize) {
    let before = topic.version();
    let work = 2 * max_session + 2 * text.len();
    let written = bounded(work, || topic.write(change, 0, &Arc::default()));
    match &written {
        Ok(_) => check(topic, max_session),
        Err(_) => assert_eq!(topic.version(), before, "refused, and not what it was"),
    }
    if !is_limit(&written) {
        let expected = expected(before.as_ref(), text, change);
        let got = topic.session().filter(|_| written.is_ok()).map(document);
        assert_eq!(got, expected, "{written:?}");
    }
    follow(topic, before);
}

/// What stands is no larger and no deeper than allowed, and reads back.
fn check(topic: &Topic, max_session: usize) {
    let session = topic.session().expect("one was written");
    let text = session.to_json();
    assert!(text.len() <= session.text_len());
    assert!(text.len() <= max_session + 64, "{} bytes", text.len());
    let config = session.config.iter().map(|(_, value)| value);
    for part in [&session.data, &session.metadata].into_iter().chain(config) {
        assert!(depth(part.as_str()) <= MAX_DEPTH);
    }
    let kept = Json::parse_kept(text.as_bytes()).expect("what is kept reads back");
    assert_eq!(Session::from_json(&kept, NAME).as_ref(), Ok(session));
}

fn depth(text: &str) -> usize {
    let (mut depth, mut most, mut inside, mut escaped) = (0, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => inside = !inside,
            b'[' | b'{' if !inside => depth += 1,
            b']' | b'}' if !inside => depth -= 1,
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

fn is_limit(written: &Result<Written, Refusal>) -> bool {
    match written {
        Err(Refusal::TooLarge(_)) => true,
        Err(Refusal::Invalid(reason)) => ["deeper than", "too much work", "reserved"]
            .iter()
            .any(|limit| reason.contains(limit)),
        _ => false,
    }
}

/// The session that a change makes, told in the plainest way; none where it is refused.
fn expected(before: Option<&Version>, text: &str, change: &Change) -> Option<Value> {
    let start = || Session::of_data(NAME, Json::empty_object());
    let start = before.map_or_else(start, |version| version.session.clone());
    let mut session = document(&start);
    match change {
        Change::Replace(session) => return Some(document(session)),
        Change::Merge(_) => {
            let patch = value(text);
            patch
                .as_object()?
                .keys()
                .all(|key| is_member(key))
                .then_some(())?;
            merge(&mut session, patch);
        }
        Change::Fields(fields) => set(session["config"].as_object_mut()?, fields),
        // The one that takes back what was done by half panics now and then.
        Change::Patch(patch) => json_patch::patch_unsafe(&mut session, patch).ok()?,
    }
    let Value::Object(mut session) = session else {
        return None;
    };
    let any = session.contains_key("data") || session.contains_key("config");
    let mut whole = Map::new();
    for (member, default) in [
        ("name", json!(NAME)),
        ("data", json!({})),
        ("config", json!({})),
        ("metadata", json!({})),
    ] {
        let left = session.swap_remove(member).unwrap_or(default);
        whole.insert(member.to_owned(), left);
    }
    let any = any || matches!(change, Change::Merge(_));
    let shaped = whole["name"].is_string() && whole["config"].is_object();
    (any && shaped && session.is_empty()).then_some(Value::Object(whole))
}

fn set(config: &mut Map<String, Value>, fields: &[(String, Json)]) {
    for (field, json) in fields {
        match value(json.as_str()) {
            Value::Null => _ = config.shift_remove(field),
            value => _ = config.insert(field.clone(), value),
        }
    }
}

/// RFC 7396 §2, word by word.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in patch {
        let members = target.as_object_mut().expect("an object");
        match change {
            Value::Null => _ = members.shift_remove(&key),
            change => merge(members.entry(key).or_insert(Value::Null), change),
        }
    }
}

/// A viewer that had the state before has the present one after what it is sent.
fn follow(topic: &mut Topic, before: Option<Version>) {
    let Some(before) = before else {
        topic.since(None);
        return;
    };
    let mut session = before.session;
    match topic.since(Some(before.revision)) {
        None => {}
        Some(Update::Snapshot(version)) => session = version.session,
        Some(Update::Delta { fields, .. }) => {
            for (field, value) in fields {
                session.config.set(&field, value);
            }
        }
    }
    assert_eq!(
        Some(&session),
        topic.session(),
        "a viewer has another state"
    );
}

impl Asked<'_> {
    /// The text that asks for it, and what is understood.
    fn read(&self) -> Option<(String, Change)> {
        let text = match self {
            Asked::Replace(shape) | Asked::Merge(shape) => shape.value().to_string(),
            Asked::Fields(fields) => Shape::Object(fields.clone()).value().to_string(),
            Asked::Patch(steps) => {
                let operations: Vec<Value> = steps.iter().flat_map(Step::values).collect();
                Value::Array(operations).to_string()
            }
            Asked::Body(body) => repeated(body),
        };
        let json = Json::parse(text.as_bytes()).ok()?;
        let change = match self {
            Asked::Replace(_) => Change::Replace(Session::from_json(&json, NAME).ok()?),
            Asked::Fields(_) => Change::Fields(json.members()?),
            Asked::Merge(_) => Change::Merge(json),
            Asked::Patch(_) => Change::Patch(wire::patch(&json).ok()?),
            Asked::Body(_) => match wire::patch(&json) {
                Ok(patch) => Change::Patch(patch),
                Err(_) => Change::Merge(json),
            },
        };
        Some((text, change))
    }
}

fn repeated(body: &str) -> String {
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    let (times, body) = body.split_at(digits);
    let times = times.parse::<usize>().map_or(1, |times| times % 256);
    let inside = body
        .strip_prefix('[')
        .and_then(|body| body.strip_suffix(']'));
    match inside {
        Some(inside) if times > 1 => format!("[{}]", vec![inside; times].join(",")),
        _ => body.to_owned(),
    }
}

impl Step<'_> {
    /// The operation, as often as it is asked for.
    fn values(&self) -> impl Iterator<Item = Value> {
        let path = self.path.text();
        let (mut operation, step) = match &self.op {
            Op::Add(shape) => (json!({"op": "add", "value": shape.value()}), 2),
            Op::Replace(shape) => (json!({"op": "replace", "value": shape.value()}), 2),
            Op::Test(shape) => (json!({"op": "test", "value": shape.value()}), 2),
            Op::Remove => (json!({"op": "remove"}), 16),
            Op::Copy(from) => (json!({"op": "copy", "from": from.text()}), 16),
            Op::Move(from) => (json!({"op": "move", "from": from.text()}), 16),
        };
        operation["path"] = path.into();
        std::iter::repeat_n(operation, many(self.times, step).max(1))
    }
}

impl Path<'_> {
    fn text(&self) -> String {
        let key = |key: &Key| format!("/{}", key.text().replace('~', "~0").replace('/', "~1"));
        let mut text = match self.member {
            0..120 => "/data".to_owned(),
            120..200 => "/config".to_owned(),
            200..220 => "/metadata".to_owned(),
            _ => String::new(),
        };
        text.extend(self.keys.iter().map(key));
        text.push_str(&"/0".repeat(many(self.zeros, 8)));
        if self.end {
            text.push_str("/-");
        }
        text
    }
}
