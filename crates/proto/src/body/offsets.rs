//! A broker's files of offsets.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::DataVersion;

/// How far groups have come: an answer to a slave, or `consumerOffset.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOffsets {
    /// Files of older brokers have none.
    pub data_version: Option<DataVersion>,
    /// Group to topics: made from `offset_table` by newer brokers.
    pub group_topic_map: Option<BTreeMap<String, BTreeSet<String>>>,
    /// `queue@group` to offset: only brokers with light queues.
    pub lmq_offset_table: Option<BTreeMap<String, i64>>,
    /// `topic@group` to queue id to offset.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
    /// Like `offset_table`, for the offsets last pulled.
    pub pull_offset_table: Option<BTreeMap<String, BTreeMap<i32, i64>>>,
}

/// How far delay levels have been delivered: an answer to a slave, or `delayOffset.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelayOffsets {
    /// Files of older brokers have none.
    pub data_version: Option<DataVersion>,
    /// Delay level (from 1) to queue offset.
    pub offset_table: BTreeMap<i32, i64>,
}
