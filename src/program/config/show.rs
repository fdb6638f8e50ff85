//! The configuration as text: what is in effect, and the commented file to start from.

use serde_json::Value as Json;
use toml::Value;

use super::forms::{ACTIONS, DURATION, PARTY, Shape, WRITERS};
use super::keys::{KEYS, Key};
use super::place::Place;
use super::resolve::Loaded;
use super::rooms::ROOMS;
use crate::state::fields::Field;

/// What stands for a token.
const MASK: &str = "********";

/// The effective configuration as TOML, each value with where it comes from; tokens masked.
pub fn effective(loaded: &Loaded) -> String {
    let keys = loaded.places.iter();
    let keys = keys.map(|(key, place)| (assignment(key, loaded), origin(key, place)));
    let tables = fields(loaded).into_iter().chain(rooms(loaded));
    let lines: Vec<(String, String)> = keys.chain(tables).collect();
    // The origins line up in one column, except those of very long values.
    let widths = lines.iter().map(|(line, _)| line.chars().count());
    let column = widths.filter(|width| *width < 40).max().unwrap_or(0);
    let show = |(line, origin): &(String, String)| match origin.is_empty() {
        true => format!("{line}\n"),
        false => format!("{line:<column$}  # {origin}\n"),
    };
    lines.iter().map(show).collect()
}

fn assignment(key: &Key, loaded: &Loaded) -> String {
    let value = (key.show)(&loaded.settings);
    // `random` and `none` are not secrets.
    match key.look.secret && !matches!(value.as_str(), Some("random" | "none")) {
        true => format!("{} = {MASK:?}", key.name),
        false => format!("{} = {value}", key.name),
    }
}

fn origin(key: &Key, place: &Place) -> String {
    match place {
        Place::Flag => format!("flag {}", key.flag()),
        Place::Environment => format!("environment {}", key.variable()),
        place => place.to_string(),
    }
}

fn fields(loaded: &Loaded) -> Vec<(String, String)> {
    let Some(fields) = &loaded.settings.options.fields else {
        return Vec::new();
    };
    let lines = fields.iter().map(|(name, field)| {
        let line = format!("{} = {}", bare_or_quoted(name), inline(&written(field)));
        (line, String::new())
    });
    let heading = heading("fields", loaded.fields.to_string());
    heading.into_iter().chain(lines).collect()
}

fn rooms(loaded: &Loaded) -> Vec<(String, String)> {
    if loaded.rooms.is_empty() {
        return Vec::new();
    }
    let rooms = &loaded.settings.options.rooms;
    let parties = rooms.parties.iter().map(PARTY.show);
    let values = [
        ("parties", Value::Array(parties.collect()).to_string()),
        (
            "keep_deleted",
            (DURATION.show)(&rooms.keep_deleted).to_string(),
        ),
    ];
    let mut lines = table(loaded, ROOMS, &values);
    for (name, channel) in &rooms.channels {
        let columns = channel.columns.iter();
        let columns = columns.map(|(name, column)| (name.clone(), written(column)));
        let values = [
            ("columns", inline(&columns.collect())),
            ("actions", (ACTIONS.show)(&channel.actions).to_string()),
            ("writers", (WRITERS.show)(&channel.writers).to_string()),
            ("show", channel.show.to_string()),
        ];
        lines.extend(table(loaded, &format!("{ROOMS}.channels.{name}"), &values));
    }
    lines
}

/// A table of `[rooms]`, by its path.
fn table(loaded: &Loaded, path: &str, values: &[(&str, String)]) -> Vec<(String, String)> {
    let place = |path: &str| {
        let place = loaded.rooms.get(path);
        place.unwrap_or(&Place::Default).to_string()
    };
    let lines = values.iter().map(|(key, value)| {
        let line = format!("{key} = {value}");
        (line, place(&format!("{path}.{key}")))
    });
    let heading = heading(path, place(path));
    heading.into_iter().chain(lines).collect()
}

/// After an empty line.
fn heading(path: &str, origin: String) -> [(String, String); 2] {
    [Default::default(), (format!("[{path}]"), origin)]
}

/// Without bounds, a field is its type.
fn written(field: &Field) -> Json {
    match *field == Field::of(field.kind) {
        true => Json::from(field.kind.to_string()),
        false => serde_json::to_value(field).unwrap_or_default(),
    }
}

/// A JSON value as TOML on one line.
fn inline(value: &Json) -> String {
    match value {
        Json::String(text) => Value::String(text.clone()).to_string(),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| format!("{} = {}", bare_or_quoted(key), inline(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn bare_or_quoted(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match !key.is_empty() && key.bytes().all(bare) {
        true => key.to_owned(),
        // JSON's escapes are also TOML's.
        false => Json::from(key).to_string(),
    }
}

/// Every key, commented out, with its default: `config/onlooker.toml`.
pub fn template() -> String {
    let mut out = String::from(HEAD);
    let mut group = "";
    for key in KEYS {
        if key.group != group {
            group = key.group;
            out.push_str(&format!("\n# ---- {group} ----\n"));
        }
        let help = wrapped(key.help(), 96);
        let way = match key.look.shape {
            Shape::Positional => key.variable(),
            _ => format!("{} · {}", key.flag(), key.variable()),
        };
        out.push_str(&format!(
            "\n{help}\n# {way}{}\n# {} = {}\n",
            if key.live { LIVE } else { "" },
            key.name,
            key.default()
        ));
    }
    out + FIELDS + ROOMS_DECLARED
}

const HEAD: &str = "\
# onlooker.toml: every key with its default. Remove the # from a line to change it.
#
# A flag takes precedence over a variable, a variable over this file. This file is
# ./onlooker.toml, or the one that --config names; paths in it are relative to it. \"\" means: not
# set. `onlooker config` shows what is in effect, and where each value comes from.
#
# A daemon without a terminal reads this file again on SIGHUP. The keys marked SIGHUP then take
# effect at once, the others with a restart.
";

/// Marks a key whose new value a running daemon takes over.
const LIVE: &str = " · SIGHUP";

const FIELDS: &str = "
# ---- Fields ----

# The whitelist: which config fields may change without a redraw, and to what. A field is a type
# (number, string, boolean, array, object) or a table of type, min, max, step, options, label.
# Without [fields], every config field may change to another value of its type.
# [fields]
# speed = { type = \"number\", min = 0, max = 5, step = 0.1, label = \"Speed\" }
# color = { type = \"string\", options = [\"red\", \"green\", \"blue\"] }
# running = \"boolean\"
";

const ROOMS_DECLARED: &str = "
# ---- Rooms ----

# Rows that several people edit, at /parties/PARTY/ROOM: which parties may have rooms, and for how
# long deleted rows are remembered, for people who were away. Every room has the channels that are
# declared here; without any there are no rooms.
# [rooms]
# parties = [\"main\"]
# keep_deleted = \"24h\"

# A channel's rows have these columns, id first, each declared like a field. actions: who decides
# what an action does, rows (the daemon itself), host, or none (only the host writes). writers: who
# may ask for one, host (who shows the host token) or viewers (who may watch). With show, the rows
# are in the topic PARTY.ROOM as well.
# [rooms.channels.todos]
# columns = { id = \"string\", text = \"string\", completed = \"number\" }
# actions = \"rows\"
# writers = \"host\"
# show = false
";

/// A sentence as comment lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line + word.chars().count() >= width {
            lines.push(String::from("#"));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}
