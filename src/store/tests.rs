//! What is kept, what is refused, and what is left alone.

use super::file::{FORMAT, META, SESSIONS_1};
use super::*;
use crate::json::Json;
use crate::revision::Revision;
use crate::session::Session;
use crate::topic::Origins;

fn session(text: &str) -> Session {
    Session::from_json(&Json::parse(text.as_bytes()).unwrap(), "x").unwrap()
}

fn commit(store: &Store, record: Record) -> Result<(), String> {
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
    };
    refuse(b"", "not a store of onlooker");
    refuse(
        &b"just a text file\n".repeat(1000),
        "not a store of onlooker",
    );
    std::fs::remove_file(&path).unwrap();
    close(&Store::open(&path).unwrap().0);
    let whole = std::fs::read(&path).unwrap();
    refuse(&whole[..whole.len() / 2], "damaged");

    std::fs::remove_file(&path).unwrap();
    let newer = Database::create(&path).unwrap();
    let transaction = newer.begin_write().unwrap();
    transaction
        .open_table(META)
        .unwrap()
        .insert("format", FORMAT + 1)
        .unwrap();
    transaction.commit().unwrap();
    drop(newer);
    refuse(&std::fs::read(&path).unwrap(), "newer than this onlooker");
}

#[test]
fn a_file_of_format_1_is_taken_over() {
    use redb::TableDefinition;
    const REVISIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("revisions");
    const FIELDS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("fields");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let older = Database::create(&path).unwrap();
    let transaction = older.begin_write().unwrap();
    let mut meta = transaction.open_table(META).unwrap();
    meta.insert("format", 1).unwrap();
    drop(meta);
    let mut revisions = transaction.open_table(REVISIONS).unwrap();
    revisions.insert("main", 7).unwrap();
    drop(revisions);
    let mut sessions = transaction.open_table(SESSIONS_1).unwrap();
    let before = r#"{"name":"x","data":[1.50],"config":{"a":1,"b":2},"metadata":{}}"#;
    sessions.insert("main", before).unwrap();
    drop(sessions);
    let mut fields = transaction.open_table(FIELDS).unwrap();
    fields.insert(("main", "a"), "3").unwrap();
    drop(fields);
    transaction.commit().unwrap();
    drop(older);
    for _ in 0..2 {
        let (store, kept) = Store::open(&path).unwrap();
        assert_eq!(kept[0].version, version(7, &before.replace("1,", "3,")));
        close(&store);
    }
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
