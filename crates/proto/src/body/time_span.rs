//! From when to when messages of a queue are.

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// Answer to QUERY_CONSUME_TIME_SPAN.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeTimeSpans {
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Store times of one queue, in milliseconds since 1970.
///
/// Java also writes each time as text for people, in local time like `2023-11-14#22:13:20:002`, and
/// never reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueTimeSpan {
    /// Of the last consumed message.
    pub consume_time_stamp: i64,
    pub consume_time_stamp_str: Option<String>,
    /// For how long the next message has been waiting.
    pub delay_time: i64,
    /// Of the newest message.
    pub max_time_stamp: i64,
    pub max_time_stamp_str: Option<String>,
    pub message_queue: MessageQueue,
    /// Of the oldest message.
    pub min_time_stamp: i64,
    pub min_time_stamp_str: Option<String>,
}
