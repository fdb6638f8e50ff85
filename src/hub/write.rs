//! The ways into the hub: writes, refusals, deletions, and the store behind them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::change::{Permit, Retired};
use super::entry::{self, Entry};
use super::{Cell, Deleted, Hub, Life, Receipt, WriteError, WriteOptions};
use crate::name::TopicName;
use crate::revision::Revision;
use crate::store::Job;
use crate::topic::Change;

/// While a topic is being written; it may have been made for that, and not be needed after all.
struct Attempt(Hub, TopicName);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.forget_if_unused(&self.1);
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
        let mut entry = Entry::new(name, &change);
        let written = self.write_anew(name, &change).await;
        entry.answered(&written);
        if let Ok(receipt) = &written
            && receipt.created
            && *name != self.0.default_topic
        {
            entry::made(name, change.1.address);
        }
        written
    }

    /// Writes, if need be to another topic of the name than there was at first.
    async fn write_anew(
        &self,
        name: &TopicName,
        change: &Arc<(Change, WriteOptions)>,
    ) -> Result<Receipt, WriteError> {
        let attempt = Arc::new(Attempt(self.clone(), name.clone()));
        let (cell, written) = loop {
            if self.0.stop.is_cancelled() {
                return Err(WriteError::Stopping);
            }
            let cell = self.to_write(name, &change.1)?;
            let written = self.write_durably(&cell, change, &attempt).await;
            let gone = matches!(written, Err(WriteError::NoTopic(_)));
            if !gone || *cell.life.borrow() == Life::Live {
                break (cell, written);
            }
            // Deleted in between: the name stands for another topic then, or for none.
            let waited = cell.until(|life| life != Life::Leaving);
            self.0.stop.run_until_cancelled(waited).await;
        };
        let counts = &self.0.counts;
        match written {
            Ok(_) => counts.writes.fetch_add(1, Ordering::Relaxed),
            Err(_) => counts.refusals.fetch_add(1, Ordering::Relaxed),
        };
        if self.0.flow.debounce.is_zero() {
            self.flush(&cell).await;
        }
        self.0.changes.send_replace(());
        written
    }

    /// Tells those who fetch for themselves that a write to a topic was refused before it came
    /// to be a change.
    pub async fn announce(&self, name: &TopicName) {
        let Some(cell) = self.topic(name) else { return };
        // Without a place in the store's queue the daemon is stopping.
        let Ok(permit) = self.permit().await else {
            return;
        };
        cell.announce(permit);
        if self.0.flow.debounce.is_zero() {
            self.flush(&cell).await;
        }
    }

    fn to_write(&self, name: &TopicName, options: &WriteOptions) -> Result<Arc<Cell>, WriteError> {
        match self.topic(name) {
            Some(cell) => Ok(cell),
            None if options.existing || options.if_match.is_some() => {
                Err(WriteError::NoTopic(name.to_string()))
            }
            None => self.open(&mut self.topics_mut(), name),
        }
    }

    async fn write_durably(
        &self,
        cell: &Arc<Cell>,
        change: &Arc<(Change, WriteOptions)>,
        attempt: &Arc<Attempt>,
    ) -> Result<Receipt, WriteError> {
        let large = cell.is_large(&change.0);
        // Never closed.
        let turn = match large {
            true => self.0.large.clone().acquire_owned().await.ok(),
            false => None,
        };
        let permit = self.permit().await?;
        let written = if large {
            let (cell, change) = (cell.clone(), change.clone());
            let attempt = attempt.clone();
            let called_off = Arc::new(AtomicBool::new(false));
            let _asker = Asker(called_off.clone());
            let write = move || {
                let (_attempt, _turn) = (attempt, turn);
                let applied = cell.apply(&change.0, &called_off);
                // Nobody hears of this error.
                let applied = applied.ok_or(WriteError::Stopping)?;
                cell.write(&change.0, &change.1, Some(applied), permit)
            };
            // Ends early only with the daemon.
            let written = tokio::task::spawn_blocking(write).await;
            written.map_err(|_| WriteError::Stopping)?
        } else {
            cell.write(&change.0, &change.1, None, permit)
        };
        let (mut receipt, commit) = written?;
        if let Some(commit) = commit {
            receipt.kept = commit.done().await?;
        }
        Ok(receipt)
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
            let Some(cell) = self.topic(name) else {
                return Ok(Deleted::Nothing);
            };
            let kept = match cell.retire(expected, permit) {
                Ok(Retired::Empty) => return Ok(Deleted::Nothing),
                Ok(Retired::Now) => {
                    self.end_deleted(&cell, address);
                    true
                }
                Ok(Retired::With(commit)) => {
                    let hub = self.clone();
                    // Who asked for it may go away meanwhile.
                    let gone = self.0.tasks.spawn(async move {
                        let kept = commit.done().await;
                        match kept {
                            Ok(_) => hub.end_deleted(&cell, address),
                            Err(_) => cell.stay(),
                        }
                        kept
                    });
                    gone.await.map_err(|_| WriteError::Stopping)??
                }
                Err(WriteError::NoTopic(_)) => {
                    cell.until(|life| life != Life::Leaving).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            return Ok(if kept { Deleted::Gone } else { Deleted::Unkept });
        }
    }

    fn end_deleted(&self, cell: &Arc<Cell>, address: Option<IpAddr>) {
        let viewers = cell.viewers();
        if self.end(cell) {
            entry::deleted(cell.name(), viewers, address);
        }
    }
}
