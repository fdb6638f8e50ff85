//! What the system asks the process to do.

use super::failure::Failure;
#[cfg(unix)]
use crate::program::terminal::keyboard;

/// What a running daemon is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Stop,
    /// To read its configuration and certificate again.
    #[cfg_attr(not(unix), allow(dead_code))]
    Reload,
    /// To stop without order (Ctrl-\).
    #[cfg_attr(not(unix), allow(dead_code))]
    Quit,
    /// To give the terminal back and wait there (Ctrl-Z).
    #[cfg_attr(not(unix), allow(dead_code))]
    Suspend,
    /// It was continued: others may have used the terminal meanwhile.
    #[cfg_attr(not(unix), allow(dead_code))]
    Resume,
    /// To draw again: the terminal has another size.
    #[cfg_attr(not(unix), allow(dead_code))]
    Redraw,
}

/// SIGINT, SIGTERM and SIGHUP; Ctrl-C elsewhere.
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// None if it was ignored at the start: then it stays ignored.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    /// What SIGHUP means: to a daemon with a terminal, that the terminal has gone.
    #[cfg(unix)]
    on_hangup: Signal,
    #[cfg(unix)]
    terminal: Option<OfTerminal>,
}

/// Those that concern only a daemon that has changed its terminal's modes.
#[cfg(unix)]
struct OfTerminal {
    quit: tokio::signal::unix::Signal,
    suspend: tokio::signal::unix::Signal,
    resume: tokio::signal::unix::Signal,
    resize: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl OfTerminal {
    fn listen() -> std::io::Result<OfTerminal> {
        use rustix::process::Signal;
        use tokio::signal::unix::{SignalKind, signal};
        let other = |kind: Signal| signal(SignalKind::from_raw(kind.as_raw()));
        Ok(OfTerminal {
            quit: signal(SignalKind::quit())?,
            suspend: other(Signal::TSTP)?,
            resume: other(Signal::CONT)?,
            resize: signal(SignalKind::window_change())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.quit.recv() => Signal::Quit,
            _ = self.suspend.recv() => Signal::Suspend,
            _ = self.resume.recv() => Signal::Resume,
            _ = self.resize.recv() => Signal::Redraw,
        }
    }
}

#[cfg(unix)]
impl Signals {
    /// Takes over the signals from the system.
    pub fn listen() -> Result<Signals, Failure> {
        use std::io::{IsTerminal, stderr, stdin, stdout};
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))
        };
        let has_terminal =
            stdin().is_terminal() || stdout().is_terminal() || stderr().is_terminal();
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: match ignores_hangup() {
                true => None,
                false => Some(listen(SignalKind::hangup())?),
            },
            on_hangup: match has_terminal {
                true => Signal::Stop,
                false => Signal::Reload,
            },
            terminal: None,
        })
    }

    /// Takes over those of the terminal as well, before its modes are changed. If the system
    /// refuses, they do what they always do.
    pub fn listen_to_the_terminal(&mut self) {
        self.terminal = OfTerminal::listen().ok();
    }

    /// Waits until the process, which was stopped, has noticed that it goes on.
    pub async fn continued(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.resume.recv().await;
        }
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => _ = hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let of_terminal = async {
            match &mut self.terminal {
                Some(terminal) => terminal.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = of_terminal => signal,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            () = hangup => self.on_hangup,
        }
    }

    /// The next one with which somebody wants an end of it; Ctrl-Z does meanwhile what it always
    /// does. A hang-up does not count: it comes more than once, from the shell and from the system,
    /// and waits for [`Signals::next`].
    pub async fn sent(&mut self) -> Signal {
        let of_terminal = async {
            let Some(terminal) = &mut self.terminal else {
                return std::future::pending().await;
            };
            loop {
                tokio::select! {
                    _ = terminal.quit.recv() => return Signal::Quit,
                    _ = terminal.suspend.recv() => { keyboard::suspend(); }
                }
            }
        };
        tokio::select! {
            signal = of_terminal => signal,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
        }
    }
}

/// Whether SIGHUP is ignored, as under `nohup`: that was the wish of whoever started the program.
/// Only Linux makes it known.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is the first of them.
    mask.unwrap_or_default() & 1 == 1
}

#[cfg(not(unix))]
impl Signals {
    /// Ctrl-C needs no preparation.
    pub fn listen() -> Result<Signals, Failure> {
        Ok(Signals {})
    }

    /// There are none.
    pub fn listen_to_the_terminal(&mut self) {}

    /// It is never stopped.
    pub async fn continued(&mut self) {}

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        self.sent().await
    }

    pub async fn sent(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Stop,
            Err(_) => std::future::pending().await,
        }
    }
}
