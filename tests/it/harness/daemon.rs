//! One running `onlooker`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;

use super::{LIMIT, Response, Socket, process};

/// Killed when it is dropped.
pub struct Daemon {
    child: Child,
    stdin: Option<ChildStdin>,
    log: Arc<Log>,
    home: tempfile::TempDir,
    /// Where it listens, on loopback.
    pub port: u16,
    /// What writers show.
    pub token: String,
    /// The first line of its standard output.
    pub ready: Value,
}

/// Its standard error, growing.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
    ended: AtomicBool,
}

impl Daemon {
    /// Without a source, flushing soon.
    pub fn start() -> Daemon {
        Daemon::with(&["--debounce", "20ms"])
    }

    /// With these arguments, beside a free port on loopback.
    pub fn with(args: &[&str]) -> Daemon {
        Daemon::spawn(args).expect("the daemon tells that it is ready")
    }

    /// Watching a file.
    pub fn watching(path: &Path, args: &[&str]) -> Daemon {
        let path = path.to_str().expect("a path of this test is text");
        Daemon::with(&[&[path], args].concat())
    }

    /// As [`Daemon::with`], of one that hears of a full disk as an error: see
    /// [`Daemon::limit_file_size`].
    #[cfg(target_os = "linux")]
    pub fn with_small_disk(args: &[&str]) -> Daemon {
        Daemon::ignoring("XFSZ", args)
    }

    /// As [`Daemon::with`], of one that is started with a signal ignored.
    #[cfg(target_os = "linux")]
    pub fn ignoring(signal: &str, args: &[&str]) -> Daemon {
        let home = tempfile::tempdir().expect("a directory of our own");
        let inner = command(home.path(), args);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("trap '' {signal}; exec \"$@\""), "sh"]);
        shell.arg(inner.get_program()).args(inner.get_args());
        like(&mut shell, home.path());
        Daemon::run(shell, home).expect("the daemon tells that it is ready")
    }

    /// As [`Daemon::with`]; the log when it ends before it is ready.
    pub fn spawn(args: &[&str]) -> Result<Daemon, String> {
        Daemon::spawn_in(&[], args)
    }

    /// As [`Daemon::spawn`], with these variables.
    pub fn spawn_in(env: &[(&str, &OsStr)], args: &[&str]) -> Result<Daemon, String> {
        let home = tempfile::tempdir().expect("a directory of our own");
        let mut command = command(home.path(), args);
        command.envs(env.iter().copied());
        Daemon::run(command, home)
    }

    /// With a terminal as input and log, which hangs up when the second value is dropped.
    #[cfg(unix)]
    pub fn on_terminal(args: &[&str]) -> (Daemon, std::os::fd::OwnedFd) {
        let (ours, theirs) = super::terminal::open().expect("the system has terminals");
        let home = tempfile::tempdir().expect("a directory of our own");
        let mut command = command(home.path(), args);
        command.stdin(theirs.try_clone().expect("another one"));
        command.stderr(theirs);
        let daemon = Daemon::run(command, home).expect("the daemon tells that it is ready");
        (daemon, ours)
    }

    fn run(mut command: Command, home: tempfile::TempDir) -> Result<Daemon, String> {
        let mut child = command.spawn().expect("the program starts");
        // Our own ends of what it was given are closed with it.
        drop(command);
        let log = child.stderr.take().map(Log::follow).unwrap_or_default();
        let stdin = child.stdin.take();
        let ready = first_line(&mut child);
        let mut daemon = Daemon {
            child,
            stdin,
            log,
            home,
            port: 0,
            token: String::new(),
            ready,
        };
        let Some(port) = daemon.ready["port"].as_u64() else {
            let status = daemon.exited();
            return Err(format!("{status}\n{}", daemon.log.whole()));
        };
        daemon.port = u16::try_from(port).expect("a port");
        daemon.token = daemon.ready["hostToken"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok(daemon)
    }

    /// Starts a daemon and kills it as soon as `when` returns, wherever it is then.
    pub fn killed_after(args: &[&str], when: impl FnOnce()) {
        let home = tempfile::tempdir().expect("a directory of our own");
        let mut child = command(home.path(), args)
            .spawn()
            .expect("the program starts");
        when();
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// Waits until the log holds `text`, and returns the line.
    pub fn logged(&self, text: &str) -> String {
        self.log.wait(text)
    }

    /// Waits until the log holds `text` in so many lines, and returns the last of them.
    pub fn logged_again(&self, text: &str, times: usize) -> String {
        self.log.wait_again(text, times)
    }

    /// How many times the log holds `text` by now.
    pub fn log_count(&self, text: &str) -> usize {
        self.log.text.lock().unwrap().matches(text).count()
    }

    /// A directory that goes with the daemon.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes to its standard input.
    pub fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(text.as_bytes()).expect("it reads");
        stdin.flush().expect("it reads");
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// A raw connection.
    pub fn connect(&self) -> TcpStream {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        tcp.set_read_timeout(Some(LIMIT)).expect("a socket option");
        tcp.set_nodelay(true).expect("a socket option");
        tcp
    }

    /// A viewer of the default topic.
    pub fn viewer(&self) -> Socket {
        self.socket("/", &[])
    }

    /// A WebSocket at any path.
    pub fn socket(&self, path: &str, headers: &[(&str, &str)]) -> Socket {
        Socket::open(self.connect(), path, headers)
    }

    /// A request by the host: with its token.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Response {
        let token = format!("Bearer {}", self.token);
        Response::to(
            self.connect(),
            method,
            path,
            &[("Authorization", &token)],
            body,
        )
    }

    /// Replaces the session of `main`, and returns its revision.
    pub fn put(&self, session: &str) -> u64 {
        let response = self.ask("PUT", "/api/topics/main", session);
        assert!(
            response.status == 200 || response.status == 201,
            "{response:?}"
        );
        response.json()["revision"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("a revision")
    }

    /// How much memory it holds, in bytes.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("Linux, and it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.expect("a number of KiB") * 1024
    }

    /// From now on it can open so many files more.
    #[cfg(target_os = "linux")]
    pub fn limit_files(&self, more: u64) {
        let pid = self.child.id();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
        let limit = open.count() as u64 + more;
        let limit = Some((limit, limit));
        let pid = pid.try_into().expect("a process id");
        rlimit::prlimit(pid, rlimit::Resource::NOFILE, limit, None).expect("it is our child");
    }

    /// From now on it cannot write to a file beyond so many bytes.
    #[cfg(target_os = "linux")]
    pub fn limit_file_size(&self, bytes: u64) {
        let pid = self.child.id().try_into().expect("a process id");
        let limit = Some((bytes, rlimit::INFINITY));
        rlimit::prlimit(pid, rlimit::Resource::FSIZE, limit, None).expect("it is our child");
    }

    /// Sends a signal by name, as `kill` does.
    pub fn signal(&self, name: &str) {
        process::signal(&self.child, name);
    }

    /// Waits for its end.
    pub fn exited(&mut self) -> ExitStatus {
        process::exited(&mut self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log\n{}---", self.log.text.lock().unwrap());
        }
    }
}

