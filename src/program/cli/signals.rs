//! What the system asks the process to do.

use super::failure::Failure;

/// What a running daemon is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Stop,
    /// To read its configuration and certificate again.
    #[cfg_attr(not(unix), allow(dead_code))]
    Reload,
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
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => _ = hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            () = hangup => self.on_hangup,
        }
    }

    /// The next one that somebody sends. A hang-up does not count: it comes more than once, from
    /// the shell and from the system, and waits for [`Signals::next`].
    pub async fn sent(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
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

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        self.sent().await;
        Signal::Stop
    }

    pub async fn sent(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
