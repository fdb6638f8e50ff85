//! What is kept, what is refused, and what is left alone.

use super::file::{FORMAT, META};
use super::*;
use crate::json::Json;

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

fn record(from: u64, to: u64, text: &str, fields: Option<&[&str]>) -> Record {
    let fields = fields.map(|fields| fields.iter().map(|field| (*field).to_owned()).collect());
    Record {
        topic: "main".parse().unwrap(),
        from: Revision::new(from),
        durable: Durable::default(),
        to: Some((Revision::new(to).unwrap(), session(text))),
        fields,
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
        record(0, 5, r#"{"data":[1E+2],"config":{"b":1,"a":2}}"#, None),
    )
    .unwrap();
    commit(
        &store,
        record(
            5,
            6,
            r#"{"data":[1E+2],"config":{"b":3,"a":2}}"#,
            Some(&["b"]),
        ),
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
    let again = record(6, 6, r#"{"data":[1E+2],"config":{"b":3,"a":2}}"#, None);
    assert_eq!(
        kept,
        [Kept {
            topic: again.topic.clone(),
            revision: Revision::new(6).unwrap(),
            session: again.to.unwrap().1
        }]
    );
    assert_eq!(
        kept[0].session.to_json(),
        r#"{"name":"x","data":[1E+2],"config":{"b":3,"a":2},"metadata":{}}"#
    );
    let dropped = Record {
        topic: again.topic,
        from: Revision::new(6),
        durable: Durable::default(),
        to: None,
        fields: None,
    };
    commit(&store, dropped).unwrap();
    close(&store);
    assert_eq!(Store::open(&path).unwrap().1, []);
}

#[test]
fn a_change_that_follows_a_lost_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&folder.path().join("store")).unwrap();
    commit(&store, record(0, 5, "[1]", None)).unwrap();
    assert!(commit(&store, record(6, 7, "[2]", None)).is_err());
    assert!(commit(&store, record(5, 8, "[3]", None)).is_ok());
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
fn an_export_can_be_imported() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let (store, _) = Store::open(&from).unwrap();
    commit(&store, record(0, 5, r#"{"data":{"é":1.50}}"#, None)).unwrap();
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
