//! What firewalls do with a phone's first packet, from what their programs print. Only simple cases
//! are judged; of the others it is said that they were not.

use std::net::IpAddr;

pub mod firewalld;
pub mod nft;
pub mod ufw;

/// The first packet of a phone.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The TCP port it goes to.
    pub port: u16,
    /// The interface by which it comes, if that is known.
    pub interface: Option<&'a str>,
    /// The address it goes to, if that is known.
    pub to: Option<IpAddr>,
    pub is_v6: bool,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Let(String),
    Dropped {
        /// By what.
        found: String,
        /// How to let it in.
        way_out: &'static str,
        command: String,
    },
    /// Why that is not known, and the command to look.
    Unknown(String, String),
}
