//! HTTP/1.1 and the upgrades: connections, the gate, routes. No rule of the domain lives here.

mod answer;
mod api;
mod app;
mod connection;
mod device;
mod gate;
mod incoming;
mod live;
mod operations;
mod options;
mod pages;
mod patience;
mod pending;
mod site;
pub mod tls;
mod upgrade;
mod write;

pub use app::{App, Links, Status, StoreStatus, TopicStatus};
pub use connection::serve;
pub use live::{Current, Found, Live, Reloaded};
pub use options::{LinkOptions, Page, TlsFiles};
#[doc(hidden)]
pub use upgrade::{agreed_deflate, switching};
