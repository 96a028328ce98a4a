//! Tables of offsets by queue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// Offsets by queue: those to go back to, or a broadcasting consumer's `offsets.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsets {
    pub offset_table: BTreeMap<MessageQueue, i64>,
}

/// The same for clients in C++, which cannot read objects as keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetsForC {
    pub offset_table: Vec<QueueOffsetForC>,
}

/// One queue's offset.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueOffsetForC {
    pub broker_name: String,
    pub offset: i64,
    pub queue_id: i32,
    pub topic: String,
}

impl From<&ResetOffsets> for ResetOffsetsForC {
    fn from(offsets: &ResetOffsets) -> Self {
        let one = |(queue, offset): (&MessageQueue, &i64)| QueueOffsetForC {
            broker_name: queue.broker_name.clone(),
            offset: *offset,
            queue_id: queue.queue_id,
            topic: queue.topic.clone(),
        };
        Self { offset_table: offsets.offset_table.iter().map(one).collect() }
    }
}

/// How far clients of a group have come: one client's answer, or by client id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerStatus {
    pub consumer_table: BTreeMap<String, BTreeMap<MessageQueue, i64>>,
    pub message_queue_table: BTreeMap<MessageQueue, i64>,
}

/// By queue id, the smallest offset of a topic's groups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorrectionOffsets {
    pub correction_offsets: BTreeMap<i32, i64>,
}

/// A message on OFFSET_MOVED_EVENT: a consumer asked for an offset that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetMovedEvent {
    pub consumer_group: String,
    pub message_queue: MessageQueue,
    pub offset_new: i64,
    pub offset_request: i64,
}
