//! A broker's `consumerOrderInfo.json`: messages popped in order and not yet acknowledged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that is popped in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOrderInfos {
    /// Written for people.
    pub order_info_count: i32,
    /// Written for people: always `QUEUE` here.
    pub ordered_consumption_level: String,
    /// `topic@group` to queue id to what is popped.
    pub table: BTreeMap<String, BTreeMap<i32, OrderInfo>>,
}

impl Default for ConsumerOrderInfos {
    fn default() -> Self {
        Self { order_info_count: 0, ordered_consumption_level: "QUEUE".into(), table: BTreeMap::new() }
    }
}

/// What is popped of one queue. Times are in milliseconds, points in time since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OrderInfo {
    #[serde(rename = "a")]
    pub attempt_id: Option<String>,
    /// Bit i: message i is acknowledged.
    #[serde(rename = "cm")]
    pub commit_offset_bit: i64,
    #[serde(rename = "i")]
    pub invisible_time: Option<i64>,
    #[serde(rename = "l")]
    pub last_consume_timestamp: i64,
    /// The first message's offset, then the others' distances from it.
    #[serde(rename = "o")]
    pub offset_list: Vec<i64>,
    /// Offset to number of deliveries.
    #[serde(rename = "oc")]
    pub offset_consumed_count: Option<BTreeMap<i64, i32>>,
    /// Offset to the time when it may be popped again.
    #[serde(rename = "ot")]
    pub offset_next_visible_time: Option<BTreeMap<i64, i64>>,
    pub pop_time: i64,
}
