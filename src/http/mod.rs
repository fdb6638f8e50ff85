//! HTTP/1.1 and the upgrades: connections, the gate, one table of routes and what answers them.
//! No rule of the domain lives here.

mod actions;
mod answer;
mod app;
mod check;
mod connection;
mod device;
mod events;
mod gate;
mod links;
mod live;
mod metrics;
mod opening;
mod operations;
mod options;
mod pages;
mod path;
mod patience;
mod peer;
mod pending;
mod query;
mod read;
mod renewal;
mod reports;
mod rooms;
mod routes;
mod site;
mod sockets;
mod status;
#[cfg_attr(not(feature = "tls"), path = "tls_absent.rs")]
pub mod tls;
mod upgraded;
mod write;
mod write_request;

pub use actions::disconnect_for_others;
pub use app::App;
pub use connection::serve;
pub use links::Links;
pub use live::{Current, Found, Live, Reloaded};
#[cfg(fuzzing)]
pub use opening::{agreed_deflate, switching};
pub use options::{LinkOptions, Page, TlsFiles};
pub use renewal::renew_certificate;
pub use reports::{Reported, Reports};
pub use status::{ChannelStatus, RelayStatus, RoomStatus, Status, StoreStatus, TopicStatus};
