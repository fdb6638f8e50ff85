//! One look at a file: what it holds, or what is wrong with it. Blocking.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::document::{self, Format, lines};
use super::input::{FOLDER, PIPE};
use crate::state::session::Session;

/// Tells one content, or one fault, from another.
pub type Fingerprint = u64;

/// A file may change again without its times changing: for this long on a system that keeps
/// fractions of a second, for [`WHOLE_SECONDS`] on one that does not (FAT counts by two).
const FRACTIONS: Duration = Duration::from_millis(100);
const WHOLE_SECONDS: Duration = Duration::from_millis(2100);

/// How much of the end of a log is read at first, in bytes, and how much more whenever that does
/// not show its last lines.
const END: u64 = 64 * 1024;
const FURTHER: u64 = 8;

/// A file that is looked at again and again. Of NDJSON only the last lines are read: a log may
/// be far larger than a session.
pub struct Disk {
    path: PathBuf,
    /// What its session is called unless it says otherwise.
    name: String,
    format: Format,
    max: usize,
    /// What was read last, unless nothing can be read.
    last: Option<Last>,
}

/// What a look found.
#[derive(Debug, PartialEq)]
pub enum Look {
    /// The same as the look before.
    Same,
    /// A complete session.
    Good(Fingerprint, Session),
    /// Nothing to show.
    Bad(Fault),
}

/// Why there is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The same for the same content.
    pub fingerprint: Fingerprint,
    /// For the log, beginning with the path.
    pub text: String,
    /// Whether it may look like this because somebody is still writing it.
    pub passing: bool,
}

struct Last {
    stamp: Stamp,
    /// When the stamp was first seen, by our own clock: a file server's may be wrong.
    since: Instant,
    /// Whether it was read late enough that another change would have another stamp.
    settled: bool,
    fingerprint: Fingerprint,
}

/// Opens a file to read it. A FIFO that has just taken its place is not waited for.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        options.custom_flags(i32::try_from(flags).unwrap_or(0));
    }
    options.open(path)
}

