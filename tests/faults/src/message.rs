//! Messages that can be recognised: the key says what the body must be.

use bytes::Bytes;
use fastrand::Rng;
use rmq_proto::message::{Properties, property};
use rmq_store::NewRecord;

/// Sender and number in one word: a sender's numbers rise.
pub type Key = u64;

/// The key of a sender's message.
pub fn key(sender: u32, number: u32) -> Key {
    Key::from(sender) << 32 | Key::from(number)
}

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// Unique among all of a history.
    pub key: Key,
    /// Its topic.
    pub topic: String,
    /// Its queue.
    pub queue: i32,
    /// Its body: the key as text, then noise that follows from the key.
    pub body: Bytes,
    /// The property that makes records longer than the body does; may be empty.
    pub filler: String,
}

impl Message {
    /// A message of that length; bodies are at least the 16 digits of the key.
    pub fn new(key: Key, topic: &str, queue: i32, len: usize) -> Self {
        let mut noise = Rng::with_seed(key);
        let mut body = format!("{key:016x}").into_bytes();
        // Zeros too, as in real bodies: damage must be seen by more than that.
        body.extend((16..len).map(|_| noise.u8(..).saturating_sub(30)));
        Self { key, topic: topic.into(), queue, body: body.into(), filler: String::new() }
    }

    /// With a property of that length.
    #[must_use]
    pub fn with_filler(mut self, len: usize) -> Self {
        let mut noise = Rng::with_seed(!self.key);
        self.filler = (0..len).map(|_| noise.alphanumeric()).collect();
        self
    }

    /// Its properties: the key, tags, the filler.
    pub fn properties(&self) -> String {
        let key = format!("{:016x}", self.key);
        let mut properties: Properties =
            [(property::KEYS, key.as_str()), (property::TAGS, "t")].into_iter().collect();
        if !self.filler.is_empty() {
            properties.set("filler", self.filler.clone());
        }
        properties.encode()
    }

    /// As the store wants it.
    pub fn record(&self) -> NewRecord {
        NewRecord {
            topic: self.topic.clone(),
            queue_id: self.queue,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: ([10, 0, 0, 1], 50_000).into(),
            store_host: ([10, 0, 0, 2], 10_911).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: self.body.clone(),
            properties: self.properties().into(),
        }
    }
}

/// The key that a body says; `None` if it is no body of ours.
pub fn key_in(body: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(body.get(..16)?).ok()?;
    Key::from_str_radix(text, 16).ok()
}
