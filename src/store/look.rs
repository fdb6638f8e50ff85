//! Looks at a file without writing to it: what it holds, and what is damaged.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use redb::{Database, StorageBackend};

use super::damage::Damage;
use super::entries::Entries;
use super::errors::{cannot, caught};
use super::head::{self, Commits, HEAD, MAGIC};
use super::kept::{Kept, StoreError};
use super::medium::{Medium, lock};
use super::{prepare, salvage, tables};

/// What a file was found to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What can be read, without damaged parts.
    pub kept: Kept,
    /// What is damaged; nothing in a whole file.
    pub damage: Vec<Damage>,
    /// The last commit could not be verified, so the file goes on from the one before it.
    pub went_back: bool,
    /// The file is empty: it has not even a head.
    pub is_empty: bool,
}

const FOREIGN: &str = "not a store of onlooker: choose another --store";
const UNKNOWN: &str = "a redb file, damaged or of another version of redb, in which nothing of onlooker's can be found: choose another --store, or move it away if it was one";

/// What is in a file, to which nothing is written.
///
/// # Errors
/// A file that is missing, not ours, of a newer format or in use.
pub fn check(path: &Path) -> Result<Found, StoreError> {
    look(path).map_err(|reason| StoreError::new(path, reason))
}

fn look(path: &Path) -> Result<Found, String> {
    let file = File::open(regular(path)?).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        _ => cannot(error),
    })?;
    lock(&file, File::try_lock_shared)?;
    look_at(&file)
}

/// The file behind a name, which may be missing. A pipe, a device or a directory is refused:
/// reading one could block forever, and none can hold a store.
pub(super) fn regular(path: &Path) -> Result<PathBuf, String> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path).map_err(cannot),
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

pub(super) fn look_at(file: &File) -> Result<Found, String> {
    let head = read(file, HEAD as u64).map_err(cannot)?;
    if head.is_empty() {
        return Ok(Found {
            is_empty: true,
            ..Found::default()
        });
    }
    if is_zero(&head) && rest_is_zero(file).map_err(cannot)? {
        return Ok(Found {
            damage: vec![Damage::of_file("there are only zeros in it")],
            ..Found::default()
        });
    }
    let pairs = head.iter().zip(MAGIC);
    let differing: u32 = pairs.map(|(byte, ours)| (byte ^ ours).count_ones()).sum();
    if differing > 1 {
        return Err(FOREIGN.to_owned());
    }
    // What it keeps will be in memory anyway.
    let mut bytes = read(file, u64::MAX).map_err(cannot)?;
    if let Ok(found) = caught(|| verified(&bytes)) {
        return found;
    }
    head::mend(&mut bytes);
    if let Ok(found) = caught(|| verified(&bytes)) {
        let mut found = found?;
        found.kept.set_last(false);
        found.damage.push(Damage::of_file(
            "its header was damaged, the latest writes may be missing",
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
    let copy = Medium::copy(bytes)?;
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
    prepare::prepare(&database)?;
    let (closed, entries) = tables::read(&database)?;
    let (mut kept, damage) = entries.read();
    let is_last = closed && !went_back && damage.is_empty();
    kept.set_last(is_last);
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

/// Reads a file entry by entry, where redb cannot.
fn salvaged(bytes: &[u8]) -> Result<Found, String> {
    let mut commits = salvage::commits(bytes);
    commits.retain(|entries| entries.is_ours);
    let commits: Vec<_> = commits.iter().map(Entries::read).collect();
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
