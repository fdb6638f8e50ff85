//! A viewer behind a narrow link is shown what is new: no queue on the way delays it.
//!
//! This measures times, so it is run by `scripts/faults`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use rustls::pki_types::CertificateDer;

use crate::encodings::Tls;
use crate::harness::{Daemon, Socket};

/// A network namespace. It ends with the process that holds it, and so does everything in it.
struct Network(Child);

impl Network {
    fn new() -> Network {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo there; exec sleep 300"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("text");
        assert_eq!(line, "there\n", "a network of its own needs root");
        Network(child)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    fn run(&self, commands: &str) {
        let mut shell = Command::new("nsenter");
        shell.arg(format!("--net={}", self.path()));
        let done = shell.args(["sh", "-ec", commands]).status();
        assert!(done.expect("nsenter is there").success(), "{commands}");
    }

    /// Moves this thread into it, and with it the processes that it starts from now on.
    fn enter(&self) {
        let network = File::open(self.path()).expect("its process runs");
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("root");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host's network and a viewer's, with a link to the latter of so many bits a second. It queues
/// two packets: a longer queue would be a delay that no program could avoid. Reno is available in
/// every Linux.
fn link(rate: u32) -> (Network, Network) {
    let (host, viewer) = (Network::new(), Network::new());
    host.run(&format!(
        "ip link set lo up
         echo reno > /proc/sys/net/ipv4/tcp_congestion_control
         ip link add narrow type veth peer name narrow netns {}
         ip address add 10.0.0.1/24 dev narrow
         ip link set narrow up
         tc qdisc add dev narrow root tbf rate {rate}bit burst 1600 limit 3000",
        viewer.0.id()
    ));
    viewer.run("ip address add 10.0.0.2/24 dev narrow; ip link set narrow up");
    (host, viewer)
}

/// For how long states are measured, and the time between two of them.
const SPAN: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_millis(300);
/// So many states may be late at first: the kernel begins with a window of ten packets, for which
/// the slower link takes more than four seconds.
const WARM: usize = 3;

/// A daemon in a network, open to whoever can reach it.
fn daemon(network: &Network, args: &[&str]) -> Daemon {
    network.enter();
    Daemon::with(&[&["--bind", "0.0.0.0", "--debounce", "0"], args].concat())
}

/// A connection from the viewer's network to the host's.
fn connect(network: &Network, port: u16) -> TcpStream {
    network.enter();
    let tcp = TcpStream::connect(("10.0.0.1", port)).expect("a link");
    tcp.set_read_timeout(Some(SPAN)).expect("a socket option");
    tcp
}

/// Writes states, each with the time at which it was written, until the viewer is gone.
fn host(mut daemon: Daemon, size: usize, gone: &Receiver<()>, start: Instant) {
    let rest = "x".repeat(size);
    while gone.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let at = start.elapsed().as_millis();
        daemon.type_in(&format!(
            "{{\"data\":{{\"at\":{at},\"rest\":\"{rest}\"}}}}\n"
        ));
    }
}

/// Reads the next state to its end, and returns the time at which it was written.
fn moments(tcp: TcpStream, trusted: Option<&CertificateDer<'static>>) -> Box<dyn FnMut() -> u64> {
    const END: &str = "\"metadata\":{}}}";
    let Some(trusted) = trusted else {
        let mut viewer = Socket::open(tcp, "/", &[]);
        return Box::new(move || {
            viewer.json()["payload"]["data"]["at"]
                .as_u64()
                .expect("a number")
        });
    };
    let (mut viewer, mut seen) = (Tls::over(tcp, trusted, "/"), String::new());
    Box::new(move || {
        if !seen.contains(END) {
            seen += &viewer.wait_for(END);
        }
        let (state, rest) = seen.split_once(END).expect("its end");
        let (_, at) = state.split_once("\"at\":").expect("its moment");
        let at = at.split(',').next().and_then(|at| at.parse().ok());
        seen = rest.to_owned();
        at.expect("a number")
    })
}

/// How old each state was when it had arrived completely, in seconds.
fn ages(mut moment: impl FnMut() -> u64, start: Instant) -> Vec<f64> {
    let mut ages = Vec::new();
    while start.elapsed() < SPAN {
        let at = Duration::from_millis(moment());
        ages.push((start.elapsed() - at).as_secs_f64());
    }
    ages
}

/// Fails when a state of `size` bytes is older than two transfers at `rate` bits a second.
fn measure(size: usize, rate: u32, certificate: Option<&Certificate>) {
    let (ours, theirs) = link(rate);
    let start = Instant::now();
    let ((port, ports), (stays, gone)) = (channel(), channel::<()>());
    let ages = thread::scope(|scope| {
        let viewer = scope.spawn(move || {
            let _stays = stays;
            let tcp = connect(&theirs, ports.recv().expect("a port"));
            ages(moments(tcp, certificate.map(|made| &made.0)), start)
        });
        scope.spawn(move || {
            let tls = certificate.map(|made| made.1.each_ref().map(String::as_str));
            let args = tls.as_ref().map_or(&[][..], |tls| tls);
            let daemon = daemon(&ours, &[&["-"], args].concat());
            port.send(daemon.port).expect("the viewer waits");
            host(daemon, size, &gone, start);
        });
        viewer.join().expect("a viewer")
    });
    let transfer = size as f64 * 8.0 / f64::from(rate);
    let tls = certificate.map_or("", |_| ", TLS");
    println!("{size} B over {rate} bit/s{tls}: one transfer {transfer:.1} s, ages {ages:.1?}");
    assert!(ages.len() > 2 * WARM, "{ages:?}");
    let old = ages[WARM..].iter().filter(|age| **age > 2.0 * transfer);
    assert_eq!(old.count(), 0, "older than two transfers");
}

/// What a viewer trusts, and the flags that name it and its key.
type Certificate = (CertificateDer<'static>, [String; 4]);

fn certificate(folder: &Path) -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("text").to_owned()
    };
    let cert = file("cert.pem", made.cert.pem());
    let key = file("key.pem", made.signing_key.serialize_pem());
    let flags = ["--tls-cert".into(), cert, "--tls-key".into(), key];
    (made.cert.der().clone(), flags)
}

#[test]
#[ignore = "root, and a minute: scripts/faults"]
fn a_narrow_link_shows_what_is_new() {
    let folder = tempfile::tempdir().expect("a directory");
    let certificate = certificate(folder.path());
    thread::scope(|scope| {
        scope.spawn(|| measure(9_000, 26_000, None));
        scope.spawn(|| measure(100_000, 256_000, None));
        scope.spawn(|| measure(9_000, 26_000, Some(&certificate)));
    });
}

/// How much a viewer at 2 kB a second is shown of 120 kB whose topic is deleted, early on or once it
/// has all of it; and the code that it is closed with.
fn slowly(flags: &[&str], early: bool) -> (Option<usize>, Option<u16>) {
    let (ours, theirs) = link(16_000);
    let ((port, ports), (delete, deletes)) = (channel(), channel::<()>());
    thread::scope(|scope| {
        scope.spawn(move || {
            let daemon = daemon(&ours, flags);
            let state = format!("{:?}", "x".repeat(120_000));
            daemon.ask("PUT", "/api/topics/slow", &state);
            port.send(daemon.port).expect("the viewer waits");
            for () in deletes {
                daemon.ask("DELETE", "/api/topics/slow", "");
            }
        });
        let viewer = scope.spawn(move || {
            let tcp = connect(&theirs, ports.recv().expect("a port"));
            let mut viewer = Socket::open(tcp, "/?topic=slow", &[]);
            viewer.wait();
            let deleted = || delete.send(()).expect("the daemon waits");
            early.then(deleted);
            let state = viewer.json();
            (!early).then(deleted);
            let length = state["payload"]["data"].as_str().map(str::len);
            (length, viewer.close_code())
        });
        viewer.join().expect("a viewer")
    })
}

#[test]
#[ignore = "root, and a minute: scripts/faults"]
fn who_takes_it_slowly_stays_and_is_told_the_end() {
    thread::scope(|scope| {
        let all = (Some(120_000), Some(4404));
        scope.spawn(move || assert_eq!(slowly(&[], false), all));
        scope.spawn(move || assert_eq!(slowly(&["--stall-timeout", "2m"], true), all));
    });
}
