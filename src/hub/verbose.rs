//! Whether anybody reads what only `-v` tells.

/// Whether anybody reads what is made of each change.
pub(super) fn is_verbose() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}
