//! `onlooker serve` and `onlooker demo`: from start to orderly stop.

use std::path::Path;
use std::time::Duration;

use clap::ArgMatches;
use serde_json::json;
use tokio::sync::watch;

use super::runtime_dir::TokenFile;
use super::signals::Signals;
use super::{Exit, Failure, arguments, block_on, print};
use crate::access;
use crate::config::{Loaded, Place, Qr, ViewerToken, keys};
use crate::options::{Options, Page, Source};
use crate::server::{Server, StartError};
use crate::terminal;
use crate::terminal::banner::{self, Banner};
use crate::terminal::log::{self, Verbosity};
use crate::terminal::screen::Screen;
use crate::terminal::status::{self, Facts};

/// The live line is not redrawn more often, however many changes there are.
const CALM: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_secs(1);
/// Shorter tokens of one's own can be guessed.
const GOOD_TOKEN: usize = 22;

/// What is told about a run, and where.
struct Output {
    screen: Screen,
    verbosity: Verbosity,
    json: bool,
    qr: Qr,
    qr_wanted: bool,
    subject: String,
    topic: String,
}

/// `onlooker serve`.
pub fn serve(loaded: Loaded, matches: &ArgMatches) -> Result<(), Failure> {
    let output = Output::of(&loaded, matches);
    log::start(&output.screen, loaded.settings.log_format, output.verbosity);
    warn_of_misspelt_variables();
    raise_file_limit();
    let options = options(loaded)?;
    block_on(run(options, output))
}

/// `onlooker demo`.
pub fn demo(mut loaded: Loaded, matches: &ArgMatches) -> Result<(), Failure> {
    let options = &mut loaded.settings.options;
    options.page = Page::Demo;
    options.sources.clear();
    serve(loaded, matches)
}

async fn run(options: Options, output: Output) -> Result<(), Failure> {
    // First of all: from here on, a signal means an orderly stop.
    let mut signals = Signals::listen()?;
    let server = tokio::select! {
        server = Server::start(options) => server.map_err(failure)?,
        () = signals.next() => return Ok(()),
    };
    let _token = keep_token(&server);
    output.announce(&server)?;
    output.watch(&server, &mut signals).await;
    output.screen.clear();
    tracing::info!("stopping");
    tokio::select! {
        () = server.stop() => Ok(()),
        () = signals.next() => Err(Failure::new("stopped at once by a second signal")),
    }
}

fn failure(error: StartError) -> Failure {
    let exit = match &error {
        StartError::AddressInUse { .. } => Exit::AddressInUse,
        StartError::InputMissing { .. } => Exit::InputMissing,
        StartError::Invalid(_) => Exit::BadConfiguration,
        _ => Exit::Failure,
    };
    Failure::with(exit, format!("{error}{}", hint(&error)))
}

/// Who mistypes a command gets it taken for a source.
fn hint(error: &StartError) -> String {
    let StartError::InputMissing { path, .. } = error else {
        return String::new();
    };
    let word = path.to_string_lossy();
    let command = arguments::command();
    let names = command.get_subcommands().map(|command| command.get_name());
    let near = names
        .filter(|name| strsim::damerau_levenshtein(name, &word) <= 2)
        .max_by(|a, b| {
            let likeness = |name: &str| strsim::normalized_damerau_levenshtein(name, &word);
            likeness(a).total_cmp(&likeness(b))
        });
    match near {
        Some(name) if name == word => {
            format!("; the command {name} comes before all flags: onlooker {name} …")
        }
        Some(name) => format!("; did you mean the command onlooker {name}?"),
        None => String::new(),
    }
}

fn options(loaded: Loaded) -> Result<Options, Failure> {
    let mut options = loaded.settings.options;
    options.access.viewer_token = match loaded.settings.viewer_token {
        ViewerToken::None => None,
        ViewerToken::Given(token) => Some(token),
        ViewerToken::Random => Some(access::random_token().map_err(|error| {
            Failure::new(format!("the system has no random token to give: {error}"))
        })?),
    };
    warn_of_short_tokens(&options);
    Ok(options)
}

fn warn_of_short_tokens(options: &Options) {
    let host = match &options.access.host_token {
        crate::options::HostToken::Given(token) => Some(token),
        _ => None,
    };
    let tokens = [
        ("host_token", host),
        ("viewer_token", options.access.viewer_token.as_ref()),
    ];
    for (key, token) in tokens {
        if token.is_some_and(|token| token.len() < GOOD_TOKEN) {
            tracing::warn!(
                "{key} is short: {GOOD_TOKEN} random characters cannot be guessed, random makes such a one"
            );
        }
    }
}

