//! What brokers know about topics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DataVersion, TopicQueueMappingDetail, TopicQueueMappingInfo, names::java_names};
use crate::topic::perm;

/// One topic on one broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// See [`attribute`].
    pub attributes: BTreeMap<String, String>,
    pub order: bool,
    /// See [`crate::topic::perm`].
    pub perm: i32,
    pub read_queue_nums: i32,
    pub topic_filter_type: TopicFilterType,
    pub topic_name: String,
    /// Bit 0: unit; bit 1: unit subscription.
    pub topic_sys_flag: i32,
    pub write_queue_nums: i32,
}

/// Keys of a topic's attributes.
pub mod attribute {
    /// `SimpleCQ` or `BatchCQ`; cannot be changed later.
    pub const QUEUE_TYPE: &str = "queue.type";
    /// `DELETE` or `COMPACTION`; cannot be changed later.
    pub const CLEANUP_POLICY: &str = "cleanup.policy";
    /// A name of [`super::TopicMessageType`].
    pub const MESSAGE_TYPE: &str = "message.type";
    /// For how long messages are kept, in milliseconds; -1 as the broker is configured.
    pub const RESERVE_TIME: &str = "reserve.time";
    /// After how many idle minutes a lite topic goes away; -1 never.
    pub const LITE_EXPIRATION: &str = "lite.topic.expiration";
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self::new("", 16, 16, perm::READ | perm::WRITE)
    }
}

impl TopicConfig {
    /// A topic without attributes and flags.
    pub fn new(name: impl Into<String>, read_queue_nums: i32, write_queue_nums: i32, perm: i32) -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm,
            read_queue_nums,
            topic_filter_type: TopicFilterType::default(),
            topic_name: name.into(),
            topic_sys_flag: 0,
            write_queue_nums,
        }
    }

    /// The attribute, if any, because of which Java keeps the topic in files of another kind: one queue entry
    /// for a whole batch, or only the newest message of each key.
    pub fn other_files(&self) -> Option<&'static str> {
        let is = |key: &str, wanted: &str| self.attributes.get(key).is_some_and(|value| value == wanted);
        if is(attribute::QUEUE_TYPE, "BatchCQ") {
            return Some("queue.type=BatchCQ");
        }
        is(attribute::CLEANUP_POLICY, "COMPACTION").then_some("cleanup.policy=COMPACTION")
    }

    /// The kind of messages that the topic is for: normal ones unless an attribute says otherwise.
    pub fn message_type(&self) -> TopicMessageType {
        let name = self.attributes.get(attribute::MESSAGE_TYPE);
        name.and_then(|name| TopicMessageType::from_name(name)).unwrap_or(TopicMessageType::Normal)
    }
}

java_names! {
    /// Whether a message has one tag or several.
    pub enum TopicFilterType {
        #[default]
        SingleTag = "SINGLE_TAG",
        MultiTag = "MULTI_TAG",
    }
}

java_names! {
    /// The kind of messages that a topic is for.
    pub enum TopicMessageType {
        Unspecified = "UNSPECIFIED",
        #[default]
        Normal = "NORMAL",
        Fifo = "FIFO",
        Delay = "DELAY",
        Transaction = "TRANSACTION",
        Priority = "PRIORITY",
        Lite = "LITE",
        Mixed = "MIXED",
    }
}

/// A broker's table of topics: a registration, an answer to a slave, or `topics.json`.
///
/// Only 5.x brokers speak of mappings, and not in the file: these members are left out if `None`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigs {
    pub data_version: DataVersion,
    pub mapping_data_version: Option<DataVersion>,
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    pub topic_queue_mapping_detail_map: Option<BTreeMap<String, TopicQueueMappingDetail>>,
    pub topic_queue_mapping_info_map: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

/// Asks a broker to create several topics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigList {
    pub topic_config_list: Vec<TopicConfig>,
}

/// Answer to GET_TOPIC_CONFIG: a topic, and for static ones its mapping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigAndMapping {
    pub attributes: BTreeMap<String, String>,
    pub mapping_detail: Option<TopicQueueMappingDetail>,
    pub order: bool,
    pub perm: i32,
    pub read_queue_nums: i32,
    pub topic_filter_type: TopicFilterType,
    pub topic_name: String,
    pub topic_sys_flag: i32,
    pub write_queue_nums: i32,
}

impl Default for TopicConfigAndMapping {
    fn default() -> Self {
        Self::from((TopicConfig::default(), None))
    }
}

impl From<(TopicConfig, Option<TopicQueueMappingDetail>)> for TopicConfigAndMapping {
    fn from((topic, mapping_detail): (TopicConfig, Option<TopicQueueMappingDetail>)) -> Self {
        Self {
            attributes: topic.attributes,
            mapping_detail,
            order: topic.order,
            perm: topic.perm,
            read_queue_nums: topic.read_queue_nums,
            topic_filter_type: topic.topic_filter_type,
            topic_name: topic.topic_name,
            topic_sys_flag: topic.topic_sys_flag,
            write_queue_nums: topic.write_queue_nums,
        }
    }
}

impl From<TopicConfigAndMapping> for TopicConfig {
    fn from(both: TopicConfigAndMapping) -> Self {
        Self {
            attributes: both.attributes,
            order: both.order,
            perm: both.perm,
            read_queue_nums: both.read_queue_nums,
            topic_filter_type: both.topic_filter_type,
            topic_name: both.topic_name,
            topic_sys_flag: both.topic_sys_flag,
            write_queue_nums: both.write_queue_nums,
        }
    }
}
