//! A bounded run of faults: copies of a real store with single bits flipped, cut off, or emptied.
//! Each is loaded exactly, or what is missing is named: never another value, a panic, a loss
//! that nobody hears of.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::rows::Damage;
use super::*;
use crate::state::json::Json;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Origin, Origins, Version, Writer};

const TOPICS: usize = 60;
const FLIPS: usize = 110;

type Topics = BTreeMap<String, Version>;

/// What one store was told.
struct Told {
    bytes: Vec<u8>,
    now: Topics,
    /// One commit before.
    before: Topics,
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
    let (mut now, mut before) = (Topics::new(), Topics::new());
    let mut commit = |topic: &str, to: Option<Version>, fields: Option<&[&str]>| {
        before.clone_from(&now);
        match &to {
            Some(version) => _ = now.insert(topic.to_owned(), version.clone()),
            None => _ = now.remove(topic),
        }
        let record = Record {
            topic: topic.parse().unwrap(),
            to,
            fields: fields.map(|fields| fields.iter().map(|field| (*field).into()).collect()),
        };
        store.commit(std::iter::once(&record)).unwrap();
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
    let topics = |kept: &[StoredTopic]| -> Topics {
        let pairs = kept
            .iter()
            .map(|kept| (kept.topic.to_string(), kept.version.clone()));
        pairs.collect()
    };
    let kept = topics(&found.kept);
    assert_eq!(kept.len(), found.kept.len(), "{fault}: no topic twice");
    let one_back = found.went_back
        || found
            .damage
            .iter()
            .any(|damage| damage.what.contains("written last"));
    if kept == told.now || one_back && kept == told.before {
        return;
    }
    if found.is_empty {
        assert_eq!(kept, Topics::new(), "{fault}");
        return;
    }
    assert!(!found.damage.is_empty(), "{fault}: a silent loss");
    if kept.is_empty() {
        let all = |damage: &Damage| {
            damage.topic.is_none() && damage.what.contains("nothing of it")
                || damage.what.contains("only zeros")
        };
        assert!(found.damage.iter().any(all), "{fault}: {:?}", found.damage);
        return;
    }
    for (name, version) in &kept {
        let is_like = |told: &Topics| {
            told.get(name)
                .is_some_and(|told| matches(told, version, name, &found.damage))
        };
        let right = is_like(&told.now) || one_back && is_like(&told.before);
        assert!(
            right,
            "{fault}: {name} is another: {version:?} {:?}",
            found.damage
        );
    }
    for name in told.now.keys().filter(|name| !kept.contains_key(*name)) {
        let is_named = |damage: &Damage| {
            damage.topic.as_ref() == Some(name) || damage.what.contains("may be lost entirely")
        };
        assert!(
            found.damage.iter().any(is_named),
            "{fault}: {name} is not named"
        );
    }
}

/// Whether a topic is as it was told, but for what is named.
fn matches(told: &Version, found: &Version, name: &str, damage: &[Damage]) -> bool {
    let is_named = |field: Option<&str>| {
        damage
            .iter()
            .any(|damage| damage.topic.as_deref() == Some(name) && damage.field.as_deref() == field)
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
        is_sure || looked.kept.iter().all(|kept| !kept.is_last),
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
    assert_eq!(again.kept.len(), looked.kept.len(), "{fault}");
    for (again, looked) in again.kept.iter().zip(&looked.kept) {
        assert_eq!(again.version, looked.version, "{fault}");
    }
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
