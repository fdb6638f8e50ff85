//! Those who fetch for themselves want to be told of topics: rooms are shown for them too.

use crate::hub::Hub;
use crate::state::name::TopicName;

/// Somebody who wants to be told of topics, until this is dropped.
pub struct Interest {
    hub: Hub,
    topics: Vec<Option<TopicName>>,
}

impl Hub {
    /// Somebody wants to be told of these topics, or of all of them if there are none. Those among
    /// them that show rooms are made.
    pub async fn take_interest(&self, topics: &[TopicName]) -> Interest {
        let wanted: Vec<_> = match topics.is_empty() {
            true => vec![None],
            false => topics.iter().cloned().map(Some).collect(),
        };
        self.0.rooms.interests.add(&wanted);
        let interest = Interest {
            hub: self.clone(),
            topics: wanted,
        };
        for room in self.rooms() {
            let topic = room.name().topic();
            if topics.is_empty() || topics.contains(topic) {
                self.show(topic, false).await;
            }
        }
        interest
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.hub.0.rooms.interests.remove(&self.topics);
    }
}
