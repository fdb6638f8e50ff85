//! Servers as processes: started on their core, read by their clocks, stopped.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// How long a server may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(15);
/// Large enough that a message of 100 KiB does not wait for its reader.
const PIPE: i32 = 1 << 20;

/// Where servers and the load run.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

/// A server that was started and listens.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    pid: Pid,
    pub address: SocketAddr,
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

impl Running {
    /// Starts a command and waits until it listens on `port`. With `cores` it runs on the
    /// server's, and this thread on the load's from then on.
    pub fn start(command: &[String], port: u16, cores: Option<Cores>) -> Result<Running> {
        let (program, arguments) = command.split_first().context("no command")?;
        if let Some(cores) = cores {
            pin(cores.server)?;
        }
        let spawned = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        if let Some(cores) = cores {
            pin(cores.load)?;
        }
        let mut child = spawned.with_context(|| format!("starting {program}"))?;
        let input = child.stdin.take().context("no standard input")?;
        // The default size only makes it slower.
        let _ = fcntl(&input, FcntlArg::F_SETPIPE_SZ(PIPE));
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut running = Running {
            child,
            input: Some(input),
            pid,
            address,
        };
        running.wait_until_it_listens(program)?;
        Ok(running)
    }

    fn wait_until_it_listens(&mut self, program: &str) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{program} ended at once: {status}");
            }
            if start.elapsed() > PATIENCE {
                bail!("{program} does not listen on {}", self.address);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(200));
        Ok(())
    }

    /// Writes one line to its standard input.
    pub fn write_line(&mut self, line: &[u8]) -> Result<()> {
        let input = self
            .input
            .as_mut()
            .context("its standard input is closed")?;
        input.write_all(line)?;
        input.write_all(b"\n")?;
        Ok(())
    }

    /// The processor time it has used, from its own clock.
    pub fn cpu(&self) -> Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(self.pid)?;
        Ok(clock_gettime(clock)?.into())
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most that its resident memory was since [`Running::forget_peak`].
    pub fn peak(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    pub fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?)
    }

    fn memory(&self, name: &'static str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.context(name)?.parse::<u64>()? * 1024)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.input = None;
        // It may have ended by itself.
        let _ = kill(self.pid, Signal::SIGTERM);
        let start = Instant::now();
        while start.elapsed() < PATIENCE / 3 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps this thread, and what it starts, on one core.
fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores)
        .with_context(|| format!("staying on core {core} (--unpinned does without)"))
}

/// Lets this thread, and what it starts from now on, use all cores.
pub fn unpin() -> Result<()> {
    let mut cores = CpuSet::new();
    (0..CpuSet::count()).try_for_each(|core| cores.set(core))?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// As many open files as allowed; tells how many.
pub fn raise_file_limit() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// How often the kernel has dropped a connection because a listener's queue was full.
pub fn listen_overflows() -> Result<u64> {
    let table = fs::read_to_string("/proc/net/netstat")?;
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let found = names
        .split_whitespace()
        .zip(values.split_whitespace())
        .find(|(name, _)| *name == "ListenOverflows");
    Ok(found.context("no ListenOverflows")?.1.parse()?)
}
