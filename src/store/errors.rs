//! Why a store cannot be used, in words that name the way out.

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// Why a file that another daemon holds is left alone.
pub(super) const IN_USE: &str =
    "another onlooker has it open: stop that one, or choose another --store";

/// What the system refused.
pub(super) fn cannot(error: impl Display) -> String {
    format!("the store cannot be opened ({error}): choose another --store")
}

/// What redb refused.
pub(super) fn explain(error: redb::Error) -> String {
    match error {
        redb::Error::DatabaseAlreadyOpen => IN_USE.to_owned(),
        other => cannot(other),
    }
}

/// Runs redb on a file that may be damaged, where redb may panic.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                others(panic);
            }
        }));
    });
    QUIET.set(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    let damaged = |_| {
        Err(redb::Error::Corrupted(
            "redb cannot go on with it".to_owned(),
        ))
    };
    done.unwrap_or_else(damaged)
}
