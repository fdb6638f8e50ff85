//! `onlooker push`: writes over the host socket, each write acknowledged before the next.

use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_tungstenite::tungstenite::Message;

use super::arguments::PushArgs;
use super::daemon::{Daemon, Socket};
use super::failure::{Exit, Failure};
use super::refusal;
use super::runtime::block_on;
use super::streams::{Printed, print, say};
use crate::source::document::{self, Format};
use crate::source::input;
use crate::state::json::Json;

/// What a file's aliases and names may stand for, in bytes: how much it takes, the daemon says.
const MOST: usize = 256 * 1024 * 1024;

/// The revision of an accepted write, or why it was refused.
type Answer = Result<String, String>;

pub fn push(args: PushArgs) -> Result<(), Failure> {
    let messages = messages(&args)?;
    let daemon = Daemon::to_write(&args.daemon)?;
    let mut path = "/host".to_owned();
    if let Some(topic) = &args.topic {
        path += &format!("?topic={}", utf8_percent_encode(topic, NON_ALPHANUMERIC));
    }
    block_on(async {
        let mut socket = daemon.socket(&path).await?;
        for message in messages {
            let revision = write(&mut socket, message).await?.map_err(Failure::new)?;
            print(&format!("{revision}\n"))?;
        }
        if args.file.as_deref() == Some("-") {
            stream(&mut socket).await?;
        }
        // The writes are acknowledged: if the goodbye fails, nothing is lost.
        let _ = socket.close(None).await;
        Ok(())
    })
}

/// What the command line itself asks to write.
fn messages(args: &PushArgs) -> Result<Vec<String>, Failure> {
    let mut messages = Vec::new();
    if args.file.is_none() && args.set.is_empty() {
        let text = "nothing to write: name a FILE, - for stdin, or --set field=value";
        return Err(Failure::with(Exit::Usage, text));
    }
    let fields = args.set.iter().map(|text| field(text));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    if let Some(file) = args.file.as_deref().filter(|file| *file != "-") {
        messages.push(message("session_update", &session(file)?));
    }
    if !fields.is_empty() {
        let fields = fields.iter().map(|(field, value)| (field.as_str(), value));
        messages.push(message("config_update", Json::object(fields).as_str()));
    }
    Ok(messages)
}

/// A write per line; a bad one is named and skipped.
async fn stream(socket: &mut Socket) -> Result<(), Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).split(b'\n');
    let (mut number, mut bad) = (0_u64, 0_u64);
    let unreadable = |error| Failure::new(format!("stdin: {error}"));
    while let Some(line) = lines.next_segment().await.map_err(unreadable)? {
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = match line_message(&line) {
            Ok(text) => write(socket, text).await?,
            Err(reason) => Err(reason),
        };
        match answer {
            Ok(revision) => {
                if print(&format!("{revision}\n"))? == Printed::NobodyReads {
                    return Ok(());
                }
            }
            Err(reason) => {
                bad += 1;
                say(&format!("line {number}: {reason}"));
            }
        }
    }
    match bad {
        0 => Ok(()),
        bad => Err(Failure::new(format!(
            "{bad} of {number} lines were not accepted"
        ))),
    }
}

async fn write(socket: &mut Socket, text: String) -> Result<Answer, Failure> {
    let lost = |reason: &str| Failure::new(format!("the daemon went away: {reason}"));
    let sent = socket.send(Message::text(text)).await;
    sent.map_err(|error| lost(&error.to_string()))?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(answer))) => return Ok(read_answer(&answer)),
            Some(Ok(Message::Close(frame))) => {
                return Err(lost(frame.as_ref().map_or("", |frame| &frame.reason)));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(lost(&error.to_string())),
            None => return Err(lost("the connection ended")),
        }
    }
}

fn read_answer(answer: &str) -> Answer {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    match answer["type"].as_str() {
        Some("ack") => Ok(text("revision").to_owned()),
        _ => Err(refusal(&answer, text("detail"))),
    }
}

fn refusal(answer: &Value, detail: &str) -> String {
    let faults = answer["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|fault| {
            let part = |key: &str| fault[key].as_str().unwrap_or_default();
            format!(
                "; {}: expected {}, got {}",
                part("field"),
                part("expected"),
                part("got")
            )
        });
    format!(
        "refused ({}): {detail}{}",
        answer["status"],
        faults.collect::<String>()
    )
}

fn message(kind: &str, payload: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"payload\":{payload}}}")
}

/// A line of NDJSON: a message is sent as it is, anything else as a session.
fn line_message(line: &[u8]) -> Result<String, String> {
    let document = Json::parse(line).map_err(|error| error.to_string())?;
    let members = document.members().unwrap_or_default();
    Ok(match members.iter().any(|(key, _)| key == "type") {
        true => document.as_str().to_owned(),
        false => message("session_update", document.as_str()),
    })
}

/// `speed=1.5`, `color=red`: JSON if it is valid JSON, otherwise a text.
fn field(text: &str) -> Result<(String, Json), Failure> {
    let Some((field, value)) = text.split_once('=').filter(|(field, _)| !field.is_empty()) else {
        let text = format!("--set {text}: give a field and a value, like speed=1.5");
        return Err(Failure::with(Exit::Usage, text));
    };
    let value = Json::parse(value.as_bytes()).unwrap_or_else(|_| Json::string(value));
    Ok((field.to_owned(), value))
}

/// A pipe will do as well, which has no extension: `onlooker push <(command)`.
fn session(path: &str) -> Result<String, Failure> {
    let missing = |reason: String| {
        let hint = refusal::near(Path::new(path)).unwrap_or_default();
        Failure::with(Exit::InputMissing, format!("{path}: {reason}{hint}"))
    };
    input::check(Path::new(path)).map_err(missing)?;
    let bytes = std::fs::read(path).map_err(|error| missing(error.to_string()))?;
    let path = Path::new(path);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let session = document::session(&bytes, Format::of(path), &name, MOST);
    session
        .map(|session| session.to_json())
        .map_err(|reason| Failure::new(format!("{}: {reason}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_json_or_else_a_text() {
        let read = |text| field(text).map(|(field, value)| format!("{field} {value}"));
        assert_eq!(read("speed=1.50").unwrap(), "speed 1.50");
        assert_eq!(read("color=red").unwrap(), "color \"red\"");
        assert_eq!(read("a=b=c").unwrap(), "a \"b=c\"");
        assert_eq!(read("on=").unwrap(), "on \"\"");
        assert_eq!(read("speed").unwrap_err().exit, Exit::Usage);
        assert_eq!(read("=1").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_line_without_type_is_a_session() {
        let session = "{\"type\":\"session_update\",\"payload\":{\"data\":1}}";
        assert_eq!(line_message(b"{\"data\": 1}").unwrap(), session);
        assert_eq!(line_message(session.as_bytes()).unwrap(), session);
        assert!(
            line_message(b"{\"a\":1,\"a\":2}")
                .unwrap_err()
                .contains("duplicate")
        );
        assert!(line_message(b"\"\xff\"").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn a_refusal_names_every_field() {
        let answer = "{\"type\":\"error\",\"status\":422,\"detail\":\"no\",\"errors\":[{\"field\":\"speed\",\"expected\":\"number\",\"got\":\"true\"}]}";
        let text = read_answer(answer).unwrap_err();
        assert_eq!(text, "refused (422): no; speed: expected number, got true");
    }
}
