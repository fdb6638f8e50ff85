//! What a running daemon says: to people on stderr, to programs on stdout.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tracing::Level;

use super::arguments::RunArgs;
use super::failure::Failure;
use super::signals::{Signal, Signals};
use super::streams::print;
use crate::options::{Options, Page, Source};
use crate::program::config::{Loaded, Place, Qr};
use crate::program::terminal;
use crate::program::terminal::banner;
use crate::program::terminal::log;
use crate::program::terminal::screen::Screen;
use crate::program::terminal::status;
use crate::server::{Links, Server};

/// The live line is not redrawn more often, however many changes there are.
const CALM: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_secs(1);

pub struct Output {
    pub screen: Screen,
    pub level: Level,
    json: bool,
    qr: Qr,
    qr_wanted: bool,
    subject: String,
}

impl Output {
    pub fn of(loaded: &Loaded, running: &RunArgs) -> Output {
        Output {
            screen: Screen::stderr(),
            level: log::level(running.verbose, running.quiet),
            json: running.json,
            qr: loaded.settings.qr,
            qr_wanted: *loaded.place("qr") != Place::Default,
            subject: subject(&loaded.settings.options),
        }
    }

    fn is_quiet(&self) -> bool {
        self.level == Level::ERROR
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
            let (guarded, paint) = (server.host_token().is_some(), self.screen.paint());
            self.screen
                .print(&banner::text(&self.subject, &links, guarded, paint));
        } else if before.map(public) != Some(public(&links)) {
            let (page, socket) = public(&links);
            tracing::info!(page, socket, "serving {}", self.subject);
        }
        let code = self.code(&links);
        if let Some(code) = code.filter(|_| before.map(|before| &before.page) != Some(&links.page))
        {
            self.screen.print(&code);
        }
    }

    /// On a terminal, or when it was asked for.
    fn code(&self, links: &Links) -> Option<String> {
        let text: &str = match self.qr {
            Qr::Page => &links.page,
            Qr::Ws => &links.socket,
            Qr::None => return None,
        };
        let is_terminal = self.screen.is_terminal();
        let columns = terminal::width().filter(|_| is_terminal);
        (is_terminal || self.qr_wanted).then(|| banner::code(text, columns) + "\n")
    }

    /// Keeps the live line true until a signal comes.
    pub async fn watch(&self, server: &Server, signals: &mut Signals) -> Signal {
        if !self.screen.is_terminal() || self.is_quiet() {
            return signals.next().await;
        }
        let mut changes = server.changes();
        loop {
            let width = terminal::width().unwrap_or(80);
            self.screen.show(&status::line(&server.status(), width));
            tokio::select! {
                signal = signals.next() => return signal,
                () = next(&mut changes) => tokio::time::sleep(CALM).await,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }
}

/// Page and socket without tokens, which stay out of log files: `onlooker token` prints the
/// host's.
fn public(links: &Links) -> (&str, &str) {
    let page = links.page.split('#').next().unwrap_or_default();
    (page, &links.socket)
}

/// Waits for a change; for ever, once there can be no more.
async fn next(changes: &mut watch::Receiver<()>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What is served, in a few words.
fn subject(options: &Options) -> String {
    let name = |source: &Source| match source {
        Source::Stdin => "stdin".to_owned(),
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
