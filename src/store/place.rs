//! The file under its name: inspected before anything is written to it, and replaced by what is
//! whole of it when it is damaged.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use redb::{Database, StorageBackend};

use super::errors::{IN_USE, StoreError, cannot, caught, explain};
use super::head::{self, Commits, HEAD, MAGIC};
use super::kept::StoredTopic;

use super::rows::{Damage, Rows};
use super::shared::{Locked, Shared, lock};
use super::{beside, salvage, tables};

/// What a file was found to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The topics, without their damaged parts.
    pub kept: Vec<StoredTopic>,
    /// What is damaged; nothing in a whole file.
    pub damage: Vec<Damage>,
    /// The last commit could not be verified, so the file goes on from the one before it.
    pub went_back: bool,
    /// The file is empty: it has not even a head.
    pub is_empty: bool,
}

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

const FOREIGN: &str = "not a store of onlooker: choose another --store";
const UNKNOWN: &str = "a redb file, damaged or of another version of redb, in which nothing of onlooker's can be found: choose another --store, or move it away if it was one";

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
    let made = beside::create(path, &[], None, |beside| beside::place_new(beside, path));
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

/// What is in the file, to which nothing is written.
///
/// # Errors
/// A file that is missing, not ours, of a newer format or in use.
pub(super) fn look(path: &Path) -> Result<Found, StoreError> {
    try_look(path).map_err(|reason| StoreError::new(path, reason))
}

fn try_look(path: &Path) -> Result<Found, String> {
    let file = File::open(regular(path)?).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        _ => cannot(&error),
    })?;
    lock(&file, File::try_lock_shared)?;
    look_at(&file)
}

/// The file behind a name, which may be missing. A pipe, a device or a directory is refused:
/// reading one could block forever, and none can hold a store.
fn regular(path: &Path) -> Result<PathBuf, String> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path).map_err(|error| cannot(&error)),
        Ok(found) => Err(format!(
            "{}, where a store is a regular file: choose another --store",
            if found.is_dir() {
                "a directory"
            } else {
                "a pipe, socket or device"
            }
        )),
        Err(_) if path.is_symlink() => {
            Err("a link that leads nowhere: fix it, or choose another --store".to_owned())
        }
        Err(_) => Ok(path.to_owned()),
    }
}

fn open_existing(path: &Path, file: File) -> Result<Opened, String> {
    lock(&file, File::try_lock)?;
    if !has_name(&file, path).map_err(|error| cannot(&error))? {
        return Err(IN_USE.to_owned());
    }
    let found = look_at(&file)?;
    if !found.damage.is_empty() || found.is_empty {
        return replace(path, &file, found);
    }
    let opened = caught(|| {
        let locked = Locked::new(file)?;
        let database = locked.open()?;
        tables::prepare(&database)?;
        Ok((locked, database))
    });
    let (locked, database) = opened.map_err(|error| explain(&error))?;
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
    let before = file.metadata().map_err(|error| cannot(&error))?;
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

fn look_at(file: &File) -> Result<Found, String> {
    let head = read(file, HEAD as u64).map_err(|error| cannot(&error))?;
    if head.is_empty() {
        return Ok(Found {
            is_empty: true,
            ..Found::default()
        });
    }
    if is_zero(&head) && rest_is_zero(file).map_err(|error| cannot(&error))? {
        return Ok(Found {
            damage: vec![Damage::of_file("there are only zeros in it")],
            ..Found::default()
        });
    }
    let differing = head
        .iter()
        .zip(MAGIC)
        .map(|(byte, ours)| (byte ^ ours).count_ones());
    if differing.sum::<u32>() > 1 {
        return Err(FOREIGN.to_owned());
    }
    // What it keeps will be in memory anyway.
    let mut bytes = read(file, u64::MAX).map_err(|error| cannot(&error))?;
    if let Ok(found) = caught(|| verified(&bytes)) {
        return found;
    }
    head::mend(&mut bytes);
    if let Ok(found) = caught(|| verified(&bytes)) {
        let mut found = found?;
        found.kept.iter_mut().for_each(|kept| kept.is_last = false);
        found.damage.push(Damage::of_file(
            "its head was damaged, what was written last may be missing",
        ));
        return Ok(found);
    }
    salvaged(&bytes)
}

/// So many bytes of a file, from its beginning.
fn read(mut file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file through redb, which has to find it whole.
fn verified(bytes: &[u8]) -> Result<Result<Found, String>, redb::Error> {
    let copy = Shared::copy(bytes)?;
    let mut database = Database::builder().create_with_backend(copy.clone())?;
    let mut opened = [0; HEAD];
    copy.read(0, &mut opened)?;
    let went_back = Commits::of(bytes).went_back(Commits::of(&opened));
    if !database.check_integrity()? {
        return Err(redb::Error::Corrupted("its pages disagree".to_owned()));
    }
    if let Err(refusal) = tables::check_format(&database)? {
        return Ok(Err(refusal));
    }
    tables::prepare(&database)?;
    let (closed, rows) = tables::read(&database)?;
    let (mut kept, damage) = rows.read();
    let is_last = closed && !went_back && damage.is_empty();
    kept.iter_mut().for_each(|kept| kept.is_last = is_last);
    Ok(Ok(Found {
        kept,
        damage,
        went_back,
        is_empty: false,
    }))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn rest_is_zero(file: &File) -> io::Result<bool> {
    let mut rest = BufReader::new(file);
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() || !is_zero(bytes) {
            return Ok(bytes.is_empty());
        }
        let length = bytes.len();
        rest.consume(length);
    }
}

/// Reads a file row by row, where redb cannot.
fn salvaged(bytes: &[u8]) -> Result<Found, String> {
    let mut commits = salvage::commits(bytes);
    commits.retain(|rows| rows.is_ours);
    let commits: Vec<_> = commits.iter().map(Rows::read).collect();
    let whole = commits
        .iter()
        .find(|(kept, damage)| !kept.is_empty() && damage.is_empty());
    let some = commits.iter().find(|(kept, _)| !kept.is_empty());
    let (kept, damage) = whole.or(some).or(commits.first()).ok_or(UNKNOWN)?.clone();
    let what = match kept.is_empty() {
        true => "nothing of it can be read",
        false => "what was written last may be missing",
    };
    let damage = damage.into_iter().chain([Damage::of_file(what)]).collect();
    Ok(Found {
        kept,
        damage,
        ..Found::default()
    })
}
