//! A bounded run of faults: copies of a real store with single bits flipped, cut off, or emptied.
//! Each is loaded exactly, or what is missing is named: never another value, a panic, a loss
//! that nobody hears of. And a daemon that is killed while it writes: what it committed together
//! is there as a whole or not at all.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};

use super::damage::{Damage, Place};
use super::*;
use crate::state::json::Json;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Origin, Origins, Version, Writer};

const TOPICS: usize = 60;
const FLIPS: usize = 110;

type Topics = BTreeMap<String, Version>;
/// By room, channel and id.
type Rows = BTreeMap<(String, String, String), Json>;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    topics: Topics,
    rows: Rows,
    /// The last times of rooms.
    clocks: BTreeMap<String, u64>,
}

/// What one store was told.
struct Told {
    bytes: Vec<u8>,
    now: State,
    /// One commit before.
    before: State,
}

impl State {
    fn of(kept: &Kept) -> State {
        let mut state = State::default();
        for kept in &kept.topics {
            let before = state
                .topics
                .insert(kept.topic.to_string(), kept.version.clone());
            assert_eq!(before, None, "no topic twice");
        }
        for kept in &kept.rooms {
            let room = kept.room.to_string();
            for (channel, row) in &kept.rows {
                let id = row.get("id").unwrap().to_string();
                let key = (room.clone(), channel.clone(), id);
                assert_eq!(state.rows.insert(key, row.clone()), None, "no row twice");
            }
            assert_eq!(state.clocks.insert(room, kept.last), None, "no room twice");
        }
        state
    }

    /// As it is after a batch.
    fn apply(&mut self, topic: &TopicRecord, rows: &RowsRecord) {
        match &topic.to {
            Some(version) => _ = self.topics.insert(topic.topic.to_string(), version.clone()),
            None => _ = self.topics.remove(topic.topic.as_str()),
        }
        let room = rows.room.to_string();
        for row in &rows.rows {
            let key = (room.clone(), row.channel.to_string(), row.id.to_string());
            match &row.row {
                Some(row) => _ = self.rows.insert(key, row.clone()),
                None => _ = self.rows.remove(&key),
            }
        }
        self.clocks.insert(room, rows.last);
    }
}

/// The rows of a batch: new ones, one that changes, and one that is dropped.
fn rows(index: usize) -> RowsRecord {
    let last = 10_000 + index as u64 * 10;
    let row = |number: usize, drop: bool| {
        let id = Json::of(&format!("row {number}"));
        let text = "y".repeat(if number.is_multiple_of(90) {
            9_000
        } else {
            3 * (number % 40)
        });
        let row = format!(
            r#"{{"id":{id},"text":"{index} {text}","created_at":5,"updated_at":{},"deleted_at":null}}"#,
            last - number as u64 % 10
        );
        RowRecord {
            channel: ["todos", "notes"][number % 2].into(),
            id,
            row: (!drop).then(|| Json::parse(row.as_bytes()).unwrap()),
        }
    };
    let mut rows = vec![row(index * 3, false), row(index * 3 + 1, false)];
    if index >= 10 {
        rows.push(row((index - 5) * 3, false));
        rows.push(row((index - 10) * 3 + 1, index.is_multiple_of(2)));
    }
    RowsRecord {
        room: format!("main/room-{}", index % 5).parse().unwrap(),
        last,
        rows,
    }
}

fn version(revision: u64, text: &str) -> Version {
    let session = Json::parse(text.as_bytes()).unwrap();
    Version {
        revision: Revision::new(revision).unwrap(),
        session: Session::from_json(&session, "x").unwrap(),
        origins: Origins::new_sync(),
    }
}

fn named(mut version: Version, field: &str) -> Version {
    let writer = Writer {
        source_id: Some("panel".to_owned()),
        ..Writer::default()
    };
    let origin = Origin {
        revision: version.revision,
        writer: Arc::new(writer),
    };
    version.origins.insert_mut(field.into(), origin);
    version
}

