//! Which topics those who fetch for themselves want to be told of.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::state::name::TopicName;

/// How many want to be told of a topic; under `None`, of all topics.
#[derive(Default)]
pub struct Interests(Mutex<HashMap<Option<TopicName>, usize>>);

impl Interests {
    /// Whether anybody wants to be told of a topic.
    pub fn is_wanted(&self, topic: &TopicName) -> bool {
        let wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.contains_key(&None) || wanted.contains_key(&Some(topic.clone()))
    }

    pub fn add(&self, topics: &[Option<TopicName>]) {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in topics {
            *wanted.entry(topic.clone()).or_default() += 1;
        }
    }

    pub fn remove(&self, topics: &[Option<TopicName>]) {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in topics {
            if let Some(count) = wanted.get_mut(topic) {
                *count -= 1;
            }
        }
        wanted.retain(|_, count| *count > 0);
    }
}
