//! The keys of the configuration as flags. They are made from the table and not derived, so that
//! flag, variable, file and commented file stay one list; derived commands flatten them in.

use clap::error::Error;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use toml::Value;

use crate::program::config::Shape;
use crate::program::config::keys::{KEYS, Key};

/// What was typed for each key that has a flag.
pub struct KeyFlags(pub Vec<(&'static str, Vec<String>)>);

impl Args for KeyFlags {
    fn augment_args(command: Command) -> Command {
        let keys = KEYS
            .iter()
            .filter(|key| key.look.shape != Shape::Positional);
        command.args(keys.map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        KeyFlags::augment_args(command)
    }
}

impl FromArgMatches for KeyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<KeyFlags, Error> {
        let typed = |key: &Key| {
            let values = matches.try_get_many::<String>(key.name).ok().flatten()?;
            let by_hand = matches.value_source(key.name) == Some(ValueSource::CommandLine);
            by_hand.then(|| (key.name, values.cloned().collect()))
        };
        Ok(KeyFlags(KEYS.iter().filter_map(typed).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = KeyFlags::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(key: &'static Key) -> Arg {
    let arg = Arg::new(key.name)
        .value_name(key.look.value)
        .help(help(key))
        .help_heading(key.group)
        .long(key.long());
    match key.look.shape {
        Shape::Many => arg.action(ArgAction::Append),
        Shape::Optional(value) => arg.num_args(0..=1).default_missing_value(value),
        // Without the equals sign, what follows is a source.
        Shape::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Shape::Positional | Shape::One => arg,
    }
}

pub fn help_of(name: &str) -> String {
    Key::named(name).map(help).unwrap_or_default()
}

/// The help with the default, which the code knows.
fn help(key: &Key) -> String {
    let default = match key.default() {
        Value::String(text) if text.is_empty() => "not set".to_owned(),
        Value::Array(_) => "none".to_owned(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    let sentence = key.help().trim_end_matches('.');
    format!("{sentence} [default: {default}]")
}
