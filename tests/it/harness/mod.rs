//! The program as its users have it, started for one test and killed with it.

mod daemon;
mod http;
mod socket;

use std::time::Duration;

pub use daemon::Daemon;
pub use http::Response;
pub use socket::{Frame, Socket, masked, opcode};

/// Longer than anything takes that works.
pub const LIMIT: Duration = Duration::from_secs(20);
