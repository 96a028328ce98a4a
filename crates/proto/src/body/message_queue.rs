//! One queue of a topic on one broker.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One queue of a topic on one broker: also a key of tables.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    pub broker_name: String,
    pub queue_id: i32,
    pub topic: String,
}

impl MessageQueue {
    /// In the order in which people say it: topic, broker, queue.
    pub fn new(topic: impl Into<String>, broker_name: impl Into<String>, queue_id: i32) -> Self {
        Self { broker_name: broker_name.into(), queue_id, topic: topic.into() }
    }

    fn key(&self) -> (&str, &str, i32) {
        (&self.topic, &self.broker_name, self.queue_id)
    }
}

/// All members of a group must sort queues alike to share them: topic, broker, queue.
impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for MessageQueue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topic, broker, queue) = self.key();
        write!(out, "MessageQueue [topic={topic}, brokerName={broker}, queueId={queue}]")
    }
}
