//! Rows of rooms, as what daemons share: each has an entry of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::super::Hub;
use super::super::clock::unix_micros;
use super::super::millis;
use super::super::rooms::{Denied, RowMaker};
use super::part::Cluster;
use super::put::{Made, Make};
use super::share::Share;
use super::shared::{Shared, Taken};
use super::slots::Slot;
use crate::cluster::{RowKey, SharedRow};
use crate::state::revision::Revision;
use crate::state::room::Arrived;

/// How many rows of one action, or of a room that a bucket has lost, are on their way at a time.
pub(super) const AT_A_TIME: usize = 64;

impl Shared for RowKey {
    type Record = SharedRow;
    type Maker = RowMaker;
    type Denied = Denied;
    const OFTEN: Duration = Duration::from_secs(60);
    const LOST: &str = "people of rooms keep their rows, and actions are refused";

    fn share(cluster: &Cluster) -> &Share<RowKey, RowMaker> {
        &cluster.rows
    }

    fn key(&self) -> String {
        self.key()
    }

    fn of(key: &str) -> Option<RowKey> {
        RowKey::of(key)
    }

    fn is_shared(&self, hub: &Hub) -> bool {
        let is_known = hub.has_party(self.room.party()) && hub.place_of_row(self).is_some();
        if !is_known {
            hub.tell_left_out(self, "is of no declared party or channel ([rooms])");
        }
        is_known
    }

    fn read(&self, value: &[u8]) -> Result<SharedRow, String> {
        SharedRow::parse(value)
    }

    fn show(&self, hub: &Hub, record: &SharedRow, maker: Option<RowMaker>) -> Taken {
        hub.show_row(self, record, maker)
    }

    fn is_large(&self, _: &Hub) -> bool {
        false
    }

    fn may_pass(denied: &Denied) -> bool {
        matches!(denied, Denied::Refused(_))
    }

    fn unknown(denied: Denied) -> Denied {
        denied.unknown()
    }

    fn missing(hub: &Hub, held: &BTreeSet<RowKey>) -> Vec<RowKey> {
        let outdated = hub.outdated();
        let mut missing = Vec::new();
        for room in hub.rooms() {
            let book = room.book();
            for (place, channel) in book.channels().keys().enumerate() {
                let rows = book.table(place).changed(0, u64::MAX);
                let rows = rows.filter(|row| !row.is_deleted || row.updated >= outdated);
                let keys = rows.map(|row| RowKey {
                    room: room.name().clone(),
                    channel: channel.as_str().into(),
                    id: row.id.clone(),
                });
                missing.extend(keys.filter(|key| !held.contains(key)));
            }
        }
        missing
    }

    fn write_back(hub: &Hub, cluster: &Arc<Cluster>, lost: Vec<RowKey>) {
        let (own, cluster) = (hub.clone(), cluster.clone());
        let back = async move {
            let stop = own.0.stop.clone();
            let put = |key: RowKey| {
                let (hub, cluster) = (&own, &cluster);
                async move { hub.write_row_back(cluster, key).await }
            };
            let all = stream::iter(lost).map(put).buffer_unordered(AT_A_TIME);
            stop.run_until_cancelled(all.for_each(|()| async {})).await;
        };
        hub.0.tasks.spawn(back);
    }

    fn look_after(_: &Hub) {}

    fn outdated(hub: &Hub, cluster: &Cluster) -> Vec<(RowKey, u64)> {
        // Also those that are forgotten here by now.
        let old = Revision::new(hub.outdated()).unwrap_or_default();
        cluster.rows.slots().deleted_before(old)
    }
}

impl Hub {
    /// The place of a row's channel.
    fn place_of_row(&self, key: &RowKey) -> Option<usize> {
        self.channels().get_index_of(&*key.channel)
    }

    /// Deleted rows that became so before are forgotten.
    fn outdated(&self) -> u64 {
        let age = millis(self.0.rooms.keep_deleted);
        (unix_micros() / 1000).saturating_sub(age)
    }

    fn show_row(&self, key: &RowKey, record: &SharedRow, maker: Option<RowMaker>) -> Taken {
        let usage = self.use_room(&key.room).ok();
        let Some((place, usage)) = self.place_of_row(key).zip(usage) else {
            self.tell_left_out(key, "is of one room too many (--max-rooms)");
            return Taken::Shown;
        };
        if !record.is_deleted && self.rows_size() >= self.0.limits.rows_size.saturating_mul(2) {
            self.tell_left_out(key, "is one too many (--max-rows-size)");
            return Taken::Shown;
        }
        let mut book = usage.room().book();
        let before = book.size();
        match book.take(place, &key.id, &record.row) {
            Arrived::Shown(from, change) => {
                self.count_size(before, book.size());
                let answered = maker.and_then(|maker| maker.there(from, book.head()));
                let by = answered.as_ref().and_then(|answered| answered.by);
                self.tell_rows(usage.room(), &book, &change, (from, by));
                drop(book);
                // What is logged of it needs no lock.
                if answered.is_some() {
                    self.count_action();
                }
                drop(answered);
                self.mark_change();
            }
            Arrived::Older => return Taken::Older,
            Arrived::Known => {}
            Arrived::Full => self.tell_left_out(key, "is one too many (--max-rows)"),
            Arrived::Unfit => {
                self.tell_left_out(key, "does not fit the columns ([rooms.channels])")
            }
        }
        Taken::Shown
    }

    pub(super) fn count_action(&self) {
        self.0.counts.actions.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells once that rows of the bucket are not shown.
    fn tell_left_out(&self, key: &RowKey, why: &str) {
        if !self.0.rooms.left_out.swap(true, Ordering::Relaxed) {
            let (room, channel) = (&key.room, &key.channel);
            let id: String = key.id.chars().take(80).collect();
            tracing::error!(
                %room,
                "rows of the cluster are not shown here, like {id} of {channel}: it {why}. Give all daemons the same channels and limits"
            );
        }
    }

    async fn write_row_back(&self, cluster: &Cluster, key: RowKey) {
        let (hub, of) = (self.clone(), key.clone());
        let make = move |slot: &Slot| {
            let row = hub.present_row(&of).ok_or_else(Denied::nothing)?;
            let is_newer = slot.number == 0 || row.updated > slot.revision;
            Ok(Made {
                record: SharedRow {
                    recent: slot.recent.clone(),
                    ..row
                },
                maker: is_newer.then_some(None).ok_or_else(Denied::nothing)?,
                answer: (),
            })
        };
        let make: Make<RowKey, ()> = Arc::new(make);
        if let Err(error) = self.put(cluster, &key, make).await
            && !error.is_nothing()
        {
            tracing::warn!(room = %key.room, "a row could not be written back: {}", error.told());
        }
    }

    /// A row as this daemon shows it.
    fn present_row(&self, key: &RowKey) -> Option<SharedRow> {
        let (room, place) = (self.room(&key.room)?, self.place_of_row(key)?);
        let (_, declared) = self.channels().get_index(place)?;
        let row = room.book().table(place).get(&key.id).cloned()?;
        Some(SharedRow::new(&row, &declared.columns, &[]))
    }
}
