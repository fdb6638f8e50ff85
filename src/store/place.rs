//! The file in its folder: looked at before anything is written to it, made beside and put in
//! its place whole, and set aside when it is damaged.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;

use redb::Database;

use super::overlay::{HEAD, MAGIC, Overlay};
use super::rows::Damage;
use super::{Kept, file, salvage};

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The topics, without what is damaged of them.
    pub kept: Vec<Kept>,
    /// What is damaged; nothing in a whole file.
    pub damage: Vec<Damage>,
    /// The last change had not been written whole, so the file goes on from the one before it.
    pub went_back: bool,
}

/// A file that is ours now.
pub(super) struct Opened {
    pub database: Database,
    pub found: Found,
    /// Where the damaged file is, in whose place a new one was put.
    pub aside: Option<PathBuf>,
}

impl Opened {
    /// What its owner has to know, a line each.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let aside = self.aside.iter().flat_map(|aside| {
            let way_out = format!(
                "the damaged file is kept as {}: put back what is missing from an export (onlooker store import)",
                aside.display()
            );
            let note = move |damage| format!("{damage}; {way_out}");
            self.found.damage.iter().map(note)
        });
        let back = self.found.went_back.then(|| WENT_BACK.to_owned());
        aside.chain(back)
    }
}

/// Of a file that was not closed in order.
pub const WENT_BACK: &str = "the last change was not written whole: the state before it stands";

const IN_USE: &str = "another onlooker has it open: stop that one, or choose another --store";
const FOREIGN: &str = "not a store of onlooker: choose another --store";

/// Opens the file, or makes it where there is none.
///
/// # Errors
/// A file that is not ours, of a newer format or in use is left as it is.
pub(super) fn open(path: &Path) -> Result<Opened, String> {
    let path = &regular(path)?;
    match File::options().read(true).write(true).open(path) {
        Ok(file) => open_existing(path, file),
        Err(error) if error.kind() == ErrorKind::NotFound => match create(path, &[], None)? {
            Some(database) => Ok(Opened {
                database,
                found: Found::default(),
                aside: None,
            }),
            None => Err(IN_USE.to_owned()),
        },
        Err(error) => Err(cannot(&error)),
    }
}

/// What is in the file, to which nothing is written.
///
/// # Errors
/// A file that is not there, not ours, of a newer format or in use.
pub(super) fn look(path: &Path) -> Result<Found, String> {
    let file = File::open(regular(path)?).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        _ => cannot(&error),
    })?;
    lock(&file, File::try_lock_shared)?;
    look_at(&file)
}

/// Runs what redb does to a file that may be damaged, where it may panic.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                others(panic);
            }
        }));
    });
    QUIET.set(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    let damaged = |_| {
        Err(redb::Error::Corrupted(
            "redb cannot go on with it".to_owned(),
        ))
    };
    done.unwrap_or_else(damaged)
}

/// The file behind a name, which need not be there; not a pipe, a device or a directory, that
/// could be waited for without end or hold no store.
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
        Err(_) => Ok(path.to_owned()),
    }
}

fn open_existing(path: &Path, file: File) -> Result<Opened, String> {
    lock(&file, File::try_lock)?;
    // Of one that was killed when the file had its name already.
    let _ = fs::remove_file(with(path, ".new"));
    let found = look_at(&file)?;
    if !found.damage.is_empty() {
        let mode = file
            .metadata()
            .map_err(|error| cannot(&error))?
            .permissions();
        let mut aside = PathBuf::new();
        let mut set_aside = || {
            aside = put_aside(path)?;
            Ok(())
        };
        let database = create(path, &found.kept, Some(&mut set_aside))?.ok_or(IN_USE)?;
        let _ = fs::set_permissions(path, mode);
        return Ok(Opened {
            database,
            found,
            aside: Some(aside),
        });
    }
    file.unlock().map_err(|error| cannot(&error))?;
    let database = caught(|| {
        let database = Database::builder().create_file(file)?;
        file::prepare(&database)?;
        Ok(database)
    });
    let database = database.map_err(|error| explain(&error))?;
    Ok(Opened {
        database,
        found,
        aside: None,
    })
}

