//! All rooms, and what is kept for them together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::sync::broadcast;

use super::before::Before;
use super::entry::RoomEntry;
use super::interests::Interests;
use super::shown::Shown;
use super::told::RowsTold;
use crate::hub::options::{HubOptions, RoomOptions};
use crate::state::room::{Channel, RoomName};

/// All rooms.
pub struct Rooms {
    pub(super) channels: Arc<IndexMap<String, Channel>>,
    pub(super) parties: Vec<String>,
    pub(in crate::hub) keep_deleted: Duration,
    /// Its lock is taken before a room's, never after.
    listed: RwLock<BTreeMap<RoomName, Arc<RoomEntry>>>,
    pub(super) told: broadcast::Sender<Arc<RowsTold>>,
    /// How many people have ever come.
    pub(super) seats: AtomicU64,
    /// Which channels somebody had asked for before a connection was lost.
    pub(super) before: Mutex<Before>,
    /// The last time of a room that was forgotten: the next one goes on from it.
    pub(super) floor: AtomicU64,
    pub(super) shown: Shown,
    pub(super) interests: Interests,
    /// Whether it was told that rows of the cluster's bucket are left out.
    pub(in crate::hub) left_out: AtomicBool,
    /// How many bytes the rows of all rooms take.
    pub(super) size: AtomicUsize,
}

impl Rooms {
    pub fn new(options: &HubOptions) -> Rooms {
        let RoomOptions {
            parties,
            keep_deleted,
            channels,
        } = options.rooms.clone();
        Rooms {
            shown: Shown::new(channels.values()),
            interests: Interests::default(),
            channels: Arc::new(channels),
            parties,
            keep_deleted,
            listed: RwLock::default(),
            told: broadcast::channel(options.flow.capacity).0,
            seats: AtomicU64::new(0),
            before: Mutex::default(),
            floor: AtomicU64::new(0),
            left_out: AtomicBool::new(false),
            size: AtomicUsize::new(0),
        }
    }

    pub(super) fn listed(&self) -> RwLockReadGuard<'_, BTreeMap<RoomName, Arc<RoomEntry>>> {
        self.listed.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listed_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<RoomName, Arc<RoomEntry>>> {
        self.listed.write().unwrap_or_else(PoisonError::into_inner)
    }
}
