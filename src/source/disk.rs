//! One look at a file: what it holds, or what is wrong with it. Blocking.

use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::document::{self, Format};
use crate::state::session::Session;

/// Tells one content, or one fault, from another.
pub type Print = u64;

/// Times of files are this coarse on some systems: a file changed more recently may
/// change again without another time.
const COARSE: Duration = Duration::from_millis(100);

/// A file that is looked at again and again.
pub struct Disk {
    path: PathBuf,
    /// What its session is called unless it says otherwise.
    name: String,
    format: Format,
    max: usize,
    last: Option<Last>,
}

/// What a look found.
#[derive(Debug, PartialEq)]
pub enum Look {
    /// What the look before found.
    Same,
    /// A complete session.
    Good(Print, Session),
    /// Nothing to show.
    Bad(Fault),
}

/// Why there is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The same for the same content.
    pub print: Print,
    /// For the log, beginning with the path.
    pub text: String,
    /// Whether a writer at work looks like this.
    pub passing: bool,
}

struct Last {
    stamp: Stamp,
    settled: bool,
    print: Print,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Disk {
    /// A file that was never looked at. Of more than `max` bytes it is refused unread.
    pub fn new(path: &Path, max: usize) -> Disk {
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        Disk {
            path: path.to_owned(),
            name: stem.to_string_lossy().into_owned(),
            format: Format::of(path),
            max,
            last: None,
        }
    }

    /// Looks: cheaply where the file's time, size and inode tell that nothing changed.
    pub fn look(&mut self) -> Look {
        match self.metadata().and_then(|metadata| self.read(&metadata)) {
            Ok(look) => look,
            Err(fault) => {
                self.last = None;
                Look::Bad(fault)
            }
        }
    }

    fn metadata(&self) -> Result<Metadata, Fault> {
        let metadata = fs::metadata(&self.path).map_err(|error| self.unreadable(&error))?;
        self.check(metadata)
    }

    /// Only a regular file of bearable size is opened: a FIFO would block for ever.
    fn check(&self, metadata: Metadata) -> Result<Metadata, Fault> {
        if !metadata.is_file() {
            let what = if metadata.is_dir() {
                "a directory"
            } else {
                "a pipe or device"
            };
            let text = format!(
                "is {what}, not a file; a command's output can be piped in: onlooker serve -"
            );
            return Err(self.fault(&text, false));
        }
        if metadata.len() > self.max as u64 {
            return Err(self.too_large(metadata.len()));
        }
        Ok(metadata)
    }

    fn read(&mut self, metadata: &Metadata) -> Result<Look, Fault> {
        let stamp = Stamp::of(metadata);
        let last = self.last.as_ref().filter(|last| last.stamp == stamp);
        if last.is_some_and(|last| last.settled) {
            return Ok(Look::Same);
        }
        let settled = stamp.is_settled(SystemTime::now());
        let (bytes, after) = self.bytes()?;
        if Stamp::of(&after) != stamp {
            return Err(self.fault("is being written", true));
        }
        let print = print(&bytes);
        // The same content saved again is written again: somebody else may have written since.
        let saved = stamp.modified;
        let same = |last: &Last| last.print == print && last.stamp.modified == saved;
        let nothing_new = self.last.as_ref().is_some_and(same);
        self.last = Some(Last {
            stamp,
            settled,
            print,
        });
        match nothing_new {
            true => Ok(Look::Same),
            false => Ok(self.parse(print, &bytes)),
        }
    }

    fn bytes(&self) -> Result<(Vec<u8>, Metadata), Fault> {
        let read = || -> io::Result<_> {
            let mut file = File::open(&self.path)?;
            let mut bytes = Vec::new();
            (&mut file)
                .take(self.max as u64 + 1)
                .read_to_end(&mut bytes)?;
            Ok((bytes, file.metadata()?))
        };
        let (bytes, after) = read().map_err(|error| self.unreadable(&error))?;
        if bytes.len() > self.max {
            return Err(self.too_large(after.len()));
        }
        Ok((bytes, after))
    }

    fn parse(&self, print: Print, bytes: &[u8]) -> Look {
        if bytes.trim_ascii().is_empty() {
            return Look::Bad(self.fault("is empty: waiting for its content", true));
        }
        match document::session(bytes, self.format, &self.name) {
            Ok(session) => Look::Good(print, session),
            Err(reason) => Look::Bad(Fault {
                print,
                text: format!("{}: {reason}", self.path.display()),
                passing: true,
            }),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::NotFound => self.fault("is not there: waiting for it", true),
            _ => self.fault(&format!("cannot be read: {error}"), true),
        }
    }

    fn too_large(&self, len: u64) -> Fault {
        let max = self.max;
        let len = len.max(max as u64 + 1);
        self.fault(
            &format!("has {len} bytes, over the limit of {max} (--max-session)"),
            false,
        )
    }

    fn fault(&self, text: &str, passing: bool) -> Fault {
        Fault {
            print: print(text.as_bytes()),
            text: format!("{} {text}", self.path.display()),
            passing,
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        let (inode, changed) = identity(metadata);
        Stamp {
            modified: metadata.modified().ok(),
            len: metadata.len(),
            inode,
            changed,
        }
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let age = self.modified.map(|modified| now.duration_since(modified));
        matches!(age, Some(Ok(age)) if age > COARSE)
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, (i64, i64)) {
    use std::os::unix::fs::MetadataExt;
    (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, (i64, i64)) {
    (0, (0, 0))
}

/// The same for the same bytes.
pub fn print(bytes: &[u8]) -> Print {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Probe {
        _temp: tempfile::TempDir,
        path: PathBuf,
        disk: Disk,
    }

    fn probe(name: &str) -> Probe {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(name);
        let disk = Disk::new(&path, 100);
        Probe {
            _temp: temp,
            path,
            disk,
        }
    }

    impl Probe {
        fn after(&mut self, content: &str) -> Look {
            fs::write(&self.path, content).unwrap();
            self.disk.look()
        }

        fn fault(&mut self) -> Fault {
            match self.disk.look() {
                Look::Bad(fault) => fault,
                other => panic!("{other:?}"),
            }
        }
    }

    fn shown(look: Look) -> String {
        match look {
            Look::Good(_, session) => session.to_json(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_session_is_read_once() {
        let mut probe = probe("wave.json");
        let first = shown(probe.after("{\"config\":{\"speed\":1.50}}"));
        assert_eq!(
            first,
            r#"{"name":"wave","data":{},"config":{"speed":1.50},"metadata":{}}"#
        );
        assert_eq!(probe.disk.look(), Look::Same);
        assert!(shown(probe.after("[2]")).contains("\"data\":[2]"));
    }

    #[test]
    fn a_change_within_the_clock_s_tick_is_seen() {
        let mut probe = probe("a.json");
        shown(probe.after("1"));
        let modified = fs::metadata(&probe.path).unwrap().modified().unwrap();
        fs::write(&probe.path, "2").unwrap();
        File::options()
            .write(true)
            .open(&probe.path)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        assert!(shown(probe.disk.look()).contains("\"data\":2"));
    }

    #[test]
    fn what_a_writer_at_work_leaves_is_passing() {
        let mut probe = probe("a.json");
        assert!(
            probe
                .fault()
                .text
                .ends_with("a.json is not there: waiting for it")
        );
        for half in ["", " \n", "{\"data\":"] {
            fs::write(&probe.path, half).unwrap();
            assert!(probe.fault().passing, "{half:?}");
        }
        assert!(shown(probe.after("{\"data\":1}")).contains("1"));
    }

    #[test]
    fn faults_of_one_content_are_one() {
        let mut probe = probe("a.json");
        fs::write(&probe.path, "{\n,").unwrap();
        let first = probe.fault();
        assert!(
            first
                .text
                .ends_with("a.json: key must be a string (line 2, column 1)"),
            "{}",
            first.text
        );
        fs::write(&probe.path, "{,").unwrap();
        assert_ne!(probe.fault().print, first.print);
        fs::write(&probe.path, "{\n,").unwrap();
        assert_eq!(probe.fault().print, first.print);
    }

    #[test]
    fn too_large_is_refused_unread() {
        let mut probe = probe("a.json");
        fs::write(&probe.path, "1".repeat(101)).unwrap();
        let fault = probe.fault();
        assert!(
            fault
                .text
                .ends_with("a.json has 101 bytes, over the limit of 100 (--max-session)")
        );
        assert!(!fault.passing);
    }

    #[test]
    fn a_directory_is_no_file() {
        let mut probe = probe("a.json");
        fs::create_dir(&probe.path).unwrap();
        assert!(
            probe
                .fault()
                .text
                .contains("a.json is a directory, not a file")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_does_not_block() {
        let mut probe = probe("a.json");
        let made = std::process::Command::new("mkfifo")
            .arg(&probe.path)
            .status()
            .unwrap();
        assert!(made.success());
        assert!(
            probe
                .fault()
                .text
                .contains("is a pipe or device, not a file")
        );
    }
}
