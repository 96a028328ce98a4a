//! A look into a ConsumeQueue.

use serde::{Deserialize, Serialize};

use super::SubscriptionData;

/// Answer to QUERY_CONSUME_QUEUE.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueReply {
    /// The group's filter as indented JSON.
    pub filter_data: Option<String>,
    pub max_queue_index: i64,
    pub min_queue_index: i64,
    pub queue_data: Option<Vec<ConsumeQueueEntry>>,
    pub subscription_data: Option<SubscriptionData>,
}

/// One unit of a ConsumeQueue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueEntry {
    pub bit_map: Option<String>,
    /// Whether the group's filter lets it pass.
    pub eval: bool,
    pub extend_data_json: Option<String>,
    /// Why there is no more to tell.
    pub msg: Option<String>,
    pub physic_offset: i64,
    pub physic_size: i32,
    pub tags_code: i64,
}