/// What changes when a file does, without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Disk {
    /// A file that has not been looked at yet. If it has more than `max` bytes it is not read.
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

    /// Looks. The file is read only when it may have changed.
    pub fn look(&mut self) -> Look {
        match self.metadata().and_then(|metadata| self.read(&metadata)) {
            Ok(look) => look,
            Err(fault) => {
                self.last = None;
                Look::Bad(fault)
            }
        }
    }

    /// How old what was read last is, as far as the file's time tells.
    pub fn age(&self) -> Duration {
        let modified = self.last.as_ref().and_then(|last| last.stamp.modified);
        let age = modified.and_then(|modified| modified.elapsed().ok());
        age.unwrap_or_default()
    }

    /// Only a regular file of acceptable size is opened.
    fn metadata(&self) -> Result<Metadata, Fault> {
        let metadata = fs::metadata(&self.path).map_err(|error| self.unreadable(&error))?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { FOLDER } else { PIPE };
            return Err(self.fault(what, false));
        }
        if metadata.len() > self.max as u64 && self.format != Format::Lines {
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
        let since = last.map_or_else(Instant::now, |last| last.since);
        let settled = since.elapsed() > stamp.tick();
        let (bytes, after) = self.bytes()?;
        if self.is_torn(&stamp, &Stamp::of(&after)) {
            return Err(self.fault("is being written", true));
        }
        let fingerprint = fingerprint(&bytes);
        // If the same content is saved again it is written again: somebody else may have written
        // to the topic since.
        let same =
            |last: &Last| last.fingerprint == fingerprint && last.stamp.modified == stamp.modified;
        let nothing_new = self.last.as_ref().is_some_and(same);
        self.last = Some(Last {
            stamp,
            since,
            settled,
            fingerprint,
        });
        match nothing_new {
            true => Ok(Look::Same),
            false => Ok(self.parse(fingerprint, &bytes)),
        }
    }

    /// A log that has only grown is as whole as before: what is unfinished is passed over.
    fn is_torn(&self, before: &Stamp, after: &Stamp) -> bool {
        match self.format {
            Format::Lines => after.inode != before.inode || after.len < before.len,
            _ => after != before,
        }
    }

    fn bytes(&self) -> Result<(Vec<u8>, Metadata), Fault> {
        let read = || -> io::Result<_> {
            let mut file = open(&self.path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("is being replaced"));
            }
            let bytes = match self.format {
                Format::Lines => last_lines(&mut file, self.max)?,
                _ => part(&mut file, 0, self.max as u64 + 1)?,
            };
            Ok((bytes, file.metadata()?))
        };
        let (bytes, after) = read().map_err(|error| self.unreadable(&error))?;
        if bytes.len() > self.max && self.format != Format::Lines {
            return Err(self.too_large(after.len()));
        }
        Ok((bytes, after))
    }

    fn parse(&self, fingerprint: Fingerprint, bytes: &[u8]) -> Look {
        if bytes.trim_ascii().is_empty() {
            return Look::Bad(self.fault("is empty: waiting for its content", true));
        }
        match document::session(bytes, self.format, &self.name, self.max) {
            Ok(session) => Look::Good(fingerprint, session),
            Err(reason) => Look::Bad(Fault {
                fingerprint,
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
        let text = format!("has {len} bytes, over the limit of {max} (--max-session)");
        Fault {
            // One fault while it grows: a log would be reported with each line.
            fingerprint: fingerprint(b"too large"),
            ..self.fault(&text, false)
        }
    }

    fn fault(&self, text: &str, passing: bool) -> Fault {
        Fault {
            fingerprint: fingerprint(text.as_bytes()),
            text: format!("{} {text}", self.path.display()),
            passing,
        }
    }
}

/// The last two lines, if both may be read: an unfinished one needs the one before it. At most
/// two of `max` bytes are read.
fn last_lines(file: &mut File, max: usize) -> io::Result<Vec<u8>> {
    let len = file.metadata()?.len();
    let most = (max as u64 + 2) * 2;
    let mut size = END;
    loop {
        size = size.min(most).min(len);
        let bytes = part(file, len - size, size)?;
        match lines::end(&bytes) {
            Some(end) => return Ok(end.to_vec()),
            None if size == len || size == most => return Ok(bytes),
            None => size *= FURTHER,
        }
    }
}

/// These bytes of a file, as far as it has them.
fn part(file: &mut File, start: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
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

    /// How long a file may have this stamp and change.
    fn tick(&self) -> Duration {
        let since = self.modified.map(|at| at.duration_since(UNIX_EPOCH));
        match since {
            Some(Ok(since)) if since.subsec_nanos() != 0 => FRACTIONS,
            _ => WHOLE_SECONDS,
        }
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
pub fn fingerprint(bytes: &[u8]) -> Fingerprint {
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
    fn a_stamp_is_believed_when_no_other_change_can_share_it() {
        let mut probe = probe("a.json");
        shown(probe.after("1"));
        let settled = |probe: &Probe| probe.disk.last.as_ref().unwrap().settled;
        assert!(!settled(&probe));
        let age = |probe: &mut Probe, age| {
            let last = probe.disk.last.as_mut().unwrap();
            last.since = Instant::now().checked_sub(age).unwrap();
            assert_eq!(probe.disk.look(), Look::Same);
        };
        age(&mut probe, FRACTIONS / 2);
        assert!(!settled(&probe));
        age(&mut probe, FRACTIONS);
        assert!(settled(&probe));
        // By whole seconds, two changes within one of them look alike.
        let whole = UNIX_EPOCH + Duration::from_secs(1_795_226_400);
        let file = File::options().write(true).open(&probe.path).unwrap();
        file.set_modified(whole).unwrap();
        shown(probe.disk.look());
        age(&mut probe, FRACTIONS);
        assert!(!settled(&probe));
        // As if the second change had not touched any time.
        fs::write(&probe.path, "2").unwrap();
        file.set_modified(whole).unwrap();
        let now = Stamp::of(&fs::metadata(&probe.path).unwrap());
        probe.disk.last.as_mut().unwrap().stamp = now;
        probe.disk.last.as_mut().unwrap().fingerprint = 0;
        assert!(shown(probe.disk.look()).contains("\"data\":2"));
    }

    #[test]
    fn a_bad_file_is_read_once() {
        let mut probe = probe("a.json");
        fs::write(&probe.path, "{,").unwrap();
        probe.fault();
        assert_eq!(probe.disk.look(), Look::Same);
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
        assert_ne!(probe.fault().fingerprint, first.fingerprint);
        fs::write(&probe.path, "{\n,").unwrap();
        assert_eq!(probe.fault().fingerprint, first.fingerprint);
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
        fs::write(&probe.path, "1".repeat(102)).unwrap();
        let grown = probe.fault();
        assert_eq!(grown.fingerprint, fault.fingerprint, "reported once");
    }

    #[test]
    fn of_a_log_only_the_end_is_read() {
        let mut probe = probe("log.ndjson");
        let line = |number: usize| format!("{{\"n\":{number}}}\n");
        let long: String = (0..10_000).map(line).collect();
        let first = shown(probe.after(&long));
        assert!(first.contains(r#""data":{"n":9999}"#), "{first}");
        let mut log = File::options().append(true).open(&probe.path).unwrap();
        let mut append = |text: &str| {
            io::Write::write_all(&mut log, text.as_bytes()).unwrap();
            probe.disk.look()
        };
        assert!(shown(append("\n{\"n\":1.50}\n")).contains("1.50"));
        let half = shown(append("{\"n\":"));
        assert!(half.contains("1.50"), "the last complete line: {half}");
        assert!(shown(append("2}")).contains(r#"{"n":2}"#));
        let Look::Bad(fault) = append("\n{,}\n") else {
            panic!("a complete line that is wrong is a fault");
        };
        assert!(
            fault.text.contains("(last line, column 2)"),
            "{}",
            fault.text
        );
        let long = "1".repeat(1000);
        for text in [format!("{long}\n"), long.clone(), format!("{long}\n")] {
            let Look::Bad(fault) = append(&text) else {
                panic!("too long a line is a fault");
            };
            assert!(fault.text.contains("(--max-session)"), "{}", fault.text);
        }
        assert!(shown(append("3\n")).contains("3"));
    }

    /// No more is read than the last lines need, whatever is before them.
    #[test]
    fn the_end_of_a_huge_file_is_read_in_no_more_memory() {
        let mut probe = probe("log.ndjson");
        let mut log = File::create(&probe.path).unwrap();
        log.set_len(1 << 40).unwrap();
        log.seek(SeekFrom::End(0)).unwrap();
        io::Write::write_all(&mut log, b"\n1\n2\n").unwrap();
        assert!(shown(probe.disk.look()).contains("\"data\":2"));
    }

    #[test]
    fn a_log_that_grows_meanwhile_is_not_torn() {
        let stamp = |len, inode| Stamp {
            modified: None,
            len,
            inode,
            changed: (0, i64::try_from(len).unwrap()),
        };
        let log = Disk::new(Path::new("a.ndjson"), 100);
        assert!(!log.is_torn(&stamp(5, 1), &stamp(6, 1)));
        assert!(log.is_torn(&stamp(5, 1), &stamp(4, 1)), "begun again");
        assert!(log.is_torn(&stamp(5, 1), &stamp(6, 2)), "another file");
        let other = Disk::new(Path::new("a.json"), 100);
        assert!(other.is_torn(&stamp(5, 1), &stamp(6, 1)));
    }

    #[test]
    fn a_directory_is_no_file() {
        let mut probe = probe("a.json");
        fs::create_dir(&probe.path).unwrap();
        assert!(
            probe
                .fault()
                .text
                .contains("a.json is a folder, not a file")
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
