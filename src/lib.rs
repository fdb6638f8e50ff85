//! placeholder
pub mod debounce;
pub mod discovery;
pub mod fields;
pub mod frame;
pub mod hub;
pub mod json;
pub mod name;
pub mod options;
pub mod protocol;
pub mod revision;
pub mod session;
pub mod topic;
pub mod viewer;
