//! Where a value was written, and what is said when it cannot be used.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Flag,
    Environment,
    /// A line of the configuration file.
    File(PathBuf, usize),
    Default,
}

/// A value that cannot be used, with its place and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    pub place: Place,
    pub text: String,
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
