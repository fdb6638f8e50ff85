//! A write into the bucket: compare and set, until it is known how that has ended.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::super::Hub;
use super::super::receipt::WriteError;
use super::part::Cluster;
use super::share::Share;
use super::shared::{Recorded, Shared};
use super::slots::Slot;
use crate::cluster::{Bucket, Mark, Put};
use crate::state::revision::Revision;

/// How long a writer waits to hear what has become of its change.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits for NATS that was lost just now: most of the time another server is found by then.
const GRACE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
/// How long a write may go on when the daemon stops.
const LAST: Duration = Duration::from_secs(1);

/// What is to be written over the newest state.
pub(super) struct Made<Of: Shared, T> {
    pub record: Of::Record,
    /// Who is to be named once it is shown.
    pub maker: Option<Of::Maker>,
    pub answer: T,
}

/// What is made of an entry. It is made anew for a newer one.
pub(super) type Make<Of, T> =
    Arc<dyn Fn(&Slot) -> Result<Made<Of, T>, <Of as Shared>::Denied> + Send + Sync>;

/// The way of one write.
struct Attempts<T> {
    mark: Mark,
    deadline: Instant,
    /// Those of which nothing was heard, or that raced: one of them may be in the bucket.
    unknown: Vec<Attempt<T>>,
    /// Whether the bucket's leader has been asked for the newest state.
    asked: bool,
}

/// A write that may be in the bucket.
struct Attempt<T> {
    /// Whether a server has refused it: then it most likely is not.
    raced: bool,
    /// The number that it was to follow.
    after: u64,
    revision: Revision,
    answer: T,
}

impl Hub {
    /// Writes what is made of an entry's newest state.
    pub(super) async fn put<Of: Shared, T: Send + 'static>(
        &self,
        cluster: &Cluster,
        of: &Of,
        make: Make<Of, T>,
    ) -> Result<T, Of::Denied> {
        let share = Of::share(cluster);
        let _turn = share.turn(of).await;
        if self.0.stop.is_cancelled() {
            return Err(WriteError::Stopping.into());
        }
        let mut attempts = Attempts {
            mark: cluster.mark(),
            deadline: Instant::now() + PATIENCE,
            unknown: Vec::new(),
            asked: false,
        };
        let stop = &self.0.stop;
        let ended = tokio::select! {
            ended = self.put_to_the_end(cluster, of, &make, &mut attempts) => ended,
            () = async { stop.cancelled().await; sleep(LAST).await } => {
                Err(WriteError::Unknown("the daemon is stopping".to_owned()).into())
            }
        };
        share.makers().remove(&attempts.mark);
        match ended {
            // What was refused the second time may have been done the first time.
            Err(error) if !attempts.unknown.is_empty() => Err(Of::unknown(error)),
            ended => ended,
        }
    }

    async fn put_to_the_end<Of: Shared, T: Send + 'static>(
        &self,
        cluster: &Cluster,
        of: &Of,
        make: &Make<Of, T>,
        attempts: &mut Attempts<T>,
    ) -> Result<T, Of::Denied> {
        loop {
            let attempt = self.try_to_put(cluster, of, make, attempts);
            if let Some(ended) = attempt.await.transpose() {
                return ended;
            }
        }
    }

    /// One attempt; none: another one has to follow.
    async fn try_to_put<Of: Shared, T: Send + 'static>(
        &self,
        cluster: &Cluster,
        of: &Of,
        make: &Make<Of, T>,
        attempts: &mut Attempts<T>,
    ) -> Result<Option<T>, Of::Denied> {
        let share = Of::share(cluster);
        let bucket = share.bucket(attempts.deadline).await?;
        let slot = share.slots().get(of);
        if let Some(answer) = attempts.settle(&slot)? {
            return Ok(Some(answer));
        }
        let mut made = match self.make(of, make, &slot, attempts.mark).await {
            Err(error) if attempts.may_pass::<Of>(&error) => {
                let until = attempts.deadline;
                self.ask(cluster, &bucket, of, until, None).await;
                return Ok(None);
            }
            made => made?,
        };
        let maker = made.maker.take().map(|maker| (attempts.mark, maker));
        share.makers().extend(maker);
        let (key, text) = (of.key(), std::mem::take(&mut made.text));
        match bucket.put(&key, text, slot.number).await {
            Put::Kept(number) => {
                self.take_record(cluster, of, number, &made.record);
                attempts.unknown.clear();
                return Ok(Some(made.answer));
            }
            Put::Raced => {
                attempts.keep(slot.number, made, true);
                attempts.has_raced(cluster)?;
                let (deadline, known) = (attempts.deadline, Some(slot.number));
                self.ask(cluster, &bucket, of, deadline, known).await;
            }
            Put::TooLarge(limit) => return Err(WriteError::TooLargeForCluster(limit).into()),
            Put::NoLeader => attempts.has_no_leader().await?,
            Put::Refused(reason) => return Err(WriteError::Cluster(reason).into()),
            Put::Unknown(reason) => attempts.has_no_answer(slot.number, made, reason).await?,
        }
        Ok(None)
    }

    /// Makes what is to be written; where that is large, on a blocking thread.
    async fn make<Of: Shared, T: Send + 'static>(
        &self,
        of: &Of,
        make: &Make<Of, T>,
        slot: &Slot,
        mark: Mark,
    ) -> Result<Drawn<Of, T>, Of::Denied> {
        let (make, slot) = (make.clone(), slot.clone());
        let draw = move || {
            let Made {
                mut record,
                maker,
                answer,
            } = make(&slot)?;
            record.note(mark);
            let text = record.text();
            Ok(Drawn {
                record,
                text,
                maker,
                answer,
            })
        };
        match of.is_large(self) {
            // Ends early only with the daemon.
            true => self
                .0
                .tasks
                .spawn_blocking(draw)
                .await
                .map_err(|_| WriteError::Stopping)?,
            false => draw(),
        }
    }

    /// Takes the newest state from the bucket's leader, if it still is one. Returns whether that was
    /// possible.
    pub(super) async fn ask_newest<Of: Shared>(&self, cluster: &Cluster, of: &Of) -> bool {
        let bucket = Of::share(cluster).step.borrow().bucket.clone();
        let Some(bucket) = bucket else { return false };
        if !cluster.is_led(&bucket).await {
            return false;
        }
        match bucket.newest(&of.key()).await {
            Ok(Some(entry)) => {
                self.take(cluster, of, &entry);
                true
            }
            newest => newest.is_ok(),
        }
    }

    /// Takes the newest state from the bucket's leader; where a race was lost, one that is not of the
    /// number that was known.
    async fn ask<Of: Shared>(
        &self,
        cluster: &Cluster,
        bucket: &Bucket,
        of: &Of,
        deadline: Instant,
        known: Option<u64>,
    ) {
        let (share, key) = (Of::share(cluster), of.key());
        loop {
            match timeout_at(deadline, bucket.newest(&key)).await {
                // An older state than this daemon's is written over next.
                Ok(Ok(Some(entry))) => _ = self.take(cluster, of, &entry),
                Ok(Ok(None)) => share.slots().clear(of),
                Ok(Err(_)) => {}
                Err(_) => return,
            }
            let number = share.slots().get(of).number;
            if known != Some(number) || Instant::now() >= deadline {
                return;
            }
            // A leader that does not know yet that it is none any more tells old news.
            sleep(PAUSE).await;
        }
    }
}

