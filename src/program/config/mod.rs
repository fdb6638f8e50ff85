//! From what was typed to what is meant: flags, environment and file become [`Settings`].
//!
//! One table, [`keys::KEYS`], knows every key. The flags, the variables, the file's reader, the
//! commented file and `onlooker config` are all made from it, so none can know more than another.

pub mod file;
mod forms;
pub mod keys;
pub mod show;
pub mod values;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::access::Token;
use crate::options::{Options, TlsFiles};
use file::File;
use keys::{KEYS, Key};

/// The file that is read when `--config` names none.
pub const DEFAULT_FILE: &str = "onlooker.toml";

/// The variable that stands for `--config`.
pub const FILE_VARIABLE: &str = "ONLOOKER_CONFIG";

/// Everything a key can say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What the server is told.
    pub options: Options,
    /// `random` becomes a token only when the server starts.
    pub viewer_token: ViewerToken,
    /// Half of [`Options::tls`]: the certificate.
    pub tls_cert: Option<PathBuf>,
    /// The other half: the key.
    pub tls_key: Option<PathBuf>,
    /// What the code in the terminal leads to.
    pub qr: Qr,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// What a viewer must show, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ViewerToken {
    /// Everybody may watch.
    #[default]
    None,
    /// A token made at start.
    Random,
    /// This token.
    Given(Token),
}

/// What the code in the terminal leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qr {
    /// The viewer page.
    #[default]
    Page,
    /// The viewer socket, for an app that scans it.
    Ws,
    /// No code.
    None,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The command line.
    Flag,
    /// A variable of the environment.
    Environment,
    /// A line of the configuration file.
    File(PathBuf, usize),
    /// Nobody said anything.
    Default,
}

/// A value that cannot be, where it stands and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    /// Where the value stands.
    pub place: Place,
    /// The whole message.
    pub text: String,
}

/// The effective configuration, and where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// One per key, in the table's order.
    pub places: Vec<(&'static Key, Place)>,
    /// Where `[fields]` stands.
    pub fields: Place,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// What was typed for a key, if anything.
pub type Typed<'a> = &'a dyn Fn(&Key) -> Option<Vec<String>>;

impl Loaded {
    /// Settles every key: flag before environment before file before default.
    ///
    /// # Errors
    /// The first value that cannot be.
    pub fn resolve(flags: Typed, env: Typed, file: Option<&File>) -> Result<Loaded, ConfigError> {
        let mut settings = Settings::default();
        let mut places = Vec::with_capacity(KEYS.len());
        for key in KEYS {
            places.push((key, settle(key, &mut settings, flags, env, file)?));
        }
        let fields = file.and_then(|file| file.fields(&mut settings));
        let loaded = Loaded {
            settings,
            places,
            fields: fields.unwrap_or(Place::Default),
            file: file.map(|file| file.path().to_owned()),
        };
        loaded.with_tls()
    }

    /// Where a key's value comes from.
    pub fn place(&self, name: &str) -> &Place {
        let found = self.places.iter().find(|(key, _)| key.name == name);
        found.map_or(&Place::Default, |(_, place)| place)
    }

    /// A certificate is of no use without its key, and the other way round.
    fn with_tls(mut self) -> Result<Loaded, ConfigError> {
        let settings = &mut self.settings;
        let (there, missing) = match (&settings.tls_cert, &settings.tls_key) {
            (None, None) => return Ok(self),
            (Some(cert), Some(key)) => {
                let (cert, key) = (cert.clone(), key.clone());
                settings.options.tls = Some(TlsFiles { cert, key });
                return Ok(self);
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

fn settle(
    key: &'static Key,
    settings: &mut Settings,
    flags: Typed,
    env: Typed,
    file: Option<&File>,
) -> Result<Place, ConfigError> {
    let written = flags(key)
        .map(|values| (Place::Flag, values))
        .or_else(|| env(key).map(|values| (Place::Environment, values)))
        .or_else(|| file.and_then(|file| file.written(key)));
    let Some((place, values)) = written else {
        return Ok(Place::Default);
    };
    match (key.set)(settings, &values) {
        Ok(()) => Ok(place),
        Err(reason) => Err(refused(key, place, &values, &reason)),
    }
}

/// `--port 70000: …`, `ONLOOKER_PORT=70000: …` or `onlooker.toml:3: port = "70000": …`.
fn refused(key: &Key, place: Place, values: &[String], reason: &str) -> ConfigError {
    let value = if key.secret {
        "…".to_owned()
    } else {
        values.join(",")
    };
    let text = match &place {
        Place::Flag | Place::Default => format!("{} {value}: {reason}", key.flag()),
        Place::Environment => format!("{}={value}: {reason}", key.variable()),
        Place::File(..) => format!("{place}: {} = {value}: {reason}", key.name),
    };
    ConfigError { place, text }
}

/// The variables of this process, as the keys' environment.
pub fn environment(key: &Key) -> Option<Vec<String>> {
    let text = std::env::var(key.variable()).ok()?;
    Some(key.split(&text))
}

/// The file `--config` or its variable names, or [`DEFAULT_FILE`] where there is one.
pub fn find_file(named: Option<&Path>) -> Option<PathBuf> {
    let variable = std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty());
    let named = named.map(Path::to_owned).or(variable.map(PathBuf::from));
    named.or_else(|| {
        let usual = Path::new(DEFAULT_FILE);
        usual.exists().then(|| usual.to_owned())
    })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Flag => f.write_str("flag"),
            Place::Environment => f.write_str("environment"),
            Place::File(path, line) => write!(f, "{}:{line}", path.display()),
            Place::Default => f.write_str("default"),
        }
    }
}

#[cfg(test)]
mod tests;
