//! Numbers of messages that wait for their time or their transaction's end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DataVersion;

/// How many timer messages wait: an answer, or `timermetrics`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TimerMetrics {
    pub data_version: DataVersion,
    /// By topic.
    pub timing_count: BTreeMap<String, Metric>,
}

/// How many half messages wait: `transactionMetrics`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransactionMetrics {
    pub data_version: DataVersion,
    /// By topic.
    pub transaction_count: BTreeMap<String, Metric>,
}

/// A number and when it changed, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metric {
    pub count: i64,
    pub time_stamp: i64,
}
