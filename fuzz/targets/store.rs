//! What survives: lines of an export are taken as they are given or refused with a reason, and
//! a damaged file is opened or refused, but never the end of the daemon.

#![no_main]

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use onlooker::internals::json::Json;
use onlooker::internals::store::{
    self, Damage, GivenRow, Kept, Line, Record, RowRecord, RowsRecord, Store, StoredRoom,
    StoredTopic, TopicRecord,
};
use tempfile::TempDir;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Damaged {
        in_order: bool,
        length: Option<u32>,
        changes: Vec<(u32, u8)>,
    },
    Lines(&'a [u8]),
}

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a folder"));

fn path(name: &str) -> PathBuf {
    FOLDER.path().join(name)
}

fuzz_target!(
    init: {
        // A panic that somebody catches is none of ours: what gets out is.
        std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    },
    |input: Input<'_>| {
        let whole = catch_unwind(|| match input {
            Input::Lines(lines) => import(lines),
            Input::Damaged { in_order, length, changes } => {
                damaged(&FILES[usize::from(in_order)], length, &changes);
            }
        });
        if whole.is_err() {
            std::process::abort();
        }
    }
);

/// What was taken is there, and comes back as it was given, under a newer revision or time.
fn import(lines: &[u8]) {
    let lines = lines.split(|byte| *byte == b'\n').map(store::parse_line);
    let mut given: Vec<Line> = Vec::new();
    for line in lines.flatten() {
        given.retain(|before| !is_same(before, &line));
        given.push(line);
    }
    if given.is_empty() {
        return;
    }
    let path = path("imported");
    std::fs::write(&path, &*FILES[1].bytes).expect("a file");
    store::import(&path, &given, 0).expect("a store");
    let (kept, damage) = exported(&path).expect("a store");
    assert_eq!(damage, []);
    for given in given {
        match given {
            Line::Topic(given) => was_taken(&kept, &given),
            Line::Row(given) => row_was_taken(&kept, &given),
        }
    }
}

/// Whether the later line takes the place of the one before.
fn is_same(before: &Line, line: &Line) -> bool {
    let id = |row: &GivenRow| row.at(0).get("id");
    match (before, line) {
        (Line::Topic(before), Line::Topic(line)) => before.topic == line.topic,
        (Line::Row(before), Line::Row(line)) => {
            (&before.room, &before.channel) == (&line.room, &line.channel) && id(before) == id(line)
        }
        _ => false,
    }
}

fn row_was_taken(kept: &Kept, given: &GivenRow) {
    let room = kept.rooms.iter().find(|kept| kept.room == given.room);
    let room = room.expect("it was taken");
    let is_it = |(channel, row): &&(String, Json)| {
        let time = row.get("updated_at").expect("a time");
        let time = time.as_str().parse().expect("a number");
        *channel == given.channel && time > given.updated && given.at(time) == *row
    };
    assert_eq!(room.rows.iter().filter(is_it).count(), 1);
}

fn was_taken(kept: &Kept, given: &StoredTopic) {
    let same = kept.topics.iter().find(|kept| kept.topic == given.topic);
    let same = same.expect("it was taken");
    assert_eq!(same.version.session, given.version.session);
    let (new, old) = (same.version.revision, given.version.revision);
    assert!(new > old || old.next(0) == old, "{new} after {old}");
}

fn exported(path: &Path) -> Result<(Kept, Vec<Damage>), String> {
    let mut line = |line: &str| _ = store::parse_line(line.as_bytes()).expect("our own");
    let done = store::export(path, 0, &mut line);
    done.map(|found| (found.kept, found.damage))
        .map_err(|error| error.to_string())
}

/// A store's file, and where in it something is.
struct File {
    bytes: Vec<u8>,
    used: Vec<usize>,
}

/// As a daemon leaves it that was killed, and one that was stopped.
static FILES: LazyLock<[File; 2]> = LazyLock::new(|| {
    let path = path("whole");
    store::import(&path, &lines(), 0).expect("a store");
    let (mut store, kept) = Store::open(&path).expect("a store");
    commit(&mut store, kept);
    let killed = File::read(&path);
    assert!(store.close(), "it can be closed");
    [killed, File::read(&path)]
});

impl File {
    fn read(path: &Path) -> File {
        let bytes = std::fs::read(path).expect("a file");
        let used = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
        let used = used.map(|(at, _)| at).collect();
        File { bytes, used }
    }
}