/// Commits one after the other, and notes what the store holds then.
fn told(path: &Path, closed: bool) -> Told {
    let (mut store, _) = Store::open(path).unwrap();
    let (mut now, mut before) = (State::default(), State::default());
    let mut batch = 0;
    let mut commit = |topic: &str, to: Option<Version>, fields: Option<&[&str]>| {
        let record = TopicRecord {
            topic: topic.parse().unwrap(),
            to,
            fields: fields.map(|fields| fields.iter().map(|field| (*field).into()).collect()),
        };
        let rows = rows(batch);
        batch += 1;
        before.clone_from(&now);
        now.apply(&record, &rows);
        let records = [Record::Topic(&record), Record::Rows(&rows)];
        store.commit(records.into_iter()).unwrap();
    };
    let mut first = None;
    for index in 0..TOPICS {
        let topic = format!("topic-{index}");
        let data = "x".repeat(if index % 20 == 0 { 9_000 } else { 30 * index });
        let text = |a: usize| {
            format!(
                r#"{{"name":"{topic}","data":"{data}","config":{{"a":{a},"b":2,"field {index}":[1.50]}}}}"#
            )
        };
        let revision = 1_000 + index as u64 * 10;
        commit(&topic, Some(version(revision, &text(1))), None);
        if index % 2 == 0 {
            let changed = named(version(revision + 1, &text(index + 2)), "a");
            commit(&topic, Some(changed), Some(&["a"]));
            first.get_or_insert((revision + 1, text(index + 2)));
        }
        if index % 7 == 3 {
            commit(&topic, None, None);
        }
    }
    let (revision, text) = first.unwrap();
    let mut last = named(version(revision, &text), "a");
    last.revision = last.revision.next(0);
    last.session.config.set("b", Json::parse(b"3").unwrap());
    commit("topic-0", Some(last), Some(&["b"]));
    let unclosed = std::fs::read(path).unwrap();
    assert!(store.close());
    let bytes = if closed {
        std::fs::read(path).unwrap()
    } else {
        unclosed
    };
    Told { bytes, now, before }
}

/// Holds what was found against what was told.
fn hold(told: &Told, found: &Found, fault: &str) {
    let kept = State::of(&found.kept);
    let one_back = found.went_back
        || found
            .damage
            .iter()
            .any(|damage| damage.what.contains("written last"));
    if kept == told.now || one_back && kept == told.before {
        return;
    }
    if found.is_empty {
        assert_eq!(kept, State::default(), "{fault}");
        return;
    }
    assert!(!found.damage.is_empty(), "{fault}: a silent loss");
    if kept == State::default() {
        let all = |damage: &Damage| {
            damage.place == Place::File && damage.what.contains("nothing of it")
                || damage.what.contains("only zeros")
        };
        assert!(found.damage.iter().any(all), "{fault}: {:?}", found.damage);
        return;
    }
    hold_topics(told, &kept.topics, &found.damage, one_back, fault);
    hold_rows(told, &kept, &found.damage, one_back, fault);
}

fn hold_topics(told: &Told, kept: &Topics, damage: &[Damage], one_back: bool, fault: &str) {
    for (name, version) in kept {
        let is_like = |told: &Topics| {
            told.get(name)
                .is_some_and(|told| matches(told, version, name, damage))
        };
        let right = is_like(&told.now.topics) || one_back && is_like(&told.before.topics);
        assert!(right, "{fault}: {name} is another: {version:?} {damage:?}");
    }
    let missing = told.now.topics.keys();
    for name in missing.filter(|name| !kept.contains_key(*name)) {
        let is_named = |damage: &Damage| {
            damage.topic() == Some(name) || damage.what == "some topics may be lost entirely"
        };
        assert!(damage.iter().any(is_named), "{fault}: {name} is not named");
    }
}

