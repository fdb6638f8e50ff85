//! Who writes. Files and standard input are sources that run by themselves,
//! `run(what, hub, topic, stop)`; a host's socket is a source for as long as it is connected.

pub mod demo;
mod disk;
pub mod document;
pub mod file;
pub mod host;
pub mod input;
mod message;
mod pace;
pub mod relay;
pub mod room;
mod socket;
pub mod stdin;
pub mod upstream;
