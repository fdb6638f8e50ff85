//! Why the program ends early, and the code it ends with.

use crate::program::config::{ConfigError, Place};

/// How the program ends; after `sysexits.h` where that has a word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Failure = 1,
    Usage = 2,
    /// `onlooker doctor` has found what keeps phones from connecting.
    InTheWay = 3,
    InputMissing = 66,
    AddressInUse = 69,
    BadConfiguration = 78,
}

/// Why the program ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub text: String,
}

impl Failure {
    pub fn new(text: impl Into<String>) -> Failure {
        Failure::with(Exit::Failure, text)
    }

    pub fn with(exit: Exit, text: impl Into<String>) -> Failure {
        let text = text.into();
        Failure { exit, text }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let exit = match error.place {
            Place::Flag => Exit::Usage,
            _ => Exit::BadConfiguration,
        };
        Failure::with(exit, error.text)
    }
}
