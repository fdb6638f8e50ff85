//! What is kept, what is refused, and what is left alone.

use super::beside::put_aside;
use super::prepare::{CHANGES_2, FIELDS_1, REVISIONS_2, SESSIONS_1, SNAPSHOTS_2};
use super::sealed::{Sum, key_within, seal, seal_head};
use super::tables::{FORMAT, HEADS, META, PARTS, WHOLES};
use std::path::Path;

use redb::Database;

use super::*;
use crate::state::json::Json;
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Origins, Version};

fn session(text: &str) -> Session {
    Session::from_json(&Json::parse(text.as_bytes()).unwrap(), "x").unwrap()
}

fn commit(store: &mut Store, record: TopicRecord) -> Result<(), String> {
    store.commit(std::iter::once(Record::Topic(&record)))
}

fn record(to: u64, text: &str, fields: Option<&[&str]>) -> TopicRecord {
    let fields = fields.map(|fields| fields.iter().map(|field| (*field).into()).collect());
    TopicRecord {
        topic: "main".parse().unwrap(),
        to: Some(version(to, text)),
        fields,
    }
}

fn version(revision: u64, text: &str) -> Version {
    Version {
        revision: Revision::new(revision).unwrap(),
        session: session(text),
        origins: Origins::new_sync(),
    }
}

#[test]
fn what_was_committed_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (mut store, kept) = Store::open(&path).unwrap();
    assert_eq!(kept, Kept::default());
    commit(
        &mut store,
        record(5, r#"{"data":[1E+2],"config":{"b":1,"a":2}}"#, None),
    )
    .unwrap();
    commit(
        &mut store,
        record(6, r#"{"data":[1E+2],"config":{"b":3,"a":2}}"#, Some(&["b"])),
    )
    .unwrap();
    assert!(
        Store::open(&path)
            .map(|_| ())
            .unwrap_err()
            .reason
            .contains("another onlooker")
    );
    assert!(store.close());
    let (mut store, kept) = Store::open(&path).unwrap();
    let kept = kept.topics;
    let again = record(6, r#"{"data":[1E+2],"config":{"b":3,"a":2}}"#, None);
    assert_eq!(
        kept,
        [StoredTopic {
            topic: again.topic.clone(),
            version: again.to.clone().unwrap(),
            is_last: true,
        }]
    );
    assert_eq!(
        kept[0].version.session.to_json(),
        r#"{"name":"x","data":[1E+2],"config":{"b":3,"a":2},"metadata":{}}"#
    );
    let dropped = TopicRecord { to: None, ..again };
    commit(&mut store, dropped).unwrap();
    assert!(store.close());
    assert_eq!(Store::open(&path).unwrap().1, Kept::default());
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let refuse = |bytes: &[u8], reason: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = Store::open(&path).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    };
    refuse(
        &b"just a text file\n".repeat(1000),
        "not a store of onlooker",
    );
    let redb = |name: &'static str, format: u64| {
        let _ = std::fs::remove_file(&path);
        let theirs = Database::create(&path).unwrap();
        let transaction = theirs.begin_write().unwrap();
        let table = redb::TableDefinition::<&str, u64>::new(name);
        let mut meta = transaction.open_table(table).unwrap();
        meta.insert("format", format).unwrap();
        drop(meta);
        transaction.commit().unwrap();
        drop(theirs);
        std::fs::read(&path).unwrap()
    };
    refuse(&redb("onlooker", FORMAT + 1), "newer than this onlooker");
    let theirs = redb("theirs", 1);
    refuse(&theirs, "not one of onlooker's");
    let with = |at: usize, bit: u8| {
        let mut bytes = theirs.clone();
        bytes[at] ^= bit;
        bytes
    };
    // Its magic number; a page, of each of both commits; an older version of redb.
    refuse(&with(0, 1), "not one of onlooker's");
    let pages = (4096..theirs.len()).filter(|at| theirs[*at..].starts_with(b"theirs"));
    let mut bytes = theirs.clone();
    pages.for_each(|at| bytes[at] ^= 1);
    refuse(&bytes, "nothing of onlooker's");
    refuse(&with(64, 1), "nothing of onlooker's");
    let zeros = [vec![0; 1024], b"an image of a disk".to_vec()].concat();
    refuse(&zeros, "not a store of onlooker");
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for path in [&fifo, folder.path(), Path::new("/dev/null")] {
        let refused = Store::open(path).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("choose another --store"), "{refused}");
        assert!(refused.contains(path.to_str().unwrap()), "{refused}");
        assert!(check(path).is_err());
    }
}

