//! A broker's `consumerFilter.json`: filters that are more than tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All filters, by topic.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerFilters {
    pub filter_data_by_topic: BTreeMap<String, TopicFilters>,
}

/// A topic's filters, by group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicFilters {
    pub group_filter_data: BTreeMap<String, ConsumerFilterData>,
    pub topic: String,
}

/// A group's filter on a topic. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerFilterData {
    pub bloom_filter_data: Option<BloomFilterData>,
    pub born_time: i64,
    /// The subscription's version.
    pub client_version: i64,
    pub consumer_group: String,
    /// Written for people: `dead_time` decides.
    pub dead: bool,
    /// When the last member left; before `born_time` if there are members.
    pub dead_time: i64,
    pub expression: String,
    pub expression_type: String,
    pub topic: String,
}

/// Which bits a filter has in the bit maps of messages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BloomFilterData {
    pub bit_num: i32,
    pub bit_pos: Vec<i32>,
}
