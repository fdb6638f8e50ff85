//! Who asks for an action.

use std::net::IpAddr;

/// Who asks for an action.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Its seat, if it has one.
    pub seat: Option<u64>,
    /// Whether it has shown that it may do what hosts may.
    pub is_host: bool,
    /// Whether it is one by itself, rather than one of the room's people.
    pub is_outside: bool,
    /// Where it is.
    pub address: IpAddr,
    /// What its client calls it.
    pub name: &'a str,
    /// What kind of device it is.
    pub device: &'a str,
}

impl Asker<'_> {
    /// A host at an address.
    pub fn host(address: IpAddr) -> Asker<'static> {
        Asker {
            seat: None,
            is_host: true,
            is_outside: true,
            address,
            name: "",
            device: "",
        }
    }
}