/// A file of an older format: the topic `main` with a field that changed since.
fn older(path: &Path, format: u64, session: &str) {
    let older = Database::create(path).unwrap();
    let transaction = older.begin_write().unwrap();
    let mut meta = transaction.open_table(META).unwrap();
    meta.insert("format", format).unwrap();
    drop(meta);
    if format < 3 {
        let mut revisions = transaction.open_table(REVISIONS_2).unwrap();
        revisions.insert("main", 7).unwrap();
    }
    match format {
        1 => {
            let mut sessions = transaction.open_table(SESSIONS_1).unwrap();
            sessions.insert("main", session).unwrap();
            let mut fields = transaction.open_table(FIELDS_1).unwrap();
            fields.insert(("main", "a"), "3").unwrap();
        }
        2 => {
            let mut snapshots = transaction.open_table(SNAPSHOTS_2).unwrap();
            snapshots.insert("main", (session, "")).unwrap();
            let mut changes = transaction.open_table(CHANGES_2).unwrap();
            changes.insert(("main", "a"), ("3", "")).unwrap();
        }
        _ => {
            let (whole, part) = (seal(&["main", session, ""]), seal(&["main", "a", "3", ""]));
            let head = seal_head("main", 7, Sum::default().with(&whole).with(&part));
            let mut heads = transaction.open_table(HEADS).unwrap();
            heads.insert("main", &*head).unwrap();
            let mut wholes = transaction.open_table(WHOLES).unwrap();
            wholes.insert("main", &*whole).unwrap();
            let mut parts = transaction.open_table(PARTS).unwrap();
            parts.insert(&*key_within("main", "a"), &*part).unwrap();
        }
    }
    transaction.commit().unwrap();
}

