//! Where changes come from besides the network. Every source is
//! `run(what, hub, topic, stop)`: it writes to one topic until it is told to stop.

mod disk;
pub mod document;
pub mod file;
pub mod stdin;
mod watch;
