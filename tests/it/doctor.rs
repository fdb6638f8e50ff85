//! `onlooker doctor` on machines with something in the way. Each is a network namespace that its test
//! makes, and no packet leaves it. This needs Linux with `ip`, `nft`, `unshare`, `nsenter` and `python3`
//! (Debian: iproute2, nftables, util-linux, python3), and root or user namespaces, for which
//! `scripts/test` looks.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Daemon, Response};

const PROGRAM: &str = env!("CARGO_BIN_EXE_onlooker");

/// A machine with a network of its own, which ends with it.
struct Machine {
    holder: Process,
    home: tempfile::TempDir,
}

/// Killed when it is dropped.
struct Process(Child);

impl Process {
    /// Starts a program that says a line when it is ready; returns that line, too.
    fn start(command: &mut Command) -> (Process, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it is there");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("text");
        assert!(
            !line.is_empty(),
            "{command:?} said nothing; are all tools here, and may this user make namespaces?"
        );
        (Process(child), line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Wi-Fi: a pair of interfaces, with nobody at the other end.
const WIFI: &str = "ip link add wlan0 type veth peer name air
    ip link set air up
    ip address add 192.168.1.20/24 dev wlan0
    ip link set wlan0 up";
const GATEWAY: &str = "ip route add default via 192.168.1.1";

/// Python: our own program would be recognised.
const OTHER_PROGRAM: &str = "exec python3 -c 'import socket, time
server = socket.create_server((\"0.0.0.0\", 9876))
print(\"there\", flush=True)
time.sleep(300)'";

impl Machine {
    /// With loopback, and what these commands set up.
    fn with(commands: &[&str]) -> Machine {
        let mut command = Command::new("unshare");
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        // What /sys shows is the network in which it was mounted.
        let setup = "PATH=$PATH:/usr/sbin; mount -t sysfs none /sys; ip link set lo up";
        let script = format!(
            "{setup}\n{}\necho there; exec sleep 300",
            commands.join("\n")
        );
        command.args(["--net", "--mount", "sh", "-ec", &script]);
        let (holder, _) = Process::start(&mut command);
        let home = tempfile::tempdir().expect("a directory of our own");
        Machine { holder, home }
    }

    /// A script in it, which finds our program as `$1` and these arguments behind it.
    fn command(&self, script: &str, args: &[&str]) -> Command {
        let pid = self.holder.0.id();
        let mut command = Command::new("nsenter");
        if !is_root() {
            command.arg(format!("--user=/proc/{pid}/ns/user"));
            command.arg("--preserve-credentials");
        }
        command.arg(format!("--net=/proc/{pid}/ns/net"));
        command.arg(format!("--mount=/proc/{pid}/ns/mnt"));
        let script = format!("PATH=$PATH:/usr/sbin; {script}");
        command
            .args(["sh", "-c", &script, "sh", PROGRAM])
            .args(args);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ONLOOKER_")) {
            command.env_remove(name);
        }
        command.current_dir(self.home.path());
        command.env("XDG_RUNTIME_DIR", self.home.path());
        // So few that every machine has enough files for them.
        command
            .env("ONLOOKER_MAX_VIEWERS", "40")
            .stdin(Stdio::null());
        command
    }

    fn doctor(&self, args: &[&str]) -> Told {
        self.doctor_by("exec \"$@\"", args)
    }

    fn doctor_by(&self, script: &str, args: &[&str]) -> Told {
        let args = [&["doctor"], args].concat();
        let output = self
            .command(script, &args)
            .output()
            .expect("nsenter is there");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        Told {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a doctor said.
struct Told {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Told {
    /// The lines of its report, but for that about the container in which this test may run.
    fn lines(&self) -> String {
        let mut is_kept = true;
        let kept = self.stdout.lines().skip(3).filter(|line| {
            if !line.starts_with("    ") {
                is_kept = line.split_whitespace().nth(1) != Some("container");
            }
            is_kept
        });
        kept.map(|line| format!("{line}\n")).collect()
    }

    /// Fails unless it told what it tells of a machine with nothing in the way, but for these lines,
    /// and named these checks as being in the way.
    fn is(&self, wrong: &str, other: &[(&str, &str)]) {
        self.is_with(wrong, other, "");
    }

    /// The same, with what follows the lines.
    fn is_with(&self, wrong: &str, other: &[(&str, &str)], end: &str) {
        assert!(
            self.stdout.starts_with("\n  onlooker doctor\n\n"),
            "{}",
            self.stdout
        );
        assert_eq!(self.lines(), format!("{}\n{end}", report(other)));
        let (code, last) = match wrong {
            "" => (0, String::new()),
            _ => (3, format!("error: in the way of phones: {wrong}\n")),
        };
        assert_eq!((self.code, &self.stderr), (code, &last));
    }
}

/// What is told of each check, in order; some have nothing to tell of a machine in a Wi-Fi.
const USUAL: [(&str, &str); 10] = [
    ("port", "good   port       no other program has 9876"),
    (
        "address",
        "good   address    the code leads to 192.168.1.20 (wlan0: private, physical)",
    ),
    (
        "addresses",
        "good   addresses  1. 192.168.1.20 (wlan0: private, physical); 2. 127.0.0.1 (lo: loopback, this machine only); 3. ::1 (lo: loopback, this machine only)",
    ),
    ("interface", ""),
    (
        "route",
        "good   route      the default route leaves by wlan0",
    ),
    ("vpn", ""),
    (
        "firewall",
        "good   firewall   no rules that filter what comes in",
    ),
    (
        "reach",
        "good   reach      this machine reaches itself at 192.168.1.20; whether others do, a phone shows",
    ),
    (
        "files",
        "good   files      open files are enough for 40 viewers (--max-viewers)",
    ),
    (
        "clock",
        "good   clock      set to YEAR; a phone tells how far its own is off",
    ),
];

/// The usual lines but for these. In a text, `→` and `$` begin the way out and what to type.
fn report(other: &[(&str, &str)]) -> String {
    let line = |(check, usual): &(&str, &str)| {
        let found = other.iter().find(|(name, _)| name == check);
        let text = found.map_or(*usual, |(_, text)| *text);
        let text = text.replace(" → ", "\n                    → ");
        let text = text.replace(" $ ", "\n                      ");
        match text.is_empty() {
            true => text,
            false => format!("  {text}\n"),
        }
    };
    let lines: String = USUAL.iter().map(line).collect();
    lines.replace("YEAR", &year())
}

fn year() -> String {
    let date = Command::new("date")
        .arg("+%Y")
        .output()
        .expect("date is there");
    let text = String::from_utf8(date.stdout).expect("text");
    text.trim().to_owned()
}

const NO_ROUTE: (&str, &str) = (
    "route",
    "wrong  route      no route leads through wlan0: answers to a phone have no way out → get an address from the network again (reconnect), or give it with its prefix, like 192.168.1.20/24 $ ip route",
);

#[test]
fn nothing_is_in_the_way() {
    Machine::with(&[WIFI, GATEWAY]).doctor(&[]).is("", &[]);
}

#[test]
fn the_only_network_is_a_tunnel() {
    let tunnel = "ip link add tun0 type veth peer name away
        ip link set away up; ip address add 10.8.0.2/24 dev tun0; ip link set tun0 up
        ip route add default via 10.8.0.1";
    let machine = Machine::with(&[tunnel]);
    let addresses = (
        "addresses",
        "good   addresses  1. 10.8.0.2 (tun0: VPN); 2. 127.0.0.1 (lo: loopback, this machine only); 3. ::1 (lo: loopback, this machine only)",
    );
    let route = (
        "route",
        "good   route      the default route leaves by tun0",
    );
    let reach = (
        "reach",
        "good   reach      this machine reaches itself at 10.8.0.2; whether others do, a phone shows",
    );
    let only = (
        "address",
        "wrong  address    the code leads to 10.8.0.2 (tun0: VPN), which a phone cannot reach, and this machine has no better one → connect this machine to the phone's Wi-Fi (or by cable); if a phone does reach it by a way of its own, say so with --interface or --advertise $ onlooker --interface tun0",
    );
    machine
        .doctor(&[])
        .is("address", &[only, addresses, route, reach]);
    let chosen = (
        "address",
        "note   address    the code leads to 10.8.0.2 (tun0: VPN), as --interface says → a phone reaches it only if it is in that network too",
    );
    machine
        .doctor(&["--interface", "tun0"])
        .is("", &[chosen, addresses, route, reach]);
    let none = (
        "address",
        "wrong  address    no interface \"eth7\" with an address; this machine has tun0 → name one of those, or leave --interface out $ onlooker --interface tun0",
    );
    let (no_route, no_reach) = (("route", ""), ("reach", ""));
    machine
        .doctor(&["--interface", "eth7"])
        .is("address", &[none, addresses, no_route, no_reach]);
}

#[test]
fn it_listens_to_itself_only() {
    let told = Machine::with(&[WIFI, GATEWAY]).doctor(&["--bind", "127.0.0.1"]);
    let address = (
        "address",
        "wrong  address    onlooker listens on 127.0.0.1 only: no other device can connect → listen on every address: leave --bind out, also as bind in onlooker.toml and as ONLOOKER_BIND $ onlooker config | grep bind",
    );
    told.is("address", &[address, ("route", ""), ("reach", "")]);
}

#[test]
fn a_rule_drops_the_port() {
    let rules = "nft add table inet guard
        nft add chain inet guard input '{ type filter hook input priority 0; }'
        nft add rule inet guard input tcp dport 9876 drop";
    let told = Machine::with(&[WIFI, GATEWAY, rules]).doctor(&[]);
    let firewall = (
        "firewall",
        "wrong  firewall   nft: the rule with handle 2 in inet guard input drops TCP 9876 → let the port in; in /etc/nftables.conf, too, to keep it $ sudo nft insert rule inet guard input tcp dport 9876 accept",
    );
    let reach = (
        "reach",
        "wrong  reach      this machine cannot even reach itself at 192.168.1.20: no answer → something on this machine filters the connection: a firewall, a VPN's kill switch, a virus scanner",
    );
    told.is("firewall, reach", &[firewall, reach]);
}

#[test]
fn a_policy_drops_what_no_rule_accepts() {
    let rules = "nft add table inet guard
        nft add chain inet guard input '{ type filter hook input priority 0; policy drop; }'
        nft add rule inet guard input iif lo accept
        nft add rule inet guard input ct state established,related accept
        nft add rule inet guard input tcp dport '{ 22, 443 }' accept";
    let machine = Machine::with(&[WIFI, GATEWAY, rules]);
    let way = "nft insert rule inet guard input tcp dport 9876 accept";
    let dropped = format!(
        "wrong  firewall   nft: inet guard input drops what no rule accepts, and none accepts TCP 9876 → let the port in; in /etc/nftables.conf, too, to keep it $ sudo {way}"
    );
    machine
        .doctor(&[])
        .is("firewall", &[("firewall", &dropped)]);
    // The way out is one.
    let done = machine.command(way, &[]).status();
    assert!(done.expect("nft is there").success());
    let open = (
        "firewall",
        "good   firewall   nft: inet guard input lets TCP 9876 in",
    );
    machine.doctor(&[]).is("", &[open]);
}

#[test]
fn no_route_leads_to_a_phone() {
    let alone = "ip link add wlan0 type veth peer name air; ip link set air up
        ip address add 192.168.1.20/32 dev wlan0; ip link set wlan0 up";
    Machine::with(&[alone]).doctor(&[]).is("route", &[NO_ROUTE]);
    // It may be the access point itself.
    let no_default = (
        "route",
        "note   route      no default route: wlan0 reaches its own network, and no other → fine if the phone is in that network (same Wi-Fi, same address range); otherwise this machine needs a gateway",
    );
    Machine::with(&[WIFI]).doctor(&[]).is("", &[no_default]);
}

#[test]
fn the_interface_is_off_or_not_connected() {
    let off = Machine::with(&[WIFI, "ip link set wlan0 down"]).doctor(&[]);
    let is_off = (
        "interface",
        "wrong  interface  wlan0 is switched off → switch it on $ sudo ip link set wlan0 up",
    );
    off.is("interface, route", &[is_off, NO_ROUTE]);
    let out = Machine::with(&[WIFI, GATEWAY, "ip link set air down"]).doctor(&[]);
    let is_out = (
        "interface",
        "wrong  interface  wlan0 is not connected: no cable, or no Wi-Fi network → connect it, or name another interface with --interface",
    );
    out.is("interface", &[is_out]);
}

const ELSEWHERE: &str = "Now the phone's half: open this address on the phone that does not connect. This check has port 9877, since 9876 is taken: if a firewall lets only 9876 in, the phone gets no answer here.\n  http://192.168.1.20:9877/check\n\n";

const NOBODY: &str = "  wrong  phone      no phone came within 1ms
                    → if one has tried: is it in the same Wi-Fi (not the guests' one, not mobile data), and without a VPN? Many guest networks keep devices apart; then only another network helps, such as the phone's own hotspot. A firewall may be in the way too, and other addresses of this machine are listed above: try them
";

#[test]
fn another_program_has_the_port() {
    let machine = Machine::with(&[WIFI, GATEWAY]);
    let (other, _) = Process::start(&mut machine.command(OTHER_PROGRAM, &[]));
    let pid = other.0.id();
    let taken = format!(
        "wrong  port       another program has 9876: python3 (process {pid}) → stop it (kill {pid}), or choose another port $ onlooker --port 9877"
    );
    let end = format!("  In the way here, see above: port. {ELSEWHERE}");
    let told = machine.doctor(&["--wait", "1ms", "--port", "9876"]);
    told.is_with("port, phone", &[("port", &taken)], &(end + NOBODY));
    // A daemon whose port nobody has named goes to the next one.
    let passed = format!(
        "note   port       onlooker takes the next free port, which is 9877: another program has 9876: python3 (process {pid}) → fine if 9877 is let in wherever 9876 was; for 9876, stop that program"
    );
    let told = machine.doctor(&["--wait", "1ms"]);
    let end = "  Now the phone's half: open this address on the phone that does not connect.\n  http://192.168.1.20:9877/check\n\n";
    told.is_with("phone", &[("port", &passed)], &format!("{end}{NOBODY}"));
    // It is found there, and so is what keeps phones from it.
    let serve = ["serve", "--json", "--quiet"];
    let (daemon, _) = Process::start(&mut machine.command("exec \"$@\"", &serve));
    let rules = "nft add table inet guard
        nft add chain inet guard input '{ type filter hook input priority 0; }'
        nft add rule inet guard input iif wlan0 tcp dport 9877 drop";
    assert!(
        machine
            .command(rules, &[])
            .status()
            .expect("nft is there")
            .success()
    );
    let ours = format!(
        "good   port       onlooker (process {}) has 9877 and has nothing to show yet",
        daemon.0.id()
    );
    let firewall = (
        "firewall",
        "wrong  firewall   nft: the rule with handle 2 in inet guard input drops TCP 9877 → let the port in; in /etc/nftables.conf, too, to keep it $ sudo nft insert rule inet guard input tcp dport 9877 accept",
    );
    machine
        .doctor(&[])
        .is("firewall", &[("port", &ours), firewall]);
}

#[test]
fn our_own_daemon_may_have_the_port() {
    let machine = Machine::with(&[WIFI, GATEWAY]);
    let serve = ["serve", "--json", "--quiet"];
    let (daemon, _) = Process::start(&mut machine.command("exec \"$@\"", &serve));
    let ours = format!(
        "good   port       onlooker (process {}) has 9876 and has nothing to show yet",
        daemon.0.id()
    );
    let told = machine.doctor(&["--wait", "1ms"]);
    told.is_with(
        "phone",
        &[("port", &ours)],
        &format!("  {ELSEWHERE}{NOBODY}"),
    );
}

#[test]
fn few_files_can_be_open() {
    let machine = Machine::with(&[WIFI, GATEWAY]);
    let few = (
        "files",
        "wrong  files      80 open files at most: enough for about 16 viewers (--max-viewers is 40) → raise the limit (ulimit -Hn; LimitNOFILE= in a unit of systemd), or allow fewer viewers $ onlooker --max-viewers 16",
    );
    machine
        .doctor_by("ulimit -n 80; exec \"$@\"", &[])
        .is("files", &[few]);
}

#[test]
fn a_tunnel_takes_everything() {
    let tunnel = "ip link add wg0 type veth peer name away
        ip link set away up; ip address add 10.8.0.2/24 dev wg0; ip link set wg0 up
        ip route add default via 10.8.0.1";
    let addresses = (
        "addresses",
        "good   addresses  1. 192.168.1.20 (wlan0: private, physical); 2. 10.8.0.2 (wg0: VPN); 3. 127.0.0.1 (lo: loopback, this machine only); 4. ::1 (lo: loopback, this machine only)",
    );
    let vpn = (
        "vpn",
        "note   vpn        a VPN (wg0) has the default route, and may keep the local network out → if the phone does not connect: allow local network access in the VPN's settings, or disconnect it for a moment",
    );
    let told = Machine::with(&[WIFI, tunnel]).doctor(&[]);
    told.is("", &[addresses, ("route", ""), vpn]);
}

#[test]
fn a_program_gets_one_document() {
    let machine = Machine::with(&[WIFI, GATEWAY]);
    let told = machine.doctor(&["--json", "--port", "80", "--bind", "192.168.1.21"]);
    assert_eq!(told.code, 3, "{}", told.stderr);
    let document: Value = serde_json::from_str(&told.stdout).expect("one document");
    assert_eq!(document["verdict"], "wrong");
    assert_eq!(document["phones"], Value::Array(Vec::new()));
    let port = &document["host"][0];
    assert_eq!(
        (&port["check"], &port["verdict"]),
        (&"port".into(), &"wrong".into())
    );
    assert!(port["wayOut"].is_string(), "{port}");
    assert!(told.stderr.contains("good   clock"), "{}", told.stderr);
}

#[test]
fn what_is_stopped_early_does_not_say_that_all_is_well() {
    let machine = Machine::with(&[WIFI, GATEWAY]);
    // The program that it asks for rules stops it. (In the network of the machine, the working directory is another.)
    let tools = machine.home.path();
    let stops = "#!/bin/sh\nkill -TERM $PPID; exec sleep 60";
    let tool = tools.join("nft");
    std::fs::write(&tool, stops).expect("it is our directory");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&tool, mode).expect("it is our file");
    let script = format!("PATH={}:$PATH; exec \"$@\"", tools.display());
    let told = machine.doctor_by(&script, &[]);
    let text = "error: stopped before it was known what is in the way\n";
    assert_eq!((told.code, &*told.stdout, &*told.stderr), (1, "", text));
}

/// A doctor that waits for a phone, on loopback.
struct Waiting {
    process: Process,
    out: BufReader<ChildStdout>,
    port: u16,
}

impl Waiting {
    fn start(home: &Path) -> Waiting {
        let mut command = Command::new(PROGRAM);
        command.args([
            "doctor",
            "--port",
            "0",
            "--bind",
            "127.0.0.1",
            "--wait",
            "1m",
        ]);
        command.current_dir(home).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut text = String::new();
        while !text.contains("/check\n") {
            assert!(out.read_line(&mut text).expect("text") > 0, "{text}");
        }
        let port = text
            .rsplit(':')
            .next()
            .and_then(|rest| rest.split('/').next());
        let port = port.and_then(|port| port.parse().ok()).expect("a port");
        Waiting {
            process: Process(child),
            out,
            port,
        }
    }

    /// The status for a report.
    fn report(&self, body: &str) -> u16 {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("it listens");
        Response::to(tcp, "POST", "/check", &[], body).status
    }

    /// What it says until it ends, and the code with which it does.
    fn ended(mut self) -> (String, Option<i32>) {
        let mut text = String::new();
        self.out.read_to_string(&mut text).expect("text");
        (text, self.process.0.wait().expect("it is our child").code())
    }
}

fn phone(id: &str, found: &str, done: bool) -> String {
    let line = json!({"check": "request", "verdict": "wrong", "found": found, "wayOut": "call me", "command": "rm"});
    json!({"id": id, "lines": [line], "done": done}).to_string()
}

#[test]
fn a_stranger_s_report_cannot_do_harm() {
    let home = tempfile::tempdir().expect("a directory of our own");
    let doctor = Waiting::start(home.path());
    for bad in [
        "",
        "[]",
        "{\"id\":\"a b\",\"lines\":[],\"done\":true}",
        &"[".repeat(8000),
    ] {
        assert_eq!(doctor.report(bad), 400, "{bad}");
    }
    assert_eq!(doctor.report(&" ".repeat(9000)), 413);
    let many = (0..25).map(|at| doctor.report(&phone(&format!("p{at}"), "seen", false)));
    assert!(many.into_iter().all(|status| status == 204));
    let flood = (0..100).map(|_| doctor.report(&phone("a", "x", false)));
    assert_eq!(
        flood.filter(|status| *status == 429).count(),
        100 - (60 - 25)
    );
}

#[test]
fn what_a_phone_says_is_safe_to_print() {
    let home = tempfile::tempdir().expect("a directory of our own");
    let doctor = Waiting::start(home.path());
    // Clears the screen, rings, forges a line, turns the direction.
    let found = "\x1b[2J\x07\n  good   all\u{202e}";
    assert_eq!(doctor.report(&phone("a", found, true)), 204);
    let (text, code) = doctor.ended();
    assert_eq!(code, Some(3));
    let way = "Is the host still running, and the phone still in its network? A proxy or a login page of the network may be in between.";
    let safe = "␛[2J␇␊  good   all\u{fffd}";
    let expected = format!(
        "\n  program at 127.0.0.1\n  wrong  request         {safe}\n                         → {way}\n\n  program at 127.0.0.1: in the way: request\n\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn only_a_doctor_takes_reports() {
    let daemon = Daemon::start();
    let body = phone("a", "x", true);
    let stranger = Response::to(daemon.connect(), "POST", "/check", &[], &body);
    assert_eq!(stranger.status, 401);
    assert_eq!(daemon.ask("POST", "/check", &body).status, 405);
    let page = daemon.ask("GET", "/check", "");
    assert!(page.status == 200 && !page.body.contains("data-reported"));
}
