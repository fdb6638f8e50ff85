//! The configuration file: TOML in which every key is known and every fault has its line.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key};
use super::place::{ConfigError, Place};
use super::rooms::{ROOMS, Rooms};
use super::settings::Settings;
use super::text::{Name, Toml};
use crate::source::upstream::is_link;
use crate::state::fields::Field;

const FIELDS: &str = "fields";

const A_FIELD: &str = "[fields] and speed = \"number\" under it";

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
    rooms: Option<Rooms>,
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
            rooms: None,
        };
        for (name, value) in table.into_inner() {
            file.take(&toml, name, value)?;
        }
        Ok(file)
    }

    fn take(
        &mut self,
        toml: &Toml,
        name: Name,
        value: Spanned<DeValue>,
    ) -> Result<(), ConfigError> {
        let line = toml.line(name.span());
        match name.get_ref().as_ref() {
            FIELDS => self.fields = Some((line, toml.fields(FIELDS, value, A_FIELD)?)),
            ROOMS => self.rooms = Some(Rooms::read(toml, line, value)?),
            word => {
                let known = KEYS.iter().map(|key| key.name).chain([FIELDS, ROOMS]);
                let key = Key::named(word).ok_or_else(|| toml.unknown(&name, known))?;
                let values = toml.texts(key.name, &key.look, &value)?;
                let values = values.into_iter().map(|text| self.located(key, text));
                self.entries.insert(key.name, (line, values.collect()));
            }
        }
        Ok(())
    }

    /// A path in a file is relative to that file.
    fn located(&self, key: &Key, text: String) -> String {
        if !key.look.path || text.is_empty() || text == "-" || is_link(&text) {
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

    /// Puts the declared rooms where they belong; where each of their parts was written, by its
    /// path.
    pub fn rooms(&self, settings: &mut Settings) -> HashMap<String, Place> {
        let Some(rooms) = &self.rooms else {
            return HashMap::new();
        };
        settings.options.rooms = rooms.options.clone();
        let places = rooms.lines.iter();
        let places = places.map(|(path, line)| (path.clone(), self.place(*line)));
        places.collect()
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
