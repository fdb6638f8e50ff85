//! Connections that have not shown yet what they may do: few, and the oldest makes room.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a new connection waits before the oldest unfinished one makes room: a storm of
/// honest viewers frees places much faster.
const PATIENCE: Duration = Duration::from_millis(100);

/// The places for such connections.
pub struct Pending {
    places: Arc<Semaphore>,
    limit: usize,
    queue: Mutex<VecDeque<(Weak<Place>, CancellationToken)>>,
}

/// One connection's place, until it is dropped.
pub struct Place {
    /// Someone newer needs the place.
    pub evicted: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Pending {
    /// So many places.
    pub fn new(limit: usize) -> Pending {
        Pending {
            places: Arc::new(Semaphore::new(limit)),
            limit,
            queue: Mutex::default(),
        }
    }

    /// Waits for a place, if need be the oldest one's; none only when the daemon ends.
    pub async fn place(&self) -> Option<Arc<Place>> {
        let free = self.places.clone().acquire_owned();
        let permit = match tokio::time::timeout(PATIENCE, free).await {
            Ok(permit) => permit,
            Err(_) => {
                self.evict_oldest();
                self.places.clone().acquire_owned().await
            }
        };
        let place = Arc::new(Place {
            evicted: CancellationToken::new(),
            _permit: permit.ok()?,
        });
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= 2 * self.limit {
            queue.retain(|(place, _)| place.strong_count() > 0);
        }
        queue.push_back((Arc::downgrade(&place), place.evicted.clone()));
        Some(place)
    }

    fn evict_oldest(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((place, evicted)) = queue.pop_front() {
            if place.strong_count() > 0 {
                return evicted.cancel();
            }
        }
    }
}
