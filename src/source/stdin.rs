//! Standard input as NDJSON: one message or one whole session per line.

use std::io::{self, BufRead, BufReader, Read};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::hub::{Hub, WriteError, WriteOptions};
use crate::state::name::TopicName;
use crate::wire::HostMessage;

/// How many lines may be read ahead of the writes. More wait in the pipe.
const AHEAD: usize = 16;
/// What a message may have around its session, in bytes.
const ENVELOPE: usize = 256;
const CHUNK: usize = 256 * 1024;

/// One line: its number, and what it asks for or what is wrong with it.
type Line = (u64, Result<HostMessage, String>);

/// Writes to `topic` what standard input says, until `stop`.
pub async fn run(hub: Hub, topic: TopicName, stop: CancellationToken) {
    run_from(io::stdin(), hub, topic, stop).await;
}

/// As [`run`], from any reader.
pub async fn run_from(
    input: impl Read + Send + 'static,
    hub: Hub,
    topic: TopicName,
    stop: CancellationToken,
) {
    let source = hub.attach(&topic);
    let from = WriteOptions {
        source: Some("stdin".into()),
        ..WriteOptions::default()
    };
    let (sender, mut lines) = mpsc::channel(AHEAD);
    let input = Lines {
        input: BufReader::with_capacity(CHUNK, input),
        max: hub.limits().session,
        name: topic.to_string(),
    };
    // A read from a terminal cannot be cancelled, and the runtime waits for its own blocking
    // threads. This one ends with the input, or with the process.
    let spawned = std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || input.read_all(&sender));
    if let Err(error) = spawned {
        return tracing::warn!("stdin cannot be read: {error}");
    }
    loop {
        let line = tokio::select! {
            () = stop.cancelled() => return,
            line = lines.recv() => line,
        };
        let Some((number, message)) = line else { break };
        if let Err(error) = &message {
            hub.refused(&topic, &from, &format!("line {number}: {error}"));
        }
        if let Err(error) = apply(message, &hub, &topic, from.clone()).await {
            tracing::warn!("stdin, line {number}: {error}; skipped");
        }
    }
    drop(source);
    tracing::info!("stdin has ended; the last state is still served");
    stop.cancelled().await;
}

/// Nobody is there to be told what becomes of a broadcast, so the next line need not wait for it.
async fn apply(
    message: Result<HostMessage, String>,
    hub: &Hub,
    topic: &TopicName,
    from: WriteOptions,
) -> Result<(), String> {
    match message?.apply(hub, topic, from).await {
        Ok(_) | Err(WriteError::Stopping) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

struct Lines<R> {
    input: BufReader<R>,
    max: usize,
    name: String,
}

impl<R: Read> Lines<R> {
    /// Reads and parses until the input ends or the receiver is gone; waits while `lines` is full.
    fn read_all(mut self, lines: &mpsc::Sender<Line>) {
        let mut buffer = Vec::new();
        for number in 1.. {
            let line = match self.line(&mut buffer) {
                Ok(None) => return,
                Ok(Some(true)) if buffer.trim_ascii().is_empty() => continue,
                Ok(Some(true)) => {
                    HostMessage::parse_line(&buffer, &self.name).map_err(|error| error.to_string())
                }
                Ok(Some(false)) => Err(format!("longer than {} bytes (--max-session)", self.max)),
                Err(error) => return tracing::warn!("stdin cannot be read any further: {error}"),
            };
            if lines.blocking_send((number, line)).is_err() {
                return;
            }
        }
    }

    /// Reads the next line into `buffer`: whether it fits, or none at the end of the input. The
    /// rest of one that does not fit is skipped.
    fn line(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
        buffer.clear();
        let limit = self.max + ENVELOPE;
        let read = (&mut self.input)
            .take(limit as u64 + 1)
            .read_until(b'\n', buffer)?;
        if buffer.last() == Some(&b'\n') || read <= limit {
            return Ok((read > 0).then_some(true));
        }
        self.input.skip_until(b'\n')?;
        Ok(Some(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::HubOptions;
    use tokio_util::task::TaskTracker;

    fn lines(input: &str, max: usize) -> Vec<(u64, Option<String>)> {
        let input = Lines {
            input: BufReader::with_capacity(8, io::Cursor::new(input.to_owned())),
            max,
            name: "main".to_owned(),
        };
        let (sender, mut lines) = mpsc::channel(100);
        input.read_all(&sender);
        drop(sender);
        let mut found = Vec::new();
        while let Ok((number, message)) = lines.try_recv() {
            found.push((number, message.err()));
        }
        found
    }

    #[test]
    fn bad_lines_are_named_and_skipped() {
        let input = "{\"data\":1}\r\n\n  \n{\"data\":\n{\"type\":\"x\"}\n[2]";
        let found = lines(input, 100);
        let numbers: Vec<(u64, bool)> = found
            .iter()
            .map(|(number, error)| (*number, error.is_none()))
            .collect();
        assert_eq!(numbers, [(1, true), (4, false), (5, false), (6, true)]);
        assert!(found[1].1.as_deref().unwrap().contains("EOF"), "{found:?}");
        assert!(
            found[2]
                .1
                .as_deref()
                .unwrap()
                .contains("unknown type \"x\""),
            "{found:?}"
        );
    }

    #[test]
    fn a_long_line_is_passed_over() {
        let long = "1".repeat(100 + ENVELOPE + 1);
        let fits = "1".repeat(100 + ENVELOPE);
        let found = lines(
            &format!("{long}\n{fits}\n{fits}1{long}{long}\n3\n{long}"),
            100,
        );
        let wrong = Some("longer than 100 bytes (--max-session)".to_owned());
        let expected = [
            (1, wrong.clone()),
            (2, None),
            (3, wrong.clone()),
            (4, None),
            (5, wrong),
        ];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn lines_become_the_session_and_its_end_keeps_it() {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let hub = Hub::new(&HubOptions::default(), None, tasks, stop.clone());
        let topic = hub.default_topic().clone();
        let input = "{\"data\":1,\"config\":{\"speed\":1}}\nnonsense\n{\"type\":\"config_update\",\"payload\":{\"speed\":1.50}}\n";
        let source = tokio::spawn(run_from(
            io::Cursor::new(input),
            hub.clone(),
            topic.clone(),
            stop.clone(),
        ));
        let mut changes = hub.changes();
        let expected = r#"{"name":"main","data":1,"config":{"speed":1.50},"metadata":{}}"#;
        let shown = || {
            hub.topic(&topic)?
                .session()
                .map(|(_, session)| session.to_json())
        };
        while shown().as_deref() != Some(expected) {
            changes.changed().await.unwrap();
        }
        assert!(!source.is_finished());
        stop.cancel();
        source.await.unwrap();
    }
}
