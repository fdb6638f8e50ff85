//! What the targets share: what a piece of work may cost, and values to work on.

#![allow(dead_code)] // No target uses all of it.

use std::time::Duration;

use arbitrary::Arbitrary;
use onlooker::internals::session::Session;
use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// A tree of small values takes so many times the bytes of its text.
const TREE: usize = 128;
/// What is taken whatever the size.
const ALWAYS: usize = 1 << 20;
/// Of the processor, sanitizers and all; what is refused for its work takes a tenth of a second.
const LONGEST: Duration = Duration::from_secs(10);

/// Does a piece of work on texts of so many bytes, within bounds of memory and time.
pub fn bounded<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    HEAP.reset_peak_usage();
    let (before, began) = (HEAP.current_usage(), spent());
    let done = work();
    let grown = HEAP.peak_usage().saturating_sub(before);
    let most = ALWAYS + TREE * bytes;
    assert!(grown <= most, "{grown} bytes, {most} would be fair");
    let took = spent().saturating_sub(began);
    assert!(took <= LONGEST, "{took:?} of a processor");
    done
}

fn spent() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// A text as a tree, whatever its depth.
pub fn value(text: &str) -> Value {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    serde::Deserialize::deserialize(&mut reader).expect("JSON")
}

/// A session as another reader has it.
pub fn document(session: &Session) -> Value {
    value(&session.to_json())
}

/// Those keys that mean something, and any other.
#[derive(Arbitrary, Debug, Clone)]
pub enum Key<'a> {
    Known(u8),
    Number(u16),
    Other(&'a str),
}

const KEYS: [&str; 13] = [
    "name",
    "data",
    "config",
    "metadata",
    "a",
    "b",
    "c",
    "",
    "-",
    "0",
    "~/\"\\",
    "\u{1}é",
    // How `serde_json` hands over a number's digits.
    "$serde_json::private::Number",
];

impl Key<'_> {
    pub fn text(&self) -> String {
        match self {
            Key::Known(at) => KEYS[usize::from(*at) % KEYS.len()].to_owned(),
            Key::Number(number) => number.to_string(),
            Key::Other(text) => (*text).to_owned(),
        }
    }
}

/// How many, told by a byte: mostly few, now and then very many.
pub fn many(byte: u8, step: usize) -> usize {
    match byte {
        0..224 => usize::from(byte % 8),
        _ => usize::from(byte - 223) * step,
    }
}

/// Values, among them large and deep ones that few bytes describe.
#[derive(Arbitrary, Debug, Clone)]
pub enum Shape<'a> {
    Null,
    Bool(bool),
    Number(i64),
    Digits(u8),
    Text(&'a str),
    Long(u8),
    Array(Vec<Shape<'a>>),
    Object(Vec<(Key<'a>, Shape<'a>)>),
    Many(u8, bool),
    Deep(u8, Box<Shape<'a>>),
    DeepObject(u8, Key<'a>, Box<Shape<'a>>),
}

/// Deeper than anything that is accepted, and not too deep for the libraries.
const DEEPEST: usize = 400;

impl Shape<'_> {
    pub fn value(&self) -> Value {
        self.within(DEEPEST)
    }

    fn within(&self, levels: usize) -> Value {
        let inside = levels.saturating_sub(1);
        match self {
            _ if levels == 0 => Value::Null,
            Shape::Null => Value::Null,
            Shape::Bool(value) => (*value).into(),
            Shape::Number(number) => (*number).into(),
            Shape::Digits(count) => value(&format!("1{}.50", "0".repeat((*count).into()))),
            Shape::Text(text) => (*text).into(),
            Shape::Long(length) => "y".repeat(many(*length, 256)).into(),
            Shape::Array(items) => items.iter().map(|item| item.within(inside)).collect(),
            Shape::Object(members) => members
                .iter()
                .map(|(key, shape)| (key.text(), shape.within(inside)))
                .collect::<Map<_, _>>()
                .into(),
            Shape::Many(count, false) => vec![0; many(*count, 128)].into(),
            Shape::Many(count, true) => (0..many(*count, 64))
                .map(|number| (number.to_string(), Value::Null))
                .collect::<Map<_, _>>()
                .into(),
            Shape::Deep(more, bottom) => {
                let more = many(*more, 8).min(inside);
                let bottom = bottom.within(inside - more);
                (0..more).fold(bottom, |inside, _| vec![inside].into())
            }
            Shape::DeepObject(more, key, bottom) => {
                let more = many(*more, 8).min(inside);
                let bottom = bottom.within(inside - more);
                (0..more).fold(bottom, |inside, _| {
                    Map::from_iter([(key.text(), inside)]).into()
                })
            }
        }
    }
}
