//! `onlooker view`: a viewer that prints each frame as a line.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::ArgMatches;
use futures_util::StreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::daemon::{Daemon, Refusal, Socket};
use super::{Exit, Failure, Printed, arguments, block_on, print};
use crate::access::Token;
use crate::program::config::Loaded;
use crate::program::terminal::neutral;
use crate::wire::close;

/// The daemon pings every 15 s; who hears nothing for so long has lost it.
const SILENCE: Duration = Duration::from_secs(45);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A viewer and how far it is.
struct View {
    daemon: Daemon,
    /// Path and query of the socket, without `since`.
    path: String,
    since: Option<String>,
    /// Frames still to print.
    left: Option<u64>,
    pause: Duration,
}

/// How a connection ended.
enum End {
    /// Everything asked for is printed.
    Done,
    Lost(String),
}

/// `onlooker view`.
pub fn view(loaded: &Loaded, matches: &ArgMatches) -> Result<(), Failure> {
    let mut view = View::of(loaded, matches)?;
    block_on(async {
        tokio::select! {
            result = view.run() => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

impl View {
    fn of(loaded: &Loaded, matches: &ArgMatches) -> Result<View, Failure> {
        let (daemon, mut path) = match arguments::text(matches, "url") {
            Some(url) => {
                let link = Link::read(url)?;
                let shown = arguments::text(matches, "token").map(Token::new);
                (Daemon::at(link.authority, shown.or(link.token)), link.path)
            }
            None => (Daemon::to_watch(loaded, matches)?, "/".to_owned()),
        };
        if let Some(topic) = arguments::text(matches, "of") {
            add(&mut path, "topic", topic);
        }
        Ok(View {
            daemon,
            path,
            since: None,
            left: matches.get_one("count").copied(),
            pause: FIRST_PAUSE,
        })
    }

    /// Fails when the first connection fails: later the daemon is only away for a while.
    async fn run(&mut self) -> Result<(), Failure> {
        let mut socket = self.connect().await?;
        loop {
            let reason = match self.print_frames(&mut socket).await? {
                End::Done => return Ok(()),
                End::Lost(reason) => reason,
            };
            socket = self.reconnect(reason).await?;
        }
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

    async fn connect(&self) -> Result<Socket, Refusal> {
        let mut path = self.path.clone();
        if let Some(since) = &self.since {
            add(&mut path, "since", since);
        }
        self.daemon.socket(&path).await
    }

    async fn print_frames(&mut self, socket: &mut Socket) -> Result<End, Failure> {
        loop {
            let text = match tokio::time::timeout(SILENCE, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Close(frame)))) => {
                    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                        (u16::from(frame.code), frame.reason.to_string())
                    });
                    return closed(code, &reason);
                }
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(error))) => return Ok(End::Lost(error.to_string())),
                Ok(None) => return Ok(End::Lost("the connection ended".to_owned())),
                Err(_) => return Ok(End::Lost("the daemon is silent".to_owned())),
            };
            // Only a frame shows that the daemon is well again: a bare connect may loop.
            self.pause = FIRST_PAUSE;
            self.since = revision(&text).or(self.since.take());
            if self.print(&text)? == Printed::NobodyReads || self.left == Some(0) {
                return Ok(End::Done);
            }
        }
    }

    fn print(&mut self, text: &str) -> Result<Printed, Failure> {
        self.left = self.left.map(|left| left - 1);
        match io::stdout().is_terminal() {
            true => print(&format!("{}\n", neutral(text))),
            false => print(&format!("{text}\n")),
        }
    }
}

/// What trying again cannot mend ends the command.
fn closed(code: u16, reason: &str) -> Result<End, Failure> {
    let text = format!(
        "closed by the daemon: {}",
        format!("{code} {reason}").trim_end()
    );
    match code {
        close::TOPIC_GONE => Err(Failure::new(text)),
        _ => Ok(End::Lost(text)),
    }
}

fn say(line: &str) {
    // Nobody may be reading stderr.
    let _ = writeln!(io::stderr(), "{}", neutral(line));
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

/// A page or socket link, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    authority: String,
    path: String,
    token: Option<Token>,
}

impl Link {
    fn read(url: &str) -> Result<Link, Failure> {
        let wrong = |reason: &str| {
            let text = format!("{url}: {reason}: give a link like http://192.168.1.20:9876/");
            Failure::with(Exit::Usage, text)
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("ws", url));
        match scheme {
            "ws" | "http" => {}
            "wss" | "https" => {
                return Err(wrong(
                    "with TLS, only the daemon of this machine can be viewed, without a URL",
                ));
            }
            _ => return Err(wrong("no link to a daemon")),
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (authority, path) = rest
            .find(['/', '?'])
            .map_or((rest, ""), |at| rest.split_at(at));
        if authority.is_empty() {
            return Err(wrong("no host"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Link {
            authority: with_port(authority),
            path: format!("{slash}{path}"),
            token: fragment.strip_prefix("t=").map(Token::new),
        })
    }
}

fn with_port(authority: &str) -> String {
    match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:80"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(url: &str) -> (String, String, Option<Token>) {
        let link = Link::read(url).unwrap();
        (link.authority, link.path, link.token)
    }

    #[test]
    fn page_and_socket_links_are_understood() {
        let plain = ("10.0.0.5:9876".to_owned(), "/".to_owned(), None);
        for url in [
            "http://10.0.0.5:9876/",
            "ws://10.0.0.5:9876",
            "10.0.0.5:9876",
        ] {
            assert_eq!(link(url), plain, "{url}");
        }
        let (_, path, token) = link("http://10.0.0.5:9876/?topic=a#t=secret");
        assert_eq!(
            (path.as_str(), token),
            ("/?topic=a", Some(Token::new("secret")))
        );
        assert_eq!(link("http://[fe80::1]:9/").0, "[fe80::1]:9");
        assert_eq!(link("http://preview.local").0, "preview.local:80");
    }

    #[test]
    fn what_cannot_be_a_daemon_is_refused() {
        for url in ["https://10.0.0.5/", "ftp://10.0.0.5", "http://", "#t=x"] {
            assert_eq!(Link::read(url).unwrap_err().exit, Exit::Usage, "{url}");
        }
    }

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
        assert!(matches!(closed(1001, "stopping"), Ok(End::Lost(_))));
        assert_eq!(revision("{\"revision\":\"17\"}").as_deref(), Some("17"));
        assert_eq!(revision("plain text"), None);
    }
}
