//! What a change costs on its way from the host's text to the viewers' bytes, by the size of the
//! session: `cargo bench --bench session`.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use onlooker::internals::fields::Whitelist;
use onlooker::internals::json::Json;
use onlooker::internals::name::TopicName;
use onlooker::internals::revision::Revision;
use onlooker::internals::session::Session;
use onlooker::internals::topic::{Change, Rules, Topic, Update, Written};
use onlooker::internals::wire::frame::{Encoding, Frame};

const SIZES: [(&str, usize); 3] = [("1 KB", 1_000), ("100 KB", 100_000), ("10 MB", 10_000_000)];

/// A session's text of about `size` bytes, most of it data. It differs by `mark`.
fn text(size: usize, mark: u64) -> String {
    let mut text = format!("{{\"config\":{{\"speed\":{mark},\"mode\":\"wave\"}},\"data\":[");
    let mut index = 0_u64;
    while text.len() < size {
        let x = index.wrapping_mul(2_654_435_761) % 100_000;
        // Writing to a String never fails.
        let _ = write!(
            text,
            "{{\"id\":{index},\"label\":\"item {index}\",\"x\":0.{x:05}}},"
        );
        index += 1;
    }
    text.push_str("null]}");
    text
}

fn session(text: &str) -> Session {
    let document = Json::parse(text.as_bytes()).expect("the text is JSON");
    Session::from_json(&document, "main").expect("the text is a session")
}

fn topic(session: Session) -> Topic {
    let rules = Rules {
        whitelist: Whitelist::learning(),
        ignore: Vec::new(),
        max_session: 64 * 1024 * 1024,
    };
    let mut topic = Topic::new("main", rules, Revision::ZERO);
    write(&mut topic, Change::Replace(session));
    topic.flush();
    topic
}

fn write(topic: &mut Topic, change: Change) -> Written {
    let written = topic.write(&change, 1_000_000, &Arc::default());
    written.expect("the change is accepted")
}

fn encode(update: Update) -> usize {
    let name = TopicName::from_lossy("main");
    Frame::update(&name, update)
        .bytes(Encoding::default())
        .len()
}

/// A whole session, already parsed: written, answered, and encoded for the viewers.
fn replace(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write, since and encode a session");
    for (name, size) in SIZES {
        let mut topic = topic(session(&text(size, 0)));
        let mut sessions = [1, 2]
            .map(|mark| session(&text(size, mark)))
            .into_iter()
            .cycle();
        // A structural change, for which viewers are sent everything.
        let mut next = move || {
            let mut session = sessions.next().expect("the sessions go round");
            session.name = Json::string(session.config.get("speed").expect("it is there").as_str());
            Change::Replace(session)
        };
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                write(&mut topic, next());
                encode(
                    topic
                        .flush()
                        .and_then(|flush| flush.update)
                        .expect("it changed"),
                )
            });
        });
    }
    group.finish();
}

/// One field. The cost must not depend on the session around it.
fn one_field(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write, since and encode one field");
    for (name, size) in SIZES {
        let mut topic = topic(session(&text(size, 0)));
        let mut speed = 0_u64;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                speed += 1;
                let value = Json::parse(speed.to_string().as_bytes()).expect("a number");
                write(
                    &mut topic,
                    Change::Fields(vec![("speed".to_owned(), value)]),
                );
                encode(
                    topic
                        .flush()
                        .and_then(|flush| flush.update)
                        .expect("it changed"),
                )
            });
        });
    }
    group.finish();
}

/// So many fields of a config, all with this value.
fn many(count: usize, value: u64) -> Vec<(String, Json)> {
    let value = Json::parse(value.to_string().as_bytes()).expect("a number");
    let field = |index| (format!("field{index:06}"), value.clone());
    (0..count).map(field).collect()
}

fn wide_topic(count: usize) -> Topic {
    let mut session = Session::of_data("wide", Json::empty_object());
    session.config = many(count, 0).into_iter().collect();
    topic(session)
}

/// Some fields of a config that has many. The cost must depend on how many are changed.
fn fields(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write, since and encode fields");
    for (name, changed, count) in [
        ("1 of 10", 1, 10),
        ("1 of 100000", 1, 100_000),
        ("50000 of 50000", 50_000, 50_000),
    ] {
        let mut topic = wide_topic(count);
        let mut value = 0_u64;
        let mut next = move || {
            value += 1;
            Change::Fields(many(changed, value))
        };
        group.bench_function(name, |bencher| {
            let change = |change| {
                write(&mut topic, change);
                let flush = topic.flush().and_then(|flush| flush.update);
                encode(flush.expect("it changed"))
            };
            bencher.iter_batched(&mut next, change, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// A file that is read again, with the same text: one parse and one comparison.
fn reload(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse and compare a file");
    group.sample_size(20);
    for (name, size) in SIZES {
        let text = text(size, 0);
        let mut topic = topic(session(&text));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let written = write(&mut topic, Change::Replace(session(black_box(&text))));
                assert!(matches!(written, Written::Unchanged { .. }));
            });
        });
    }
    group.finish();
}

/// The encodings, each of which is made once for all its viewers.
fn encodings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode 100 KB");
    let mut topic = topic(session(&text(100_000, 0)));
    let name = TopicName::from_lossy("main");
    let snapshot = topic.since(None).expect("there is a session");
    let frame = || Frame::update(&name, snapshot.clone());
    for (encoding, msgpack, deflate) in [
        ("text", false, false),
        ("MessagePack", true, false),
        ("deflate", false, true),
    ] {
        let wanted = Encoding { msgpack, deflate };
        group.bench_function(encoding, |bencher| {
            let encode = |frame: Frame| frame.bytes(wanted).len();
            bencher.iter_batched(frame, encode, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, replace, one_field, fields, reload, encodings);
criterion_main!(benches);
