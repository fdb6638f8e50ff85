//! What `onlooker view --room` is sent: the rows of a room, and then its changes.

use std::collections::HashSet;

use futures_util::SinkExt;
use indexmap::IndexMap;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::daemon::{Daemon, Refusal, Socket};
use super::streams::{say, shown};
use crate::program::terminal::{Paint, fit, neutral};
use crate::state::room::RoomName;

/// A room that is watched.
pub struct RoomView {
    pub room: RoomName,
    /// The only channel that is wanted.
    pub channel: Option<String>,
    /// Whether frames are printed as they come.
    pub json: bool,
    pub paint: Paint,
    channels: IndexMap<String, Channel>,
}

/// A channel, and how far that has come.
#[derive(Default)]
struct Channel {
    /// The names of its columns.
    columns: Vec<String>,
    /// All that changed up to this time has been told.
    reached: Option<u64>,
    /// Later times that have been told, while there may be others to come between them: a change
    /// may be told before the answer.
    ahead: HashSet<u64>,
    answer: Answer,
}

/// The answer to what was asked for.
#[derive(Clone, Copy, Default, PartialEq)]
enum Answer {
    #[default]
    Awaited,
    /// Deletions may follow, but nothing in between.
    Begun,
    Whole,
}

impl RoomView {
    pub fn new(room: RoomName, channel: Option<String>, json: bool, paint: Paint) -> RoomView {
        RoomView {
            room,
            channel,
            json,
            paint,
            channels: IndexMap::new(),
        }
    }

    /// Connects, and asks for what is not known yet.
    pub async fn open(&mut self, daemon: &Daemon) -> Result<Socket, Refusal> {
        self.learn(daemon).await?;
        let (party, room) = (self.room.party(), self.room.room());
        let mut socket = daemon.socket(&format!("/parties/{party}/{room}")).await?;
        for (name, channel) in &mut self.channels {
            channel.answer = Answer::Awaited;
            let wish = json!({ "channel": name, "sync": true, "from": channel.reached });
            let asked = socket.send(Message::text(wish.to_string())).await;
            asked.map_err(|error| Refusal::Absent(error.to_string()))?;
        }
        Ok(socket)
    }

    /// Finds out which channels there are, and what their columns are called: a daemon that was
    /// started again may have others.
    async fn learn(&mut self, daemon: &Daemon) -> Result<(), Refusal> {
        let mut status = object(&daemon.get("/api/status").await?);
        let declared = status["channels"].take();
        let declared = declared.as_object().into_iter().flatten();
        let names: Vec<&str> = declared.clone().map(|(name, _)| name.as_str()).collect();
        // Without any, the room is refused, and that says why.
        if let Some(only) = self.channel.as_deref().filter(|_| !names.is_empty())
            && !names.contains(&only)
        {
            let names = names.join(", ");
            let text = format!("there is no channel {only:?}: there is {names} (--channel)");
            return Err(Refusal::Denied(text));
        }
        let mut before = std::mem::take(&mut self.channels);
        let is_wanted = |name: &String| self.channel.as_ref().is_none_or(|only| only == name);
        for (name, declared) in declared.filter(|(name, _)| is_wanted(name)) {
            let mut channel = before.swap_remove(name).unwrap_or_default();
            channel.columns = items(&declared["columns"]).iter().map(text).collect();
            self.channels.insert(name.clone(), channel);
        }
        Ok(())
    }

    /// What is printed of a frame.
    pub fn lines(&mut self, frame: &str) -> Vec<String> {
        let message = object(frame.as_bytes());
        let name = message["channel"].as_str().unwrap_or_default();
        let (is_answer, rows) = (message["sync"] == true, items(&message["payload"]));
        let mut told = None;
        for (known, channel) in &mut self.channels {
            let is_over = channel.answer == Answer::Begun;
            if known == name {
                if is_answer && rows.is_empty() && channel.reached.is_none() && !self.json {
                    say(&format!("{name} has no rows yet"));
                }
                told = Some(channel.take(is_answer, rows));
            }
            if is_over {
                channel.end();
            }
        }
        match told {
            None => Vec::new(),
            Some(_) if self.json => vec![shown(frame)],
            Some(news) => news.iter().map(|row| self.line(name, items(row))).collect(),
        }
    }

    /// `todos  x7  text="milk" completed=0`, `todos  x7  deleted`.
    fn line(&self, name: &str, row: &[Value]) -> String {
        let widths = self.channels.keys().map(|name| fit::width(name));
        let channel = fit::column(name, widths.max().unwrap_or(0));
        let id = text(row.first().unwrap_or(&Value::Null));
        if row.last().is_some_and(|deleted| !deleted.is_null()) {
            return self.paint.dim(&format!("{channel}  {id}  deleted"));
        }
        let columns = self
            .channels
            .get(name)
            .map_or(&[][..], |known| &known.columns);
        let last = row.len().saturating_sub(TIMES);
        let values = columns.iter().zip(row).take(last).skip(1);
        let value = |(name, value): (&String, &Value)| {
            let value = value.to_string();
            format!("{name}={}", neutral(&value))
        };
        let values: Vec<String> = values.map(value).collect();
        format!("{channel}  {id}  {}", values.join(" "))
    }
}