/// Makes a file beside, with these topics, and puts it in its place when it is on the disk. None:
/// another daemon was faster. `instead`: it takes the place of the file that this sets aside.
fn create(
    path: &Path,
    topics: &[Kept],
    instead: Option<&mut dyn FnMut() -> io::Result<()>>,
) -> Result<Option<Database>, String> {
    // Always the same, so that a killed creation leaves one file, which the next one takes.
    let beside = with(path, ".new");
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(&beside).map_err(|error| cannot(&error))?;
    lock(&file, File::try_lock)?;
    if instead.is_none() && path.exists() {
        return Ok(None);
    }
    file.set_len(0)
        .and_then(|()| file.unlock())
        .map_err(|error| cannot(&error))?;
    let made = caught(|| {
        let database = Database::builder().create_file(file)?;
        file::prepare(&database)?;
        file::put_all(&database, topics)?;
        Ok(database)
    });
    let database = made.map_err(|error| explain(&error))?;
    let placed = match instead {
        Some(set_aside) => set_aside().and_then(|()| fs::rename(&beside, path)),
        None => place_new(&beside, path),
    };
    match placed.and_then(|()| sync_folder(path)) {
        Ok(()) => Ok(Some(database)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(cannot(&error)),
    }
}

/// Never over a file that another daemon has made meanwhile.
fn place_new(beside: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(beside, path) {
        Ok(()) => fs::remove_file(beside),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // A file system without links.
        Err(_) if !path.exists() => fs::rename(beside, path),
        Err(error) => Err(error),
    }
}

/// Gives a damaged file another name, which it has beside its own until a new one takes that.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let names = (1_u32..).map(|number| with(path, &format!(".damaged-{number}")));
    for aside in names {
        match fs::hard_link(path, &aside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(_) if !aside.exists() => return fs::copy(path, &aside).map(|_| aside),
            linked => return linked.map(|()| aside),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    match cfg!(unix) {
        true => File::open(folder.unwrap_or(Path::new(".")))?.sync_all(),
        false => Ok(()),
    }
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

fn lock(file: &File, try_lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<(), String> {
    match try_lock(file) {
        Err(TryLockError::WouldBlock) => Err(IN_USE.to_owned()),
        // Where files cannot be locked redb does without, too.
        _ => Ok(()),
    }
}

fn look_at(file: &File) -> Result<Found, String> {
    let mut head = Vec::new();
    let mut from_start = file;
    let read = from_start.seek(SeekFrom::Start(0));
    let read = read.and_then(|_| from_start.take(HEAD as u64).read_to_end(&mut head));
    read.map_err(|error| cannot(&error))?;
    if head.iter().all(|byte| *byte == 0) {
        return Ok(lost("it is empty"));
    }
    let differing = head
        .iter()
        .zip(MAGIC)
        .map(|(byte, ours)| (byte ^ ours).count_ones());
    if differing.sum::<u32>() > 1 {
        return Err(FOREIGN.to_owned());
    }
    if let Ok(found) = caught(|| verified(&Overlay::new(file)?)) {
        return found;
    }
    let mended = caught(|| {
        let overlay = Overlay::new(file)?;
        overlay.mend_head()?;
        verified(&overlay)
    });
    if let Ok(found) = mended {
        let mut found = found?;
        found.damage.push(Damage::of_file(
            "its head was damaged, what was written last may be missing",
        ));
        return Ok(found);
    }
    salvaged(file)
}

/// Through redb, if that finds the file whole.
fn verified(overlay: &Overlay) -> Result<Result<Found, String>, redb::Error> {
    let before = overlay.commits()?;
    let mut database = Database::builder().create_with_backend(overlay.clone())?;
    let went_back = before.went_back(overlay.commits()?);
    if !database.check_integrity()? {
        return Err(redb::Error::Corrupted("its pages disagree".to_owned()));
    }
    if let Err(refusal) = file::check_format(&database)? {
        return Ok(Err(refusal));
    }
    file::prepare(&database)?;
    let (closed, rows) = file::read(&database)?;
    let (mut kept, damage) = rows.read();
    kept.iter_mut().for_each(|kept| kept.is_last = closed);
    Ok(Ok(Found {
        kept,
        damage,
        went_back,
    }))
}

/// Row by row, where redb cannot read the file.
fn salvaged(file: &File) -> Result<Found, String> {
    let mut bytes = Vec::new();
    let mut from_start = file;
    let read = from_start.seek(SeekFrom::Start(0));
    let read = read.and_then(|_| from_start.read_to_end(&mut bytes));
    read.map_err(|error| cannot(&error))?;
    let commits: Vec<_> = salvage::commits(&bytes)
        .iter()
        .map(|rows| rows.read())
        .collect();
    let whole = commits
        .iter()
        .find(|(kept, damage)| !kept.is_empty() && damage.is_empty());
    let some = commits.iter().find(|(kept, _)| !kept.is_empty());
    let Some((kept, damage)) = whole.or(some).or(commits.first()).cloned() else {
        return Ok(lost("nothing of it can be read"));
    };
    let what = match kept.is_empty() {
        true => "nothing of it can be read",
        false => "what was written last may be missing",
    };
    let damage = damage.into_iter().chain([Damage::of_file(what)]).collect();
    Ok(Found {
        kept,
        damage,
        went_back: false,
    })
}

fn lost(what: &str) -> Found {
    Found {
        damage: vec![Damage::of_file(what)],
        ..Found::default()
    }
}

fn cannot(error: &io::Error) -> String {
    format!("the store cannot be opened ({error}): choose another --store")
}

fn explain(error: &redb::Error) -> String {
    match error {
        redb::Error::DatabaseAlreadyOpen => IN_USE.to_owned(),
        other => format!("the store cannot be opened ({other}): choose another --store"),
    }
}
