//! The first moments: how long from the start of the program until it shows where the state is
//! found.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::pty::{Winsize, openpty};

use crate::peer::onlooker;
use crate::stats::milliseconds;

const TIMES: usize = 60;
const STORE: &str = "state.redb";

/// A way to start it.
struct Case {
    what: &'static str,
    sources: usize,
    store: bool,
    terminal: bool,
}

const CASES: [Case; 4] = [
    Case {
        what: "one source, on a terminal",
        sources: 1,
        store: false,
        terminal: true,
    },
    Case {
        what: "ten sources, on a terminal",
        sources: 10,
        store: false,
        terminal: true,
    },
    Case {
        what: "ten sources and a store that holds them, on a terminal",
        sources: 10,
        store: true,
        terminal: true,
    },
    Case {
        what: "ten sources, `--json` into a pipe",
        sources: 10,
        store: false,
        terminal: false,
    },
];

/// Starts it over and over, and prints the table.
pub fn start() -> Result<()> {
    println!("\n### From start to first output ({TIMES} times): milliseconds\n");
    println!("| what | first output p50 | p99 | all of it p50 | p99 |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let folder = std::env::temp_dir().join(format!("onlooker-start-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let result = CASES.iter().try_for_each(|case| measure(case, &folder));
    fs::remove_dir_all(&folder)?;
    result
}

fn measure(case: &Case, folder: &Path) -> Result<()> {
    let (mut first, mut whole) = (Vec::new(), Vec::new());
    // The first one, which fills the caches and the store, does not count.
    for round in 0..=TIMES {
        let (one, all) = once(case, folder)?;
        if round > 0 {
            first.push(one);
            whole.push(all);
        }
    }
    first.sort_unstable();
    whole.sort_unstable();
    let [a, b] = [0.5, 0.99].map(|share| milliseconds(&first, share));
    let [c, d] = [0.5, 0.99].map(|share| milliseconds(&whole, share));
    println!("| {} | {a:.1} | {b:.1} | {c:.1} | {d:.1} |", case.what);
    Ok(())
}

/// How long until the first bytes, and until the last thing that it shows.
fn once(case: &Case, folder: &Path) -> Result<(Duration, Duration)> {
    let mut command = Command::new(onlooker());
    command.args(["serve", "--port", "0", "--bind", "127.0.0.1"]);
    command.args(sources(case.sources, folder)?);
    if case.store {
        command.arg("--store").arg(folder.join(STORE));
    }
    command.current_dir(folder).env("TERM", "xterm");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut output = match case.terminal {
        true => terminal(&mut command)?,
        false => {
            let (reader, writer) = std::io::pipe()?;
            command.arg("--json").stdout(writer);
            File::from(std::os::fd::OwnedFd::from(reader))
        }
    };
    let last = if case.terminal { "/host#h=" } else { "}\n" };
    let begin = Instant::now();
    let mut child = command.spawn().context("starting onlooker")?;
    // Our ends of what it was given.
    drop(command);
    let read = until(&mut output, last, begin);
    // In order: a store that was not closed is checked at the next start.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id())?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
    // A terminal that nobody reads would hold it up.
    let _ = output.read_to_end(&mut Vec::new());
    child.wait()?;
    read
}

/// Reads until `last` was read.
fn until(output: &mut File, last: &str, begin: Instant) -> Result<(Duration, Duration)> {
    let (mut text, mut bytes, mut first) = (Vec::new(), [0; 16384], None);
    loop {
        let length = output.read(&mut bytes)?;
        anyhow::ensure!(length > 0, "it ended: {}", String::from_utf8_lossy(&text));
        let now = begin.elapsed();
        let first = *first.get_or_insert(now);
        text.extend_from_slice(&bytes[..length]);
        if String::from_utf8_lossy(&text).contains(last) {
            return Ok((first, now));
        }
    }
}

/// A terminal for its output; returns our end of it.
fn terminal(command: &mut Command) -> Result<File> {
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pair = openpty(&size, None)?;
    command.stdout(pair.slave.try_clone()?).stderr(pair.slave);
    Ok(File::from(pair.master))
}

fn sources(count: usize, folder: &Path) -> Result<Vec<PathBuf>> {
    let source = |number: usize| {
        let path = folder.join(format!("source-{number}.json"));
        let list = vec![number; 100];
        fs::write(
            &path,
            format!("{{\"data\":{list:?},\"config\":{{\"speed\":1}}}}"),
        )?;
        Ok(path)
    };
    (0..count).map(source).collect()
}
