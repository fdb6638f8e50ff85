//! What onlooker promises, tried from outside: the real program, raw sockets, real files.
//! Nothing sleeps and hopes: a test waits for an event, and shows that nothing happened
//! by causing something later and meeting that first.

mod harness;

mod api;
mod attack;
mod cli;
mod config;
mod corners;
#[cfg(target_os = "linux")]
mod doctor;
mod encodings;
mod explain;
mod files;
mod frames;
mod gate;
mod heart;
mod host_socket;
mod hosts;
mod input;
#[cfg(target_os = "linux")]
mod kills;
#[cfg(target_os = "linux")]
mod narrow;
mod papers;
mod presence;
mod relay;
mod reload;
mod rfc6455;
#[cfg(target_os = "linux")]
mod room_kills;
mod rooms;
mod rooms_seen;
mod rooms_turns;
mod site;
mod statesync;
mod stdin;
mod store;
mod sync;
#[cfg(target_os = "linux")]
mod terminal;
mod tidy;
mod viewers;
mod watchful;
