//! Lite topics: very many small queues under one parent topic.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{OffsetWrapper, TopicOffset, names::java_names};

/// Tells a broker which lite topics clients subscribe to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteSubscriptions {
    pub subscription_set: Vec<LiteSubscription>,
}

/// A change of one client's subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteSubscription {
    pub action: LiteSubscriptionAction,
    pub client_id: String,
    pub group: String,
    pub lite_topic_set: BTreeSet<String>,
    pub offset_option: Option<OffsetOption>,
    /// The parent topic.
    pub topic: String,
    pub version: i64,
}

java_names! {
    /// What happens to the lite topics of a [`LiteSubscription`].
    pub enum LiteSubscriptionAction {
        #[default]
        PartialAdd = "PARTIAL_ADD",
        PartialRemove = "PARTIAL_REMOVE",
        CompleteAdd = "COMPLETE_ADD",
        CompleteRemove = "COMPLETE_REMOVE",
    }
}

/// Where a new subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetOption {
    pub r#type: OffsetOptionType,
    /// For a policy: 0 last, 1 min, 2 max.
    pub value: i64,
}

java_names! {
    /// What the value of an [`OffsetOption`] means.
    pub enum OffsetOptionType {
        #[default]
        Policy = "POLICY",
        Offset = "OFFSET",
        /// So many messages before the end.
        TailN = "TAIL_N",
        /// Milliseconds since 1970.
        Timestamp = "TIMESTAMP",
    }
}

/// Answer to GET_BROKER_LITE_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerLiteInfo {
    pub cq_table_size: i32,
    pub current_lmq_num: i32,
    pub event_map_size: i32,
    pub group_meta: BTreeMap<String, BTreeSet<String>>,
    pub lite_subscription_count: i32,
    pub max_lmq_num: i32,
    pub offset_table_size: i32,
    pub order_info_count: i32,
    pub store_type: String,
    pub topic_meta: BTreeMap<String, i32>,
}

/// Answer to GET_PARENT_TOPIC_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentTopicInfo {
    pub groups: BTreeSet<String>,
    pub lite_topic_count: i32,
    pub lmq_num: i32,
    pub topic: String,
    /// Minutes.
    pub ttl: i32,
}

/// Answer to GET_LITE_TOPIC_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteTopicInfo {
    pub lite_topic: String,
    pub parent_topic: String,
    pub sharding_to_broker: bool,
    pub subscriber: Vec<ClientGroup>,
    pub topic_offset: Option<TopicOffset>,
}

/// A client in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientGroup {
    pub client_id: String,
    pub group: String,
}

/// Answer to GET_LITE_CLIENT_INFO. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteClientInfo {
    pub client_id: String,
    pub group: String,
    pub last_access_time: i64,
    pub last_consume_time: i64,
    pub lite_topic_count: i32,
    pub lite_topic_set: BTreeSet<String>,
    pub parent_topic: String,
}

/// Answer to GET_LITE_GROUP_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteGroupInfo {
    /// Milliseconds since 1970, -1 if nothing waits.
    pub earliest_unconsumed_timestamp: i64,
    pub group: String,
    pub lag_count_top_k: Option<Vec<LiteLagInfo>>,
    pub lag_timestamp_top_k: Option<Vec<LiteLagInfo>>,
    pub lite_topic: Option<String>,
    /// Only if one lite topic was asked for.
    pub lite_topic_offset_wrapper: Option<OffsetWrapper>,
    pub parent_topic: String,
    pub total_lag_count: i64,
}

impl Default for LiteGroupInfo {
    fn default() -> Self {
        Self {
            earliest_unconsumed_timestamp: -1,
            group: String::new(),
            lag_count_top_k: None,
            lag_timestamp_top_k: None,
            lite_topic: None,
            lite_topic_offset_wrapper: None,
            parent_topic: String::new(),
            total_lag_count: 0,
        }
    }
}

/// How far a group is behind on one lite topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteLagInfo {
    /// Milliseconds since 1970, -1 if nothing waits.
    pub earliest_unconsumed_timestamp: i64,
    pub lag_count: i64,
    pub lite_topic: String,
}

impl Default for LiteLagInfo {
    fn default() -> Self {
        Self { earliest_unconsumed_timestamp: -1, lag_count: 0, lite_topic: String::new() }
    }
}
