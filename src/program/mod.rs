//! The program around the library: its command line, its configuration, its terminal, its doctor.

pub mod cli;
pub mod config;
pub mod doctor;
pub mod terminal;
