//! A bucket: read, watched, and written by compare and set.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::kv::{self, Operation, Store};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use futures_util::StreamExt;

use super::connection::Connection;
use super::ended::{Entry, Look, Put};

/// On so many servers, where there are as many and nothing else was asked for.
const REPLICAS: usize = 3;
/// How often the servers of a cluster may say that they are too few, before fewer are asked for: some
/// of them may be about to start.
const PATIENCE: usize = 5;

/// A bucket as it was when it was opened. It may be gone by now, or another one.
pub struct Bucket {
    store: Store,
    connection: Arc<Connection>,
}

/// A key that no topic has.
const PROBE: &str = "daemons/probe";

/// Everything that a bucket holds, and then everything that is written.
pub struct Watch(kv::Watch);

impl Bucket {
    /// Opens a bucket, which is made if there is none.
    ///
    /// # Errors
    /// Says why that is not possible.
    pub async fn open(connection: Arc<Connection>, name: &str) -> Result<Bucket, String> {
        connection.check_version()?;
        let jetstream = &connection.jetstream;
        let store = match jetstream.get_key_value(name).await {
            Ok(store) => store,
            Err(_) => make(&connection, name).await?,
        };
        Ok(Bucket { store, connection })
    }

    /// Writes a key, if it has not been written since this number (0: ever).
    pub async fn put(&self, key: &str, value: String, expected: u64) -> Put {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        let subject = format!("{}{key}", self.store.prefix);
        let jetstream = &self.connection.jetstream;
        let sent = jetstream.publish_with_headers(subject, headers, Bytes::from(value));
        let acknowledged = match sent.await {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(acknowledged) => Put::Kept(acknowledged.sequence),
            Err(error) => self.ended(&error),
        }
    }

    /// Whether most of its servers are there. A leader that has been parted from the others answers every
    /// question for a while, as of old; only a write shows what it is.
    pub async fn is_led(&self) -> bool {
        let subject = format!("{}{PROBE}", self.store.prefix);
        match self
            .connection
            .jetstream
            .publish(subject, Bytes::new())
            .await
        {
            Ok(acknowledgement) => acknowledgement.await.is_ok(),
            Err(_) => false,
        }
    }

    fn ended(&self, error: &PublishError) -> Put {
        match error.kind() {
            PublishErrorKind::WrongLastSequence => Put::Raced,
            PublishErrorKind::MaxPayloadExceeded => Put::TooLarge(self.connection.max_payload()),
            PublishErrorKind::StreamNotFound => Put::NoLeader,
            PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => {
                Put::Unknown(error.to_string())
            }
            _ => match std::error::Error::source(error).and_then(|said| said.downcast_ref()) {
                Some(said) => refused(said),
                None => Put::Unknown(error.to_string()),
            },
        }
    }

    /// What the bucket's leader holds under a key.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn newest(&self, key: &str) -> Result<Option<Entry>, String> {
        let subject = format!("{}{key}", self.store.prefix);
        match self
            .store
            .stream
            .get_last_raw_message_by_subject(&subject)
            .await
        {
            Ok(message) => {
                let is_deleted = message.headers.get("KV-Operation").is_some();
                Ok(Some(Entry {
                    key: key.to_owned(),
                    number: message.sequence,
                    value: (!is_deleted).then_some(message.payload),
                    pending: 0,
                }))
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// All that it holds, then all that is written.
    ///
    /// # Errors
    /// When that cannot be asked for.
    pub async fn watch(&self) -> Result<Watch, String> {
        let watch = self.store.watch_with_history(">").await;
        watch.map(Watch).map_err(|error| error.to_string())
    }

    /// How far it has come.
    ///
    /// # Errors
    /// When its leader does not answer.
    pub async fn look(&self) -> Result<Look, String> {
        let info = self
            .store
            .stream
            .get_info()
            .await
            .map_err(|error| error.to_string())?;
        Ok(Look {
            made: info.created.to_string(),
            last: info.state.last_sequence,
            entries: info.state.messages,
            replicas: info.config.num_replicas,
        })
    }

    /// Forgets what was written to a key up to this number. Returns whether it is forgotten.
    pub async fn forget(&self, key: &str, number: u64) -> bool {
        // A bucket does not let a message be deleted by its number alone.
        let subject = format!("{}{key}", self.store.prefix);
        let purge = self.store.stream.purge().filter(subject);
        purge.sequence(number + 1).await.is_ok()
    }
}

impl Watch {
    /// The next write.
    ///
    /// # Errors
    /// When the watch has ended: begin anew.
    pub async fn next(&mut self) -> Result<Entry, String> {
        let next = self.0.next().await.ok_or("the watch has ended")?;
        let entry = next.map_err(|error| error.to_string())?;
        Ok(Entry {
            key: entry.key,
            number: entry.revision,
            value: (entry.operation == Operation::Put).then_some(entry.value),
            pending: entry.delta,
        })
    }
}

/// The server has looked at a write, and has not taken it.
fn refused(said: &jetstream::Error) -> Put {
    match said.error_code() {
        // With a number that is not told.
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => Put::Raced,
        _ => Put::Refused(said.to_string()),
    }
}

async fn make(connection: &Connection, name: &str) -> Result<Store, String> {
    let replicas = match (connection.options.replicas, connection.is_clustered()) {
        (Some(replicas), _) => replicas,
        (None, true) => {
            let refusals = connection.refusals.load(Ordering::Relaxed);
            REPLICAS.saturating_sub(refusals / PATIENCE).max(1)
        }
        (None, false) => 1,
    };
    let made = connection.jetstream.create_key_value(kv::Config {
        bucket: name.to_owned(),
        description: "topics of onlooker".to_owned(),
        history: 1,
        storage: StorageType::File,
        num_replicas: replicas,
        ..kv::Config::default()
    });
    made.await.map_err(|error| {
        connection.refusals.fetch_add(1, Ordering::Relaxed);
        let said = std::error::Error::source(&error).map(ToString::to_string);
        let said = said.unwrap_or_else(|| error.to_string());
        let server = connection.server().unwrap_or_default();
        match said.contains("JetStream unavailable") || said.contains("JetStream not enabled") {
            true => format!("{server} has no JetStream: start it with -js, and give this user's account JetStream"),
            false => format!(
                "the bucket {name:?} cannot be made at {server} with --nats-replicas {replicas}: {said}"
            ),
        }
    })
}
