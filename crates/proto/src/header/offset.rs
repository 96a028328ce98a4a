//! Offsets of queues and consumers: codes 14, 15, 29, 30, 31, 32.

use super::Header;

/// QUERY_CONSUMER_OFFSET.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryConsumerOffset {
    /// Consumer group.
    pub consumer_group: String,
    /// Topic.
    pub topic: String,
    /// Queue within the topic.
    pub queue_id: i32,
    /// Whether 0 may be answered for a group without offset.
    pub set_zero_if_not_found: Option<bool>,
}

/// UPDATE_CONSUMER_OFFSET.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateConsumerOffset {
    /// Consumer group.
    pub consumer_group: String,
    /// Topic.
    pub topic: String,
    /// Queue within the topic.
    pub queue_id: i32,
    /// Offset of the next message to consume.
    pub commit_offset: i64,
}

/// GET_MAX_OFFSET.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct MaxOffset {
    /// Topic.
    pub topic: String,
    /// Queue within the topic.
    pub queue_id: i32,
    /// Count only what is durable; true by default.
    pub committed: Option<bool>,
}

/// GET_MIN_OFFSET and GET_EARLIEST_MSG_STORETIME: names one queue.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueOf {
    /// Topic.
    pub topic: String,
    /// Queue within the topic.
    pub queue_id: i32,
}

/// SEARCH_OFFSET_BY_TIMESTAMP.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchOffset {
    /// Topic.
    pub topic: String,
    /// Queue within the topic.
    pub queue_id: i32,
    /// Store time in milliseconds since the epoch.
    pub timestamp: i64,
    /// `lower` (the default) or `upper`.
    pub boundary_type: Option<String>,
}

/// Answer of every request for one offset.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetFound {
    /// Queue offset.
    pub offset: i64,
}

/// Answer to GET_EARLIEST_MSG_STORETIME.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreTime {
    /// Milliseconds since the epoch; -1 if there is no message.
    pub timestamp: i64,
}
