//! `onlooker view`: a viewer that prints each frame as a line, or one of a room's people.

use std::io::{self, IsTerminal};
use std::time::Duration;

use futures_util::StreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::arguments::ViewArgs;
use super::daemon::{Daemon, Refusal, Socket};
use super::failure::Failure;
use super::rows::RoomView;
use super::runtime::block_on;
use super::streams::{Printed, print, say, shown};
use super::target::Target;
use crate::access::Token;
use crate::program::terminal::Paint;
use crate::wire::close;

/// The daemon pings every 15 s: after so long without a ping the connection is lost.
const SILENCE: Duration = Duration::from_secs(45);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Whoever watches.
struct View {
    daemon: Daemon,
    watched: Watched,
    /// Lines still to print.
    left: Option<u64>,
    pause: Duration,
}

/// What is watched, and how far that has come.
enum Watched {
    Topic(TopicView),
    Room(RoomView),
}

struct TopicView {
    /// Path and query of the socket, without `since`.
    path: String,
    since: Option<String>,
}

pub fn view(args: ViewArgs) -> Result<(), Failure> {
    let mut view = View::of(args)?;
    block_on(async {
        tokio::select! {
            result = view.run() => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

impl View {
    fn of(args: ViewArgs) -> Result<View, Failure> {
        let (daemon, mut path) = match &args.url {
            Some(url) => {
                let target = Target::read(url)?;
                let token = args.daemon.token.map(Token::new).or(target.token);
                (Daemon::at(target.authority, token), target.path)
            }
            None => (Daemon::to_watch(&args.daemon)?, "/".to_owned()),
        };
        if let Some(topic) = &args.topic {
            add(&mut path, "topic", topic);
        }
        let paint = Paint::for_terminal(io::stdout().is_terminal());
        let watched = match args.room {
            Some(room) => Watched::Room(RoomView::new(room, args.channel, args.json, paint)),
            None => Watched::Topic(TopicView { path, since: None }),
        };
        Ok(View {
            daemon,
            watched,
            left: args.count,
            pause: FIRST_PAUSE,
        })
    }

    /// Fails when the first connection fails; later on, the daemon is only away for a while.
    async fn run(&mut self) -> Result<(), Failure> {
        let mut socket = self.connect().await?;
        while let Some(reason) = self.print_frames(&mut socket).await? {
            socket = self.reconnect(reason).await?;
        }
        Ok(())
    }

    async fn reconnect(&mut self, mut reason: String) -> Result<Socket, Failure> {
        loop {
            say(&format!(
                "{reason}; trying again in {} ms",
                self.pause.as_millis()
            ));
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            reason = match self.connect().await {
                Ok(socket) => return Ok(socket),
                Err(Refusal::Absent(reason)) => reason,
                Err(denied) => return Err(denied.into()),
            };
        }
    }

    async fn connect(&mut self) -> Result<Socket, Refusal> {
        match &mut self.watched {
            Watched::Topic(topic) => self.daemon.socket(&topic.path()).await,
            Watched::Room(room) => room.open(&self.daemon).await,
        }
    }

    /// Why the connection was lost; none once everything asked for is printed.
    async fn print_frames(&mut self, socket: &mut Socket) -> Result<Option<String>, Failure> {
        loop {
            let text = match tokio::time::timeout(SILENCE, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Close(frame)))) => {
                    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                        (u16::from(frame.code), frame.reason.to_string())
                    });
                    return closed(code, &reason).map(Some);
                }
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(error))) => return Ok(Some(error.to_string())),
                Ok(None) => return Ok(Some("the connection ended".to_owned())),
                Err(_) => return Ok(Some("the daemon is silent".to_owned())),
            };
            // Only a frame shows that the daemon is well: connecting alone may succeed for ever.
            self.pause = FIRST_PAUSE;
            let lines = match &mut self.watched {
                Watched::Topic(topic) => vec![topic.line(&text)],
                Watched::Room(room) => room.lines(&text),
            };
            for line in lines {
                if print(&format!("{line}\n"))? == Printed::NobodyReads || !self.goes_on() {
                    return Ok(None);
                }
            }
        }
    }

    /// A line was printed: whether more are wanted.
    fn goes_on(&mut self) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.left != Some(0)
    }
}

impl TopicView {
    fn path(&self) -> String {
        let mut path = self.path.clone();
        if let Some(since) = &self.since {
            add(&mut path, "since", since);
        }
        path
    }

    fn line(&mut self, frame: &str) -> String {
        self.since = revision(frame).or(self.since.take());
        shown(frame)
    }
}

/// The command ends when trying again would not help.
fn closed(code: u16, reason: &str) -> Result<String, Failure> {
    let text = format!(
        "closed by the daemon: {}",
        format!("{code} {reason}").trim_end()
    );
    match code {
        close::TOPIC_GONE => Err(Failure::new(text)),
        _ => Ok(text),
    }
}

fn revision(frame: &str) -> Option<String> {
    let frame: Value = serde_json::from_str(frame).ok()?;
    frame["revision"].as_str().map(str::to_owned)
}

fn add(path: &mut String, name: &str, value: &str) {
    let joint = if path.contains('?') { '&' } else { '?' };
    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
    path.push_str(&format!("{joint}{name}={value}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_encoded() {
        let mut path = "/".to_owned();
        add(&mut path, "topic", "a b");
        add(&mut path, "since", "17");
        assert_eq!(path, "/?topic=a%20b&since=17");
    }

    #[test]
    fn a_dropped_topic_ends_the_view() {
        assert!(closed(4404, "").is_err());
        assert!(closed(1001, "stopping").is_ok());
        assert_eq!(revision("{\"revision\":\"17\"}").as_deref(), Some("17"));
        assert_eq!(revision("plain text"), None);
    }
}