#[test]
fn files_of_older_formats_are_taken_over() {
    let before = r#"{"name":"x","data":[1.50],"config":{"a":1,"b":2},"metadata":{}}"#;
    for format in 1..FORMAT {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        older(&path, format, before);
        let row = Json::parse(br#"{"id":1,"updated_at":5}"#).unwrap();
        for rooms in 0..2 {
            let (mut store, kept) = Store::open(&path).unwrap();
            assert_eq!(
                kept.topics[0].version,
                version(7, &before.replace("1,", "3,"))
            );
            assert_eq!((kept.topics.len(), kept.rooms.len()), (1, rooms));
            let record = RowsRecord {
                room: "main/lobby".parse().unwrap(),
                last: 5,
                rows: vec![RowRecord {
                    channel: "todos".into(),
                    id: row.get("id").unwrap(),
                    row: Some(row.clone()),
                }],
            };
            store
                .commit(std::iter::once(Record::Rows(&record)))
                .unwrap();
            assert!(store.close());
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }
}

#[test]
fn what_an_older_format_has_damaged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    older(&path, 2, r#"{"data":[1.5"#);
    let found = check(&path).unwrap();
    assert_eq!(found.kept, Kept::default());
    assert_eq!(found.damage[0].topic(), Some("main"));
}

#[test]
fn an_export_can_be_imported() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let (mut store, _) = Store::open(&from).unwrap();
    commit(&mut store, record(5, r#"{"data":{"é":1.50}}"#, None)).unwrap();
    assert!(store.close());
    let mut lines = Vec::new();
    export(&from, 8, &mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(
        lines,
        [
            r#"{"topic":"main","revision":"5","session":{"name":"x","data":{"é":1.50},"config":{},"metadata":{}}}"#
        ]
    );
    let line = parse_line(lines[0].as_bytes()).unwrap();
    import(&to, std::slice::from_ref(&line), 8).unwrap();
    let Line::Topic(kept) = line else {
        panic!("{line:?}")
    };
    let again = StoredTopic {
        version: Version {
            revision: Revision::new(8).unwrap(),
            ..kept.version
        },
        is_last: false,
        ..kept
    };
    assert_eq!(Store::open(&to).unwrap().1.topics, [again]);
    assert_eq!(
        parse_line(b"{\"topic\":\"a b\"}")
            .unwrap_err()
            .split(':')
            .next(),
        Some("\"a b\" cannot name a topic")
    );
}

#[test]
fn an_import_is_newer_than_all_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let given = |revision| {
        let line = format!(r#"{{"topic":"main","revision":"{revision}","session":{{"data":1}}}}"#);
        [parse_line(line.as_bytes()).unwrap()]
    };
    let revision = || check(&path).unwrap().kept.topics[0].version.revision.get();
    let mut steps = Vec::new();
    for (revision_given, unix_micros) in [(0, 5), (0, 3), (20, 9), (7, 30)] {
        import(&path, &given(revision_given), unix_micros).unwrap();
        steps.push(revision());
    }
    assert_eq!(steps, [5, 6, 21, 30]);
    // What was closed in order stays so, and what was not does not become it.
    assert!(!check(&path).unwrap().kept.topics[0].is_last);
    assert!(Store::open(&path).unwrap().0.close());
    import(&path, &given(7), 40).unwrap();
    assert!(check(&path).unwrap().kept.topics[0].is_last);
}

/// Changes each place where a text stands in a file.
pub(super) fn hurt(path: &Path, text: &[u8], bit: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    let places: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(text))
        .collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| bytes[*at] ^= bit);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_revision_is_made_anew_from_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (mut store, _) = Store::open(&path).unwrap();
    commit(&mut store, record(123_456_789, "[1]", None)).unwrap();
    assert!(store.close());
    hurt(&path, b"123456789", 1);
    let mut lines = Vec::new();
    let found = export(&path, 77, &mut |line| lines.push(line.to_owned())).unwrap();
    assert!(!found.damage.is_empty());
    assert!(lines[0].contains(r#""revision":"77""#), "{lines:?}");
    import(&path, &[], 78).unwrap();
    let kept = check(&path).unwrap().kept.topics;
    assert_eq!(
        (kept[0].version.revision.get(), kept[0].is_last),
        (78, false)
    );
}

#[test]
fn an_empty_file_is_a_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, b"").unwrap();
    assert!(check(&path).unwrap().is_empty);
    let opened = place::open(&path).unwrap();
    assert_eq!((opened.aside.clone(), opened.notes().count()), (None, 0));
    drop(opened);
    assert!(!check(&path).unwrap().is_empty);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

#[test]
fn a_link_that_leads_nowhere_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::os::unix::fs::symlink(folder.path().join("gone/store"), &path).unwrap();
    for refused in [Store::open(&path).map(|_| ()), check(&path).map(|_| ())] {
        let refused = refused.unwrap_err().reason;
        assert!(refused.contains("leads nowhere"), "{refused}");
    }
}

#[test]
fn a_damaged_file_that_cannot_be_replaced_is_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    // The new one's name would be too long.
    let path = folder.path().join("s".repeat(240));
    std::fs::write(&path, [0; 4096]).unwrap();
    let refused = Store::open(&path).map(|_| ()).unwrap_err().reason;
    assert!(
        refused.contains("it is damaged (there are only zeros"),
        "{refused}"
    );
    assert!(refused.contains("must be writable"), "{refused}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

#[test]
fn what_replaces_a_damaged_file_is_whose_that_was() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, [0; 4096]).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may give it away.
    let _ = chown(&path, Some(1234), Some(1235));
    let of = |path: &Path| {
        let found = path.metadata().unwrap();
        (found.uid(), found.gid(), found.mode() & 0o777)
    };
    let before = of(&path);
    let opened = place::open(&path).unwrap();
    assert!(opened.aside.is_some());
    assert_eq!(of(&path), before);
}

#[test]
fn what_overlaps_in_a_damaged_file_is_read_no_longer_than_the_file() {
    const PAGE: usize = 4096;
    let mut bytes = vec![0; 512 * PAGE];
    // One page as large as all of them, whose values overlap.
    let leaf = &mut bytes[PAGE..];
    let count = 10_000_u16;
    leaf[..4].copy_from_slice(&[1, 0, count.to_le_bytes()[0], count.to_le_bytes()[1]]);
    let keys = 4 + 8 * usize::from(count);
    for row in 0..2 * usize::from(count) {
        let is_far = row >= usize::from(count) && row % 2 == 0;
        let end = if is_far { 200 * PAGE } else { keys };
        let end = u32::try_from(end).unwrap().to_le_bytes();
        leaf[4 + 4 * row..8 + 4 * row].copy_from_slice(&end);
    }
    bytes.extend(vec![0; 256 * PAGE]);
    let read = salvage::tree(&bytes, Some(9 << 59)).0;
    let copied: usize = read.iter().map(|(key, row)| key.len() + row.len()).sum();
    assert!(!read.is_empty() && copied <= bytes.len(), "{copied}");
}

#[test]
fn a_panic_out_of_redb_is_an_error() {
    let ended = errors::caught(|| -> Result<(), redb::Error> { panic!("as redb would") });
    assert!(matches!(ended, Err(redb::Error::Corrupted(_))));
}

#[test]
fn what_a_killed_creation_leaves_goes_with_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let left = folder.path().join(".store.onlooker-new-0123456789abcdef");
    for before_its_name in [true, false] {
        for start in [&b""[..], &[0; 4096], b"redb\x1a\n\xa9\r\nhalf of a store"] {
            std::fs::write(&left, start).unwrap();
            let (store, kept) = Store::open(&path).unwrap();
            assert_eq!(
                (kept, left.exists()),
                (Kept::default(), false),
                "{before_its_name}"
            );
            assert!(store.close());
        }
    }
}

#[test]
fn a_file_of_the_users_own_beside_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let theirs = ["store.new", ".store.onlooker-new-0123456789abcdef"];
    for name in theirs {
        std::fs::write(folder.path().join(name), b"theirs").unwrap();
    }
    let target = folder.path().join("target");
    std::fs::write(&target, b"").unwrap();
    let link = folder.path().join(".store.onlooker-new-0123456789abcde0");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for _ in 0..2 {
        assert!(Store::open(&path).unwrap().0.close());
    }
    for name in theirs {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(bytes, b"theirs", "{name}");
    }
    assert!(link.is_symlink() && std::fs::read(target).unwrap().is_empty());
}

#[test]
fn a_damaged_file_is_set_aside_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, b"damaged").unwrap();
    let (first, second) = (put_aside(&path).unwrap(), put_aside(&path).unwrap());
    assert_eq!((&second.0, first.1, second.1), (&first.0, true, false));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"another").unwrap();
    assert_ne!(put_aside(&path).unwrap().0, first.0);
}
