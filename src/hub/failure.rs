//! A store that fails: said once when it begins and once when it is over, and tried again.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

use super::{Hub, millis};
use crate::store::StoreFailure;
use crate::store::{Job, Store};

/// How often it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// That changes are not kept, while it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When it began, in milliseconds since 1970.
    pub since_ms: u64,
    /// What the system said last.
    pub error: String,
}

impl Failure {
    /// `not kept since 18:04:05 UTC`.
    pub fn text(&self) -> String {
        not_kept_since(self.since_ms)
    }
}

/// `not kept since 18:04:05 UTC`, of a time in milliseconds since 1970.
pub fn not_kept_since(since_ms: u64) -> String {
    let seconds = since_ms / 1000 % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "not kept since {hours:02}:{minutes:02}:{:02} UTC",
        seconds % 60
    )
}

impl Hub {
    /// The store's failure, while it fails.
    pub fn store_failure(&self) -> Option<Failure> {
        let failure = self.0.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many commits of the store have failed; none without a store.
    pub fn store_errors(&self) -> Option<u64> {
        self.0.store.as_ref().map(Store::errors)
    }

    /// Whether changes stand that the store cannot keep.
    pub fn serves_unkept(&self) -> bool {
        self.0.store_failure == StoreFailure::Serve
    }

    /// After a failed commit the file may hold something else than it should: puts that right as
    /// soon as it can be.
    pub(super) async fn put_back(self) {
        let Some(store) = &self.0.store else { return };
        let mend = async {
            let mut known = 0;
            loop {
                store.fails().await;
                // Of what failed during the last failure it may be told again.
                if store.errors() != known || store.is_failing() {
                    known = self.sit_out(store).await;
                }
            }
        };
        self.0.stop.run_until_cancelled(mend).await;
    }

    /// One failure, from its beginning to its end: a second without another error. Tells how many
    /// there were until then.
    async fn sit_out(&self, store: &Store) -> u64 {
        let begun = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since_ms = millis(since.unwrap_or_default());
        let failure = |error: String| Some(Failure { since_ms, error });
        let error = why(store);
        self.set_failure(failure(error.clone()));
        match self.serves_unkept() {
            _ if store.has_stalled() => {
                tracing::error!("{error}: writers wait until it does (--store)")
            }
            true => tracing::error!(
                "the store cannot be written ({error}): changes stand and are not kept until it can (--store-failure serve)"
            ),
            false => tracing::error!(
                "the store cannot be written ({error}): changes are taken back and refused with 507 until it can (--store)"
            ),
        }
        let errors = loop {
            let errors = store.errors();
            sleep(AGAIN).await;
            if !store.is_failing() && store.errors() == errors {
                break errors;
            }
            // The thread ends after everything else.
            let _ = store.jobs().send(Job::PutBack).await;
            self.set_failure(failure(why(store)));
        };
        self.set_failure(None);
        tracing::warn!(
            "the store is written again, after {} s: changes are kept",
            begun.elapsed().as_secs()
        );
        errors
    }

    fn set_failure(&self, failure: Option<Failure>) {
        let now = self.0.failure.lock();
        *now.unwrap_or_else(PoisonError::into_inner) = failure;
        self.0.changes.send_replace(());
    }
}

fn why(store: &Store) -> String {
    match store.has_stalled() {
        true => "the disk of the store does not answer".to_owned(),
        false => store.last_error(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_of_day() {
        let text = super::not_kept_since(1_795_226_645_999);
        assert_eq!(text, "not kept since 02:04:05 UTC");
    }
}
