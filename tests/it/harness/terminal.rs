//! Terminals: one without anybody at it, and one with a person who types.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

use super::{LIMIT, process};

/// Our end, which is the terminal, and the one that a program is given.
pub fn open() -> io::Result<(OwnedFd, File)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    // A program that is started meanwhile must not keep it.
    rustix::io::ioctl_fioclex(&ours)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let not_ours = i32::try_from(OFlags::NOCTTY.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    let theirs = options
        .read(true)
        .write(true)
        .custom_flags(not_ours)
        .open(path)?;
    Ok((ours, theirs))
}

/// A program that has a terminal of 80 × 24 for itself, as in a window of its own.
pub struct Terminal {
    child: Child,
    keys: File,
    shown: Arc<Shown>,
    /// Where the next wait begins.
    read: usize,
}

/// What the terminal was sent, growing.
#[derive(Default)]
struct Shown {
    text: Mutex<String>,
    grown: Condvar,
}

impl Terminal {
    /// Starts a program in it.
    pub fn with(command: &mut Command) -> Terminal {
        let (ours, theirs) = open().expect("the system has terminals");
        let size = Winsize {
            ws_col: 80,
            ws_row: 24,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).expect("it has a size");
        // It makes the terminal the program's own; the process stays the same.
        let mut owner = Command::new("setsid");
        owner.arg("--ctty").arg(command.get_program());
        owner.args(command.get_args()).env("TERM", "xterm");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => owner.env(name, value),
                None => owner.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            owner.current_dir(folder);
        }
        let another = || theirs.try_clone().expect("another one");
        owner.stdin(another()).stdout(another()).stderr(another());
        let child = owner.spawn().expect("setsid is there");
        let keys = File::from(ours);
        let shown = Shown::follow(keys.try_clone().expect("another one"));
        Terminal {
            child,
            keys,
            shown,
            read: 0,
        }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it is open");
    }

    /// Waits until it shows `text`, after what was waited for before; returns what came until then.
    pub fn shows(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut shown = self.shown.text.lock().unwrap();
        loop {
            if let Some(at) = shown[self.read..].find(text) {
                let end = self.read + at + text.len();
                let found = shown[self.read..end].to_owned();
                self.read = end;
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // What fails from here on still looks at it.
                drop(shown);
                panic!("{text:?} was not shown");
            }
            shown = self.shown.grown.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// The line with which a daemon says that it is ready.
    pub fn ready(&mut self) -> Value {
        self.shows("{\"event\"");
        let rest = self.shows("}");
        serde_json::from_str(&format!("{{\"event\"{rest}")).expect("JSON")
    }

    /// Everything it was sent.
    pub fn text(&self) -> String {
        self.shown.text.lock().unwrap().clone()
    }

    pub fn modes(&self) -> Termios {
        tcgetattr(&self.keys).expect("a terminal has modes")
    }

    /// Whether what is typed is shown, and comes line by line.
    pub fn is_usual(&self) -> bool {
        let usual = LocalModes::ECHO | LocalModes::ICANON;
        self.modes().local_modes.contains(usual)
    }

    /// Sends a signal by name, as `kill` does.
    pub fn signal(&self, name: &str) {
        process::signal(&self.child, name);
    }

    /// Waits for the program's end.
    pub fn exited(&mut self) -> ExitStatus {
        process::exited(&mut self.child)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the terminal\n{}---", self.text());
        }
    }
}

impl Shown {
    fn follow(mut stream: File) -> Arc<Shown> {
        let shown = Arc::new(Shown::default());
        let ours = shown.clone();
        std::thread::spawn(move || {
            let (mut bytes, mut rest) = ([0; 4096], Vec::new());
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                rest.extend_from_slice(&bytes[..length]);
                let whole = match std::str::from_utf8(&rest) {
                    Ok(text) => text.len(),
                    Err(error) => error.valid_up_to(),
                };
                let text = String::from_utf8_lossy(&rest[..whole]).into_owned();
                rest.drain(..whole);
                ours.text.lock().unwrap().push_str(&text);
                ours.grown.notify_all();
            }
        });
        shown
    }
}