impl Channel {
    /// Those of the rows that were not told before.
    fn take<'a>(&mut self, is_answer: bool, rows: &'a [Value]) -> Vec<&'a Value> {
        let is_new = |row: &&Value| {
            let time = updated(row);
            time.is_none_or(|time| self.reached != Some(time) && !self.ahead.contains(&time))
        };
        let news = rows.iter().filter(is_new).collect();
        self.ahead.extend(rows.iter().filter_map(updated));
        match (is_answer, self.answer) {
            // Whoever had nothing is not told of deletions.
            (true, _) if self.reached.is_none() => self.end(),
            (true, _) => self.answer = Answer::Begun,
            (false, Answer::Whole) => self.end(),
            (false, _) => {}
        }
        news
    }

    /// Nothing is missing between what has been told.
    fn end(&mut self) {
        self.reached = self.ahead.drain().max().max(self.reached);
        self.answer = Answer::Whole;
    }
}

/// How many members of a row are the daemon's, behind its columns.
const TIMES: usize = 3;

/// When a row became what it is.
fn updated(row: &Value) -> Option<u64> {
    let row = items(row);
    row.get(row.len().checked_sub(2)?)?.as_u64()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// A text without its quotes, anything else as JSON.
fn text(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    neutral(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomView {
        let room = "main/lobby".parse().unwrap();
        let mut view = RoomView::new(room, None, false, Paint::for_terminal(false));
        for name in ["todos", "notes"] {
            let columns = ["id", "text", "created_at", "updated_at", "deleted_at"];
            let channel = Channel {
                columns: columns.map(str::to_owned).into(),
                ..Channel::default()
            };
            view.channels.insert(name.to_owned(), channel);
        }
        view
    }

    fn frame(view: &mut RoomView, is_answer: bool, channel: &str, rows: Value) -> Vec<String> {
        let frame = match is_answer {
            true => json!({"sync": true, "channel": channel, "payload": rows}),
            false => {
                json!({"broadcast": true, "type": "update", "channel": channel, "payload": rows})
            }
        };
        view.lines(&frame.to_string())
    }

    fn lost(view: &mut RoomView) -> [Option<u64>; 2] {
        let channels = view.channels.values_mut();
        channels.for_each(|channel| channel.answer = Answer::Awaited);
        ["todos", "notes"].map(|name| view.channels[name].reached)
    }

    #[test]
    fn a_row_is_a_line() {
        let mut view = room();
        let rows = json!([["x\u{1b}", "a\nb", 1, 2, null], [7, 1.50, 1, 3, null]]);
        let expected = ["todos  x␛  text=\"a\\nb\"", "todos  7  text=1.5"];
        assert_eq!(frame(&mut view, true, "todos", rows), expected);
        let deleted = json!([["x", "a", 1, 4, 4]]);
        assert_eq!(
            frame(&mut view, false, "todos", deleted),
            ["todos  x  deleted"]
        );
        let nothing = Vec::<String>::new();
        assert_eq!(
            frame(&mut view, false, "others", json!([["x", "a", 1, 4, 4]])),
            nothing
        );
        assert_eq!(view.lines("no JSON"), nothing);
    }

    #[test]
    fn what_is_asked_for_again_leaves_nothing_out() {
        let mut view = room();
        // A change comes before the answer: what is older has yet to be told.
        frame(&mut view, false, "todos", json!([["z", "", 9, 9, null]]));
        assert_eq!(lost(&mut view), [None, None]);
        let all = json!([
            ["x", "", 1, 1, null],
            ["y", "", 2, 2, null],
            ["z", "", 9, 9, null]
        ]);
        assert_eq!(frame(&mut view, true, "todos", all).len(), 2, "z is known");
        frame(&mut view, false, "todos", json!([["z", "", 9, 12, null]]));
        assert_eq!(lost(&mut view), [Some(12), None]);
        // Then from 12 on: the answer, behind which deletions may follow.
        let again = json!([["z", "", 9, 12, null], ["w", "", 20, 20, null]]);
        assert_eq!(
            frame(&mut view, true, "todos", again.clone()),
            ["todos  w  text=\"\""]
        );
        assert_eq!(lost(&mut view), [Some(12), None]);
        assert_eq!(frame(&mut view, true, "todos", again).len(), 0);
        let deleted = json!([["x", "", 1, 15, 15]]);
        assert_eq!(frame(&mut view, false, "todos", deleted).len(), 1);
        assert_eq!(lost(&mut view), [Some(20), None]);
        // Or the next message shows that there are none.
        frame(&mut view, true, "todos", json!([["w", "", 20, 21, null]]));
        frame(&mut view, true, "notes", json!([]));
        assert_eq!(lost(&mut view), [Some(21), None]);
    }
}
