//! The text of the configuration file while it is read: it gives every fault its line.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::forms::{Form, Look, Shape, one};
use super::nearest::nearest;
use super::place::{ConfigError, Place};
use crate::state::fields::Field;

/// A file's text.
pub struct Toml<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

/// A name in it.
pub type Name<'a> = Spanned<Cow<'a, str>>;

impl Toml<'_> {
    pub fn line(&self, span: Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(span.start);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    pub fn fault(&self, span: Range<usize>, reason: &str) -> ConfigError {
        let place = Place::File(self.path.to_owned(), self.line(span));
        let text = format!("{place}: {reason}");
        ConfigError { place, text }
    }

    pub fn not_toml(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        let line = self.text.lines().nth(self.line(span.clone()) - 1);
        let value = line.and_then(|line| line.split_once('='));
        let begins = |(_, value): (&str, &str)| value.trim_start().starts_with(char::is_alphabetic);
        match value.is_some_and(begins) {
            true => self.fault(span, &format!("{}: strings need quotes", error.message())),
            false => self.fault(span, error.message()),
        }
    }

    /// A name that is none of those known there: which one may be meant.
    pub fn unknown(
        &self,
        name: &Name,
        known: impl IntoIterator<Item = &'static str>,
    ) -> ConfigError {
        let word = name.get_ref();
        let nearest = nearest(&word.to_lowercase().replace('-', "_"), known);
        let (_, nearest) = nearest.unwrap_or_default();
        let reason = format!("unknown key {word:?}: the nearest known one is {nearest:?}");
        self.fault(name.span(), &reason)
    }

    /// A table by its path; `like` says what one looks like.
    pub fn table<'a>(
        &self,
        path: &str,
        value: Spanned<DeValue<'a>>,
        like: &str,
    ) -> Result<DeTable<'a>, ConfigError> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.fault(span, &format!("{path}: give a table, like {like}"))),
        }
    }

    /// A table of fields, in the order they are written.
    pub fn fields(
        &self,
        path: &str,
        value: Spanned<DeValue>,
        like: &str,
    ) -> Result<IndexMap<String, Field>, ConfigError> {
        let field = |(name, written): (Name, Spanned<DeValue>)| {
            let place = name.span();
            let field = read_field(written).map_err(|reason| {
                self.fault(place, &format!("{path}.{}: {reason}", name.get_ref()))
            })?;
            Ok((name.get_ref().to_string(), field))
        };
        let table = self.table(path, value, like)?;
        table.into_iter().map(field).collect()
    }

    /// A value as texts, which is what flags and variables give.
    pub fn texts(
        &self,
        path: &str,
        look: &Look,
        value: &Spanned<DeValue>,
    ) -> Result<Vec<String>, ConfigError> {
        texts(look, value.get_ref())
            .map_err(|reason| self.fault(value.span(), &format!("{path}: {reason}")))
    }

    /// A value that has no key.
    pub fn value<T>(
        &self,
        path: &str,
        form: &Form<T>,
        value: &Spanned<DeValue>,
    ) -> Result<T, ConfigError> {
        let texts = self.texts(path, &form.look, value)?;
        let read = one(&texts).and_then(form.read);
        read.map_err(|reason| {
            let written = texts.join(",");
            self.fault(value.span(), &format!("{path} = {written}: {reason}"))
        })
    }
}

fn read_field(written: Spanned<DeValue>) -> Result<Field, String> {
    let value = serde_json::Value::deserialize(ValueDeserializer::from(written))
        .map_err(|error| error.message().to_owned())?;
    Field::from_written(value)
}

fn texts(look: &Look, value: &DeValue) -> Result<Vec<String>, String> {
    match value {
        DeValue::Array(items) if look.is_list() => {
            items.iter().map(|item| scalar(item.get_ref())).collect()
        }
        DeValue::Array(_) => Err("expected one value, got a list".to_owned()),
        DeValue::Boolean(on) if look.shape == Shape::Switch => Ok(vec![on.to_string()]),
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