/// A variable that is nearly a key is most likely meant to be one.
fn warn_of_misspelt_variables() {
    let known: Vec<String> = keys::KEYS.iter().map(keys::Key::variable).collect();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| name.starts_with("ONLOOKER_") && !known.contains(name)) {
        let near = known
            .iter()
            .find(|known| strsim::damerau_levenshtein(known, &name) <= 2);
        if let Some(near) = near {
            tracing::warn!("the variable {name} is unknown: the nearest known one is {near}");
        }
    }
}

/// A viewer is a file to the system.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "open-file limit"),
        Err(error) => tracing::warn!("the open-file limit stays as it is: {error}"),
    }
}

/// Without the file the daemon is as well; only the other commands need the token from hand.
fn keep_token(server: &Server) -> Option<TokenFile> {
    let kept = TokenFile::keep(server.port(), server.host_token()?);
    kept.inspect_err(|error| {
        tracing::warn!("the host token is not kept for `onlooker push`: {error}");
    })
    .ok()
}

impl Output {
    fn of(loaded: &Loaded, matches: &ArgMatches) -> Output {
        let verbose = matches.get_count("verbose");
        let options = &loaded.settings.options;
        Output {
            screen: Screen::stderr(),
            verbosity: Verbosity::of(verbose, arguments::is_set(matches, "quiet")),
            json: arguments::is_set(matches, "json"),
            qr: loaded.settings.qr,
            qr_wanted: *loaded.place("qr") != Place::Default,
            subject: subject(options),
            topic: options.topic.to_string(),
        }
    }

    fn is_quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    /// Tells people on stderr and programs on stdout that it runs.
    fn announce(&self, server: &Server) -> Result<(), Failure> {
        let links = server.links();
        if !self.is_quiet() {
            self.greet(server);
        }
        if self.json {
            let mut ready =
                json!({"event": "ready", "urls": server.status().urls, "port": server.port()});
            if let Some(token) = server.host_token() {
                ready["hostToken"] = token.into();
            }
            print(&format!("{ready}\n"))?;
        }
        if links.candidates.is_empty() {
            tracing::warn!("no address found for viewers: name one with --advertise");
        }
        Ok(())
    }

    fn greet(&self, server: &Server) {
        let links = server.links();
        if self.screen.is_terminal() {
            let banner = Banner {
                subject: self.subject.clone(),
                page: &links.page,
                socket: &links.socket,
                host: &links.host,
                guarded: server.host_token().is_some(),
                candidates: &links.candidates,
            };
            self.screen.print(&banner.text(self.screen.paint()));
        } else {
            // Tokens stay out of log files: `onlooker token` prints the host's.
            let page = links.page.split('#').next().unwrap_or_default();
            tracing::info!(page, socket = links.socket, "serving {}", self.subject);
        }
        if let Some(code) = self.code(&links) {
            self.screen.print(&code);
        }
    }

    /// On a terminal, or where it was asked for.
    fn code(&self, links: &crate::server::Links) -> Option<String> {
        let text = match self.qr {
            Qr::Page => &links.page,
            Qr::Ws => &links.socket,
            Qr::None => return None,
        };
        let is_terminal = self.screen.is_terminal();
        let columns = terminal::width().filter(|_| is_terminal);
        (is_terminal || self.qr_wanted).then(|| banner::code(text, columns) + "\n")
    }

    /// Keeps the live line true until a signal comes.
    async fn watch(&self, server: &Server, signals: &mut Signals) {
        if !self.screen.is_terminal() || self.is_quiet() {
            return signals.next().await;
        }
        let mut changes = server.changes();
        loop {
            self.screen.show(&self.line(server));
            tokio::select! {
                () = signals.next() => return,
                () = next(&mut changes) => tokio::time::sleep(CALM).await,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    fn line(&self, server: &Server) -> String {
        let status = server.status();
        let own = status.topics.iter().find(|topic| topic.topic == self.topic);
        let facts = Facts {
            devices: status.client_count,
            topics: status.topics.len(),
            revision: own
                .or(status.topics.first())
                .map(|topic| topic.revision.clone()),
            last_push: status.last_push,
        };
        status::line(&facts, terminal::width().unwrap_or(80))
    }
}

/// A change; for ever, when there can be none any more.
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

    fn missing(path: &str) -> Failure {
        failure(StartError::InputMissing {
            path: path.into(),
            reason: "no such file".into(),
        })
    }

    #[test]
    fn a_mistyped_command_is_recognised() {
        assert_eq!(missing("statu").exit, Exit::InputMissing);
        assert!(
            missing("statu")
                .text
                .ends_with("did you mean the command onlooker status?")
        );
        assert!(missing("status").text.contains("comes before all flags"));
        assert!(missing("measurements.json").text.ends_with("no such file"));
    }

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
