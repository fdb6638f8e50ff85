//! What a command line says about the configuration.

use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure};
use crate::program::config::file::File;
use crate::program::config::keys::Key;
use crate::program::config::{Loaded, environment, find_file};
use crate::source::document::Format;

/// The keys that were given as flags, and the file that was named. It has no `Debug`, because
/// there may be tokens among them.
pub struct Written {
    /// Keys by their names, each with its values.
    pub keys: Vec<(&'static str, Vec<String>)>,
    pub file: Option<PathBuf>,
}

impl Written {
    /// These flags, as far as they were given, and the file.
    pub fn new(
        flags: impl IntoIterator<Item = (&'static str, Option<String>)>,
        file: Option<PathBuf>,
    ) -> Written {
        let given = |(name, value): (_, Option<String>)| Some((name, vec![value?]));
        Written {
            keys: flags.into_iter().filter_map(given).collect(),
            file,
        }
    }

    /// The effective configuration.
    pub fn load(&self) -> Result<Loaded, Failure> {
        let path = find_file(self.file.as_deref());
        let file = path.as_deref().map(File::read).transpose()?;
        self.resolve(file.as_ref())
    }

    /// The same with this file, or none.
    pub fn resolve(&self, file: Option<&File>) -> Result<Loaded, Failure> {
        self.check_viewer_token()?;
        let flags = |key: &Key| self.values(key.name).map(<[String]>::to_vec);
        Ok(Loaded::resolve(&flags, &environment, file)?)
    }

    fn values(&self, name: &str) -> Option<&[String]> {
        let given = self.keys.iter().find(|(key, _)| *key == name);
        given.map(|(_, values)| values.as_slice())
    }

    /// `--viewer-token state.json` would silently make the file's name the token.
    fn check_viewer_token(&self) -> Result<(), Failure> {
        let Some([token]) = self.values("viewer_token") else {
            return Ok(());
        };
        let path = Path::new(token);
        match token == "-" || Format::named(path).is_some() || path.exists() {
            true => Err(Failure::with(
                Exit::Usage,
                format!(
                    "--viewer-token {token}: takes the source as the token: write --viewer-token=random {token}"
                ),
            )),
            false => Ok(()),
        }
    }
}
