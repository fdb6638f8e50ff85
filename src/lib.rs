//! placeholder
pub mod debounce;
pub mod fields;
pub mod json;
pub mod name;
pub mod options;
pub mod revision;
pub mod session;
pub mod topic;
