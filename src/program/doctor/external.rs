//! Other programs, asked one question: without a shell, for a limited time, for limited text.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// How long one may take.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How much of an answer is read; a large set of rules has a few MiB.
const LARGEST: u64 = 8 * 1024 * 1024;
const LARGEST_ERROR: u64 = 4 * 1024;

/// Where such programs are that are not in every user's `PATH`.
const MORE_PLACES: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ran {
    /// There is no such program.
    #[default]
    Missing,
    /// It failed, and said this.
    Failed(String),
    Said(String),
}

impl Ran {
    /// What it said, if it succeeded.
    pub fn text(&self) -> Option<&str> {
        match self {
            Ran::Said(text) => Some(text),
            Ran::Missing | Ran::Failed(_) => None,
        }
    }
}

/// Runs a program to its end.
pub async fn ask(name: &str, args: &[&str]) -> Ran {
    let Some(path) = find(name) else {
        return Ran::Missing;
    };
    let mut command = Command::new(path);
    command.args(args).env("LC_ALL", "C").kill_on_drop(true);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = tokio::time::timeout(TIMEOUT, answer(command)).await;
    ended.unwrap_or_else(|_| Ran::Failed("no answer in time".to_owned()))
}

async fn answer(mut command: Command) -> Ran {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ran::Failed(error.to_string()),
    };
    let (said, complained) = tokio::join!(
        text(child.stdout.take(), LARGEST),
        text(child.stderr.take(), LARGEST_ERROR)
    );
    match child.wait().await {
        Ok(status) if status.success() => Ran::Said(said),
        // `firewall-cmd --state` says "not running" with a code of its own.
        Ok(_) if complained.is_empty() => Ran::Failed(said),
        Ok(_) => Ran::Failed(complained),
        Err(error) => Ran::Failed(error.to_string()),
    }
}

async fn text(stream: Option<impl AsyncRead + Unpin>, largest: u64) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What could be read is what there is.
        let _ = stream.take(largest).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).filter(|place| place.is_absolute());
    let places = places.chain(MORE_PLACES.map(PathBuf::from));
    places
        .map(|place| place.join(name))
        .find(|file| file.is_file())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_a_failure_and_nothing() {
        assert_eq!(ask("echo", &["hi"]).await, Ran::Said("hi\n".to_owned()));
        let failed = ask("cat", &["no-such-file"]).await;
        assert!(matches!(&failed, Ran::Failed(why) if why.contains("No such file")));
        assert_eq!(ask("no-such-program", &[]).await, Ran::Missing);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_for_ever() {
        let late = ask("sleep", &["60"]).await;
        assert_eq!(late, Ran::Failed("no answer in time".to_owned()));
    }
}
