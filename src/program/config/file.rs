//! The configuration file: TOML in which every key is known and every fault has its line.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::forms::Shape;
use super::keys::{KEYS, Key};
use super::nearest::nearest;
use super::place::{ConfigError, Place};
use super::settings::Settings;
use crate::state::fields::Field;

const FIELDS: &str = "fields";

/// A larger file was named by mistake.
const LARGEST: u64 = 1024 * 1024;

/// What a file says, checked for shape; the values are read by their keys. It has no `Debug`,
/// because there are tokens among them.
#[derive(Clone)]
pub struct File {
    pub path: PathBuf,
    /// By the keys' names: the line, and what it says.
    entries: HashMap<&'static str, (usize, Vec<String>)>,
    fields: Option<(usize, IndexMap<String, Field>)>,
}

/// The text while it is read, which gives a fault its line.
struct Toml<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File {
    pub fn read(path: &Path) -> Result<File, ConfigError> {
        let text = read(path).map_err(|error| ConfigError {
            place: Place::File(path.to_owned(), 0),
            text: format!("cannot read the configuration {}: {error}", path.display()),
        })?;
        File::parse(path, &text)
    }

    pub fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
        let toml = Toml { path, text };
        let table = DeTable::parse(text).map_err(|error| toml.not_toml(&error))?;
        let mut file = File {
            path: path.to_owned(),
            entries: HashMap::new(),
            fields: None,
        };
        for (name, value) in table.into_inner() {
            file.take(&toml, name, value)?;
        }
        Ok(file)
    }

    fn take(
        &mut self,
        toml: &Toml,
        name: Spanned<Cow<str>>,
        value: Spanned<DeValue>,
    ) -> Result<(), ConfigError> {
        let line = toml.line(name.span());
        if name.get_ref() == FIELDS {
            self.fields = Some((line, toml.fields(value)?));
            return Ok(());
        }
        let key = Key::named(name.get_ref()).ok_or_else(|| toml.unknown(&name))?;
        let values = values(key, value.get_ref())
            .map_err(|reason| toml.fault(value.span(), &format!("{}: {reason}", key.name)))?;
        let values = values.into_iter().map(|text| self.located(key, text));
        self.entries.insert(key.name, (line, values.collect()));
        Ok(())
    }

    /// A path in a file is relative to that file.
    fn located(&self, key: &Key, text: String) -> String {
        if !key.look.path || text.is_empty() || text == "-" {
            return text;
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        folder.join(text).display().to_string()
    }

    pub fn written(&self, key: &Key) -> Option<(Place, Vec<String>)> {
        let (line, values) = self.entries.get(key.name)?;
        Some((self.place(*line), values.clone()))
    }

    /// Puts the declared whitelist where it belongs; where it was written.
    pub fn fields(&self, settings: &mut Settings) -> Option<Place> {
        let (line, fields) = self.fields.as_ref()?;
        settings.options.fields = Some(fields.clone());
        Some(self.place(*line))
    }

    fn place(&self, line: usize) -> Place {
        Place::File(self.path.clone(), line)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = fs::File::open(path)?;
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    match text.len() as u64 > LARGEST {
        true => Err(io::Error::other("it is over the limit of 1 MiB")),
        false => Ok(text),
    }
}

impl Toml<'_> {
    fn line(&self, span: Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    fn fault(&self, span: Range<usize>, reason: &str) -> ConfigError {
        let place = Place::File(self.path.to_owned(), self.line(span));
        let text = format!("{place}: {reason}");
        ConfigError { place, text }
    }

    fn not_toml(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        let line = self.text.lines().nth(self.line(span.clone()) - 1);
        let value = line.and_then(|line| line.split_once('='));
        let begins = |(_, value): (&str, &str)| value.trim_start().starts_with(char::is_alphabetic);
        match value.is_some_and(begins) {
            true => self.fault(span, &format!("{}: strings need quotes", error.message())),
            false => self.fault(span, error.message()),
        }
    }

    fn unknown(&self, name: &Spanned<Cow<str>>) -> ConfigError {
        let word = name.get_ref();
        let known = KEYS.iter().map(|key| key.name).chain([FIELDS]);
        let nearest = nearest(&word.to_lowercase().replace('-', "_"), known);
        let nearest = nearest.map_or(FIELDS, |(_, name)| name);
        let reason = format!("unknown key {word:?}: the nearest known one is {nearest:?}");
        self.fault(name.span(), &reason)
    }

    fn fields(&self, value: Spanned<DeValue>) -> Result<IndexMap<String, Field>, ConfigError> {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            return Err(self.fault(
                span,
                "fields: give a table, like [fields] and speed = \"number\" under it",
            ));
        };
        let field = |(name, written): (Spanned<Cow<str>>, Spanned<DeValue>)| {
            let place = name.span();
            let field = read_field(written).map_err(|reason| {
                self.fault(place, &format!("fields.{}: {reason}", name.get_ref()))
            })?;
            Ok((name.get_ref().to_string(), field))
        };
        table.into_iter().map(field).collect()
    }
}

fn read_field(written: Spanned<DeValue>) -> Result<Field, String> {
    let value = serde_json::Value::deserialize(ValueDeserializer::from(written))
        .map_err(|error| error.message().to_owned())?;
    Field::from_written(value)
}

/// A key's value as texts, which is what flags and variables give.
fn values(key: &Key, value: &DeValue) -> Result<Vec<String>, String> {
    match value {
        DeValue::Array(items) if key.is_list() => {
            items.iter().map(|item| scalar(item.get_ref())).collect()
        }
        DeValue::Array(_) => Err("expected one value, got a list".to_owned()),
        DeValue::Boolean(on) if key.look.shape == Shape::Switch => Ok(vec![on.to_string()]),
        value => scalar(value).map(|text| vec![text]),
    }
}

fn scalar(value: &DeValue) -> Result<String, String> {
    let kind = match value {
        DeValue::String(text) => return Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => return Ok(number.as_str().to_owned()),
        DeValue::Integer(_) => "a number that is not decimal",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Err(format!("expected a string or an integer, got {kind}"))
}
