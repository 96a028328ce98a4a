//! One of a broker's statistics.

use serde::{Deserialize, Serialize};

/// Answer to VIEW_BROKER_STATS_DATA.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsData {
    pub stats_day: BrokerStatsItem,
    pub stats_hour: BrokerStatsItem,
    pub stats_minute: BrokerStatsItem,
}

/// A statistic over some time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsItem {
    /// Sum by number of times.
    pub avgpt: f64,
    pub sum: i64,
    /// Sum per second.
    pub tps: f64,
}