fn hold_rows(told: &Told, kept: &State, damage: &[Damage], one_back: bool, fault: &str) {
    let of_room = |room: &str, what: &str| {
        let is_it = |damage: &Damage| {
            damage.place == Place::Room(room.to_owned()) && damage.what.contains(what)
        };
        damage.iter().any(is_it)
    };
    for (key @ (room, ..), row) in &kept.rows {
        let is_now = told.now.rows.get(key) == Some(row);
        let is_before = one_back && told.before.rows.get(key) == Some(row);
        let is_named = of_room(room, "older than they were");
        assert!(
            is_now || is_before || is_named,
            "{fault}: {key:?} is another: {row} {damage:?}"
        );
    }
    let missing = told
        .now
        .rows
        .keys()
        .filter(|key| !kept.rows.contains_key(*key));
    for key @ (room, channel, id) in missing {
        let is_new = one_back && !told.before.rows.contains_key(key);
        let is_named = damage.iter().any(|damage| {
            damage.place == Place::row(room, channel, id)
                || damage.what == "some rooms may be lost entirely"
        });
        let is_lost = of_room(room, "lost") || of_room(room, "it is damaged");
        assert!(
            is_new || is_named || is_lost,
            "{fault}: {key:?} is not named: {damage:?}"
        );
    }
    for (room, last) in &kept.clocks {
        let [now, before] =
            [&told.now, &told.before].map(|told| told.clocks.get(room) == Some(last));
        let is_right = now || one_back && before || of_room(room, "its clock is damaged");
        assert!(is_right, "{fault}: {room} is at {last}: {damage:?}");
    }
}

/// Whether a topic is as it was told, but for what is named.
fn matches(told: &Version, found: &Version, name: &str, damage: &[Damage]) -> bool {
    let is_named = |field: Option<&str>| {
        let place = match field {
            Some(field) => Place::Field(name.to_owned(), field.to_owned()),
            None => Place::Topic(name.to_owned()),
        };
        damage.iter().any(|damage| damage.place == place)
    };
    let mut told = told.clone();
    let names: Vec<_> = told.session.config.names().cloned().collect();
    for field in names.iter().filter(|field| is_named(Some(field))) {
        told.origins.remove_mut(field);
    }
    told.session.config.retain(|field| !is_named(Some(field)));
    if is_named(None) {
        told.revision = found.revision;
    }
    told == *found
}

/// Opens a copy with a fault, twice: what is found the first time stays.
fn open_with(told: &Told, bytes: &[u8], fault: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, bytes).unwrap();
    let looked = match check(&path) {
        Ok(found) => found,
        Err(error) => {
            assert!(
                error.reason.contains("nothing of onlooker's"),
                "{fault}: {error}"
            );
            assert!(place::open(&path).is_err(), "{fault}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{fault}: written to");
            assert_eq!(folder.path().read_dir().unwrap().count(), 1, "{fault}");
            return 1;
        }
    };
    let is_sure = looked.damage.is_empty() && !looked.went_back;
    assert!(
        is_sure || looked.kept.topics.iter().all(|kept| !kept.is_last),
        "{fault}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "{fault}: written to");
    let opened = place::open(&path).unwrap();
    hold(told, &opened.found, fault);
    assert_eq!(opened.found, looked, "{fault}");
    assert_eq!(opened.aside.is_some(), !looked.damage.is_empty(), "{fault}");
    if let Some(aside) = &opened.aside {
        assert_eq!(
            std::fs::read(aside).unwrap(),
            bytes,
            "{fault}: kept as it is"
        );
    }
    drop(opened);
    let again = check(&path).unwrap();
    assert_eq!(again.damage, [], "{fault}");
    assert_eq!(again.kept.topics.len(), looked.kept.topics.len(), "{fault}");
    for (again, looked) in again.kept.topics.iter().zip(&looked.kept.topics) {
        assert_eq!(again.version, looked.version, "{fault}");
    }
    assert_eq!(again.kept.rooms, looked.kept.rooms, "{fault}");
    looked.damage.len()
}

/// The next number of a seeded row.
fn next(seed: &mut u64) -> usize {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

fn run(closed: bool) {
    let folder = tempfile::tempdir().unwrap();
    let told = told(&folder.path().join("store"), closed);
    assert_eq!(open_with(&told, &told.bytes, "none"), 0);
    let used: Vec<usize> = (0..told.bytes.len())
        .filter(|at| told.bytes[*at] != 0)
        .collect();
    let (mut seed, mut damaged, mut lines) = (7, 0, 0);
    for index in 0..FLIPS {
        // The head is small, and much hangs on it.
        let at = match index % 4 {
            0 => next(&mut seed) % 320,
            _ => used[next(&mut seed) % used.len()],
        };
        let bit = next(&mut seed) % 8;
        let mut bytes = told.bytes.clone();
        bytes[at] ^= 1 << bit;
        let found = open_with(
            &told,
            &bytes,
            &format!("closed {closed}, byte {at}, bit {bit}"),
        );
        damaged += usize::from(found > 0);
        lines += found;
    }
    println!(
        "closed {closed}: {damaged} of {FLIPS} flips were found to have damaged it, {lines} lines"
    );
    assert!(damaged > FLIPS / 4, "{damaged}");
    for index in 0..20 {
        let len = told.bytes.len() * index / 20 + next(&mut seed) % 4096;
        open_with(
            &told,
            &told.bytes[..len],
            &format!("closed {closed}, cut at {len}"),
        );
    }
    open_with(&told, &vec![0; told.bytes.len()], "zeros");
    open_with(&told, b"", "empty");
}

#[test]
fn a_fault_in_a_closed_file_is_named() {
    run(true);
}

#[test]
fn a_fault_in_a_file_that_was_not_closed_is_named() {
    run(false);
}

/// What redb asks of a file, in its order.
#[derive(Clone, Debug, Default)]
struct Recorder {
    file: Arc<InMemoryBackend>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Clone, Debug)]
