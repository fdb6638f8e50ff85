//! `onlooker serve` and `onlooker demo`: from start to orderly stop.

use clap::ArgMatches;

use super::output::Output;
use super::reload::Configuration;
use super::runtime_dir::TokenFile;
use super::signals::{Signal, Signals};
use super::{Exit, Failure, arguments, block_on};
use crate::options::{HostToken, Options, Page};
use crate::program::config::{FILE_VARIABLE, Loaded, keys};
use crate::program::terminal::log;
use crate::server::{Server, StartError};

/// Shorter tokens of one's own can be guessed.
const GOOD_TOKEN: usize = 22;

/// `onlooker serve`.
pub fn serve(matches: &ArgMatches) -> Result<(), Failure> {
    start(matches, |_| {})
}

/// `onlooker demo`.
pub fn demo(matches: &ArgMatches) -> Result<(), Failure> {
    start(matches, |loaded: &mut Loaded| {
        let options = &mut loaded.settings.options;
        options.page = Page::Demo;
        options.sources.clear();
    })
}

fn start(matches: &ArgMatches, adapt: fn(&mut Loaded)) -> Result<(), Failure> {
    let configuration = Configuration::load(matches, adapt)?;
    let loaded = configuration.now();
    let output = Output::of(loaded, matches);
    log::start(&output.screen, loaded.settings.log_format, output.verbosity);
    warn_of_misspelt_variables();
    raise_file_limit();
    block_on(run(configuration, output))
}

async fn run(mut configuration: Configuration<'_>, output: Output) -> Result<(), Failure> {
    // First of all: from here on, a signal means an orderly stop.
    let mut signals = Signals::listen()?;
    warn_of_short_tokens(configuration.options());
    let server = tokio::select! {
        server = Server::start(configuration.options().clone()) => server.map_err(failure)?,
        () = signals.sent() => return Ok(()),
    };
    let mut token = keep_token(&server);
    output.announce(&server)?;
    while output.watch(&server, &mut signals).await == Signal::Reload {
        tokio::select! {
            () = reload(&mut configuration, &server, &mut token, &output) => {}
            // What is read may be on a disk that does not answer.
            () = signals.sent() => break,
        }
    }
    output.screen.clear();
    tracing::info!("stopping");
    tokio::select! {
        () = server.stop() => Ok(()),
        () = signals.sent() => Err(Failure::new("stopped at once by a second signal")),
    }
}

/// Says in a line what came of it.
async fn reload(
    configuration: &mut Configuration<'_>,
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
            tracing::info!("the configuration was read again: {news}");
            warn_of_short_tokens(configuration.options());
            if reloaded.links {
                output.greet(server, Some(&links));
            }
        }
        Err(Failure { text, .. }) => {
            tracing::warn!("nothing was taken over, all stays as it was: {text}");
        }
    }
}

/// Why it does not start, or is not changed, and the code to end with.
pub fn failure(error: StartError) -> Failure {
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
                "{key} is short: {GOOD_TOKEN} random characters cannot be guessed, random makes such a one"
            );
        }
    }
}

/// A variable that is nearly a key is most likely meant to be one.
fn warn_of_misspelt_variables() {
    let keys = keys::KEYS.iter().map(keys::Key::variable);
    let known: Vec<String> = keys.chain([FILE_VARIABLE.to_owned()]).collect();
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
    let kept = TokenFile::keep(server.port(), &server.host_token()?);
    kept.inspect_err(|error| {
        tracing::warn!("the host token is not kept for `onlooker push`: {error}");
    })
    .ok()
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
}
