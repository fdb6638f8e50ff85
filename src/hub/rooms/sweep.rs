//! Deleted rows are forgotten after a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::entry::RoomEntry;
use super::handed::{RowsHandedOver, RowsIntent};
use crate::hub::Hub;
use crate::hub::clock::unix_micros;
use crate::hub::millis;

/// How often rooms are looked at.
const EVERY: Duration = Duration::from_secs(60);

impl Hub {
    /// Forgets what was deleted long enough ago, until the daemon stops.
    pub(in crate::hub) async fn sweep_rooms(self) {
        let sweep = async {
            loop {
                sleep(EVERY.min(self.0.rooms.keep_deleted)).await;
                for room in self.rooms() {
                    self.sweep(&room).await;
                }
                self.end_unwatched();
            }
        };
        self.0.stop.run_until_cancelled(sweep).await;
    }

    async fn sweep(&self, room: &Arc<RoomEntry>) {
        // Without a place in the store's queue the daemon is stopping.
        let Ok(permit) = self.permit().await else {
            return;
        };
        let age = millis(self.0.rooms.keep_deleted);
        let outdated = (unix_micros() / 1000).saturating_sub(age);
        {
            let mut book = room.book();
            let before = book.size();
            let forgotten = book.forget(outdated);
            self.count_size(before, book.size());
            let rows: Vec<_> = forgotten
                .iter()
                .map(|(channel, row)| (*channel, row.id.clone()))
                .collect();
            if let Some(permit) = permit.filter(|_| !rows.is_empty()) {
                let intent = RowsIntent::Forget(rows);
                permit.send_rows(RowsHandedOver {
                    room: room.clone(),
                    intent,
                });
            }
        }
        self.forget_room_if_unused(room);
    }
}
