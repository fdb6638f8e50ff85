//! Files beside the store: the new one until it is whole and takes its place, and the damaged
//! one, which is kept.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use redb::Database;

use super::errors::{cannot, caught, explain};
use super::head::MAGIC;
use super::kept::Kept;
use super::medium::{Locked, lock};
use super::{prepare, put};

/// A name that nobody else uses, removed in the end whatever becomes of the file.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Creates a file beside the store that holds what was kept and belongs to whoever owned the one
/// `before`, and calls `place` when it is on the disk.
pub(super) fn create(
    path: &Path,
    kept: &Kept,
    before: Option<&Metadata>,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(Locked, Database), String> {
    let random = getrandom::u64().map_err(cannot)?;
    let mut name = prefix(path);
    name.push(format!("{random:016x}"));
    let beside = path.with_file_name(name);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&beside)
        .map_err(cannot)?;
    let beside = Beside(beside);
    lock(&file, File::try_lock)?;
    if let Some(before) = before {
        belong_as(&file, before).map_err(cannot)?;
    }
    let made = caught(|| {
        let locked = Locked::new(file)?;
        let database = locked.make()?;
        prepare::prepare(&database)?;
        put::all(&database, kept)?;
        Ok((locked, database))
    });
    let made = made.map_err(explain)?;
    place(&beside.0).map_err(cannot)?;
    sync_folder(path).map_err(cannot)?;
    Ok(made)
}

/// Gives a file the same permissions, and the same owner where that is allowed.
fn belong_as(file: &File, before: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let _ = fchown(file, Some(before.uid()), Some(before.gid()));
    }
    file.set_permissions(before.permissions())
}

/// Gives a new file its name, but never replaces one that another daemon has made meanwhile.
pub(super) fn place_new(beside: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(beside, path) {
        // Some file systems have no hard links.
        Err(error) if error.kind() != ErrorKind::AlreadyExists && !path.exists() => {
            fs::rename(beside, path)
        }
        linked => linked,
    }
}

/// Puts a file in place of a damaged one, which gets another name. If that fails the other name
/// is removed again, or each start would leave a copy.
pub(super) fn displace(beside: &Path, path: &Path) -> io::Result<PathBuf> {
    let (aside, is_new) = put_aside(path)?;
    let placed = fs::rename(beside, path);
    if placed.is_err() && is_new {
        let _ = fs::remove_file(&aside);
    }
    placed.map(|()| aside)
}

/// Gives a damaged file a second name, which it keeps when a new file takes the first; returns
/// whether the second name is new, too.
pub(super) fn put_aside(path: &Path) -> io::Result<(PathBuf, bool)> {
    for number in 1_u32.. {
        let mut name = OsString::from(path);
        name.push(format!(".damaged-{number}"));
        let aside = PathBuf::from(name);
        let linked = fs::hard_link(path, &aside).or_else(|error| match error.kind() {
            ErrorKind::AlreadyExists => Err(error),
            _ => copy(path, &aside),
        });
        match linked {
            Ok(()) => return Ok((aside, true)),
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Err(_) if is_like(path, &aside).unwrap_or_default() => return Ok((aside, false)),
            Err(_) => {}
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Copies a file to a name that nobody has; whole, or not at all.
fn copy(path: &Path, to: &Path) -> io::Result<()> {
    let mut copy = File::create_new(to)?;
    let mut copied = || {
        let mut file = File::open(path)?;
        belong_as(&copy, &file.metadata()?)?;
        io::copy(&mut file, &mut copy)?;
        copy.sync_all()
    };
    copied().inspect_err(|_| _ = fs::remove_file(to))
}

/// Whether two files hold the same bytes.
fn is_like(path: &Path, other: &Path) -> io::Result<bool> {
    let (ours, theirs) = (fs::metadata(path)?, fs::symlink_metadata(other)?);
    if !theirs.is_file() || ours.len() != theirs.len() {
        return Ok(false);
    }
    let mut ours = BufReader::new(File::open(path)?);
    let mut theirs = BufReader::new(File::open(other)?);
    loop {
        let (left, right) = (ours.fill_buf()?, theirs.fill_buf()?);
        let length = left.len().min(right.len());
        if length == 0 || left[..length] != right[..length] {
            return Ok(left.is_empty() && right.is_empty());
        }
        ours.consume(length);
        theirs.consume(length);
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(folder(path))?.sync_all(),
        false => Ok(()),
    }
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// How the names of files that are being created begin.
fn prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".onlooker-new-");
    prefix
}

/// Removes what was left when a creation was killed. Only whoever holds the store's lock may do
/// that: nobody else can be creating it then.
pub(super) fn sweep(path: &Path) {
    let prefix = prefix(path);
    let found = fs::read_dir(folder(path)).into_iter().flatten().flatten();
    for entry in found.filter(|entry| is_left(&prefix, entry).unwrap_or_default()) {
        let _ = fs::remove_file(entry.path());
    }
}

/// Whether it is certainly ours: by its name, its kind, and its first bytes.
fn is_left(prefix: &OsStr, entry: &DirEntry) -> io::Result<bool> {
    let name = entry.file_name();
    let random = name
        .as_encoded_bytes()
        .strip_prefix(prefix.as_encoded_bytes());
    let is_ours = |random: &[u8]| random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit);
    if !random.is_some_and(is_ours) || !entry.file_type()?.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    let file = File::open(entry.path())?;
    file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    // redb writes its number last.
    Ok(start == MAGIC || start.iter().all(|byte| *byte == 0))
}
