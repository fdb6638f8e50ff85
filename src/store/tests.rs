//! What is kept, what is refused, and what is left alone.

use super::file::{CHANGES_2, FIELDS_1, FORMAT, META, REVISIONS_2, SESSIONS_1, SNAPSHOTS_2};
use super::*;
use crate::json::Json;
use crate::revision::Revision;
use crate::session::Session;
use crate::topic::Origins;

fn session(text: &str) -> Session {
    Session::from_json(&Json::parse(text.as_bytes()).unwrap(), "x").unwrap()
}

fn commit(store: &Store, record: Record) -> Result<bool, String> {
    let (done, answer) = oneshot::channel();
    store
        .jobs()
        .blocking_send(Job::Commit(Box::new(record), done))
        .map_err(|_| ())
        .unwrap();
    answer.blocking_recv().unwrap()
}

fn close(store: &Store) {
    let (done, closed) = oneshot::channel();
    store
        .jobs()
        .blocking_send(Job::Close(done))
        .map_err(|_| ())
        .unwrap();
    closed.blocking_recv().unwrap();
}

fn record(to: u64, text: &str, fields: Option<&[&str]>) -> Record {
    let fields = fields.map(|fields| fields.iter().map(|field| (*field).into()).collect());
    Record {
        topic: "main".parse().unwrap(),
        to: Some(version(to, text)),
        fields,
        generation: 0,
        ledger: Ledger::default(),
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
    let (store, kept) = Store::open(&path).unwrap();
    assert_eq!(kept, []);
    commit(
        &store,
        record(5, r#"{"data":[1E+2],"config":{"b":1,"a":2}}"#, None),
    )
    .unwrap();
    commit(
        &store,
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
    close(&store);
    let (store, kept) = Store::open(&path).unwrap();
    let again = record(6, r#"{"data":[1E+2],"config":{"b":3,"a":2}}"#, None);
    assert_eq!(
        kept,
        [Kept {
            topic: again.topic.clone(),
            version: again.to.clone().unwrap(),
            is_last: true,
        }]
    );
    assert_eq!(
        kept[0].version.session.to_json(),
        r#"{"name":"x","data":[1E+2],"config":{"b":3,"a":2},"metadata":{}}"#
    );
    let dropped = Record { to: None, ..again };
    commit(&store, dropped).unwrap();
    close(&store);
    assert_eq!(Store::open(&path).unwrap().1, []);
}

#[test]
fn a_change_that_rests_on_a_lost_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&folder.path().join("store")).unwrap();
    let first = record(5, "[1]", None);
    let ledger = first.ledger.clone();
    commit(&store, first).unwrap();
    ledger.lose();
    let rests_on = |generation, revision, text| Record {
        ledger: ledger.clone(),
        generation,
        ..record(revision, text, None)
    };
    assert!(commit(&store, rests_on(0, 7, "[2]")).is_err());
    assert!(commit(&store, rests_on(1, 8, "[3]")).is_ok());
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
    refuse(&redb("theirs", 1), "none of onlooker's");
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
    let mut revisions = transaction.open_table(REVISIONS_2).unwrap();
    revisions.insert("main", 7).unwrap();
    drop(revisions);
    if format == 1 {
        let mut sessions = transaction.open_table(SESSIONS_1).unwrap();
        sessions.insert("main", session).unwrap();
        let mut fields = transaction.open_table(FIELDS_1).unwrap();
        fields.insert(("main", "a"), "3").unwrap();
    } else {
        let mut snapshots = transaction.open_table(SNAPSHOTS_2).unwrap();
        snapshots.insert("main", (session, "")).unwrap();
        let mut changes = transaction.open_table(CHANGES_2).unwrap();
        changes.insert(("main", "a"), ("3", "")).unwrap();
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
        for _ in 0..2 {
            let (store, kept) = Store::open(&path).unwrap();
            assert_eq!(kept[0].version, version(7, &before.replace("1,", "3,")));
            close(&store);
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
    assert_eq!(found.kept, []);
    assert_eq!(found.damage[0].topic.as_deref(), Some("main"));
}

#[test]
fn an_export_can_be_imported() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let (store, _) = Store::open(&from).unwrap();
    commit(&store, record(5, r#"{"data":{"é":1.50}}"#, None)).unwrap();
    close(&store);
    let mut lines = Vec::new();
    export(&from, &mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(
        lines,
        [
            r#"{"topic":"main","revision":"5","session":{"name":"x","data":{"é":1.50},"config":{},"metadata":{}}}"#
        ]
    );
    let kept = parse_line(lines[0].as_bytes()).unwrap();
    import(&to, std::slice::from_ref(&kept)).unwrap();
    assert_eq!(Store::open(&to).unwrap().1, [kept]);
    assert_eq!(
        parse_line(b"{\"topic\":\"a b\"}")
            .unwrap_err()
            .split(':')
            .next(),
        Some("\"a b\" cannot name a topic")
    );
}

#[test]
fn a_panic_out_of_redb_is_an_error() {
    let ended = place::caught(|| -> Result<(), redb::Error> { panic!("as redb would") });
    assert!(matches!(ended, Err(redb::Error::Corrupted(_))));
}

#[test]
fn what_a_killed_creation_leaves_goes_with_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (path, beside) = (folder.path().join("store"), folder.path().join("store.new"));
    for before_its_name in [true, false] {
        std::fs::write(&beside, b"half of a store").unwrap();
        let (store, kept) = Store::open(&path).unwrap();
        assert_eq!(
            (kept, beside.exists()),
            (Vec::new(), false),
            "{before_its_name}"
        );
        close(&store);
    }
}
