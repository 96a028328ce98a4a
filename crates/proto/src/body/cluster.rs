//! Which brokers there are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::BrokerData;

/// All brokers that a name server knows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// By broker name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Cluster name to broker names.
    pub cluster_addr_table: BTreeMap<String, BTreeSet<String>>,
}

/// The brokers of one name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroup {
    /// Broker id to address.
    pub broker_addrs: BTreeMap<i64, String>,
    pub broker_name: String,
    pub cluster: String,
}

impl BrokerMemberGroup {
    /// The smallest broker id, 0 (as Java says) if there is none.
    pub fn minimum_broker_id(&self) -> i64 {
        self.broker_addrs.keys().next().copied().unwrap_or(0)
    }
}

/// Answer to GET_BROKER_MEMBER_GROUP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroupReply {
    pub broker_member_group: Option<BrokerMemberGroup>,
}
