//! The program as its users have it, started for one test and killed with it.

mod daemon;
mod http;
mod process;
mod socket;
#[cfg(unix)]
mod terminal;
mod told;

use std::time::Duration;

pub use daemon::Daemon;
pub use http::Response;
pub use socket::{Frame, Socket, masked, opcode};
#[cfg(target_os = "linux")]
pub use terminal::Terminal;
pub use told::{BOTH, Block, Events, Told, rand, revision};

/// Longer than anything takes that works.
pub const LIMIT: Duration = Duration::from_secs(20);
