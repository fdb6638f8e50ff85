//! Slow readers, and those who come back: they skip what changed again meanwhile, and end on what
//! the room has.

use std::collections::BTreeMap;

use super::*;

/// What a client has, by the channel and the id.
#[derive(Default)]
struct Held {
    rows: BTreeMap<String, Value>,
    /// How many rows it was sent.
    sent: usize,
}

impl Held {
    fn hold(&mut self, message: &Value) {
        let rows = message.get("payload").or(message.get("result"));
        for row in rows.and_then(Value::as_array).into_iter().flatten() {
            self.sent += 1;
            let id = row[0].as_str().expect("an id").to_owned();
            let before = self.rows.insert(id, row.clone());
            let is_newer = before
                .as_ref()
                .is_none_or(|old| updated(old) <= updated(row));
            assert!(is_newer, "{before:?}, then {row}");
        }
    }

    /// Takes what comes until a row is there.
    fn follow(&mut self, socket: &mut Socket, id: &str) {
        while !self.rows.contains_key(id) {
            self.hold(&next(socket));
        }
    }

    fn live(&self) -> Vec<&Value> {
        let mut live: Vec<_> = self.rows.values().filter(|row| !is_deleted(row)).collect();
        live.sort_by_key(|row| updated(row));
        live
    }
}

#[test]
fn a_client_that_does_not_read_for_a_while_converges() {
    let house = House::new(&["--max-actions", "1000000"]);
    let mut slow = house.person("");
    let mut held = Held::default();
    sync(&mut slow, "todos", &Value::Null);
    let mut writers = [house.person(""), house.person("")];
    let long = "x".repeat(30_000);
    for row in 0..20 {
        done(&mut writers[0], "todos", &create(&row.to_string(), "x"));
    }
    // 30 MB, of which the kernels hold a part.
    const CHANGES: usize = 1_000;
    for change in 0..CHANGES {
        let text = format!("{change} {long}");
        let row = (change % 20).to_string();
        let action = match change % 100 {
            97 => delete(&row),
            98 => create(&(change - 1 - 77).to_string(), "in between"),
            _ => update(&row, &text),
        };
        ask(&mut writers[change % 2], change, "todos", &action);
        answer(&mut writers[change % 2]);
    }
    done(&mut writers[0], "todos", &create("last", "x"));
    held.follow(&mut slow, "last");
    assert!(held.sent < CHANGES, "it skipped nothing: {}", held.sent);
    let rows = house.rows("todos");
    assert_eq!(held.live(), rows.iter().collect::<Vec<_>>());
}

#[test]
fn a_client_that_comes_back_asks_for_nothing_and_lacks_nothing() {
    let house = House::new(&[]);
    let mut writer = house.person("");
    let mut held = Held::default();
    let mut client = house.person("?_pk=client");
    for channel in ["todos", "guarded"] {
        sync(&mut client, channel, &Value::Null);
    }
    for id in ["a", "b", "c"] {
        done(&mut writer, "todos", &create(id, "x"));
        held.follow(&mut client, id);
    }
    client.abort();
    done(&mut writer, "todos", &delete("a"));
    done(&mut writer, "todos", &update("b", "y"));
    done(&mut writer, "todos", &create("d", "x"));
    let mut client = house.person("?_pk=client");
    let sync = next(&mut client);
    assert_eq!(
        (&sync["sync"], &sync["channel"]),
        (&json!(true), &json!("todos"))
    );
    let deletions = next(&mut client);
    assert_eq!(deletions["type"], "update");
    let other = next(&mut client);
    assert_eq!(
        (&other["channel"], &other["payload"]),
        (&json!("guarded"), &json!([]))
    );
    held.hold(&sync);
    held.hold(&deletions);
    let rows = house.rows("todos");
    assert_eq!(held.live(), rows.iter().collect::<Vec<_>>());
    // Nothing more comes by itself.
    done(&mut writer, "todos", &create("e", "x"));
    assert_eq!(next(&mut client)["payload"][0][0], "e");
}

/// Of a daemon that was restarted nobody knows what they had asked for: they are sent everything.
#[test]
fn a_client_of_another_life_is_sent_every_channel() {
    let folder = tempfile::tempdir().expect("a directory");
    let store = folder.path().join("store");
    let store = store.to_str().expect("text").to_owned();
    let house = House::in_folder(folder, "", &["--store", &store]);
    let mut writer = house.person("?_pk=w");
    sync(&mut writer, "todos", &Value::Null);
    let made = done(&mut writer, "todos", &create("a", "x"));
    done(&mut writer, "todos", &create("b", "x"));
    let gone = done(&mut writer, "todos", &delete("b"));
    let House { folder, daemon } = house;
    drop(daemon);
    let again = House::in_folder(folder, "", &["--store", &store]);
    let mut client = again.person("?_pk=w");
    let todos = next(&mut client);
    assert_eq!(todos["payload"], json!(made), "{todos}");
    assert_eq!(next(&mut client)["payload"], json!(gone));
    for channel in ["flags", "asked", "guarded", "shown"] {
        let sync = next(&mut client);
        assert_eq!(
            (&sync["sync"], &sync["channel"]),
            (&json!(true), &json!(channel))
        );
    }
    let later = done(&mut client, "todos", &update("a", "y"));
    assert!(updated(&later[0]) > updated(&gone[0]));
    assert_eq!(later[0][3], made[0][3], "when it was made stays");
}
