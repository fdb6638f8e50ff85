//! What a room's people, and its host, send and are sent. The shapes are those of partysync's
//! clients, which have no version to agree on.

use serde::Serialize;

use super::MessageError;
use crate::state::json::{self, Json, Kind};

/// What one of the room's people asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum FromPeople {
    /// The rows of a channel: those that changed at this time or later, in milliseconds since
    /// 1970; none: all of them.
    Sync {
        /// The channel's name, as it was given.
        channel: String,
        /// The time.
        from: Option<u64>,
    },
    /// An action.
    Act(Asked),
}

/// An action, and what its answer repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What the client calls it; any JSON.
    pub id: Json,
    /// The channel's name, as it was given.
    pub channel: String,
    /// `{"type": …, "payload": …}`, or whatever else a host understands.
    pub action: Json,
}

/// Answers repeat these, and many may wait.
const LONGEST_ID: usize = 256;
const LONGEST_CHANNEL: usize = 256;

impl FromPeople {
    /// Reads a frame.
    ///
    /// # Errors
    /// Says why it is none that can be answered by its id.
    pub fn parse(frame: &str) -> Result<FromPeople, String> {
        let document = Json::parse(frame.as_bytes()).map_err(|error| error.to_string())?;
        let members = document.members();
        let mut members =
            members.ok_or_else(|| format!("expected an object, got {}", document.kind()))?;
        let mut take = |key: &str| {
            let place = members.iter().position(|(known, _)| known == key)?;
            Some(members.swap_remove(place).1)
        };
        let channel = take("channel").and_then(|name| name.as_string());
        let is_sync = take("sync").is_some_and(|sync| sync.as_str() == "true");
        let (id, from) = (take("id"), take("from"));
        let is_short = |id: &Json| id.as_str().len() <= LONGEST_ID;
        if !id.as_ref().is_none_or(is_short) {
            return Err(format!("id: it has over {LONGEST_ID} bytes"));
        }
        if channel
            .as_ref()
            .is_some_and(|name| name.len() > LONGEST_CHANNEL)
        {
            return Err(format!("channel: it has over {LONGEST_CHANNEL} bytes"));
        }
        match (is_sync, id) {
            (true, _) => Ok(FromPeople::Sync {
                channel: channel.ok_or("channel: it is missing")?,
                from: from.as_ref().and_then(time),
            }),
            (false, Some(id)) => Ok(FromPeople::Act(Asked {
                id,
                channel: channel.unwrap_or_default(),
                action: take("action").unwrap_or_else(Json::null),
            })),
            (false, None) => Err("expected an action with an id, or a sync".to_owned()),
        }
    }
}

/// A time in milliseconds, as a number or a string; whatever else it is stands for none.
fn time(from: &Json) -> Option<u64> {
    let text = match from.kind() {
        Kind::String => from.as_string()?,
        _ => from.as_str().to_owned(),
    };
    let time = text.parse::<f64>().ok()?;
    (0.0..=json::MAX_SAFE_INTEGER as f64)
        .contains(&time)
        .then_some(time as u64)
}

/// How the message begins that answers an action with rows. They follow, then [`ROWS_END`].
pub fn success(asked: &Asked) -> String {
    let (channel, id) = (Json::string(&asked.channel), &asked.id);
    format!(r#"{{"type":"success","rpc":true,"channel":{channel},"id":{id},"result":["#)
}

/// How the message begins that answers a sync with rows.
pub fn sync(channel: &str) -> String {
    let channel = Json::string(channel);
    format!(r#"{{"sync":true,"channel":{channel},"payload":["#)
}

/// How the message begins that tells of rows that somebody else has changed.
pub fn update(channel: &str) -> String {
    let channel = Json::string(channel);
    format!(r#"{{"broadcast":true,"type":"update","channel":{channel},"payload":["#)
}

/// How a message of rows ends.
pub const ROWS_END: &str = "]}";

/// The answer to an action that was refused.
pub fn refusal(asked: &Asked, error: &[String]) -> String {
    #[derive(Serialize)]
    struct Refusal<'a> {
        r#type: &'static str,
        rpc: bool,
        channel: &'a str,
        id: &'a Json,
        error: &'a [String],
    }
    json::text(&Refusal {
        r#type: "error",
        rpc: true,
        channel: &asked.channel,
        id: &asked.id,
        error,
    })
}

/// The answer to what is no message.
pub fn exception(reason: &str) -> String {
    #[derive(Serialize)]
    struct Exception {
        r#type: &'static str,
        rpc: bool,
        exception: [String; 1],
    }
    // Many may wait, and a reason may quote what was sent.
    let reason: String = reason.chars().take(200).collect();
    json::text(&Exception {
        r#type: "exception",
        rpc: true,
        exception: [format!("Failed to parse message: {reason}")],
    })
}

/// What a room's host is asked.
pub fn ask_host(id: u64, channel: &str, action: &Json, from: (&str, &str)) -> String {
    #[derive(Serialize)]
    struct Question<'a> {
        r#type: &'static str,
        id: u64,
        channel: &'a str,
        action: &'a Json,
        from: From<'a>,
    }
    #[derive(Serialize)]
    struct From<'a> {
        id: &'a str,
        device: &'a str,
    }
    let (from, device) = from;
    json::text(&Question {
        r#type: "action",
        id,
        channel,
        action,
        from: From { id: from, device },
    })
}

