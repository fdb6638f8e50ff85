//! A store that fails: logged once when it begins and once when it is over, and tried again.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

use super::health::{self, Health, TICK};
use super::job::Job;
use super::options::StoreFailure;
use super::{Hub, millis};

/// The store's failure, while changes are not kept.
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

/// `not kept since 18:04:05 UTC`, from a time in milliseconds since 1970.
pub fn not_kept_since(since_ms: u64) -> String {
    format!("not kept since {}", time_of_day(since_ms))
}

/// `18:04:05 UTC`, from a time in milliseconds since 1970.
pub fn time_of_day(since_ms: u64) -> String {
    let seconds = since_ms / 1000 % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
}

impl Hub {
    /// The store's failure, while it lasts.
    pub fn store_failure(&self) -> Option<Failure> {
        self.0.failure.borrow().clone()
    }

    /// How many commits of the store have failed; none without a store.
    pub fn store_errors(&self) -> Option<u64> {
        self.0.jobs.as_ref().map(|_| self.0.health.borrow().errors)
    }

    /// Whether changes stand that the store cannot keep.
    pub fn serves_unkept(&self) -> bool {
        self.0.store_failure == StoreFailure::Serve
    }

    /// Watches over the store until the daemon stops: says so when it fails or the disk does not
    /// answer, and has what failed tried again.
    pub(super) async fn watch_store(self) {
        let watch = async {
            let mut known = 0;
            loop {
                let failed = health::failed(&self.0.health, known).await;
                known = self.sit_out(failed).await;
            }
        };
        self.0.stop.run_until_cancelled(watch).await;
    }

    /// One failure, from what was seen of it first to its end: a second without another error.
    /// Returns how many there were until then.
    async fn sit_out(&self, mut before: Health) -> u64 {
        let begun = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since_ms = millis(since.unwrap_or_default());
        let failure = |error: String| Some(Failure { since_ms, error });
        self.set_failure(failure(before.reason()));
        self.log_failure(&before);
        loop {
            sleep(TICK).await;
            let now = self.0.health.borrow().clone();
            if !now.is_failing() && now.errors == before.errors {
                break;
            }
            // A disk that does not answer has enough to do: what is queued now would only take
            // the places of writers.
            if let (Some(jobs), false) = (&self.0.jobs, now.stalled) {
                // Fails when the thread has ended, after everything else.
                let _ = jobs.send(Job::PutBack).await;
            }
            before = now;
            self.set_failure(failure(before.reason()));
        }
        self.set_failure(None);
        tracing::warn!(
            "the store works again, after {} s: changes are being saved",
            begun.elapsed().as_secs()
        );
        before.errors
    }

    fn log_failure(&self, health: &Health) {
        let error = health.reason();
        match self.serves_unkept() {
            _ if health.stalled => {
                tracing::error!("{error}: writers wait until it does (--store)")
            }
            true => tracing::error!(
                "the store cannot be written ({error}): changes stand and are not kept until it can (--store-failure serve)"
            ),
            false => tracing::error!(
                "the store cannot be written ({error}): changes are taken back and refused with 507 until it can (--store)"
            ),
        }
    }

    fn set_failure(&self, failure: Option<Failure>) {
        self.0.failure.send_replace(failure);
        self.mark_change();
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
