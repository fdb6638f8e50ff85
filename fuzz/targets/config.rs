//! Flags over variables over a file: what is accepted is written as it reads back, and no
//! token is told, neither by an error nor by what is shown.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use onlooker::program::config::file::File;
use onlooker::program::config::keys::{KEYS, Key};
use onlooker::program::config::{Loaded, Settings, show};
use toml::Value;

const PATH: &str = "fuzz.toml";

/// The lines `key=value` of one place.
struct Typed<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Typed<'a> {
    fn new(text: &'a str) -> Typed<'a> {
        Typed(
            text.lines()
                .filter_map(|line| line.split_once('='))
                .collect(),
        )
    }

    fn values(&self, key: &Key) -> Option<Vec<&'a str>> {
        let mine = self.0.iter().filter(|(name, _)| *name == key.name);
        let values: Vec<&str> = mine.map(|(_, value)| *value).collect();
        (!values.is_empty()).then_some(values)
    }
}

// A file, a NUL, variables, a NUL, flags.
fuzz_target!(|text: &str| {
    let mut parts = text.split('\0');
    let written = parts.next().unwrap_or_default();
    let variables = Typed::new(parts.next().unwrap_or_default());
    let typed = Typed::new(parts.next().unwrap_or_default());
    let flags = |key: &Key| Some(typed.values(key)?.into_iter().map(str::to_owned).collect());
    let env = |key: &Key| Some(key.split(variables.values(key)?.last()?));
    let file = match File::parse(Path::new(PATH), written) {
        Ok(file) => Some(file),
        Err(error) => {
            assert!(error.text.starts_with(PATH), "{}", error.text);
            None
        }
    };
    match Loaded::resolve(&flags, &env, file.as_ref()) {
        Ok(loaded) => check(&loaded, text),
        Err(error) => {
            for key in KEYS.iter().filter(|key| key.look.secret) {
                let tokens = [&flags as &dyn Fn(&Key) -> Option<Vec<String>>, &env];
                let tokens = tokens.iter().filter_map(|typed| typed(key)).flatten();
                // A token that stands elsewhere too is no secret.
                let tokens = tokens.filter(|token| text.matches(token.as_str()).count() == 1);
                tokens.for_each(|token| untold(&error.text, &token));
            }
        }
    }
});

fn check(loaded: &Loaded, text: &str) {
    let mut again = Settings::default();
    for key in KEYS {
        let value = (key.show)(&loaded.settings);
        let texts = texts(&value);
        (key.read)(&mut again, &texts).unwrap_or_else(|error| panic!("{}: {error}", key.name));
        assert_eq!((key.show)(&again), value, "{}", key.name);
    }
    let shown = show::effective(loaded);
    for key in KEYS.iter().filter(|key| key.look.secret) {
        let tokens = texts(&(key.show)(&loaded.settings)).into_iter();
        let tokens = tokens.filter(|token| text.matches(token.as_str()).count() == 1);
        tokens.for_each(|token| untold(&shown, &token));
    }
    let file =
        File::parse(Path::new(""), &shown).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    let nobody = |_: &Key| None;
    let again = Loaded::resolve(&nobody, &nobody, Some(&file));
    let again = again.unwrap_or_else(|error| panic!("{error}\n{shown}"));
    let values = |loaded: &Loaded| {
        let open = KEYS.iter().filter(|key| !key.look.secret);
        open.map(|key| (key.show)(&loaded.settings))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(loaded), "{shown}");
    let fields = |loaded: &Loaded| format!("{:?}", loaded.settings.options.fields);
    assert_eq!(fields(&again), fields(loaded), "{shown}");
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

/// A word like `random` may be found in any text.
fn untold(text: &str, token: &str) {
    let telling = token.len() >= 8 && token.starts_with("secret-");
    assert!(!telling || !text.contains(token), "{text}");
}
