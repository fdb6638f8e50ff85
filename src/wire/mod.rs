//! How it is said: the wire's JSON and the bytes of a frame. Members have their names only here.

mod answer;
mod check;
pub mod frame;
mod heartbeat;
mod host;
mod patch;
mod problem;
mod protocol;
pub mod room;
mod upstream;

pub use answer::{Ack, error};
pub use check::{CheckLine, PhoneReport, Verdict};
pub use heartbeat::{UNANSWERED, patience};
pub use host::{
    HostMessage, Identified, MAX_SOURCE_ID, MessageError, device_number, fields, member,
};
pub use patch::patch;
pub use problem::Problem;
pub use protocol::*;
pub use upstream::{FromUpstream, LONGEST_WAY, NamedOrigins, UpstreamState};
