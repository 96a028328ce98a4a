//! Static topics: queues whose number is the same wherever their messages are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DataVersion;

/// Java's scope of every static topic.
const GLOBAL_SCOPE: &str = "__global__";

/// Which logical queues of a static topic a broker serves now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicQueueMappingInfo {
    /// The name of the broker that holds the mapping.
    pub bname: String,
    /// Logical to physical queue id.
    pub curr_id_map: BTreeMap<i32, i32>,
    pub dirty: bool,
    pub epoch: i64,
    pub scope: String,
    pub topic: String,
    pub total_queues: i32,
}

impl Default for TopicQueueMappingInfo {
    fn default() -> Self {
        Self {
            bname: String::new(),
            curr_id_map: BTreeMap::new(),
            dirty: false,
            epoch: 0,
            scope: GLOBAL_SCOPE.into(),
            topic: String::new(),
            total_queues: 0,
        }
    }
}

/// The whole history of a static topic's queues on a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicQueueMappingDetail {
    pub bname: String,
    pub curr_id_map: BTreeMap<i32, i32>,
    pub dirty: bool,
    pub epoch: i64,
    /// Logical queue id to where its messages were and are, oldest first.
    pub hosted_queues: BTreeMap<i32, Vec<LogicQueueMappingItem>>,
    pub scope: String,
    pub topic: String,
    pub total_queues: i32,
}

impl Default for TopicQueueMappingDetail {
    fn default() -> Self {
        Self::from(TopicQueueMappingInfo::default())
    }
}

impl From<TopicQueueMappingInfo> for TopicQueueMappingDetail {
    fn from(info: TopicQueueMappingInfo) -> Self {
        Self {
            bname: info.bname,
            curr_id_map: info.curr_id_map,
            dirty: info.dirty,
            epoch: info.epoch,
            hosted_queues: BTreeMap::new(),
            scope: info.scope,
            topic: info.topic,
            total_queues: info.total_queues,
        }
    }
}

impl TopicQueueMappingDetail {
    /// What name servers are told: the queues whose newest part is on this very broker.
    pub fn info(&self) -> TopicQueueMappingInfo {
        let here = |(id, items): (&i32, &Vec<LogicQueueMappingItem>)| {
            let newest = items.last().filter(|item| item.bname == self.bname)?;
            Some((*id, newest.queue_id))
        };
        TopicQueueMappingInfo {
            bname: self.bname.clone(),
            curr_id_map: self.hosted_queues.iter().filter_map(here).collect(),
            epoch: self.epoch,
            topic: self.topic.clone(),
            total_queues: self.total_queues,
            ..TopicQueueMappingInfo::default()
        }
    }
}

/// A part of a logical queue: a run of a physical queue on some broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogicQueueMappingItem {
    pub bname: String,
    /// Physical offset after the last message, -1 while the part is open.
    pub end_offset: i64,
    pub r#gen: i32,
    /// Logical offset of the first message, -1 if not yet decided.
    pub logic_offset: i64,
    pub queue_id: i32,
    /// Physical offset of the first message.
    pub start_offset: i64,
    pub time_of_end: i64,
    pub time_of_start: i64,
}

impl Default for LogicQueueMappingItem {
    fn default() -> Self {
        Self {
            bname: String::new(),
            end_offset: -1,
            r#gen: 0,
            logic_offset: 0,
            queue_id: 0,
            start_offset: 0,
            time_of_end: -1,
            time_of_start: -1,
        }
    }
}

/// A broker's `topicQueueMapping.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicQueueMappings {
    pub data_version: DataVersion,
    pub topic_queue_mapping_info_map: BTreeMap<String, TopicQueueMappingDetail>,
}
