//! The golden frames of rooms.

use onlooker::internals::fields::Field;
use onlooker::internals::json::{Json, Kind};
use onlooker::internals::room::{Channel, Columns, Edit, Row};
use onlooker::internals::wire::room::{
    Asked, FromHost, FromPeople, ROWS_END, ask_host, exception, refusal, success, sync, update,
};
use onlooker::internals::wire::{self, Ack};

use super::{Golden, member};

impl Golden {
    fn asked(&self) -> Asked {
        Asked {
            id: member(&self.frame(), "id").expect("id"),
            channel: self.text("channel"),
            action: member(&self.frame(), "action").unwrap_or_else(Json::null),
        }
    }

    fn list(&self, key: &str) -> Vec<Json> {
        let list = member(&self.frame(), key).expect(key);
        Json::items(list.as_str())
    }

    fn sentences(&self, key: &str) -> Vec<String> {
        let list = self.list(key).into_iter();
        list.map(|text| text.as_string().expect("a text")).collect()
    }

    /// A message of rows, each made of its parts.
    fn message(&self, begin: String, rows: &str) -> String {
        let rows: Vec<String> = self.list(rows).iter().map(rewritten).collect();
        begin + &rows.join(",") + ROWS_END
    }

    fn made_for_rooms(&self) -> String {
        let frame = self.frame();
        let (channel, id) = (self.text("channel"), member(&frame, "id"));
        match self.text("type").as_str() {
            "" => self.message(sync(&channel), "payload"),
            "update" => self.message(update(&channel), "payload"),
            "success" => self.message(success(&self.asked()), "result"),
            "error" if member(&frame, "rpc").is_some() => {
                refusal(&self.asked(), &self.sentences("error"))
            }
            "exception" => {
                let reason = self.sentences("exception").concat();
                exception(
                    reason
                        .strip_prefix("Failed to parse message: ")
                        .expect("how it begins"),
                )
            }
            "action" => {
                let from = member(&frame, "from").expect("from");
                let text = |key| member(&from, key).and_then(|text| text.as_string());
                let (from, device) = (text("id").expect("id"), text("device").expect("device"));
                let action = member(&frame, "action").expect("action");
                ask_host(self.number("id"), &channel, &action, (&from, &device))
            }
            "ack" => Ack::Rows.text(id.as_ref()),
            "error" => wire::error(id.as_ref(), &self.problem()),
            other => panic!("{}: no such frame {other:?}", self.file),
        }
    }
}

/// A row as the daemon writes it.
fn rewritten(row: &Json) -> String {
    let mut values = Json::items(row.as_str());
    let times = values.split_off(values.len() - 3);
    let time = |place: usize| times[place].as_str().parse().expect("a time");
    let row = Row {
        id: values[0].as_str().into(),
        values: Json::of(&values).as_str().into(),
        created: time(0),
        updated: time(1),
        order: time(1),
        is_deleted: times[2].kind() != Kind::Null,
    };
    let mut text = String::new();
    row.write(&mut text);
    text
}

fn of(directions: &[&str]) -> Vec<Golden> {
    let all = Golden::all().into_iter();
    all.filter(|golden| directions.contains(&golden.direction.as_str()))
        .collect()
}

#[test]
fn the_daemon_makes_the_golden_frames_of_rooms() {
    let all = of(&["to-person", "to-room-host"]);
    assert_eq!(all.len(), 11);
    for golden in all {
        assert_eq!(golden.made_for_rooms(), golden.text, "{}", golden.file);
    }
}

#[test]
fn the_daemon_understands_the_golden_messages_of_people() {
    let all = of(&["from-person"]);
    assert_eq!(all.len(), 3);
    for golden in all {
        let frame = golden.frame();
        let expected = match member(&frame, "from") {
            Some(from) => FromPeople::Sync {
                channel: golden.text("channel"),
                from: from.as_string().map(|time| time.parse().expect("a time")),
            },
            None => FromPeople::Act(golden.asked()),
        };
        let understood = FromPeople::parse(&golden.text);
        assert_eq!(understood, Ok(expected), "{}", golden.file);
    }
}

#[test]
fn the_daemon_understands_the_golden_messages_of_rooms_hosts() {
    let all = of(&["from-room-host"]);
    assert_eq!(all.len(), 3);
    for golden in all {
        let (id, understood) = FromHost::parse(golden.text.as_bytes());
        assert_eq!(id, member(&golden.frame(), "id"), "{}", golden.file);
        let expected = match (golden.text("type").as_str(), golden.text("channel")) {
            ("refuse", _) => FromHost::Refuse {
                id: golden.number("id"),
                error: golden.sentences("error"),
            },
            (_, channel) if channel.is_empty() => FromHost::Rows {
                id: golden.number("id"),
                channel: None,
                rows: golden.list("rows"),
            },
            (_, channel) => FromHost::Unasked {
                channel,
                rows: golden.list("rows"),
            },
        };
        assert_eq!(understood.expect("it is understood"), expected);
    }
}

#[test]
fn the_rows_of_the_golden_messages_of_hosts_are_put_and_deleted() {
    let columns = [
        ("id", Kind::String),
        ("text", Kind::String),
        ("completed", Kind::Number),
    ];
    let columns = columns.map(|(name, kind)| (name.to_owned(), Field::of(kind)));
    let channel = Channel::new(Columns::from(columns)).expect("a channel");
    let goldens = of(&["from-room-host"]).into_iter();
    let rows = goldens.filter(|golden| golden.text("type") == "rows");
    let edits: Vec<Edit> = rows
        .flat_map(|golden| golden.list("rows"))
        .map(|row| channel.host_row(&row).expect("a row"))
        .collect();
    let puts = |edit: &&Edit| matches!(edit, Edit::Put(..));
    assert_eq!(edits.iter().filter(puts).count(), 3);
    assert_eq!(edits.len(), 4);
    assert!(edits.contains(&Edit::Delete(r#""x2""#.into())));
}
