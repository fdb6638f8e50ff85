//! Actions of rooms whose rows the cluster shares: each row that one changes is written for itself.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;

use super::super::Hub;
use super::super::clock::unix_micros;
use super::super::rooms::{Answered, Denied, Reply, RoomEntry, RowMaker, Wanted, Whole, fresh_id};
use super::part::Cluster;
use super::put::{Made, Make};
use super::rows::AT_A_TIME;
use super::slots::Slot;
use crate::cluster::{LONGEST_ID, RowKey, SharedRow};
use crate::state::json::{Json, Kind};
use crate::state::room::{Action, Channel, Edit, Refused, RowId, refused};

/// What becomes of one row.
#[derive(Clone)]
enum OneRow {
    /// What an action does to the row as it is by then.
    Action(Action),
    Edit(Edit),
}

/// An action on its way.
struct OnItsWay {
    room: Arc<RoomEntry>,
    channel: usize,
    rows: Vec<(RowId, OneRow)>,
    whole: Arc<Whole>,
}

impl Hub {
    /// Changes rows of a channel for all daemons. Whoever waits for the answer has it by then.
    ///
    /// # Errors
    /// Says why it cannot be, as whoever waits for the answer is told.
    pub(in crate::hub) async fn share_rows(
        &self,
        cluster: &Arc<Cluster>,
        room: &Arc<RoomEntry>,
        channel: usize,
        wanted: Wanted,
        reply: Reply,
    ) -> Result<(), Denied> {
        let rows = match self.rows_of(cluster, room, channel, wanted) {
            Ok(rows) => rows,
            Err(reason) => {
                let reason = Denied::from(reason);
                self.refuse_untold(room, reply, &reason.told(), reason.clone());
                return Err(reason);
            }
        };
        let ids = rows.iter().map(|(id, _)| id.clone());
        let whole = Arc::new(Whole::new(channel, ids, reply));
        let way = OnItsWay {
            room: room.clone(),
            channel,
            rows,
            whole,
        };
        let (hub, cluster) = (self.clone(), cluster.clone());
        // To the end, also when nobody waits for it any more; it ends early only with the daemon.
        let put = async move { hub.put_rows(&cluster, way).await };
        self.0.tasks.spawn(put).await.unwrap_or(Ok(()))
    }

    /// Which rows are changed, and how, as far as that is known here.
    fn rows_of(
        &self,
        cluster: &Cluster,
        room: &RoomEntry,
        channel: usize,
        wanted: Wanted,
    ) -> Result<Vec<(RowId, OneRow)>, Refused> {
        let (_, declared) = self
            .channels()
            .get_index(channel)
            .ok_or_else(Refused::new)?;
        let book = room.book();
        let edits = match wanted {
            Wanted::Edits(edits) => edits,
            Wanted::Action(Action::DeleteAll) => {
                let all = book.table(channel).live();
                all.map(|row| Edit::Delete(row.id.clone())).collect()
            }
            Wanted::Action(action) => {
                let action = with_id(cluster, declared, action);
                let id = match declared.id(action.given()) {
                    Ok(id) => id,
                    // All that is wrong with it.
                    Err(reason) => {
                        let edits = book.edits(channel, action, 0, fresh_id);
                        return Err(edits.err().unwrap_or(reason));
                    }
                };
                return Ok(vec![(has_key(id)?, OneRow::Action(action))]);
            }
        };
        book.check(channel, &edits)?;
        drop(book);
        let edits = self.has_room_for(edits)?;
        last_of_each(edits)
    }

    /// Writes rows. The action is answered when the last of them is shown.
    async fn put_rows(&self, cluster: &Cluster, way: OnItsWay) -> Result<(), Denied> {
        let OnItsWay {
            room,
            channel,
            rows,
            whole,
        } = way;
        if rows.is_empty() {
            let head = room.book().head();
            self.answered(&room, whole.done(head, head));
            return Ok(());
        }
        // It stays for as long as there is something on its way.
        let _usage = self.use_room(room.name()).ok();
        let put = |(place, (id, row))| {
            let whole = whole.clone();
            let maker = RowMaker { whole, place };
            self.put_row(cluster, (&room, channel), (id, row), maker)
        };
        let all = stream::iter(rows.into_iter().enumerate());
        let mut ended = all.map(put).buffer_unordered(AT_A_TIME);
        let mut failed = None;
        while let Some(ended) = ended.next().await {
            failed = failed.or(ended.err());
        }
        let Some((reply, reason)) = failed.and_then(|reason| whole.fail(reason)) else {
            return Ok(());
        };
        self.refuse_untold(&room, reply, &reason.told(), reason.clone());
        Err(reason)
    }