/// More than one page of topics, and of rows.
fn lines() -> Vec<Line> {
    let topic = |number: usize| {
        let fields: Vec<String> = (0..40)
            .map(|field| format!(r#""f{field}":{field}"#))
            .collect();
        format!(
            r#"{{"topic":"t{number}","revision":"17952266760540{number:02}","session":{{"data":"{}","config":{{{}}}}},"origins":{{"f1":{{"revision":1795226676054001,"sourceId":"fuzz"}}}}}}"#,
            "y".repeat(number * 700),
            fields.join(","),
        )
    };
    let row = |number: usize| {
        format!(
            r#"{{"room":"main/room{}","channel":"todos","row":{{"id":{number},"text":"{}","created_at":7,"updated_at":{number},"deleted_at":null}}}}"#,
            number % 3,
            "z".repeat(number * 20),
        )
    };
    let lines = (10..20).map(topic).chain((10..40).map(row));
    let lines = lines.map(|line| store::parse_line(line.as_bytes()).expect("a line"));
    lines.collect()
}

/// Commits everything again, one row of each room differently.
fn commit(store: &mut Store, kept: Kept) {
    let topic = |kept: StoredTopic| TopicRecord {
        topic: kept.topic,
        to: Some(kept.version),
        fields: Some(vec!["f3".into(), "f7".into()]),
    };
    let rows = |kept: StoredRoom| RowsRecord {
        room: kept.room,
        last: kept.last + 1,
        rows: kept.rows.into_iter().take(1).map(record).collect(),
    };
    let topics: Vec<TopicRecord> = kept.topics.into_iter().map(topic).collect();
    let rooms: Vec<RowsRecord> = kept.rooms.into_iter().map(rows).collect();
    let topics = topics.iter().map(Record::Topic);
    let _ = store.commit(topics.chain(rooms.iter().map(Record::Rows)));
}

fn record((channel, row): (String, Json)) -> RowRecord {
    RowRecord {
        channel: channel.into(),
        id: row.get("id").unwrap_or_else(Json::null),
        row: Some(row),
    }
}

fn damaged(file: &File, length: Option<u32>, changes: &[(u32, u8)]) {
    let mut bytes = file.bytes.clone();
    for (at, change) in changes {
        let at = file.used[*at as usize % file.used.len()];
        bytes[at] ^= change;
    }
    if let Some(length) = length {
        bytes.truncate(length as usize % (bytes.len() + 1));
    }
    // An empty file is a new store.
    if bytes.is_empty() {
        return;
    }
    let path = path("damaged");
    std::fs::write(&path, &bytes).expect("a file");
    let told = exported(&path);
    for left in std::fs::read_dir(FOLDER.path()).expect("a folder") {
        // What was set aside before.
        let left = left.expect("a file").path();
        if left.to_string_lossy().contains(".damaged-") {
            std::fs::remove_file(left).expect("a file");
        }
    }
    std::fs::write(&path, &bytes).expect("a file");
    match Store::open(&path) {
        Ok((mut store, kept)) => {
            let (exported, damage) = told.expect("what can be opened can be exported");
            assert_eq!(exported.topics.len(), kept.topics.len());
            assert_eq!(exported.rooms, kept.rooms);
            as_written(&kept, &damage);
            commit(&mut store, kept);
            store.close();
        }
        Err(error) => assert!(
            !error.reason.is_empty() && told.is_err(),
            "{error} {told:?}"
        ),
    }
}

/// Each topic and each row is as it was written, or its damage is told.
fn as_written(kept: &Kept, damage: &[Damage]) {
    let of_file = |damage: &Damage| damage.topic().is_none() && damage.room().is_none();
    let of_file = damage.iter().any(of_file);
    for line in lines() {
        match line {
            Line::Topic(written) => {
                let told = |damage: &Damage| damage.topic() == Some(written.topic.as_str());
                let told = damage.iter().any(told);
                match kept.topics.iter().find(|kept| kept.topic == written.topic) {
                    Some(kept) if !told => {
                        assert_eq!(kept.version.session, written.version.session);
                    }
                    Some(_) => {}
                    None => assert!(told || of_file, "{} is missing: {damage:?}", written.topic),
                }
            }
            Line::Row(written) => {
                let told = |damage: &Damage| damage.room() == Some(&written.room.to_string());
                let told = of_file || damage.iter().any(told);
                let room = kept.rooms.iter().find(|kept| kept.room == written.room);
                let rows = room.into_iter().flat_map(|room| &room.rows);
                let is_it = |(_, row): &(String, Json)| {
                    let time = row
                        .get("updated_at")
                        .and_then(|time| time.as_str().parse().ok());
                    time.is_some_and(|time| written.at(time) == *row)
                };
                assert!(
                    told || rows.map(is_it).any(|is_it| is_it),
                    "{written:?}: {damage:?}"
                );
            }
        }
    }
}
