//! What is said to a room, and by one (`rooms.toml`).

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Where the people of the fan-out are.
pub const LOBBY: &str = "parties/main/lobby";
/// By then people who asked for nothing have been sent all rows.
pub const SETTLED: Duration = Duration::from_millis(800);
/// How the answer to an action begins.
pub const SUCCESS: &str = r#"{"type":"success""#;
/// And how one begins that was refused.
pub const REFUSAL: &str = r#"{"type":"e"#;
/// How the answer to a sync begins.
pub const SYNCED: &str = r#"{"sync":true"#;
/// How the others are told.
pub const UPDATE: &str = r#"{"broadcast":true"#;

/// The command of a daemon with rooms, in which people may do as much as they can.
pub fn serve(mut command: Vec<String>) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("rooms.toml");
    command.extend(["--config".to_owned(), file.display().to_string()]);
    let more = "--host-token=none --max-actions 1000000000 --max-rows 1000000";
    command.extend(more.split(' ').map(str::to_owned));
    command
}

/// An action on the one row of the board.
pub fn change(kind: &str, state: &str) -> String {
    format!(
        r#"{{"id":"UxtiwM2l","channel":"board","rpc":true,"action":{{"type":"{kind}","payload":{{"id":"a","state":{state}}}}}}}"#
    )
}

/// How many bytes there are around the state in what the others are sent.
pub fn around() -> usize {
    const TOLD: &str = r#"{"broadcast":true,"type":"update","channel":"board","payload":[["a",,1790000000000,1790000000001,null]]}"#;
    TOLD.len()
}

/// An action on a row of the list.
pub fn todo(kind: &str, id: usize, done: u64) -> String {
    let text = text(id);
    format!(
        r#"{{"id":"UxtiwM2l","channel":"todos","rpc":true,"action":{{"type":"{kind}","payload":{{"id":"row{id:06}","text":"{text}","completed":{done}}}}}}}"#
    )
}

/// Keeps the daemon from sending the list to somebody who has asked for nothing.
pub const SYNC_NOTHING: &str = r#"{"channel":"board","sync":true,"from":null}"#;

/// The wish for the rows of the list.
pub fn sync(from: Option<u64>) -> String {
    let from = from.map_or("null".to_owned(), |from| from.to_string());
    format!(r#"{{"channel":"todos","sync":true,"from":{from}}}"#)
}

/// A host's message with rows of the list.
pub fn rows(ids: std::ops::Range<usize>) -> String {
    let mut message = r#"{"type":"rows","channel":"todos","rows":["#.to_owned();
    for id in ids.clone() {
        let comma = if id > ids.start { "," } else { "" };
        // Writing to a String never fails.
        let _ = write!(message, r#"{comma}["row{id:06}","{}",0]"#, text(id));
    }
    message + "]}"
}

fn text(id: usize) -> String {
    format!("Remember to look at number {id:06} of the long list")
}

/// When the last row of a message was changed.
pub fn updated(message: &str) -> Option<u64> {
    message.rsplit(',').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rows_time_is_found() {
        let told = r#"{"broadcast":true,"payload":[["a",0,1,2,null],["b",0,3,4,null]]}"#;
        assert_eq!(updated(told), Some(4));
    }
}
