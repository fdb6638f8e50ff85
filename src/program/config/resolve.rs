//! Which value of a key takes effect: a flag takes precedence over the environment, the
//! environment over the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::file::File;
use super::keys::{KEYS, Key};
use super::place::{ConfigError, Place};
use super::settings::{Settings, ViewerToken};
use crate::options::{Invalid, TlsFiles};

/// The file that is read when `--config` names none.
const DEFAULT_FILE: &str = "onlooker.toml";

/// The variable that stands for `--config`.
pub const FILE_VARIABLE: &str = "ONLOOKER_CONFIG";

/// The effective configuration, and where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// One per key, in the table's order.
    pub places: Vec<(&'static Key, Place)>,
    pub fields: Place,
    /// By the paths of what is written under `[rooms]`; empty without such a table.
    pub rooms: HashMap<String, Place>,
    pub file: Option<PathBuf>,
}

/// What was typed for a key, if anything.
pub type Typed<'a> = &'a dyn Fn(&Key) -> Option<Vec<String>>;

impl Loaded {
    /// Settles every key, and checks the values by themselves.
    pub fn resolve(flags: Typed, env: Typed, file: Option<&File>) -> Result<Loaded, ConfigError> {
        let mut settings = Settings::default();
        let mut places = Vec::with_capacity(KEYS.len());
        for key in KEYS {
            let place = match written(key, flags, env, file) {
                Some((place, values)) => {
                    let read = (key.read)(&mut settings, &values);
                    read.map_err(|reason| refused(key, &place, &values, &reason))?;
                    place
                }
                None => Place::Default,
            };
            places.push((key, place));
        }
        let fields = file.and_then(|file| file.fields(&mut settings));
        let rooms = file.map(|file| file.rooms(&mut settings));
        let mut loaded = Loaded {
            settings,
            places,
            fields: fields.unwrap_or(Place::Default),
            rooms: rooms.unwrap_or_default(),
            file: file.map(|file| file.path.clone()),
        };
        loaded.join_keys()?;
        // The library's words, with the name, place and text of the key.
        let checked = loaded.settings.options.check_values();
        checked.map_err(|Invalid { option, reason }| {
            let key = Key::of_option(option);
            let found = key.and_then(|key| Some((key, written(key, flags, env, file)?)));
            match found {
                Some((key, (place, values))) => refused(key, &place, &values, &reason),
                None => {
                    let place = loaded.rooms.get(option).unwrap_or(&Place::Default).clone();
                    let text = format!("{place}: {option}: {reason}");
                    ConfigError { place, text }
                }
            }
        })?;
        loaded.let_pauses_end();
        Ok(loaded)
    }

    pub fn place(&self, name: &str) -> &Place {
        let found = self.places.iter().find(|(key, _)| key.name == name);
        found.map_or(&Place::Default, |(_, place)| place)
    }

    /// A pause that was asked for must not be cut short by a wait that nobody asked for.
    fn let_pauses_end(&mut self) {
        let is_ours = *self.place("max_wait") == Place::Default;
        let flow = &mut self.settings.options.flow;
        if let Some(wait) = flow.max_wait.as_mut().filter(|_| is_ours) {
            *wait = (*wait).max(flow.debounce.saturating_mul(2));
        }
    }

    /// Makes options of keys that are not options themselves.
    fn join_keys(&mut self) -> Result<(), ConfigError> {
        let settings = &mut self.settings;
        if let ViewerToken::Given(token) = &settings.viewer_token {
            settings.options.access.viewer_token = Some(token.clone());
        }
        // A certificate is of no use without its key, and the other way round.
        let (there, missing) = match (settings.tls_cert.clone(), settings.tls_key.clone()) {
            (None, None) => return Ok(()),
            (Some(cert), Some(key)) => {
                settings.options.tls = Some(TlsFiles { cert, key });
                return Ok(());
            }
            (Some(_), None) => ("tls_cert", "tls_key"),
            (None, Some(_)) => ("tls_key", "tls_cert"),
        };
        Err(ConfigError {
            place: self.place(there).clone(),
            text: format!("{there} is set without {missing}: set both, or neither"),
        })
    }
}

/// What was written for a key, and where.
fn written(
    key: &Key,
    flags: Typed,
    env: Typed,
    file: Option<&File>,
) -> Option<(Place, Vec<String>)> {
    flags(key)
        .map(|values| (Place::Flag, values))
        .or_else(|| Some((Place::Environment, env(key)?)))
        .or_else(|| file?.written(key))
}

/// `--port 70000: …`, `ONLOOKER_PORT=70000: …` or `onlooker.toml:3: port = 70000: …`.
fn refused(key: &Key, place: &Place, written: &[String], reason: &str) -> ConfigError {
    // What stands before an @ in a URL may be a password.
    let is_login = written.iter().any(|value| value.contains('@'));
    let value = match key.look.secret || is_login {
        true => "…".to_owned(),
        false => written.join(","),
    };
    let text = match place {
        Place::Flag | Place::Default => format!("{} {value}: {reason}", key.flag()),
        Place::Environment => format!("{}={value}: {reason}", key.variable()),
        Place::File(..) => format!("{place}: {} = {value}: {reason}", key.name),
    };
    let place = place.clone();
    ConfigError { place, text }
}

/// The variables of this process, as the keys' environment.
pub fn environment(key: &Key) -> Option<Vec<String>> {
    let text = std::env::var(key.variable()).ok()?;
    Some(key.split(&text))
}

/// The file that `--config` or its variable names, or `onlooker.toml` if it exists.
pub fn find_file(named: Option<&Path>) -> Option<PathBuf> {
    let variable = std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty());
    let named = named.map(Path::to_owned).or(variable.map(PathBuf::from));
    named.or_else(|| {
        let usual = Path::new(DEFAULT_FILE);
        usual.exists().then(|| usual.to_owned())
    })
}
