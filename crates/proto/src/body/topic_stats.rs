//! How far the queues of a topic have come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// The offsets of a topic's queues.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    pub offset_table: BTreeMap<MessageQueue, TopicOffset>,
    /// Messages per second.
    pub topic_put_tps: f64,
}

/// The offsets of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// When the newest message was stored, in milliseconds since 1970; 0 if there is none.
    pub last_update_timestamp: i64,
    /// The offset that the next message will have.
    pub max_offset: i64,
    pub min_offset: i64,
}
