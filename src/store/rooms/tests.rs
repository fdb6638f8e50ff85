//! Rows that are kept, changed and dropped; what damage costs; and what an import makes of them.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use redb::{Database, ReadableTable};
use tempfile::TempDir;

use crate::state::json::Json;
use crate::store::disk::Disk;
use crate::store::tables::{ROOMS, ROWS};
use crate::store::tests::hurt;
use crate::store::{
    Found, Kept, Line, Record, RowRecord, RowsRecord, Store, StoredRoom, TopicRecord, check,
    export, import, parse_line,
};

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn row(id: &str, text: &str, updated: u64) -> Json {
    json(&format!(
        r#"{{"id":{id},"text":{},"created_at":1,"updated_at":{updated},"deleted_at":null}}"#,
        Json::string(text)
    ))
}

/// A record of one row, or of none.
fn record(room: &str, last: u64, id: &str, row: Option<Json>) -> RowsRecord {
    RowsRecord {
        room: room.parse().unwrap(),
        last,
        rows: vec![RowRecord {
            channel: "todos".into(),
            id: json(id),
            row,
        }],
    }
}

fn kept(room: &str, last: u64, rows: impl IntoIterator<Item = Json>) -> StoredRoom {
    StoredRoom {
        room: room.parse().unwrap(),
        last,
        rows: rows
            .into_iter()
            .map(|row| ("todos".to_owned(), row))
            .collect(),
    }
}

fn commit(store: &mut Store, records: &[RowsRecord]) {
    store.commit(records.iter().map(Record::Rows)).unwrap();
}

/// A file in a folder of its own, with these records, closed.
fn file(records: &[RowsRecord]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (mut store, _) = Store::open(&path).unwrap();
    commit(&mut store, records);
    assert!(store.close());
    (folder, path)
}

fn rooms(path: &Path) -> Vec<StoredRoom> {
    Store::open(path).unwrap().1.rooms
}

