//! What a running daemon says: to people on stderr, to programs on stdout.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use tracing::Level;

use super::arguments::RunArgs;
use super::failure::Failure;
use super::streams::print;
use crate::options::{ClusterOptions, Options, Page, RoomOptions, Source};
use crate::program::config::{Loaded, Place, Qr};
use crate::program::terminal::screen::Screen;
use crate::program::terminal::{self, banner, log, neutral};
use crate::server::{Links, Server, source_topics};
use crate::state::name::TopicName;

pub struct Output {
    pub screen: Screen,
    pub level: Level,
    /// What the code leads to.
    pub qr: Qr,
    qr_wanted: bool,
    json: bool,
    keys: bool,
    subject: String,
    /// Those of the sources, which need not have a session yet.
    topics: Vec<TopicName>,
    /// The party of rooms; what stands for it where there are several. None without rooms.
    party: Option<String>,
    /// The servers of NATS and the bucket, in a cluster.
    cluster: Option<(String, String)>,
}

impl Output {
    pub fn of(loaded: &Loaded, running: &RunArgs) -> Output {
        let options = &loaded.settings.options;
        Output {
            screen: Screen::stderr(),
            level: log::level(running.verbose, running.quiet),
            json: running.json,
            // What is typed there may be the state.
            keys: !running.no_keys && !options.sources.contains(&Source::Stdin),
            qr: loaded.settings.qr,
            qr_wanted: *loaded.place("qr") != Place::Default,
            subject: subject(options),
            topics: source_topics(options),
            party: party(&options.rooms),
            cluster: cluster(&options.cluster),
        }
    }

    fn is_quiet(&self) -> bool {
        self.level == Level::ERROR
    }

    /// Whether revisions are told.
    pub fn is_verbose(&self) -> bool {
        self.level > Level::INFO
    }

    /// Whether there is a terminal that live lines belong on.
    pub fn is_looked_at(&self) -> bool {
        self.screen.is_terminal() && !self.is_quiet()
    }

    /// Whether keys were not declined, and what they do would be seen.
    pub fn wants_keys(&self) -> bool {
        self.keys && self.is_looked_at()
    }

    /// Tells whoever sits at the terminal; the log, where there is none.
    pub fn say(&self, text: &str) {
        match self.screen.is_terminal() {
            true => self.screen.print(&format!("{}\n", neutral(text))),
            false => tracing::info!("{text}"),
        }
    }

    pub fn announce(&self, server: &Server) -> Result<(), Failure> {
        self.greet(server, None);
        if self.json {
            let mut ready =
                json!({"event": "ready", "urls": server.status().urls, "port": server.port()});
            if let Some(token) = server.host_token() {
                ready["hostToken"] = token.reveal().into();
            }
            print(&format!("{ready}\n"))?;
        }
        Ok(())
    }

    /// Tells people where to find it; while it is running, only what differs from `before`.
    pub fn greet(&self, server: &Server, before: Option<&Links>) {
        if self.is_quiet() {
            return;
        }
        let links = server.links();
        if self.screen.is_terminal() {
            return self.screen.print(&self.banner(server, &links));
        }
        if before.map(public) != Some(public(&links)) {
            let (page, socket) = public(&links);
            let party = self.party.as_deref();
            let room = party.map(|party| banner::room_socket(&links, party));
            tracing::info!(page, socket, room, "serving {}", self.subject);
        }
        let is_new = before.map(|before| &before.page) != Some(&links.page);
        if let Some(code) = self.code(&links).filter(|_| is_new) {
            self.screen.print(&code);
        }
    }

    fn banner(&self, server: &Server, links: &Links) -> String {
        let found = banner::Found {
            subject: &self.subject,
            links,
            topics: &self.topics(server),
            party: self.party.as_deref(),
            cluster: self.cluster.clone(),
            is_guarded: server.host_token().is_some(),
            qr: self.qr,
        };
        banner::text(&found, terminal::size(), self.screen.paint())
    }

    /// Those besides the default one.
    fn topics(&self, server: &Server) -> Vec<TopicName> {
        let status = server.status();
        let names = status.topics.iter().map(|topic| topic.topic.parse());
        let all: BTreeSet<TopicName> = names.flatten().chain(self.topics.clone()).collect();
        let others = all.into_iter();
        others
            .filter(|topic| topic.as_str() != status.default_topic)
            .collect()
    }

    /// In a log, when it was asked for.
    fn code(&self, links: &Links) -> Option<String> {
        let text = banner::target(links, self.qr).filter(|_| self.qr_wanted)?;
        Some(banner::code(text, None) + "\n")
    }
}

/// Page and socket without tokens, which stay out of log files: `onlooker token` prints the
/// host's.
fn public(links: &Links) -> (&str, &str) {
    (links.page.without_token(), &links.socket)
}

fn party(rooms: &RoomOptions) -> Option<String> {
    match rooms.parties.as_slice() {
        _ if rooms.channels.is_empty() => None,
        [only] => Some(only.clone()),
        _ => Some("PARTY".to_owned()),
    }
}

/// Where the daemons of the cluster meet, without passwords.
fn cluster(options: &ClusterOptions) -> Option<(String, String)> {
    let servers: Vec<String> = options.servers.iter().map(ToString::to_string).collect();
    (!servers.is_empty()).then(|| (servers.join(","), options.bucket.clone()))
}

/// What is served, in a few words.
fn subject(options: &Options) -> String {
    let name = |source: &Source| match source {
        Source::Stdin => "stdin".to_owned(),
        Source::Relay(upstream) => format!("relay of {upstream}"),
        Source::File(path) => path
            .file_name()
            .unwrap_or(Path::new(path).as_os_str())
            .to_string_lossy()
            .into_owned(),
    };
    match (&options.page, options.sources.as_slice()) {
        (Page::Demo, _) => "the demo".to_owned(),
        (_, []) => "no source: waiting for a host".to_owned(),
        (_, sources) => sources.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_what_is_served() {
        let mut options = Options::default();
        assert_eq!(subject(&options), "no source: waiting for a host");
        options.sources = vec![Source::File("a/state.json".into()), Source::Stdin];
        assert_eq!(subject(&options), "state.json, stdin");
        options.page = Page::Demo;
        assert_eq!(subject(&options), "the demo");
    }
}