/// What a room's host says.
#[derive(Clone, Debug, PartialEq)]
pub enum FromHost {
    /// The rows that an action has changed.
    Rows {
        /// The action's number.
        id: u64,
        /// Their channel's name: then they may be written if nobody has asked for them.
        channel: Option<String>,
        /// The rows.
        rows: Vec<Json>,
    },
    /// An action is refused.
    Refuse {
        /// The action's number.
        id: u64,
        /// Why.
        error: Vec<String>,
    },
    /// Rows that the host has changed itself.
    Unasked {
        /// Their channel's name.
        channel: String,
        /// The rows.
        rows: Vec<Json>,
    },
}

impl FromHost {
    /// Reads a frame. Its `id`, if it has one, belongs into the answer.
    ///
    /// # Errors
    /// Names the member at fault.
    pub fn parse(frame: &[u8]) -> (Option<Json>, Result<FromHost, MessageError>) {
        let document = match Json::parse(frame) {
            Ok(document) => document,
            Err(error) => return (None, Err(error.into())),
        };
        let members = document.members().unwrap_or_default();
        let id = super::member(&members, "id").cloned();
        let read = FromHost::read(&members, id.as_ref());
        (id, read.map_err(MessageError::Shape))
    }

    fn read(members: &[(String, Json)], id: Option<&Json>) -> Result<FromHost, String> {
        let get = |key: &str| super::member(members, key);
        let kind = get("type").and_then(Json::as_string).unwrap_or_default();
        let channel = get("channel").and_then(Json::as_string);
        let number = id.and_then(|id| id.as_str().parse().ok());
        match (kind.as_str(), number, channel) {
            ("refuse", Some(id), _) => Ok(FromHost::Refuse {
                id,
                error: reasons(get("error")),
            }),
            ("rows", None, Some(channel)) => Ok(FromHost::Unasked {
                channel,
                rows: rows(get("rows"))?,
            }),
            ("rows", Some(id), channel) => Ok(FromHost::Rows {
                id,
                channel,
                rows: rows(get("rows"))?,
            }),
            ("refuse", None, _) => Err("id: expected the number of an action".to_owned()),
            ("rows", None, None) => Err("expected the id of an action, or a channel".to_owned()),
            _ => Err(format!("unknown type {kind:?}: expected rows or refuse")),
        }
    }
}

fn rows(rows: Option<&Json>) -> Result<Vec<Json>, String> {
    let rows = rows.ok_or_else(|| "rows: it is missing".to_owned())?;
    match rows.kind() {
        Kind::Array => Ok(Json::items(rows.as_str())),
        kind => Err(format!("rows: expected an array, got {kind}")),
    }
}

/// Sentences, whatever a host gives as such; at least one.
fn reasons(error: Option<&Json>) -> Vec<String> {
    let error = error.cloned().unwrap_or_else(Json::null);
    let given = match error.kind() {
        Kind::Array => Json::items(error.as_str()),
        Kind::Null => Vec::new(),
        _ => vec![error],
    };
    let text = |item: &Json| item.as_string().unwrap_or_else(|| item.to_string());
    let mut reasons: Vec<String> = given.iter().map(text).collect();
    reasons.retain(|reason| !reason.is_empty());
    if reasons.is_empty() {
        reasons.push("the host has refused it".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_people_are_told_apart() {
        let sync = |from: &str| {
            let frame = format!(r#"{{"channel":"todos","sync":true,"from":{from}}}"#);
            match FromPeople::parse(&frame) {
                Ok(FromPeople::Sync { from, .. }) => from,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(sync("17"), Some(17));
        assert_eq!(sync(r#""17""#), Some(17));
        for none in [
            "null",
            "-1",
            "1e400",
            r#""yesterday""#,
            "{}",
            "9007199254740993",
        ] {
            assert_eq!(sync(none), None, "{none}");
        }
        let act =
            FromPeople::parse(r#"{"id":7,"channel":"todos","rpc":true,"action":{"type":"x"}}"#);
        let Ok(FromPeople::Act(asked)) = act else {
            panic!("{act:?}")
        };
        assert_eq!((asked.id.as_str(), asked.channel.as_str()), ("7", "todos"));
        for none in [
            "",
            "nothing",
            "null",
            "[]",
            "{}",
            r#"{"channel":"todos","rpc":true}"#,
        ] {
            assert!(FromPeople::parse(none).is_err(), "{none}");
        }
    }

    #[test]
    fn hosts_answer_and_speak_unasked() {
        let parse = |frame: &str| {
            FromHost::parse(frame.as_bytes())
                .1
                .map_err(|error| error.to_string())
        };
        assert!(matches!(
            parse(r#"{"type":"rows","id":7,"rows":[[1]]}"#),
            Ok(FromHost::Rows { id: 7, .. })
        ));
        assert!(matches!(
            parse(r#"{"type":"rows","channel":"todos","rows":[]}"#),
            Ok(FromHost::Unasked { .. })
        ));
        let refused = parse(r#"{"type":"refuse","id":7,"error":"no"}"#);
        assert_eq!(
            refused,
            Ok(FromHost::Refuse {
                id: 7,
                error: vec!["no".to_owned()]
            })
        );
        for wrong in [
            "7",
            r#"{"type":"rows"}"#,
            r#"{"type":"rows","id":7,"rows":{}}"#,
            r#"{"type":"refuse"}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
