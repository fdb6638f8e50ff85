//! `[rooms]` in the configuration file: rows that several people edit.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::DeValue;

use super::forms::{ACTIONS, DURATION, PARTY, SWITCH, WRITERS};
use super::nearest::meant;
use super::place::ConfigError;
use super::text::{Name, Toml};
use crate::options::RoomOptions;
use crate::state::room::{Actions, Channel, Columns, Writers, check_channel};

pub const ROOMS: &str = "rooms";

const A_ROOM: &str = "[rooms] and parties = [\"main\"] under it";
const A_CHANNEL: &str = "[rooms.channels.todos] and its columns under it";
const SOME_COLUMNS: &str = "{ id = \"string\", text = \"string\" }";

/// What a file declares, checked for shape. How many and how long is for
/// [`Options::check_values`](crate::options::Options::check_values) to say.
#[derive(Clone)]
pub struct Rooms {
    pub options: RoomOptions,
    /// Where each part was written, by its path: `rooms.channels.todos`.
    pub lines: HashMap<String, usize>,
}

impl Rooms {
    /// Reads the table, whose name stands on this line.
    pub fn read(toml: &Toml, line: usize, value: Spanned<DeValue>) -> Result<Rooms, ConfigError> {
        let mut rooms = Rooms {
            options: RoomOptions::default(),
            lines: [(ROOMS.to_owned(), line)].into(),
        };
        for (name, value) in toml.table(ROOMS, value, A_ROOM)? {
            let path = rooms.enter(toml, ROOMS, &name);
            match name.get_ref().as_ref() {
                "parties" => rooms.options.parties = toml.texts(&path, &PARTY.look, &value)?,
                "keep_deleted" => {
                    rooms.options.keep_deleted = toml.value(&path, &DURATION, &value)?;
                }
                "channels" => rooms.read_channels(toml, &path, value)?,
                _ => return Err(unknown(toml, &name, &value)),
            }
        }
        Ok(rooms)
    }

    /// Notes where a name is written; its path.
    fn enter(&mut self, toml: &Toml, parent: &str, name: &Name) -> String {
        let path = format!("{parent}.{}", name.get_ref());
        self.lines.insert(path.clone(), toml.line(name.span()));
        path
    }

    fn read_channels(
        &mut self,
        toml: &Toml,
        path: &str,
        value: Spanned<DeValue>,
    ) -> Result<(), ConfigError> {
        for (name, value) in toml.table(path, value, A_CHANNEL)? {
            let word = name.get_ref().to_string();
            check_channel(&word)
                .map_err(|reason| toml.fault(name.span(), &format!("{path}: {reason}")))?;
            let path = self.enter(toml, path, &name);
            let channel = self.read_channel(toml, &path, &name, value)?;
            self.options.channels.insert(word, channel);
        }
        Ok(())
    }

    fn read_channel(
        &mut self,
        toml: &Toml,
        path: &str,
        name: &Name,
        value: Spanned<DeValue>,
    ) -> Result<Channel, ConfigError> {
        let mut channel = Channel {
            columns: Columns::new(),
            actions: Actions::default(),
            writers: Writers::default(),
            show: false,
        };
        for (name, value) in toml.table(path, value, A_CHANNEL)? {
            let path = self.enter(toml, path, &name);
            match name.get_ref().as_ref() {
                "columns" => {
                    channel.columns = toml.fields(&path, value, SOME_COLUMNS)?;
                    let checked = channel.check();
                    checked.map_err(|why| toml.fault(name.span(), &format!("{path}: {why}")))?;
                }
                "actions" => channel.actions = toml.value(&path, &ACTIONS, &value)?,
                "writers" => channel.writers = toml.value(&path, &WRITERS, &value)?,
                "show" => channel.show = toml.value(&path, &SWITCH, &value)?,
                _ => return Err(toml.unknown(&name, ["columns", "actions", "writers", "show"])),
            }
        }
        let missing = format!("{path}: has no columns: give columns = {SOME_COLUMNS}");
        // None at all would not have passed the check.
        match channel.columns.is_empty() {
            true => Err(toml.fault(name.span(), &missing)),
            false => Ok(channel),
        }
    }
}

/// A table that is no part of `[rooms]` is most likely a channel.
fn unknown(toml: &Toml, name: &Name, value: &Spanned<DeValue>) -> ConfigError {
    let word = name.get_ref();
    let reason =
        format!("unknown key {word:?}: a channel is declared under [rooms.channels.{word}]");
    let known = ["parties", "keep_deleted", "channels"];
    match value.get_ref() {
        DeValue::Table(_) if meant(word, known).is_none() => toml.fault(name.span(), &reason),
        _ => toml.unknown(name, known),
    }
}
