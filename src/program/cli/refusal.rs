//! Why a daemon does not start, in the program's words: the library names options, the program
//! adds flags.

use clap::Command;

use super::arguments::CommandLine;
use super::failure::{Exit, Failure};
use crate::program::config::keys::Key;
use crate::program::config::{Shape, meant};
use crate::server::StartError;

/// Why it does not start, or is not changed, and the code to end with.
pub fn failure(error: &StartError) -> Failure {
    match error {
        StartError::AddressInUse { address } => Failure::with(
            Exit::AddressInUse,
            format!(
                "{address} is in use: stop the other program, or choose another port with --port (0 picks a free one)"
            ),
        ),
        StartError::InputMissing { path, .. } => {
            let hint = mistyped(&path.to_string_lossy());
            Failure::with(Exit::InputMissing, format!("{error}{hint}"))
        }
        StartError::Invalid(invalid) => {
            let text = match Key::of_option(invalid.option) {
                Some(key) if key.look.shape == Shape::Positional => invalid.reason.clone(),
                Some(key) => format!("{}: {}", key.flag(), invalid.reason),
                None => invalid.to_string(),
            };
            Failure::with(Exit::BadConfiguration, text)
        }
        StartError::Certificate(_) | StartError::Demo(_) => {
            Failure::with(Exit::BadConfiguration, error.to_string())
        }
        StartError::Store(_) | StartError::Io { .. } => Failure::new(error.to_string()),
    }
}

/// Every port that may be chosen without being named is taken.
pub fn all_in_use(first: u16, last: u16) -> Failure {
    Failure::with(
        Exit::AddressInUse,
        format!(
            "the ports {first} to {last} are all in use: stop one of those programs, or choose another port with --port (0 picks a free one)"
        ),
    )
}

/// A mistyped command is taken for a source: says which one may be meant.
fn mistyped(word: &str) -> String {
    let shape = CommandLine::shape();
    let near = meant(word, shape.get_subcommands().map(Command::get_name));
    match near {
        Some(name) if name == word => {
            format!("; the command {name} comes before all flags: onlooker {name} …")
        }
        Some(name) => format!("; did you mean the command onlooker {name}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(path: &str) -> Failure {
        failure(&StartError::InputMissing {
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
    fn the_library_s_words_get_the_flag_s_name() {
        let options = crate::options::Options {
            flow: crate::options::Flow {
                after_durable: true,
                ..Default::default()
            },
            ..Default::default()
        };
        let invalid = options.check().unwrap_err();
        let failure = failure(&invalid.into());
        assert_eq!(failure.exit, Exit::BadConfiguration);
        assert_eq!(
            failure.text,
            "--show-after-durable: nothing is durable without a store (--store)"
        );
    }
}