    async fn put_row(
        &self,
        cluster: &Cluster,
        (room, channel): (&Arc<RoomEntry>, usize),
        (id, row): (RowId, OneRow),
        maker: RowMaker,
    ) -> Result<(), Denied> {
        let Some((name, _)) = self.channels().get_index(channel) else {
            return Ok(());
        };
        let key = RowKey {
            room: room.name().clone(),
            channel: name.as_str().into(),
            id,
        };
        let (hub, of, entry, by) = (self.clone(), key.clone(), room.clone(), maker.clone());
        let make = move |slot: &Slot| hub.make_row((&entry, channel), &of, &row, (slot, &by));
        let make: Make<RowKey, ()> = Arc::new(make);
        let ended = self.put(cluster, &key, make).await;
        let head = room.book().head();
        let answered = match ended {
            // It may have been seen among later ones only.
            Ok(()) => maker.there(head, head),
            Err(reason) if reason.is_nothing() => maker.nothing(head),
            Err(reason) => return Err(reason),
        };
        self.answered(room, answered);
        Ok(())
    }

    /// What becomes of a row, after all that is known by now.
    fn make_row(
        &self,
        (room, channel): (&RoomEntry, usize),
        key: &RowKey,
        row: &OneRow,
        (slot, maker): (&Slot, &RowMaker),
    ) -> Result<Made<RowKey, ()>, Denied> {
        let now = unix_micros() / 1000;
        let mut book = room.book();
        let is_held = slot.number > 0 && !slot.deleted && !slot.recent.is_empty();
        if is_held && book.table(channel).get(&key.id).is_none() {
            let reason =
                "this daemon has no room to show the row, and does not change it (--max-rows)";
            return Err(refused(reason).into());
        }
        let edit = match row {
            OneRow::Action(action) => {
                let edits = book.edits(channel, action.clone(), now, String::new)?;
                self.has_room_for(edits)?.pop()
            }
            OneRow::Edit(edit) => Some(edit.clone()),
        };
        let row = match edit {
            Some(edit) => book.draft(channel, edit, now)?,
            None => None,
        };
        let row = row.ok_or_else(Denied::nothing)?;
        let (_, declared) = book.channels().get_index(channel).ok_or(Denied::Stopping)?;
        Ok(Made {
            record: SharedRow::new(&row, &declared.columns, &slot.recent),
            maker: Some(maker.clone()),
            answer: (),
        })
    }

    /// Wakes whoever has an answer that came without a change.
    fn answered(&self, room: &Arc<RoomEntry>, answered: Option<Answered>) {
        if let Some(answered) = answered {
            self.count_action();
            self.wake(room, answered.by);
        }
    }
}

/// An action whose row has an id.
fn with_id(cluster: &Cluster, channel: &Channel, action: Action) -> Action {
    let Action::Create(mut given) = action else {
        return action;
    };
    if !given.iter().any(|(name, _)| name == "id") {
        let kind = channel.columns.first().map(|(_, field)| field.kind);
        let id = match kind {
            Some(Kind::Number) => Json::of(&cluster.fresh_number()),
            _ => Json::string(&fresh_id()),
        };
        given.push(("id".to_owned(), id));
    }
    Action::Create(given)
}

/// One edit for each row: the last.
fn last_of_each(edits: Vec<Edit>) -> Result<Vec<(RowId, OneRow)>, Refused> {
    let mut places = HashMap::new();
    let mut rows = Vec::with_capacity(edits.len());
    for edit in edits {
        let (Edit::Put(id, ..) | Edit::Delete(id)) = &edit;
        let id = has_key(id.clone())?;
        match places.get(&id) {
            Some(place) => rows[*place] = (id, OneRow::Edit(edit)),
            None => {
                places.insert(id.clone(), rows.len());
                rows.push((id, OneRow::Edit(edit)));
            }
        }
    }
    Ok(rows)
}

/// An id that can have a key.
fn has_key(id: RowId) -> Result<RowId, Refused> {
    match id.len() <= LONGEST_ID {
        true => Ok(id),
        false => Err(refused(format_args!(
            "id: it has {} bytes, and a cluster keeps rows with ids of {LONGEST_ID} at most (--nats)",
            id.len()
        ))),
    }
}