enum Asked {
    Length(u64),
    Write(u64, Vec<u8>),
}

impl Recorder {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.file.len().unwrap()).unwrap()];
        self.file.read(0, &mut bytes).unwrap();
        bytes
    }
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.asked.lock().unwrap().push(Asked::Length(len));
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let write = Asked::Write(offset, data.to_owned());
        self.asked.lock().unwrap().push(write);
        self.file.write(offset, data)
    }
}

/// Does what was asked of a file, of a write only the beginning.
fn replay(bytes: &mut Vec<u8>, asked: &Asked, count: usize) {
    match asked {
        Asked::Length(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
        Asked::Write(offset, data) => {
            let (offset, data) = (usize::try_from(*offset).unwrap(), &data[..count]);
            bytes[offset..offset + count].copy_from_slice(data);
        }
    }
}

/// Holds that a file is as it was before a batch or after it; returns which.
fn is_after(path: &Path, bytes: &[u8], before: &State, after: &State, fault: &str) -> bool {
    std::fs::write(path, bytes).unwrap();
    let found = check(path).unwrap();
    assert_eq!(found.damage, [], "{fault}");
    let state = State::of(&found.kept);
    assert!(
        state == *before || state == *after,
        "{fault}: a part of a batch"
    );
    state == *after
}

#[test]
fn a_batch_is_there_as_a_whole_or_not_at_all_wherever_a_kill_cuts_it_off() {
    let recorder = Recorder::default();
    let database = Database::builder()
        .create_with_backend(recorder.clone())
        .unwrap();
    prepare::prepare(&database).unwrap();
    let mut store = Store::new(database, Box::new(|| panic!("no commit fails")));
    let mut state = State::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut seed = 5;
    let (mut seen_before, mut seen_after) = (0, 0);
    for index in 0..12 {
        let text = format!(
            r#"{{"data":"{}","config":{{"a":{index}}}}}"#,
            "x".repeat(index * 300)
        );
        let topic = TopicRecord {
            topic: format!("topic-{}", index % 3).parse().unwrap(),
            to: (index % 7 != 6).then(|| version(1_000 + index as u64, &text)),
            fields: None,
        };
        let rows = rows(index);
        let (mut bytes, before) = (recorder.bytes(), state.clone());
        recorder.asked.lock().unwrap().clear();
        let records = [Record::Topic(&topic), Record::Rows(&rows)];
        store.commit(records.into_iter()).unwrap();
        state.apply(&topic, &rows);
        for (step, asked) in recorder.asked.lock().unwrap().iter().enumerate() {
            let length = match asked {
                Asked::Write(_, data) => data.len(),
                Asked::Length(_) => 0,
            };
            for count in [next(&mut seed) % (length + 1), length] {
                let fault = format!("batch {index}, step {step}, byte {count}");
                let mut killed = bytes.clone();
                replay(&mut killed, asked, count);
                match is_after(&path, &killed, &before, &state, &fault) {
                    true => seen_after += 1,
                    false => seen_before += 1,
                }
            }
            replay(&mut bytes, asked, length);
        }
        assert!(is_after(&path, &bytes, &before, &state, "done"));
    }
    println!("{seen_before} kills before a commit, {seen_after} after it");
    assert!(
        seen_before > 50 && seen_after > 10,
        "{seen_before} {seen_after}"
    );
}
