//! From what was typed to what is meant: flags, environment and file become [`Settings`].

pub mod file;
mod forms;
pub mod keys;
mod nearest;
mod place;
mod resolve;
mod rooms;
mod settings;
pub mod show;
mod text;
mod units;

pub use forms::Shape;
pub use nearest::meant;
pub use place::{ConfigError, Place};
pub use resolve::{FILE_VARIABLE, Loaded, Typed, environment, find_file};
pub use settings::{LogFormat, Qr, Settings, ViewerToken};
pub use units::duration;

#[cfg(test)]
mod tests;
