//! What kind of machine it is, and what it can do.

use std::net::IpAddr;

use super::super::facts::{Code, Facts};
use crate::wire::CheckLine;

/// Files besides those of viewers: listener, sources, store, log.
const RESERVE: u64 = 64;
/// With fewer files than this, a room of phones is turned away.
const FEW_FILES: u64 = 1024;

/// Years in which this program can be running.
const YEARS: std::ops::Range<u64> = 2025..2100;

pub fn container(facts: &Facts) -> Option<CheckLine> {
    let kind = facts.machine.container?;
    let port = facts.wanted.port;
    let address = match facts.code() {
        Code::Advertised(place) => {
            let found = format!("{kind}; the code leads to {place} instead of the container");
            return Some(CheckLine::good("container", found));
        }
        Code::Found(code) => Some(code.address),
        Code::Nowhere => None,
    };
    let found = format!("this is a container ({kind}), whose addresses are its own");
    let way = "publish the port and name the machine's address (--advertise), or give it the machine's network";
    let is_paired = facts
        .network
        .link
        .as_ref()
        .is_some_and(|link| link.is_paired);
    let line = match is_paired && address.is_some_and(is_inner) {
        true => CheckLine::wrong(
            "container",
            format!(
                "{found}: a phone cannot reach {}",
                address.map_or(String::new(), |one| one.to_string())
            ),
            way,
        ),
        false => CheckLine::note("container", found, way),
    };
    let program = match kind {
        "Docker" => "docker",
        "Podman" => "podman",
        _ => return Some(line),
    };
    Some(line.typing(format!(
        "{program} run -p {port}:{port} -e ONLOOKER_ADVERTISE=192.168.1.20 …"
    )))
}

/// The networks that Docker (172.16.0.0/12) and Podman (10.88.0.0/16) give their containers, and
/// Windows its Linux.
fn is_inner(address: IpAddr) -> bool {
    let IpAddr::V4(v4) = address else {
        return false;
    };
    let [first, second, ..] = v4.octets();
    first == 172 && (16..32).contains(&second) || first == 10 && second == 88
}

pub fn wsl(facts: &Facts) -> Option<CheckLine> {
    if !facts.machine.is_wsl {
        return None;
    }
    let found = "this is the Linux inside of Windows (WSL)";
    let way = "in %UserProfile%\\.wslconfig, under [wsl2], set networkingMode=mirrored and run `wsl --shutdown`; Windows' firewall has to let the port in as well";
    Some(match facts.code() {
        Code::Advertised(_) => CheckLine::good("wsl", found),
        Code::Found(code) if is_inner(code.address) => CheckLine::wrong(
            "wsl",
            format!("{found}: a phone cannot reach {}", code.address),
            way,
        ),
        _ => CheckLine::note("wsl", found, way),
    })
}

/// Each viewer is an open file.
pub fn files(facts: &Facts) -> Option<CheckLine> {
    let (files, viewers) = (facts.machine.files?, facts.wanted.viewers as u64);
    let needed = viewers.saturating_add(RESERVE);
    let room = files.saturating_sub(RESERVE);
    let found = format!(
        "{files} open files at most: enough for about {room} viewers (--max-viewers is {viewers})"
    );
    let way =
        "raise the limit (ulimit -Hn; LimitNOFILE= in a unit of systemd), or allow fewer viewers";
    let line = match files {
        _ if files >= needed => {
            let found = format!("open files are enough for {viewers} viewers (--max-viewers)");
            return Some(CheckLine::good("files", found));
        }
        FEW_FILES.. => CheckLine::note("files", found, way),
        _ => CheckLine::wrong("files", found, way),
    };
    Some(line.typing(format!("onlooker --max-viewers {}", room.max(1))))
}

pub fn clock(facts: &Facts) -> CheckLine {
    let year = facts.machine.year;
    match YEARS.contains(&year) {
        true => CheckLine::good(
            "clock",
            format!("set to {year}; a phone tells how far its own is off"),
        ),
        false => CheckLine::wrong(
            "clock",
            format!("set to {year}: certificates and revisions go by it"),
            "set the clock, and let it be set from the network",
        )
        .typing("sudo timedatectl set-ntp true"),
    }
}
