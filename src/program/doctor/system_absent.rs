//! What other systems than Linux do not show in files: nothing is known, and nothing is guessed.

use std::net::{IpAddr, SocketAddr};

use super::facts::{Link, Process, Routes};

pub fn holder(_: IpAddr, _: u16) -> Option<Process> {
    None
}

pub fn is_from_another_user(_: SocketAddr, _: SocketAddr) -> bool {
    false
}

pub fn routes() -> Option<Routes> {
    None
}

pub fn link(_: &str) -> Option<Link> {
    None
}

pub fn container() -> Option<&'static str> {
    None
}

pub fn is_wsl() -> bool {
    false
}

pub fn has_legacy_rules() -> bool {
    false
}
