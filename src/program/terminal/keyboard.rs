//! The keyboard of a terminal. Its modes are changed as little as will do: what is typed comes
//! at once, and is not shown. Ctrl-C, Ctrl-\ and Ctrl-Z stay signals, for every process of the job
//! and also while no key is read, and lines end as before; raw mode would change all of that.

use std::fs::{File, OpenOptions};
use std::future::pending;
use std::io::{self, IsTerminal, Write, stderr, stdin, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Signal, getpgrp, getpid, getsid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::net::unix::pipe::Receiver;

use super::keys::{Key, Reader};

/// From here on the terminal marks what is pasted, or no longer does (bracketed paste).
const MARK_PASTES: &[u8] = b"\x1b[?2004h";
const NO_MARKS: &[u8] = b"\x1b[?2004l";

/// More than anybody types at once.
const CHUNK: usize = 1024;

/// A keyboard with a person at it. Dropping it gives the terminal back.
pub struct Keyboard {
    modes: Modes,
    /// None once the terminal has gone. It is none of a pipe, but is read like one.
    input: Option<Receiver>,
    reader: Reader,
}

/// The modes that the terminal had, while it has ours.
#[derive(Clone, Default)]
pub struct Modes(Arc<Mutex<Option<Termios>>>);

impl Keyboard {
    /// The one on standard input, if nothing is redirected: then somebody may be looking.
    pub fn find() -> Option<Keyboard> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_whole = stdin().is_terminal() && stdout().is_terminal() && stderr().is_terminal();
        if is_dumb || !is_whole {
            return None;
        }
        let input = Receiver::from_file_unchecked(open().ok()?).ok()?;
        Some(Keyboard {
            modes: Modes::default(),
            input: Some(input),
            reader: Reader::default(),
        })
    }

    /// Takes the terminal, again if need be. Returns false in the background, where it belongs to
    /// others and is left alone.
    pub fn take(&self) -> bool {
        is_in_foreground() && self.modes.take().is_ok()
    }

    pub fn give_back(&self) {
        self.modes.give_back();
    }

    /// For whoever has to give them back in an emergency.
    pub fn modes(&self) -> Modes {
        self.modes.clone()
    }

    /// Waits for keys; never returns once the terminal has gone, nor while in the background.
    /// Cancelling it loses none.
    pub async fn pressed(&mut self) -> Vec<Key> {
        while let Some(input) = &self.input {
            let is_ready = input.readable().await.is_ok();
            // Reading would stop the process.
            if !is_in_foreground() {
                break;
            }
            let mut bytes = [0; CHUNK];
            match input.try_read(&mut bytes) {
                Ok(length) if length > 0 => return self.reader.read(&bytes[..length]),
                Err(error) if is_ready && error.kind() == io::ErrorKind::WouldBlock => {}
                // In the background by now; whether the terminal has gone, the next call finds out.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => break,
                _ => self.input = None,
            }
        }
        pending().await
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The terminal once more, so that not waiting for what is typed concerns nobody else: it is the
/// open file that does not wait, and standard input is one with the shell's.
fn open() -> io::Result<File> {
    // On macOS, this name cannot be waited for.
    let path = match cfg!(target_os = "macos") {
        true => name()?,
        false => PathBuf::from("/dev/tty"),
    };
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags).open(path)
}

/// What the terminal on standard input is called.
fn name() -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let name = rustix::termios::ttyname(stdin(), Vec::new())?;
    Ok(std::ffi::OsString::from_vec(name.into_bytes()).into())
}

impl Modes {
    fn take(&self) -> io::Result<()> {
        let mut kept = self.kept();
        let before = match &*kept {
            Some(before) => before.clone(),
            None => tcgetattr(stdin())?,
        };
        let mut ours = before.clone();
        ours.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        ours.special_codes[SpecialCodeIndex::VMIN] = 1;
        ours.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin(), OptionalActions::Now, &ours)?;
        if kept.replace(before).is_none() {
            stderr().write_all(MARK_PASTES)?;
        }
        Ok(())
    }

    /// Restores what was there before. In the background nothing is ours to restore: whoever put us
    /// there has done so.
    pub fn give_back(&self) {
        let before = self.kept().take();
        if let Some(before) = before.filter(|_| is_in_foreground()) {
            // A terminal that has gone has no modes.
            let _ = stderr().write_all(NO_MARKS);
            let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Termios>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the terminal is this process's to use, and not the shell's or another job's.
fn is_in_foreground() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

/// Stops the process, as Ctrl-Z would have, until it is continued; returns whether it was stopped.
pub fn suspend() -> bool {
    // Only a shell that can continue it gives a program a group of its own. In that of the session
    // itself, as under `ssh -t host onlooker`, it would stop for ever.
    let is_a_job = getsid(None).is_ok_and(|session| session != getpgrp());
    is_a_job && kill_process(getpid(), Signal::STOP).is_ok()
}
