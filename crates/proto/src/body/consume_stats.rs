//! How far a group is behind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// A group's progress on the queues of a broker.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Messages per second.
    pub consume_tps: f64,
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
}

impl ConsumeStats {
    /// How many messages are not yet consumed.
    pub fn total_diff(&self) -> i64 {
        self.offset_table.values().map(|one| one.broker_offset.wrapping_sub(one.consumer_offset)).sum()
    }

    /// How many messages are pulled but not yet consumed.
    pub fn inflight_total_diff(&self) -> i64 {
        self.offset_table.values().map(|one| one.pull_offset.wrapping_sub(one.consumer_offset)).sum()
    }
}

/// A group's progress on one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// The offset that the next message will have.
    pub broker_offset: i64,
    /// The offset of the next message to be consumed.
    pub consumer_offset: i64,
    /// When the last consumed message was stored, in milliseconds since 1970.
    pub last_timestamp: i64,
    /// The offset of the next message to be pulled.
    pub pull_offset: i64,
}

/// The progress of all groups of a broker.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatsList {
    pub broker_addr: Option<String>,
    /// Maps of one entry: a group to its progress by topic.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    pub total_diff: i64,
    pub total_inflight_diff: i64,
}

/// What resetting one queue's offset by time did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollbackStats {
    pub broker_name: String,
    pub broker_offset: i64,
    pub consumer_offset: i64,
    pub queue_id: i64,
    pub rollback_offset: i64,
    pub timestamp_offset: i64,
}
