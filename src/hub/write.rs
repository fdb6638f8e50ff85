//! The ways into the hub: writes, refusals, deletions, and the store behind them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::change::{Commit, Permit, Retired};
use super::log::{self, WriteLine};
use super::{Deleted, Hub, Life, Receipt, TopicEntry, WriteError, WriteOptions};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::{Applied, Change};
use crate::store::{Job, Store};

/// How long a disk may take before it is told of.
const PATIENCE: Duration = Duration::from_secs(5);

/// While a topic is being written; it may have been made for that, and not be needed after all.
struct Attempt(Hub, TopicName);

impl Attempt {
    fn write(
        self: &Arc<Attempt>,
        entry: &TopicEntry,
        (change, options): &(Change, WriteOptions),
        applied: Option<Applied>,
        permit: Option<Permit>,
    ) -> Result<(Receipt, Option<Commit>, Accepted), WriteError> {
        let (receipt, commit) = entry.write(change, options, applied, permit)?;
        let accepted = Accepted {
            attempt: self.clone(),
            created: receipt.created,
            address: options.address,
            stands: true,
        };
        Ok((receipt, commit, accepted))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.forget_if_unused(&self.1);
    }
}

/// A change that was made, as far as is known. It is counted, and a first session told, when this
/// is dropped: whoever asked for it may go away before it is kept.
struct Accepted {
    attempt: Arc<Attempt>,
    created: bool,
    address: Option<IpAddr>,
    stands: bool,
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let Attempt(hub, name) = &*self.attempt;
        if self.stands {
            hub.0.counts.writes.fetch_add(1, Ordering::Relaxed);
        }
        if self.stands && self.created {
            log::made(name, self.address);
        }
    }
}

/// Whoever asked for a change still waits for it, until this is dropped.
struct Asker(Arc<AtomicBool>);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Hub {
    /// Writes a change: all of it or nothing of it. To drop the future calls off what takes long
    /// and is not done.
    ///
    /// # Errors
    /// Says why nothing changed.
    pub async fn write(
        &self,
        name: &TopicName,
        change: Change,
        options: WriteOptions,
    ) -> Result<Receipt, WriteError> {
        let change = Arc::new((change, options));
        let mut line = WriteLine::new(name, &change);
        let written = self.write_anew(name, &change).await;
        line.answered(&written);
        written
    }

    /// Writes, if need be to another topic of the name than there was at first.
    async fn write_anew(
        &self,
        name: &TopicName,
        change: &Arc<(Change, WriteOptions)>,
    ) -> Result<Receipt, WriteError> {
        let attempt = Arc::new(Attempt(self.clone(), name.clone()));
        let (entry, written) = loop {
            if self.0.stop.is_cancelled() {
                return Err(WriteError::Stopping);
            }
            let entry = self.to_write(name, &change.1)?;
            let written = self.write_durably(&entry, change, &attempt).await;
            let gone = matches!(written, Err(WriteError::NoTopic(_)));
            if !gone || *entry.life.borrow() == Life::Live {
                break (entry, written);
            }
            // Deleted in between: the name stands for another topic then, or for none.
            let waited = entry.until(|life| life != Life::Leaving);
            self.0.stop.run_until_cancelled(waited).await;
        };
        if written.is_err() {
            self.0.counts.refusals.fetch_add(1, Ordering::Relaxed);
        }
        if self.0.flow.debounce.is_zero() {
            self.flush(&entry).await;
        }
        self.0.changes.send_replace(());
        written
    }

    /// Tells those who fetch for themselves that a write to a topic was refused before it came
    /// to be a change.
    pub async fn announce(&self, name: &TopicName) {
        let Some(entry) = self.topic(name) else {
            return;
        };
        // Without a place in the store's queue the daemon is stopping.
        let Ok(permit) = self.permit().await else {
            return;
        };
        entry.announce(permit);
        if self.0.flow.debounce.is_zero() {
            self.flush(&entry).await;
        }
    }

    fn to_write(
        &self,
        name: &TopicName,
        options: &WriteOptions,
    ) -> Result<Arc<TopicEntry>, WriteError> {
        match self.topic(name) {
            Some(entry) => Ok(entry),
            None if options.existing || options.if_match.is_some() => {
                Err(WriteError::NoTopic(name.to_string()))
            }
            None => self.open(&mut self.topics_mut(), name),
        }
    }

    async fn write_durably(
        &self,
        entry: &Arc<TopicEntry>,
        change: &Arc<(Change, WriteOptions)>,
        attempt: &Arc<Attempt>,
    ) -> Result<Receipt, WriteError> {
        let (mut receipt, commit, mut accepted) = match entry.is_large(&change.0) {
            true => self.write_large(entry, change, attempt).await?,
            false => {
                let permit = self.permit().await?;
                let _others = entry.writers.read().await;
                attempt.write(entry, change, None, permit)?
            }
        };
        if let Some(commit) = commit {
            let kept = self.durable(commit).await;
            accepted.stands = kept.is_ok();
            receipt.kept = kept?;
        }
        Ok(receipt)
    }