fn three() -> [RowsRecord; 3] {
    [
        record(
            "main/lobby",
            11,
            r#""a""#,
            Some(row(r#""a""#, "APPLES", 11)),
        ),
        record("main/lobby", 12, r#""b""#, Some(row(r#""b""#, "BREAD", 12))),
        record("main/attic", 19, "7", Some(row("7", "CHAIR", 13))),
    ]
}

#[test]
fn rows_are_there_again_until_they_are_dropped() {
    let (_folder, path) = file(&three());
    let attic = kept("main/attic", 19, [row("7", "CHAIR", 13)]);
    let lobby = [row(r#""a""#, "APPLES", 11), row(r#""b""#, "BREAD", 12)];
    let (mut store, found) = Store::open(&path).unwrap();
    assert_eq!(found.rooms, [attic.clone(), kept("main/lobby", 12, lobby)]);
    let changed = row(r#""b""#, "BUTTER", 14);
    let dropped = record("main/lobby", 15, r#""a""#, None);
    let again = record("main/lobby", 14, r#""b""#, Some(changed.clone()));
    commit(&mut store, &[dropped, again]);
    assert!(store.close());
    assert_eq!(check(&path).unwrap().damage, []);
    assert_eq!(
        rooms(&path),
        [attic.clone(), kept("main/lobby", 15, [changed])]
    );
    let (mut store, _) = Store::open(&path).unwrap();
    commit(&mut store, &[record("main/lobby", 15, r#""b""#, None)]);
    assert!(store.close());
    // Its clock goes on.
    assert_eq!(rooms(&path), [attic, kept("main/lobby", 15, [])]);
}

#[test]
fn a_row_belongs_to_one_channel_of_one_room() {
    let mut records = Vec::new();
    for room in ["main/a", "main/a.b", "main/ab", "other/a"] {
        for channel in ["todos", "todos2", "to\0dos", ""] {
            let mut record = record(
                room,
                1,
                "1",
                Some(row("1", &format!("{room} {channel}"), 1)),
            );
            record.rows[0].channel = channel.into();
            records.push(record);
        }
    }
    let (_folder, path) = file(&records);
    let found = rooms(&path);
    assert_eq!(found.len(), 4);
    for room in &found {
        assert_eq!(room.rows.len(), 4);
        for (channel, row) in &room.rows {
            let text = row.get("text").and_then(|text| text.as_string());
            assert_eq!(text, Some(format!("{} {channel}", room.room)));
        }
    }
    // One of them is dropped, and no other.
    let (mut store, _) = Store::open(&path).unwrap();
    commit(&mut store, &[record("main/a", 2, "1", None)]);
    drop(store);
    let counts: Vec<usize> = rooms(&path).iter().map(|room| room.rows.len()).collect();
    assert_eq!(counts, [3, 4, 4, 4]);
}

/// What is said of damage, a line each.
fn said(found: &Found) -> Vec<String> {
    found.damage.iter().map(ToString::to_string).collect()
}

#[test]
fn a_damaged_row_is_named_and_the_others_stay() {
    let (_folder, path) = file(&three());
    hurt(&path, b"APPLES", 1);
    let found = check(&path).unwrap();
    let named =
        r#"room "main/lobby", channel "todos", row "a": a row is damaged, so it is left out"#;
    assert!(
        said(&found).contains(&named.to_owned()),
        "{:?}",
        said(&found)
    );
    assert!(
        found
            .damage
            .iter()
            .all(|damage| damage.room() != Some("main/attic"))
    );
    let rest = [
        kept("main/attic", 19, [row("7", "CHAIR", 13)]),
        kept("main/lobby", 12, [row(r#""b""#, "BREAD", 12)]),
    ];
    assert_eq!(rooms(&path), rest);
    // The file that took its place is whole.
    assert_eq!(
        (check(&path).unwrap().damage, rooms(&path)),
        (Vec::new(), rest.to_vec())
    );
}

#[test]
fn a_damaged_head_costs_nothing() {
    let (_folder, path) = file(&[record("main/lobby", 987_654, "1", Some(row("1", "x", 11)))]);
    hurt(&path, b"987654", 1);
    let found = check(&path).unwrap();
    let named = r#"room "main/lobby": its clock is damaged: it goes on from the newest row"#;
    assert!(
        said(&found).contains(&named.to_owned()),
        "{:?}",
        said(&found)
    );
    assert_eq!(rooms(&path), [kept("main/lobby", 11, [row("1", "x", 11)])]);
}

#[test]
fn a_clock_is_never_behind_its_rows() {
    let (_folder, path) = file(&[record("main/lobby", 5, "1", Some(row("1", "x", 11)))]);
    assert_eq!(rooms(&path)[0].last, 11);
}

/// Changes the entries of a file, behind the store's back.
fn meddle(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[test]
fn a_row_that_is_missing_or_outdated_is_noticed() {
    let lost = r#"room "main/lobby": some rows are lost, or older than they were"#;
    let key = super::row_key("main/lobby", "todos", &json(r#""a""#));
    for outdated in [false, true] {
        let (_folder, path) = file(&three());
        meddle(&path, |transaction| {
            let mut rows = transaction.open_table(ROWS).unwrap();
            rows.remove(&*key).unwrap().unwrap();
            if outdated {
                let old = row(r#""a""#, "older", 10);
                let old = super::seal_row("main/lobby", "todos", &json(r#""a""#), &old);
                rows.insert(&*key, &*old).unwrap();
            }
        });
        let found = check(&path).unwrap();
        assert_eq!(said(&found), [lost]);
        assert_eq!(found.kept.rooms.len(), 2);
        // The other rows are served, and nothing is reported twice.
        assert_eq!(rooms(&path), found.kept.rooms);
        assert_eq!(check(&path).unwrap().damage, []);
    }
}

#[test]
fn what_cannot_be_a_room_is_left_out() {
    let (_folder, path) = file(&three());
    meddle(&path, |transaction| {
        let mut rooms = transaction.open_table(ROOMS).unwrap();
        rooms.insert("no room", &b"nothing"[..]).unwrap();
        let head = rooms.get("main/attic").unwrap().unwrap().value().to_vec();
        rooms.insert("main/cellar", &head[1..]).unwrap();
        let mut rows = transaction.open_table(ROWS).unwrap();
        rows.insert(&b"main/lobby"[..], &b"nothing"[..]).unwrap();
    });
    let said = said(&check(&path).unwrap());
    let expected = [
        r#"room "main/lobby": a row is damaged, so it is left out"#,
        r#"room "main/cellar": it is damaged, so it is left out"#,
        r#"room "main/lobby": some rows are lost, or older than they were"#,
        r#"room "no room": its name is damaged, so it is left out"#,
    ];
    assert_eq!(said, expected);
    assert_eq!(rooms(&path).len(), 2);
}

#[test]
fn where_no_page_of_rows_is_left_that_is_said() {
    let (_folder, path) = file(&three());
    // Their tables' names.
    hurt(&path, b"rooms", 1);
    hurt(&path, b"rows", 1);
    let said = said(&check(&path).unwrap());
    assert!(
        said.contains(&"some rooms may be lost entirely".to_owned()),
        "{said:?}"
    );
}

fn exported(path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    export(path, 1, &mut |line| lines.push(line.to_owned())).unwrap();
    lines
}

fn parsed(lines: &[&str]) -> Vec<Line> {
    let lines = lines.iter();
    lines
        .map(|line| parse_line(line.as_bytes()).unwrap())
        .collect()
}

#[test]
fn exported_rows_come_back_as_changes() {
    let (_folder, path) = file(&three());
    let lines = exported(&path);
    assert_eq!(
        lines[1],
        r#"{"room":"main/lobby","channel":"todos","row":{"id":"a","text":"APPLES","created_at":1,"updated_at":11,"deleted_at":null}}"#
    );
    let (mut store, _) = Store::open(&path).unwrap();
    let newer = record("main/lobby", 50, r#""a""#, Some(row(r#""a""#, "PEARS", 40)));
    let other = record(
        "main/lobby",
        50,
        r#""c""#,
        Some(row(r#""c""#, "CHEESE", 45)),
    );
    commit(&mut store, &[newer, other]);
    assert!(store.close());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    import(&path, &parsed(&lines), 30_999).unwrap();
    let lobby = kept(
        "main/lobby",
        52,
        [
            row(r#""a""#, "APPLES", 51),
            row(r#""b""#, "BREAD", 52),
            row(r#""c""#, "CHEESE", 45),
        ],
    );
    // Later than the clock, where that is ahead.
    let attic = kept("main/attic", 31, [row("7", "CHAIR", 31)]);
    assert_eq!(rooms(&path), [attic, lobby]);
}

#[test]
fn an_imported_row_is_newer_than_all_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let given = |updated: u64, deleted: &str| {
        let line = format!(
            r#"{{"room":"main/lobby","channel":"todos","row":{{"deleted_at":{deleted},"id":"\u0061","created_at":2,"updated_at":{updated},"x":1}}}}"#
        );
        parsed(&[&line])
    };
    let mut found = Vec::new();
    for (updated, deleted, clock) in [(0, "null", 5), (0, "3", 3), (20, "null", 9), (7, "6", 30)] {
        import(&path, &given(updated, deleted), clock * 1000).unwrap();
        let kept = check(&path).unwrap().kept.rooms;
        assert_eq!(kept[0].rows.len(), 1);
        found.push(kept[0].rows[0].1.to_string());
    }
    let expected = [(6, "null"), (7, "7"), (21, "null"), (31, "31")].map(|(time, deleted)| {
        format!(r#"{{"id":"a","x":1,"created_at":2,"updated_at":{time},"deleted_at":{deleted}}}"#)
    });
    assert_eq!(found, expected);
}

#[test]
fn a_row_may_leave_its_times_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let lines = parsed(&[r#"{"room":"main/lobby","channel":"todos","row":{"id":7.0}}"#]);
    import(&path, &lines, 4_000).unwrap();
    let made = json(r#"{"id":7,"created_at":5,"updated_at":5,"deleted_at":null}"#);
    assert_eq!(rooms(&path), [kept("main/lobby", 5, [made])]);
}

#[test]
fn a_row_that_cannot_be_one_is_refused() {
    let line = |channel: &str, row: &str| {
        let line = format!(r#"{{"room":"main/lobby","channel":{channel},"row":{row}}}"#);
        parse_line(line.as_bytes()).unwrap_err()
    };
    let of = |row: &str| line(r#""todos""#, row);
    assert_eq!(of(r#"{"text":"x"}"#), r#"row: "id" is missing"#);
    for id in ["null", "1.5", "9007199254740993", "[1]"] {
        assert_eq!(
            of(&format!(r#"{{"id":{id}}}"#)),
            format!("row: id: expected a string or an integer that JavaScript can hold, got {id}")
        );
    }
    assert!(line(r#""to/dos""#, "{}").starts_with("\"to/dos\" cannot name a channel"));
    assert_eq!(of("[1]"), "row: expected an object");
    assert_eq!(line("1", "{}"), "channel: expected a string");
    for time in ["-1", "1.5", "\"5\"", "100000000000001"] {
        assert_eq!(
            of(&format!(r#"{{"id":1,"updated_at":{time}}}"#)),
            "row: updated_at: expected milliseconds since 1970"
        );
    }
    let unnamed = parse_line(br#"{"room":"lobby","channel":"todos","row":{"id":1}}"#);
    assert!(
        unnamed
            .unwrap_err()
            .starts_with("\"lobby\" cannot name a room")
    );
    let bare = parse_line(br#"{"room":"main/lobby","channel":"todos"}"#);
    assert_eq!(bare.unwrap_err(), r#""row" is missing"#);
}

/// What a batch of changes does: the channel, the id, and the new text or none.
fn batches() -> impl Strategy<Value = Vec<Vec<(u8, u8, Option<u8>)>>> {
    let change = (
        0..2_u8,
        0..6_u8,
        proptest::option::weighted(0.7, any::<u8>()),
    );
    prop::collection::vec(prop::collection::vec(change, 1..8), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_file_holds_what_the_records_left(batches in batches(), killed in any::<bool>()) {
        let disk = Disk::default();
        let (mut store, _) = disk.store().unwrap();
        let mut model = std::collections::BTreeMap::new();
        let mut last = 0;
        for batch in batches {
            let mut rows = Vec::new();
            for (channel, id, text) in batch {
                last += 1;
                let channel = format!("channel{channel}");
                let id = id.to_string();
                let row = text.map(|text| row(&id, &text.to_string(), last));
                rows.push(RowRecord {
                    channel: channel.as_str().into(),
                    id: json(&id),
                    row: row.clone(),
                });
                match row {
                    Some(row) => _ = model.insert((channel, id), row),
                    None => _ = model.remove(&(channel, id)),
                }
            }
            let room = "main/lobby".parse().unwrap();
            let topic = TopicRecord { topic: "main".parse().unwrap(), to: None, fields: None };
            let record = RowsRecord { room, last, rows };
            store.commit([Record::Topic(&topic), Record::Rows(&record)].into_iter()).unwrap();
        }
        if !killed {
            prop_assert!(store.close());
        }
        let rows = model.into_iter().map(|((channel, _), row)| (channel, row)).collect();
        let room = "main/lobby".parse().unwrap();
        let rooms = vec![StoredRoom { room, last, rows }];
        let (_, kept) = disk.after_kill().unwrap().store().unwrap();
        prop_assert_eq!(kept, Kept { topics: Vec::new(), rooms });
    }
}
