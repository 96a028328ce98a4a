//! Messages to send and messages received.

use std::{fmt, ops::Deref, sync::Arc};

use bytes::Bytes;
use rmq_proto::{
    body::MessageQueue,
    message::{
        self as record, Properties,
        flags::{self, Compression},
        hash::string_hash,
        property,
    },
    topic,
};

use crate::compression;

/// A message to send.
///
/// ```
/// use rmq_client::Message;
/// let message = Message::new("orders", "paid").tag("EU").key("4711").property("shop", "7");
/// assert_eq!(message.properties.tags(), Some("EU"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a message does nothing until it is sent"]
pub struct Message {
    /// Where it goes.
    pub topic: String,
    /// The payload; must not be empty.
    pub body: Bytes,
    /// The application's own flag; nobody else reads it.
    pub flag: i32,
    /// Tags, keys, delay and the application's own properties.
    pub properties: Properties,
}

impl Message {
    /// A message without tag and keys.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), body: body.into(), ..Self::default() }
    }

    /// Sets the tag that consumers filter by.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.property(property::TAGS, tag)
    }

    /// Adds a key by which the message can be looked up. Must not hold spaces, which separate keys.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        let keys = match self.properties.get(property::KEYS) {
            Some(keys) => format!("{keys} {}", key.as_ref()),
            None => key.as_ref().to_owned(),
        };
        self.properties.set(property::KEYS, keys);
        self
    }

    /// Sets a property.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.set(name, value);
        self
    }

    /// Delivers the message after the broker's delay of that level: 1 is a second, 18 two hours, by default.
    pub fn delay_level(self, level: i32) -> Self {
        self.property(property::DELAY, level.to_string())
    }

    /// Delivers the message that many milliseconds after it arrives at the broker.
    pub fn delay_ms(self, delay_ms: u64) -> Self {
        self.property(property::TIMER_DELAY_MS, delay_ms.to_string())
    }

    /// Delivers the message at that time, in milliseconds since the epoch.
    pub fn deliver_at_ms(self, time_ms: i64) -> Self {
        self.property(property::TIMER_DELIVER_MS, time_ms.to_string())
    }

    /// Whether the broker answers only when the message is as durable as it is configured to make it. True by default.
    pub fn wait_for_store(self, wait: bool) -> Self {
        self.property(property::WAIT, wait.to_string())
    }

    /// Sets the application's own flag.
    pub fn flag(mut self, flag: i32) -> Self {
        self.flag = flag;
        self
    }
}

/// A message that came from a broker. Its fields are those of the stored record, except that the body is
/// decompressed and that the topic of a retried message is the one it was first sent to. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage(Arc<Received>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Received {
    record: record::Message,
    broker_name: Arc<str>,
    unread_compression: Option<Compression>,
}

impl Deref for ReceivedMessage {
    type Target = record::Message;

    fn deref(&self) -> &record::Message {
        &self.0.record
    }
}

impl ReceivedMessage {
    /// Takes a record over, decompressing its body.
    pub fn new(mut record: record::Message, broker_name: Arc<str>) -> Self {
        let unread_compression = match compression::inflate(&record) {
            Ok(None) => None,
            Ok(Some(body)) => {
                record.body = body;
                // Java shows the flag without this bit, too.
                record.sys_flag &= !flags::COMPRESSED;
                None
            }
            Err(unread) => Some(unread),
        };
        Self(Arc::new(Received { record, broker_name, unread_compression }))
    }

    /// Name of the broker that it came from.
    pub fn broker_name(&self) -> &str {
        &self.0.broker_name
    }

    /// The queue that it came from.
    pub fn queue(&self) -> MessageQueue {
        MessageQueue::new(&*self.topic, &*self.0.broker_name, self.queue_id)
    }

    /// Id of its place in the broker's log.
    pub fn offset_msg_id(&self) -> String {
        self.offset_id().to_string()
    }

    /// The tags that it was sent with.
    pub fn tags(&self) -> Option<&str> {
        self.properties.tags()
    }

    /// A property of it.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)
    }

    /// How the body is still compressed because this client cannot read it: LZ4 and Zstandard are not read yet.
    pub fn unread_compression(&self) -> Option<Compression> {
        self.0.unread_compression
    }

    /// The properties as Java prints them: `{TAGS=TagA, KEYS=4711}`.
    pub fn properties_text(&self) -> String {
        let entries: Vec<_> =
            in_java_order(&self.properties).map(|(key, value)| format!("{key}={value}")).collect();
        format!("{{{}}}", entries.join(", "))
    }

    pub(crate) fn set_property(&mut self, name: &str, value: impl ToString) {
        self.change().properties.set(name, value.to_string());
    }

    /// Java shows the listener of a group the topic that a retried message was first sent to.
    pub(crate) fn restore_topic(&mut self) {
        if let Some(origin) = self.property(property::RETRY_TOPIC).map(str::to_owned)
            && topic::is_retry(&self.topic)
        {
            self.change().topic = origin;
        }
    }

    pub(crate) fn count_retry(&mut self) {
        self.change().reconsume_times += 1;
    }

    /// Copies the message first if somebody else holds it, too.
    fn change(&mut self) -> &mut record::Message {
        &mut Arc::make_mut(&mut self.0).record
    }
}

/// Java's `MessageExt.toString`, which its examples print.
impl fmt::Display for ReceivedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Received { record, broker_name, .. } = &*self.0;
        write!(
            f,
            "MessageExt [brokerName={broker_name}, queueId={}, storeSize={}, queueOffset={}, sysFlag={}, bornTimestamp={}, \
             bornHost=/{}, storeTimestamp={}, storeHost=/{}, msgId={}, commitLogOffset={}, bodyCRC={}, reconsumeTimes={}, \
             preparedTransactionOffset={}, toString()=Message{{topic='{}', flag={}, properties={}, body=[",
            record.queue_id,
            record.store_size,
            record.queue_offset,
            record.sys_flag,
            record.born_timestamp,
            record.born_host,
            record.store_timestamp,
            record.store_host,
            self.offset_msg_id(),
            record.physical_offset,
            record.body_crc,
            record.reconsume_times,
            record.prepared_transaction_offset,
            record.topic,
            record.flag,
            self.properties_text(),
        )?;
        for (index, byte) in record.body.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}", *byte as i8)?;
        }
        let transaction = record.properties.get(property::TRANSACTION_ID).unwrap_or("null");
        write!(f, "], transactionId='{transaction}'}}]")
    }
}

/// Java's client keeps the properties in a HashMap of 128 buckets and prints them bucket by bucket.
fn in_java_order(properties: &Properties) -> impl Iterator<Item = (&str, &str)> {
    let mut entries: Vec<_> = properties.iter().collect();
    entries.sort_by_key(|(key, _)| {
        let hash = string_hash(key) as u32;
        (hash ^ (hash >> 16)) & 127
    });
    entries.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_joined_by_spaces() {
        let message = Message::new("T", "x").key("a").key("b");
        assert_eq!(message.properties.get(property::KEYS), Some("a b"));
    }
}
