//! What the facts mean for a phone that wants to connect: a line for each, with a way out.

mod firewall;
mod machine;
mod network;
mod port;

use super::facts::Facts;
use crate::wire::CheckLine;

/// The host's half of the report, in the order in which a phone's packet meets the obstacles.
pub fn judge(facts: &Facts) -> Vec<CheckLine> {
    let lines = [
        Some(port::port(facts)),
        Some(network::address(facts)),
        network::others(facts),
        network::interface(facts),
        network::route(facts),
        network::vpn(facts),
        machine::container(facts),
        machine::wsl(facts),
        Some(firewall::firewall(facts)),
        port::reach(facts),
        machine::files(facts),
        Some(machine::clock(facts)),
    ];
    lines.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
