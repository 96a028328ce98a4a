//! How replication goes.

use serde::{Deserialize, Serialize};

/// Answer to GET_BROKER_HA_STATUS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaRuntimeInfo {
    /// Filled in by slaves.
    pub ha_client_runtime_info: HaClientInfo,
    /// Filled in by masters.
    pub ha_connection_info: Vec<HaConnectionInfo>,
    pub in_sync_slave_nums: i32,
    pub master: bool,
    pub master_commit_log_max_offset: i64,
}

/// A slave as its master sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaConnectionInfo {
    pub addr: String,
    /// Bytes that the slave is behind.
    pub diff: i64,
    pub in_sync: bool,
    pub slave_ack_offset: i64,
    pub transfer_from_where: i64,
    pub transferred_byte_in_second: i64,
}

/// A slave as it sees itself. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaClientInfo {
    pub last_read_timestamp: i64,
    pub last_write_timestamp: i64,
    pub master_addr: Option<String>,
    pub master_flush_offset: i64,
    pub max_offset: i64,
    pub transferred_byte_in_second: i64,
}
