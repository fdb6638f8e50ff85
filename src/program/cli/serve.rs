//! `onlooker serve` and `onlooker demo`: from start to orderly stop.

use std::time::Duration;

use super::arguments::{RunArgs, ServeArgs};
use super::console::Console;
use super::failure::Failure;
use super::output::Output;
use super::ports;
use super::refusal;
use super::reload::Configuration;
use super::runtime::block_on;
use super::runtime_dir::TokenFile;
use super::signals::{Signal, Signals};
use super::written::Written;
use crate::options::{HostToken, Options, Page};
use crate::program::config::{FILE_VARIABLE, Loaded, Place, keys, meant};
use crate::program::terminal::log;
use crate::server::{Server, StartError};

/// How many ports after the usual one are tried.
pub const OTHER_PORTS: u16 = 9;

/// Shorter tokens that people make up can be guessed.
const GOOD_TOKEN: usize = 22;

/// A wave follows the slider that moves it.
const DEMO_WAIT: Duration = Duration::from_millis(100);

pub fn serve(args: ServeArgs) -> Result<(), Failure> {
    let (written, running) = args.split();
    start(written, &running, |_| {})
}

pub fn demo(args: RunArgs) -> Result<(), Failure> {
    let (written, running) = args.split();
    start(written, &running, |loaded: &mut Loaded| {
        let is_chosen = *loaded.place("max_wait") != Place::Default;
        let options = &mut loaded.settings.options;
        options.page = Page::Demo;
        options.sources.clear();
        if !is_chosen {
            options.flow.max_wait = Some(DEMO_WAIT);
        }
    })
}

fn start(written: Written, running: &RunArgs, adapt: fn(&mut Loaded)) -> Result<(), Failure> {
    let configuration = Configuration::load(written, adapt)?;
    let output = Output::of(&configuration.now, running);
    let format = configuration.now.settings.log_format;
    log::start(&output.screen, format, output.level);
    warn_of_misspelt_variables();
    raise_file_limit();
    block_on(run(configuration, output, running.open))
}

async fn run(mut configuration: Configuration, output: Output, open: bool) -> Result<(), Failure> {
    // First of all: from here on, a signal means an orderly stop.
    let mut signals = Signals::listen()?;
    warn_of_short_tokens(configuration.options());
    let server = tokio::select! {
        server = start_server(&configuration) => server?,
        _ = signals.sent() => return Ok(()),
    };
    let mut token = keep_token(&server);
    output.announce(&server)?;
    let mut console = Console::new(&output, &server, &mut signals);
    if open {
        console.open_page();
    }
    let signal = loop {
        let signal = console.watch(&mut signals).await;
        if signal != Signal::Reload {
            break signal;
        }
        tokio::select! {
            () = reload(&mut configuration, &server, &mut token, &output) => {}
            // The file may be on a disk that does not answer.
            signal = signals.sent() => break signal,
        }
    };
    output.screen.clear();
    drop(console);
    if signal == Signal::Quit {
        return Err(Failure::new("stopped at once by SIGQUIT"));
    }
    tracing::info!("stopping");
    stop(server, &mut signals).await
}

/// Stops in order, unless somebody cannot wait for that.
pub async fn stop(server: Server, signals: &mut Signals) -> Result<(), Failure> {
    tokio::select! {
        () = server.stop() => Ok(()),
        _ = signals.sent() => Err(Failure::new("stopped at once by a second signal")),
    }
}

/// Starts the server; on the next free port, if the usual one is in use and nobody has named it.
async fn start_server(configuration: &Configuration) -> Result<Server, Failure> {
    let (options, named) = (configuration.options(), configuration.now.place("port"));
    if *named != Place::Default {
        let server = Server::start(options.clone()).await;
        return server.map_err(|error| refusal::failure(&error));
    }
    let usual = options.port;
    let server = ports::start(options, OTHER_PORTS, None).await;
    let server = server.map_err(|error| match error {
        StartError::AddressInUse { address } => refusal::all_in_use(usual, address.port()),
        error => refusal::failure(&error),
    })?;
    let port = server.port();
    if port != usual {
        tracing::warn!(
            "{usual} is in use, so this daemon is at {port}; other commands need --port {port}"
        );
    }
    Ok(server)
}

/// Reads the configuration again, and logs one line about what came of it.
async fn reload(
    configuration: &mut Configuration,
    server: &Server,
    token: &mut Option<TokenFile>,
    output: &Output,
) {
    let (before, links) = (server.host_token(), server.links());
    match configuration.reload(server).await {
        Ok((reloaded, news)) => {
            if server.host_token() != before {
                *token = keep_token(server);
            }
            tracing::info!("configuration reloaded: {news}");
            warn_of_short_tokens(configuration.options());
            if reloaded.links {
                output.greet(server, Some(&links));
            }
        }
        Err(Failure { text, .. }) => {
            tracing::warn!("configuration not reloaded, everything stays as it was: {text}");
        }
    }
}

fn warn_of_short_tokens(options: &Options) {
    let host = match &options.access.host_token {
        HostToken::Given(token) => Some(token),
        _ => None,
    };
    let tokens = [
        ("host_token", host),
        ("viewer_token", options.access.viewer_token.as_ref()),
    ];
    for (key, token) in tokens {
        if token.is_some_and(|token| token.reveal().len() < GOOD_TOKEN) {
            tracing::warn!(
                "{key} is short: {GOOD_TOKEN} random characters cannot be guessed, and random makes such a token"
            );
        }
    }
}

/// A variable that is nearly a key's is most likely meant to be it.
fn warn_of_misspelt_variables() {
    let keys = keys::KEYS.iter().map(keys::Key::variable);
    let known: Vec<String> = keys.chain([FILE_VARIABLE.to_owned()]).collect();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| name.starts_with("ONLOOKER_") && !known.contains(name)) {
        if let Some(near) = meant(&name, &known) {
            tracing::warn!("the variable {name} is unknown: the nearest known one is {near}");
        }
    }
}

/// To the system, each viewer is an open file.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "open-file limit"),
        Err(error) => tracing::warn!("the open-file limit stays as it is: {error}"),
    }
}

/// The daemon runs just as well without the file; only the other commands then need the token
/// from their user.
fn keep_token(server: &Server) -> Option<TokenFile> {
    let kept = TokenFile::keep(server.port(), &server.host_token()?);
    kept.inspect_err(|error| {
        tracing::warn!("the host token is not kept for `onlooker push`: {error}");
    })
    .ok()
}