    /// Waits until a change is durable, and tells of a disk that does not answer.
    async fn durable(&self, commit: Commit) -> Result<bool, WriteError> {
        let mut done = std::pin::pin!(commit.done());
        if let Ok(done) = tokio::time::timeout(PATIENCE, &mut done).await {
            return done;
        }
        self.0.store.iter().for_each(Store::stall);
        done.await
    }

    /// Applies a change while nobody waits for it. If the topic has become another one meanwhile,
    /// that is done again, and then writers of this topic do wait.
    async fn write_large(
        &self,
        entry: &Arc<TopicEntry>,
        change: &Arc<(Change, WriteOptions)>,
        attempt: &Arc<Attempt>,
    ) -> Result<(Receipt, Option<Commit>, Accepted), WriteError> {
        // Never closed.
        let turn = Arc::new(self.0.large.clone().acquire_owned().await.ok());
        let called_off = Arc::new(AtomicBool::new(false));
        let _asker = Asker(called_off.clone());
        let mut alone = None;
        loop {
            let permit = self.permit().await?;
            let (entry, change, called_off) = (entry.clone(), change.clone(), called_off.clone());
            let (attempt, turn) = (attempt.clone(), turn.clone());
            let writers = entry.writers.clone();
            let write = move || {
                let _turn = turn;
                let applied = entry.apply(&change.0, &called_off);
                // Nobody hears of this error.
                let applied = applied.ok_or(WriteError::Stopping)?;
                if alone.is_none() && entry.has_changed_since(&applied) {
                    return Ok(None);
                }
                let written = attempt.write(&entry, &change, Some(applied), permit);
                written.map(Some)
            };
            // Ends early only with the daemon.
            let written = self.0.tasks.spawn_blocking(write).await;
            if let Some(written) = written.map_err(|_| WriteError::Stopping)?? {
                return Ok(written);
            }
            alone = Some(writers.write_owned().await);
        }
    }

    /// Waits for a place in the store's queue, if there is a store.
    async fn permit(&self) -> Result<Option<Permit>, WriteError> {
        let Some(store) = &self.0.store else {
            return Ok(None);
        };
        let permit = store.jobs().clone().reserve_owned().await;
        permit.map(Some).map_err(|_| WriteError::Stopping)
    }

    /// Closes the store, when nobody writes any more.
    pub async fn close_store(&self) {
        let Some(store) = &self.0.store else { return };
        let (done, closed) = oneshot::channel();
        if store.jobs().send(Job::Close(done)).await.is_ok() {
            // An error means that the thread has ended, which is as good.
            let _ = closed.await;
        }
    }

    /// Drops a topic, for a host at an address, if nothing has changed since the revision that is
    /// `expected`; its viewers are closed. The default topic stays, without a session. With a
    /// store nothing changes until the store has forgotten it, or failed to where changes stand
    /// all the same.
    ///
    /// # Errors
    /// When it has changed, or when the store cannot forget it.
    pub async fn delete(
        &self,
        name: &TopicName,
        expected: Option<Revision>,
        address: Option<IpAddr>,
    ) -> Result<Deleted, WriteError> {
        loop {
            let permit = self.permit().await?;
            let Some(entry) = self.topic(name) else {
                return Ok(Deleted::Nothing);
            };
            let kept = match entry.retire(expected, permit) {
                Ok(Retired::Empty) => return Ok(Deleted::Nothing),
                Ok(Retired::Now) => {
                    self.end_deleted(&entry, address);
                    true
                }
                Ok(Retired::With(commit)) => {
                    let hub = self.clone();
                    // Who asked for it may go away meanwhile.
                    let gone = self.0.tasks.spawn(async move {
                        let kept = hub.durable(commit).await;
                        match kept {
                            Ok(_) => hub.end_deleted(&entry, address),
                            Err(_) => entry.stay(),
                        }
                        kept
                    });
                    gone.await.map_err(|_| WriteError::Stopping)??
                }
                Err(WriteError::NoTopic(_)) => {
                    entry.until(|life| life != Life::Leaving).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            return Ok(if kept { Deleted::Gone } else { Deleted::Unkept });
        }
    }

    fn end_deleted(&self, entry: &Arc<TopicEntry>, address: Option<IpAddr>) {
        let viewers = entry.viewers();
        if self.end(entry) {
            log::deleted(entry.name(), viewers, address);
        }
    }
}
