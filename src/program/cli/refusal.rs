//! Why a daemon does not start, in the program's words: the library names options, the program
//! adds flags.

use std::path::Path;

use clap::Command;

use super::arguments::CommandLine;
use super::failure::{Exit, Failure};
use crate::program::config::keys::Key;
use crate::program::config::{Shape, meant};
use crate::server::StartError;
use crate::source::document::Format;

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
            let hint = if path.exists() {
                String::new()
            } else {
                intended(path)
            };
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

/// A mistyped command is taken for a source: says which one may be meant, or which file.
fn intended(path: &Path) -> String {
    let shape = CommandLine::shape();
    let word = path.to_string_lossy();
    let near_command = meant(&word, shape.get_subcommands().map(Command::get_name));
    match near_command {
        Some(name) if name == word => {
            format!("; the command {name} comes before all flags: onlooker {name} …")
        }
        near_command => near(path).unwrap_or_else(|| match near_command {
            Some(name) => format!("; did you mean the command onlooker {name}?"),
            None => String::new(),
        }),
    }
}

/// How many names of a folder are compared.
const MANY_NAMES: usize = 10_000;

/// Which file may be meant by the name of one that is not there: one that is nearly called so,
/// or that has the same name and an extension that is read.
pub fn near(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let files = entries.take(MANY_NAMES).flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    let is_read = |name: &String| Format::named(Path::new(name)).is_some();
    let mut names: Vec<String> = names.filter(is_read).collect();
    names.sort();
    let stem = path.file_stem();
    let same_stem = || {
        names
            .iter()
            .find(|name| Path::new(name).file_stem() == stem)
    };
    let found = meant(&name, &names).or_else(same_stem)?;
    let found = path.with_file_name(found);
    (!path.exists()).then(|| format!("; did you mean {}?", found.display()))
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
    fn a_mistyped_file_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["state.yaml", "wave.json", "wave.png"] {
            std::fs::write(at(name), "").unwrap();
        }
        for (name, meant) in [
            ("stat.yaml", "state.yaml"),
            ("state.yml", "state.yaml"),
            ("wave", "wave.json"),
            ("wave.toml", "wave.json"),
        ] {
            let expected = format!("; did you mean {}?", at(meant).display());
            assert_eq!(near(&at(name)), Some(expected), "{name}");
        }
        for other in [
            "measurements.json",
            "wave.json",
            "wave.png",
            "no/state.yaml",
        ] {
            assert_eq!(near(&at(other)), None, "{other}");
        }
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
