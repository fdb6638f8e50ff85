//! Where the host token is kept, for the other commands of the same user on this machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::access::Token;

/// The file of one daemon; dropping it removes it.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    token: Token,
    /// Open, and so held, as long as the daemon runs, however it ends.
    _held: File,
}

impl TokenFile {
    /// Keeps a daemon's token until the daemon stops.
    pub fn keep(port: u16, token: &Token) -> io::Result<TokenFile> {
        TokenFile::keep_in(&directory(), port, token)
    }

    fn keep_in(directory: &Path, port: u16, token: &Token) -> io::Result<TokenFile> {
        make_own(directory)?;
        let path = file_of(directory, port);
        // A new file under its own name, so that nothing already there is written through.
        let fresh = directory.join(format!(".{port}.{}", std::process::id()));
        remove(&fresh)?;
        let mut file = own_file().write(true).create_new(true).open(&fresh)?;
        file.write_all(token.reveal().as_bytes())?;
        hold(&file);
        fs::rename(&fresh, &path)?;
        let token = token.clone();
        Ok(TokenFile {
            path,
            token,
            _held: file,
        })
    }
}

impl Drop for TokenFile {
    /// Another daemon may have taken the port since, and the file with it.
    fn drop(&mut self) {
        if read(&self.path).is_ok_and(|found| found == self.token) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The token of the daemon on a port, if this user runs one here.
pub fn find(port: u16) -> io::Result<Option<Token>> {
    let directory = directory();
    match check_own(&directory).and_then(|()| read(&file_of(&directory, port))) {
        Ok(token) => Ok(Some(token)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The ports of this user's running daemons that keep a token, in order. The file of one that was
/// killed is still there, and another program may have its port.
pub fn running() -> Vec<u16> {
    running_in(&directory())
}

fn running_in(directory: &Path) -> Vec<u16> {
    let Ok(entries) = check_own(directory).and_then(|()| fs::read_dir(directory)) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ports = names.filter_map(|name| name.strip_suffix(".token")?.parse().ok());
    let file = |port: u16| own_file().read(true).open(file_of(directory, port));
    let runs = |port: &u16| file(*port).is_ok_and(|file| is_held(&file));
    let mut ports: Vec<u16> = ports.filter(runs).collect();
    ports.sort_unstable();
    ports
}

/// `$XDG_RUNTIME_DIR/onlooker`, or a directory of this user under the temporary one.
pub fn directory() -> PathBuf {
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match given.filter(|path| path.is_absolute() && path.is_dir()) {
        Some(path) => path.join("onlooker"),
        None => std::env::temp_dir().join(format!("onlooker-{}", user())),
    }
}

fn file_of(directory: &Path, port: u16) -> PathBuf {
    directory.join(format!("{port}.token"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> io::Result<Token> {
    /// Longer than any token.
    const MOST: u64 = 4096;
    let file = own_file().read(true).open(path)?;
    check_file(path, &file)?;
    let mut token = String::new();
    file.take(MOST).read_to_string(&mut token)?;
    Ok(Token::new(token.trim()))
}

fn refused(path: &Path, reason: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{} {reason}: remove it", path.display()),
    )
}

fn make_own(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    private(&mut builder);
    match builder.create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => check_own(directory),
    }
}

#[cfg(unix)]
mod unix {
    use super::{File, OpenOptions, Path, fs, io, refused};
    use std::fs::TryLockError;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};

    pub fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    pub fn private(builder: &mut fs::DirBuilder) {
        builder.mode(0o700);
    }

    /// Opens the file itself, never what a link leads to.
    pub fn own_file() -> OpenOptions {
        let no_links = rustix::fs::OFlags::NOFOLLOW.bits();
        let mut options = OpenOptions::new();
        options
            .mode(0o600)
            .custom_flags(i32::try_from(no_links).unwrap_or(0));
        options
    }

    /// Anybody could have made this directory under `/tmp` first, or a link.
    pub fn check_own(directory: &Path) -> io::Result<()> {
        let found = fs::symlink_metadata(directory)?;
        match () {
            () if !found.is_dir() => Err(refused(directory, "is not a directory")),
            () if found.uid() != user() => Err(refused(directory, "belongs to another user")),
            () if found.mode() & 0o077 != 0 => Err(refused(directory, "is open to other users")),
            () => Ok(()),
        }
    }

    pub fn check_file(path: &Path, file: &File) -> io::Result<()> {
        let found = file.metadata()?;
        match found.is_file() && found.uid() == user() && found.mode() & 0o077 == 0 {
            true => Ok(()),
            false => Err(refused(path, "is not this user's alone")),
        }
    }

    /// Where files cannot be locked, other commands need the port from their user.
    pub fn hold(file: &File) {
        let _ = file.try_lock();
    }

    pub fn is_held(file: &File) -> bool {
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

#[cfg(not(unix))]
mod other {
    use super::{File, OpenOptions, Path, fs, io};

    // There the temporary directory is the user's own.

    pub fn user() -> &'static str {
        "user"
    }

    pub fn private(_: &mut fs::DirBuilder) {}

    pub fn own_file() -> OpenOptions {
        OpenOptions::new()
    }

    pub fn check_own(directory: &Path) -> io::Result<()> {
        fs::symlink_metadata(directory).map(|_| ())
    }

    pub fn check_file(_: &Path, _: &File) -> io::Result<()> {
        Ok(())
    }

    // There nobody could read a file that is locked.

    pub fn hold(_: &File) {}

    pub fn is_held(_: &File) -> bool {
        true
    }
}

#[cfg(not(unix))]
use other::{check_file, check_own, hold, is_held, own_file, private, user};
#[cfg(unix)]
use unix::{check_file, check_own, hold, is_held, own_file, private, user};

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn place() -> (tempfile::TempDir, PathBuf) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().join("onlooker");
        (temporary, directory)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_this_user_can_read_it_and_it_goes_with_the_daemon() {
        let (_temporary, directory) = place();
        let kept = TokenFile::keep_in(&directory, 7, &Token::new("secret")).unwrap();
        let path = file_of(&directory, 7);
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        assert_eq!(read(&path).unwrap().reveal(), "secret");
        drop(kept);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn no_token_is_in_debug() {
        let (_temporary, directory) = place();
        let kept = TokenFile::keep_in(&directory, 7, &Token::new("swordfish")).unwrap();
        let found = read(&file_of(&directory, 7)).unwrap();
        let shown = format!("{kept:?} {found:?}");
        assert!(!shown.contains("swordfish"), "{shown}");
    }

    #[test]
    fn the_next_daemon_on_the_port_keeps_its_own() {
        let (_temporary, directory) = place();
        let first = TokenFile::keep_in(&directory, 7, &Token::new("one")).unwrap();
        let _second = TokenFile::keep_in(&directory, 7, &Token::new("two")).unwrap();
        drop(first);
        assert_eq!(read(&file_of(&directory, 7)).unwrap().reveal(), "two");
    }

    #[test]
    fn the_file_of_a_daemon_that_was_killed_is_no_daemon() {
        let (_temporary, directory) = place();
        let _kept = TokenFile::keep_in(&directory, 7, &Token::new("one")).unwrap();
        fs::write(file_of(&directory, 8), "left").unwrap();
        assert_eq!(running_in(&directory), [7]);
        assert_eq!(running_in(&directory), [7], "looking changes nothing");
    }

    #[test]
    fn links_are_not_followed() {
        let (temporary, directory) = place();
        let victim = temporary.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        symlink(temporary.path(), &directory).unwrap();
        assert!(TokenFile::keep_in(&directory, 7, &Token::new("secret")).is_err());
        fs::remove_file(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        symlink(&victim, file_of(&directory, 7)).unwrap();
        assert!(read(&file_of(&directory, 7)).is_err());
        let _kept = TokenFile::keep_in(&directory, 7, &Token::new("secret")).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn what_others_can_reach_is_refused() {
        let (_temporary, directory) = place();
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let error = TokenFile::keep_in(&directory, 7, &Token::new("secret"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("open to other users"), "{error}");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        let path = file_of(&directory, 7);
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path).is_err());
    }
}
