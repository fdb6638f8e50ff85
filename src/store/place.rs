//! The file under its name: opened when it is whole, and replaced by what is whole of it when it
//! is damaged.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use redb::Database;

use super::errors::{IN_USE, cannot, caught, explain};
use super::kept::{Kept, StoreError};
use super::look::{Found, look_at, regular};
use super::medium::{Locked, lock};
use super::{beside, prepare};

/// A file that this daemon has locked.
pub(super) struct Opened {
    pub database: Database,
    /// Keeps others out.
    pub locked: Locked,
    pub found: Found,
    /// Where the damaged file is now, if a new one has taken its place.
    pub aside: Option<PathBuf>,
}

impl Opened {
    /// What the owner has to know, a line each: what is damaged, and then the way out.
    pub fn damage(&self) -> impl Iterator<Item = String> {
        let damage = self.found.damage.iter().map(ToString::to_string);
        let way_out = self.aside.as_ref().map(|aside| {
            format!(
                "the damaged file is kept as {}: put back what is missing from an export (onlooker store import)",
                aside.display()
            )
        });
        damage.chain(way_out)
    }

    /// The same, and whether it goes on from an earlier commit.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let back = self.found.went_back.then(|| WENT_BACK.to_owned());
        self.damage().chain(back)
    }
}

/// Said of a file that was not closed in order. A write that was cut off and one that was damaged
/// look the same.
pub const WENT_BACK: &str = "the last commit could not be verified, as after a write that was cut off: the one before it stands";

/// Opens the file, or creates it where there is none.
///
/// # Errors
/// A file that is not ours, has a newer format or is in use is left as it is.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    try_open(path).map_err(|reason| StoreError::new(path, reason))
}

fn try_open(path: &Path) -> Result<Opened, String> {
    let path = &regular(path)?;
    let opened = match File::options().read(true).write(true).open(path) {
        Ok(file) => open_existing(path, file),
        Err(error) if error.kind() == ErrorKind::NotFound => open_new(path),
        Err(error) => Err(cannot(&error)),
    }?;
    beside::sweep(path);
    Ok(opened)
}

fn open_new(path: &Path) -> Result<Opened, String> {
    let made = beside::create(path, &Kept::default(), None, |beside| {
        beside::place_new(beside, path)
    });
    let (locked, database) = made.map_err(|reason| match path.exists() {
        // Another daemon was first.
        true => IN_USE.to_owned(),
        false => reason,
    })?;
    Ok(Opened {
        database,
        locked,
        found: Found::default(),
        aside: None,
    })
}

fn open_existing(path: &Path, file: File) -> Result<Opened, String> {
    lock(&file, File::try_lock)?;
    if !has_name(&file, path).map_err(cannot)? {
        return Err(IN_USE.to_owned());
    }
    let found = look_at(&file)?;
    if !found.damage.is_empty() || found.is_empty {
        return replace(path, &file, found);
    }
    let opened = caught(|| {
        let locked = Locked::new(file)?;
        let database = locked.open()?;
        prepare::prepare(&database)?;
        Ok((locked, database))
    });
    let (locked, database) = opened.map_err(explain)?;
    Ok(Opened {
        database,
        locked,
        found,
        aside: None,
    })
}

/// Whether a file still has its name: another daemon may have replaced it before it was locked.
fn has_name(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (ours, named) = (file.metadata()?, fs::metadata(path)?);
        Ok((ours.dev(), ours.ino()) == (named.dev(), named.ino()))
    }
    #[cfg(not(unix))]
    Ok(true)
}

/// Replaces a damaged or empty file by a new one with what was found in it.
fn replace(path: &Path, file: &File, found: Found) -> Result<Opened, String> {
    let before = file.metadata().map_err(cannot)?;
    let mut aside = None;
    let made = beside::create(path, &found.kept, Some(&before), |beside| {
        match found.is_empty {
            true => fs::rename(beside, path)?,
            false => aside = Some(beside::displace(beside, path)?),
        }
        Ok(())
    });
    let (locked, database) = made.map_err(|reason| {
        let what = match &*found.damage {
            [] => "empty".to_owned(),
            [only] => format!("damaged ({only})"),
            [first, more @ ..] => format!(
                "damaged ({first} and {} more: onlooker store check)",
                more.len()
            ),
        };
        format!(
            "it is {what} and could not be replaced: {reason}; its folder must be writable and have room, and the file must not be mounted alone"
        )
    })?;
    Ok(Opened {
        database,
        locked,
        found,
        aside,
    })
}
