//! What a viewer behind a narrow link is shown is new: no queue on the way grows old.
//!
//! Times are measured, so this belongs to `scripts/faults`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::{Daemon, Socket};

/// A network of its own, which goes with the process that has it, and with it all that is in it.
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

    /// From now on this thread is in it, and so are the processes that it starts.
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

/// A host's network and a viewer's, with a link of so many bits a second to the latter. It holds
/// two packets: a longer queue there would be a delay that no program can help. Reno is what
/// every Linux has.
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

/// How long it is measured, and between two states of the host.
const SPAN: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_millis(300);
/// The kernel begins with a window of ten packets, which is more than the slower link takes in
/// four seconds. So long the first states may take.
const WARM: usize = 3;

/// Tells the moments of states until nobody is there to be told.
fn host(network: &Network, size: usize, port: &Sender<u16>, gone: &Receiver<()>, start: Instant) {
    network.enter();
    let mut daemon = Daemon::with(&["-", "--bind", "0.0.0.0", "--debounce", "0"]);
    port.send(daemon.port).expect("the viewer waits");
    let rest = "x".repeat(size);
    while gone.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let at = start.elapsed().as_millis();
        daemon.type_in(&format!(
            "{{\"data\":{{\"at\":{at},\"rest\":\"{rest}\"}}}}\n"
        ));
    }
}

/// How old each state was when it was there as a whole, in seconds.
fn ages(network: &Network, port: u16, start: Instant) -> Vec<f64> {
    network.enter();
    let tcp = TcpStream::connect(("10.0.0.1", port)).expect("a link");
    tcp.set_read_timeout(Some(SPAN)).expect("a socket option");
    let mut viewer = Socket::open(tcp, "/", &[]);
    let mut ages = Vec::new();
    while start.elapsed() < SPAN {
        let at = viewer.json()["payload"]["data"]["at"].as_u64();
        let at = Duration::from_millis(at.expect("a number"));
        ages.push((start.elapsed() - at).as_secs_f64());
    }
    ages
}

/// Fails when a state of so many bytes is older than two transfers at so many bits a second.
fn measure(size: usize, rate: u32) {
    let (ours, theirs) = link(rate);
    let start = Instant::now();
    let ((port, ports), (stays, gone)) = (channel(), channel::<()>());
    let ages = thread::scope(|scope| {
        let viewer = scope.spawn(move || {
            let _stays = stays;
            ages(&theirs, ports.recv().expect("a port"), start)
        });
        scope.spawn(move || host(&ours, size, &port, &gone, start));
        viewer.join().expect("a viewer")
    });
    let transfer = size as f64 * 8.0 / f64::from(rate);
    println!("{size} B over {rate} bit/s: one transfer {transfer:.1} s, ages {ages:.1?}");
    assert!(ages.len() > 2 * WARM, "{ages:?}");
    let old = ages[WARM..].iter().filter(|age| **age > 2.0 * transfer);
    assert_eq!(old.count(), 0, "older than two transfers");
}

#[test]
#[ignore = "root, and a minute: scripts/faults"]
fn a_narrow_link_shows_what_is_new() {
    thread::scope(|scope| {
        scope.spawn(|| measure(9_000, 26_000));
        scope.spawn(|| measure(100_000, 256_000));
    });
}
