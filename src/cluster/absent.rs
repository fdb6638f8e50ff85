//! In place of NATS, in a library that is built without the feature `nats`.

// Nothing comes back.
#[allow(dead_code)]
mod ended;
mod options;
mod record;
mod row;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

pub use ended::{Entry, Link, Look, Put};
pub use options::{ClusterOptions, NatsUrl};
pub use record::{Held, Mark, Record, key_of, topic_of};
pub use row::{LONGEST_ID, RowKey, SharedRow};

/// There is none.
pub enum Connection {}

/// There is none.
pub enum Bucket {}

/// There is none.
pub enum Watch {}

/// There is none.
pub enum Heard {}

/// There are none.
pub enum Questions {}

/// There is none.
pub enum Asker {}

impl Questions {
    /// Is never called.
    pub async fn next(&mut self) -> Option<(Bytes, Asker)> {
        match *self {}
    }
}

impl Connection {
    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn ask(&self, _: &str, _: String, _: Duration) -> Result<Option<Bytes>, String> {
        match *self {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn questions(&self, _: &str) -> Result<Questions, String> {
        match *self {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn answer(&self, _: Asker, _: String) -> Result<(), String> {
        match *self {}
    }

    /// Connects to nothing.
    ///
    /// # Errors
    /// Always.
    pub async fn start(_: ClusterOptions) -> Result<Connection, String> {
        Err(
            "this program cannot join a cluster: it was built without the feature `nats`"
                .to_owned(),
        )
    }

    /// Is never called.
    pub fn link(&self) -> watch::Receiver<Link> {
        match *self {}
    }

    /// Is never called.
    pub fn server(&self) -> Option<String> {
        match *self {}
    }

    /// Is never called.
    pub fn why_not(&self) -> String {
        match *self {}
    }

    /// Is never called.
    pub fn bytes(&self) -> (u64, u64) {
        match *self {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn say(&self, _: &str, _: String) -> Result<(), String> {
        match *self {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn hear(&self, _: &str) -> Result<Heard, String> {
        match *self {}
    }

    /// Is never called.
    pub async fn finish(&self) {
        match *self {}
    }
}

impl Heard {
    /// Is never called.
    pub async fn next(&mut self) -> Option<Bytes> {
        match *self {}
    }
}

impl Bucket {
    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn open(connection: Arc<Connection>, _: &str) -> Result<Bucket, String> {
        match *connection {}
    }

    /// Is never called.
    pub async fn is_led(&self) -> bool {
        match *self {}
    }

    /// Is never called.
    pub async fn put(&self, _: &str, _: String, _: u64) -> Put {
        match *self {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn newest(&self, _: &str) -> Result<Option<Entry>, String> {
        match *self {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn watch(&self) -> Result<Watch, String> {
        match *self {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn look(&self) -> Result<Look, String> {
        match *self {}
    }

    /// Is never called.
    pub async fn forget(&self, _: &str, _: u64) -> bool {
        match *self {}
    }
}

impl Watch {
    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub async fn next(&mut self) -> Result<Entry, String> {
        match *self {}
    }
}
