//! What a host's message does, whichever way it came.

use std::sync::Arc;

use crate::hub::{Delivery, Hub, Receipt, WriteError, WriteOptions};
use crate::state::name::TopicName;
use crate::wire::{Ack, HostMessage};

/// What came of a message that was accepted.
pub enum Done {
    /// A change stands.
    Written(Box<Receipt>),
    /// A text is on its way to the viewers.
    Sent(Delivery),
}

impl HostMessage {
    /// Does what the message asks of a topic; `from` says where it came from.
    pub async fn apply(
        self,
        hub: &Hub,
        topic: &TopicName,
        from: WriteOptions,
    ) -> Result<Done, WriteError> {
        match self {
            HostMessage::Write(change, writer) => {
                let options = WriteOptions {
                    writer: Arc::new(writer),
                    ..from
                };
                let receipt = hub.write(topic, change, options).await?;
                Ok(Done::Written(Box::new(receipt)))
            }
            HostMessage::Broadcast(text) => {
                let entry = hub.topic(topic);
                let entry = entry.ok_or_else(|| WriteError::NoTopic(topic.to_string()))?;
                Ok(Done::Sent(hub.broadcast(&entry, text).await))
            }
        }
    }
}

impl Done {
    /// Its answer; the one to a broadcast waits until each viewer was given the text or passed over.
    pub async fn ack(self) -> Ack {
        match self {
            Done::Written(receipt) => Ack::Written(receipt.revision, receipt.kept),
            Done::Sent(delivery) => Ack::Broadcast(delivery.delivered().await.passed_over),
        }
    }
}
