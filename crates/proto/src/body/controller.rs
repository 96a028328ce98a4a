//! What brokers and the controller tell each other about masters and replicas.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::BrokerMemberGroup;

/// The replicas that have all that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncStateSet {
    /// Broker ids.
    pub sync_state_set: BTreeSet<i64>,
    pub sync_state_set_epoch: i32,
}

/// The body of an answer to CONTROLLER_ELECT_MASTER.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ElectedMaster {
    pub broker_member_group: Option<BrokerMemberGroup>,
    pub sync_state_set: BTreeSet<i64>,
}

/// From where to where in the log a master was master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EpochEntry {
    /// `i64::MAX` while it is the last one.
    pub end_offset: i64,
    pub epoch: i32,
    pub start_offset: i64,
}

impl Default for EpochEntry {
    fn default() -> Self {
        Self { end_offset: i64::MAX, epoch: 0, start_offset: 0 }
    }
}

/// Answer to GET_BROKER_EPOCH_CACHE.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EpochCache {
    pub broker_id: i64,
    pub broker_name: String,
    pub cluster_name: String,
    pub epoch_list: Vec<EpochEntry>,
    pub max_offset: i64,
}

/// Answer to GET_SYNC_STATE_DATA.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerReplicas {
    /// By broker name.
    pub replicas_info_table: BTreeMap<String, Replicas>,
}

/// The replicas of one broker name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Replicas {
    pub in_sync_replicas: Vec<Replica>,
    pub master_address: Option<String>,
    pub master_broker_id: Option<i64>,
    pub master_epoch: i32,
    pub not_in_sync_replicas: Vec<Replica>,
    pub sync_state_set_epoch: i32,
}

/// One broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Replica {
    pub alive: Option<bool>,
    pub broker_address: String,
    pub broker_id: i64,
    pub broker_name: String,
}
