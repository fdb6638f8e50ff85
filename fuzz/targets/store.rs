//! What survives: lines of an export are taken as they are given or refused with a reason, and
//! a damaged file is opened or refused, but never the end of the daemon.

#![no_main]

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use onlooker::internals::store::{self, Damage, Record, Store, StoredTopic};
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

/// What was taken is there, and comes back as it was given, under a newer revision.
fn import(lines: &[u8]) {
    let lines = lines.split(|byte| *byte == b'\n').map(store::parse_line);
    let mut given: Vec<StoredTopic> = Vec::new();
    for kept in lines.flatten() {
        given.retain(|before| before.topic != kept.topic);
        given.push(kept);
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
        let same = kept.iter().find(|kept| kept.topic == given.topic);
        let same = same.expect("it was taken");
        assert_eq!(same.version.session, given.version.session);
        let (new, old) = (same.version.revision, given.version.revision);
        assert!(new > old || old.next(0) == old, "{new} after {old}");
    }
}

fn exported(path: &Path) -> Result<(Vec<StoredTopic>, Vec<Damage>), String> {
    let mut kept = Vec::new();
    let mut line = |line: &str| kept.push(store::parse_line(line.as_bytes()).expect("our own"));
    let done = store::export(path, 0, &mut line);
    done.map(|found| (kept, found.damage))
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
    store::import(&path, &topics(), 0).expect("a store");
    let (mut store, kept) = Store::open(&path).expect("a store");
    for kept in kept {
        commit(&mut store, kept);
    }
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

/// More than one page of them.
fn topics() -> Vec<StoredTopic> {
    let line = |number: usize| {
        let fields: Vec<String> = (0..40)
            .map(|field| format!(r#""f{field}":{field}"#))
            .collect();
        format!(
            r#"{{"topic":"t{number}","revision":"17952266760540{number:02}","session":{{"data":"{}","config":{{{}}}}},"origins":{{"f1":{{"revision":1795226676054001,"sourceId":"fuzz"}}}}}}"#,
            "y".repeat(number * 700),
            fields.join(","),
        )
    };
    let kept = |number| store::parse_line(line(number).as_bytes()).expect("a line");
    (10..20).map(kept).collect()
}

fn commit(store: &mut Store, kept: StoredTopic) {
    let record = Record {
        topic: kept.topic,
        to: Some(kept.version),
        fields: Some(vec!["f3".into(), "f7".into()]),
    };
    let _ = store.commit(std::iter::once(&record));
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
            assert_eq!(exported.len(), kept.len());
            as_written(&kept, &damage);
            if let Some(kept) = kept.into_iter().next() {
                commit(&mut store, kept);
            }
            store.close();
        }
        Err(error) => assert!(
            !error.reason.is_empty() && told.is_err(),
            "{error} {told:?}"
        ),
    }
}

/// Each topic is as it was written, or its damage is told.
fn as_written(kept: &[StoredTopic], damage: &[Damage]) {
    let of_file = damage.iter().any(|damage| damage.topic.is_none());
    for written in topics() {
        let told = |damage: &&Damage| damage.topic.as_deref() == Some(written.topic.as_str());
        let told = damage.iter().any(|damage| told(&damage));
        match kept.iter().find(|kept| kept.topic == written.topic) {
            Some(kept) if !told => assert_eq!(kept.version.session, written.version.session),
            Some(_) => {}
            None => assert!(told || of_file, "{} is missing: {damage:?}", written.topic),
        }
    }
}
