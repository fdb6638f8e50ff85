//! The program around the library: its command line, its configuration, its terminal.

pub mod cli;
pub mod config;
pub mod doctor;
pub mod terminal;