impl Log {
    fn follow(stream: impl Read + Send + 'static) -> Arc<Log> {
        let log = Arc::new(Log::default());
        let ours = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut text = ours.text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                ours.grown.notify_all();
            }
            let _text = ours.text.lock().unwrap();
            ours.ended.store(true, Ordering::Relaxed);
            ours.grown.notify_all();
        });
        log
    }

    /// All of it, once the program has ended.
    fn whole(&self) -> String {
        let text = self.text.lock().unwrap();
        let open = |_: &mut String| !self.ended.load(Ordering::Relaxed);
        let (text, _) = self.grown.wait_timeout_while(text, LIMIT, open).unwrap();
        text.clone()
    }

    fn wait(&self, needle: &str) -> String {
        self.wait_again(needle, 1)
    }

    fn wait_again(&self, needle: &str, times: usize) -> String {
        let nth = |text: &str| {
            let mut lines = text.lines().filter(|line| line.contains(needle));
            lines.nth(times - 1).map(str::to_owned)
        };
        let text = self.text.lock().unwrap();
        let missing = |text: &mut String| nth(text).is_none();
        let (text, waited) = self.grown.wait_timeout_while(text, LIMIT, missing).unwrap();
        // What fails from here on may still look at the log.
        let found = nth(&text);
        drop(text);
        assert!(!waited.timed_out(), "{needle:?} is not in the log");
        found.unwrap_or_default()
    }
}

fn command(home: &Path, args: &[&str]) -> Command {
    let program = env!("CARGO_BIN_EXE_onlooker");
    let mut command = Command::new(program);
    command
        .args(["serve", "--port", "0", "--bind", "127.0.0.1", "--json"])
        .args(args);
    like(&mut command, home);
    command
}

/// In a home of its own, with pipes.
fn like(command: &mut Command, home: &Path) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ONLOOKER_")) {
        command.env_remove(name);
    }
    command.current_dir(home).env("XDG_RUNTIME_DIR", home);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// The line with the port; null when the output ends before it.
fn first_line(child: &mut Child) -> Value {
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("text");
    serde_json::from_str(&line).unwrap_or(Value::Null)
}
