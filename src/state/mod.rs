//! What is shown: JSON as it was written, sessions and their revisions, the whitelist, a topic
//! and when its changes leave. Pure: time is passed in, and nothing is waited for.

pub mod debounce;
pub mod fields;
pub mod json;
pub mod name;
pub mod revision;
pub mod room;
pub mod session;
pub mod topic;
