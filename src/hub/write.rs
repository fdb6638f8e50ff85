//! The ways into the hub: writes, refusals and deletions. Whoever asks only waits here; what
//! follows from an outcome is done wherever that is known.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::Hub;
use super::change::{Retired, Write};
use super::entry::TopicEntry;
use super::job::{Intent, Job, Outcome, Permit, Promise};
use super::life::Life;
use super::log::WriteLine;
use super::receipt::{Deleted, Receipt, WriteError, WriteOptions};
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::{Applied, Change};

/// Whoever asked for a change still waits for it, until this is dropped.
struct Asker(Arc<AtomicBool>);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Hub {
    /// Writes a change: all of it or nothing of it. Dropping the future calls off what takes long
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
        let write = Arc::new(Write { change, options });
        let mut line = WriteLine::new(name, &write);
        let (entry, written) = self.write_to_present(name, &write).await;
        let told = self.explain(entry.as_ref(), &write, &written);
        line.answered(&written, told);
        // Before the change leaves.
        drop(line);
        if let Some(entry) = entry {
            self.written(&entry, &written);
        }
        written
    }

    /// Writes to the topic that has the name, which may no longer be the one it was at first. Also
    /// returns that topic, if there was one.
    async fn write_to_present(
        &self,
        name: &TopicName,
        write: &Arc<Write>,
    ) -> (Option<Arc<TopicEntry>>, Result<Receipt, WriteError>) {
        loop {
            if self.0.stop.is_cancelled() {
                return (None, Err(WriteError::Stopping));
            }
            let may_be = self.may_be_written(name);
            if let (Ok(()), Some(cluster)) = (&may_be, self.cluster_of(name)) {
                let written = self.write_shared(cluster, name, write).await;
                return (self.topic(name), written);
            }
            let entry = match may_be.and_then(|()| self.to_write(name, &write.options)) {
                Ok(entry) => entry,
                Err(error) => return (None, Err(error)),
            };
            let written = self.write_to(&entry, write).await;
            let is_gone = matches!(written, Err(WriteError::NoTopic(_)));
            if !is_gone || entry.life().is_open() {
                return (Some(entry), written);
            }
            // Deleted in between: the name stands for another topic then, or for none.
            let waited = entry.until(|life| life != Life::Leaving);
            self.0.stop.run_until_cancelled(waited).await;
        }
    }

    /// Does what follows from a write for all others.
    fn written(&self, entry: &Arc<TopicEntry>, written: &Result<Receipt, WriteError>) {
        // What was lost has been counted where that is known.
        if !matches!(written, Ok(_) | Err(WriteError::Store(_))) {
            self.0.counts.refusals.fetch_add(1, Ordering::Relaxed);
        }
        self.flush_for_writer(entry);
        self.mark_change();
    }

    /// Tells those who fetch for themselves that a write to a topic was refused before it became
    /// a change.
    pub async fn announce(&self, name: &TopicName) {
        let Some(entry) = self.topic(name).filter(|_| self.is_own(name).is_ok()) else {
            return;
        };
        if let Some(cluster) = self.cluster_of(name) {
            return self.announce_shared(cluster, name);
        }
        // Without a place in the store's queue the daemon is stopping.
        let Ok(permit) = self.permit().await else {
            return;
        };
        entry.announce(permit);
        self.flush_for_writer(&entry);
    }

    /// The topic that has the name, or one that exists from its first change that is accepted.
    pub(super) fn to_write(
        &self,
        name: &TopicName,
        options: &WriteOptions,
    ) -> Result<Arc<TopicEntry>, WriteError> {
        if let Some(entry) = self.topic(name) {
            return Ok(entry);
        }
        if options.existing || options.if_match.is_some() {
            return Err(WriteError::NoTopic(name.to_string()));
        }
        self.has_room(&self.topics_mut())?;
        Ok(self.unlisted(name, self.sources(name)))
    }

    async fn write_to(
        &self,
        entry: &Arc<TopicEntry>,
        write: &Arc<Write>,
    ) -> Result<Receipt, WriteError> {
        let (mut receipt, promise) = match entry.is_large(&write.change) {
            true => self.write_large(entry, write).await?,
            false => {
                // In this order: a large change needs a place in the queue while these wait for it.
                let _others = entry.writers.read().await;
                let permit = self.permit().await?;
                self.accept(entry, write, None, permit)?
            }
        };
        if let Some(promise) = promise {
            receipt.kept = promise.outcome().await?;
        }
        Ok(receipt)
    }

    /// Applies a change while nobody waits for it. If the topic has changed meanwhile, it is applied
    /// again, and then the topic's other writers do wait.
    async fn write_large(
        &self,
        entry: &Arc<TopicEntry>,
        write: &Arc<Write>,
    ) -> Result<(Receipt, Option<Promise>), WriteError> {
        // Fails only when the semaphore is closed, which it never is.
        let turn = Arc::new(self.0.large.clone().acquire_owned().await.ok());
        let called_off = Arc::new(AtomicBool::new(false));
        let _asker = Asker(called_off.clone());
        let mut alone = None;
        loop {
            let permit = self.permit().await?;
            let (hub, entry, write) = (self.clone(), entry.clone(), write.clone());
            let (turn, called_off) = (turn.clone(), called_off.clone());
            let writers = entry.writers.clone();
            let work = move || {
                let _turn = turn;
                let applied = entry.apply(&write.change, &called_off);
                // Nobody hears of this error.
                let applied = applied.ok_or(WriteError::Stopping)?;
                if alone.is_none() && entry.has_changed_since(&applied) {
                    return Ok(None);
                }
                let written = hub.accept(&entry, &write, Some(applied), permit);
                written.map(Some)
            };
            // Ends early only with the daemon.
            let written = self.0.tasks.spawn_blocking(work).await;
            if let Some(written) = written.map_err(|_| WriteError::Stopping)?? {
                return Ok(written);
            }
            alone = Some(writers.write_owned().await);
        }
    }

    /// Makes a change, and with it a topic that is new.
    pub(super) fn accept(
        &self,
        entry: &Arc<TopicEntry>,
        write: &Write,
        applied: Option<Applied>,
        permit: Option<Permit>,
    ) -> Result<(Receipt, Option<Promise>), WriteError> {
        let (receipt, promise) = match entry.life() {
            Life::New => {
                let mut topics = self.topics_mut();
                if topics.contains_key(entry.name()) {
                    // Another writer was faster: this one goes on with that topic.
                    entry.end_if_unused();
                    return Err(WriteError::NoTopic(entry.name().to_string()));
                }
                if self.shown_room(entry.name()).is_none() {
                    self.has_room(&topics)?;
                }
                let written = entry.write(write, applied, permit, self.floor())?;
                self.list(&mut topics, entry);
                written
            }
            _ => entry.write(write, applied, permit, Revision::ZERO)?,
        };
        if promise.is_none() {
            let (made, address) = (receipt.created, write.options.address);
            self.settle(entry, Intent::Write { made, address }, &Outcome::Kept);
        }
        Ok((receipt, promise))
    }

    /// Waits for a place in the queue of the thread that keeps changes, if there is a store.
    pub(super) async fn permit(&self) -> Result<Option<Permit>, WriteError> {
        let Some(jobs) = &self.0.jobs else {
            return Ok(None);
        };
        let place = jobs.clone().reserve_owned().await;
        let place = place.map_err(|_| WriteError::Stopping)?;
        let health = self.0.health.clone();
        Ok(Some(Permit { place, health }))
    }

    /// Closes the store, when nobody writes any more.
    pub async fn close_store(&self) {
        let Some(jobs) = &self.0.jobs else { return };
        let (done, closed) = oneshot::channel();
        if jobs.send(Job::Close(done)).await.is_ok() {
            // An error means that the thread has ended, which is as good.
            let _ = closed.await;
        }
    }

    /// Deletes a topic, for a host at an address, if nothing has changed since the revision that
    /// is `expected`; its viewers are closed. The default topic stays, without a session. With a
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
        self.may_be_written(name)?;
        if let Some(cluster) = self.cluster_of(name) {
            let deleted = self.delete_shared(cluster, name, expected, address);
            return deleted.await;
        }
        loop {
            let permit = self.permit().await?;
            let Some(entry) = self.topic(name) else {
                return Ok(Deleted::Nothing);
            };
            match entry.retire(expected, address, permit) {
                Ok(Retired::Empty) => return Ok(Deleted::Nothing),
                Ok(Retired::Now) => {
                    self.settle(&entry, Intent::Delete { address }, &Outcome::Kept);
                    return Ok(Deleted::Gone);
                }
                Ok(Retired::With(promise)) => {
                    return Ok(match promise.outcome().await? {
                        true => Deleted::Gone,
                        false => Deleted::Unkept,
                    });
                }
                Err(WriteError::NoTopic(_)) => entry.until(|life| life != Life::Leaving).await,
                Err(error) => return Err(error),
            }
        }
    }
}