/// What is to be written, as text.
struct Drawn<Of: Shared, T> {
    record: Of::Record,
    text: String,
    maker: Option<Of::Maker>,
    answer: T,
}

impl<T> Attempts<T> {
    /// Whether the newest state may allow what was refused.
    fn may_pass<Of: Shared>(&mut self, error: &Of::Denied) -> bool {
        let asked = std::mem::replace(&mut self.asked, true);
        !asked && Of::may_pass(error)
    }

    fn has_raced(&mut self, cluster: &Cluster) -> Result<(), WriteError> {
        cluster.races.fetch_add(1, Ordering::Relaxed);
        self.asked = true;
        match Instant::now() < self.deadline {
            true => Ok(()),
            false => Err(WriteError::Cluster(
                "other writers were faster, again and again".to_owned(),
            )),
        }
    }

    async fn has_no_leader(&mut self) -> Result<(), WriteError> {
        if Instant::now() >= self.deadline {
            return Err(WriteError::Cluster("the bucket has no leader".to_owned()));
        }
        sleep(PAUSE).await;
        Ok(())
    }

    /// Remembers an attempt that may be in the bucket, whatever was answered: while its servers choose a
    /// leader, two of them take a message, and one refuses what the other one writes.
    fn keep<Of: Shared>(&mut self, after: u64, made: Drawn<Of, T>, raced: bool) {
        self.unknown.push(Attempt {
            raced,
            after,
            revision: made.record.revision(),
            answer: made.answer,
        });
    }

    async fn has_no_answer<Of: Shared>(
        &mut self,
        after: u64,
        made: Drawn<Of, T>,
        reason: String,
    ) -> Result<(), WriteError> {
        self.keep(after, made, false);
        if Instant::now() >= self.deadline {
            return Err(WriteError::Cluster(reason));
        }
        sleep(PAUSE).await;
        Ok(())
    }

    /// The answer of the attempt that the bucket holds, if one of them has come that far. Fails when that
    /// cannot be told any more.
    fn settle(&mut self, slot: &Slot) -> Result<Option<T>, WriteError> {
        if let Some(reason) = &slot.unread {
            return Err(WriteError::Cluster(reason.clone()));
        }
        let kept = slot.revision_of(self.mark);
        let kept = self
            .unknown
            .iter()
            .position(|attempt| Some(attempt.revision) == kept);
        if let Some(kept) = kept {
            let kept = self.unknown.swap_remove(kept);
            self.unknown.clear();
            return Ok(Some(kept.answer));
        }
        let is_past = |attempt: &Attempt<T>| attempt.after < slot.number;
        if self
            .unknown
            .iter()
            .any(|past| is_past(past) && !past.raced && !slot.remembers(past.revision))
        {
            return Err(WriteError::Cluster(
                "too much has been written since".to_owned(),
            ));
        }
        // Something else was written in its place.
        self.unknown.retain(|attempt| !is_past(attempt));
        Ok(None)
    }
}

impl<Key: Hash, Maker> Share<Key, Maker> {
    /// The bucket; waits for it for a moment if NATS was lost just now.
    async fn bucket(&self, deadline: Instant) -> Result<Arc<Bucket>, WriteError> {
        let mut step = self.step.subscribe();
        let until = deadline.min(step.borrow().since + GRACE);
        let found = timeout_at(until, step.wait_for(|step| step.bucket.is_some())).await;
        if let Ok(Ok(step)) = found
            && let Some(bucket) = &step.bucket
        {
            return Ok(bucket.clone());
        }
        let error = self.step.borrow().error.clone();
        let error = error.unwrap_or_else(|| "there is no connection yet".to_owned());
        Err(WriteError::Cluster(error))
    }
}
