//! Brokers at the name server: codes 103, 104, 205, 322, 327, 901, 904.

use super::Header;

/// REGISTER_BROKER.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Name shared by a master and its slaves.
    pub broker_name: String,
    /// Address that clients dial.
    pub broker_addr: String,
    /// Cluster.
    pub cluster_name: String,
    /// Address that slaves dial.
    #[header(default)]
    pub ha_server_addr: String,
    /// 0 for a master.
    pub broker_id: i64,
    /// Silence after which the broker counts as gone, in milliseconds.
    pub heartbeat_timeout_millis: Option<i64>,
    /// A slave may stand in for its master.
    pub enable_acting_master: Option<bool>,
    /// The body is compressed.
    #[header(default)]
    pub compressed: bool,
    /// 31-bit CRC of the body; 0 or absent: unchecked.
    pub body_crc32: Option<i32>,
}

/// Answer to REGISTER_BROKER; for a slave, where its master is.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterBrokerAnswer {
    /// The master's replication address.
    pub ha_server_addr: Option<String>,
    /// The master's address.
    pub master_addr: Option<String>,
}

/// UNREGISTER_BROKER and QUERY_DATA_VERSION.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerIdentity {
    /// Name shared by a master and its slaves.
    pub broker_name: String,
    /// Address that clients dial.
    pub broker_addr: String,
    /// Cluster.
    pub cluster_name: String,
    /// 0 for a master.
    pub broker_id: i64,
}

/// Answer to QUERY_DATA_VERSION.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct DataVersionAnswer {
    /// The name server knows another version.
    pub changed: bool,
}

/// BROKER_HEARTBEAT.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerHeartbeat {
    /// Name shared by a master and its slaves.
    pub broker_name: String,
    /// Address that clients dial.
    pub broker_addr: String,
    /// Cluster.
    pub cluster_name: String,
    /// 0 for a master.
    pub broker_id: Option<i64>,
    /// Silence after which the broker counts as gone, in milliseconds.
    pub heartbeat_timeout_mills: Option<i64>,
}

/// GET_BROKER_MEMBER_GROUP.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerGroup {
    /// Cluster.
    pub cluster_name: String,
    /// Broker name.
    pub broker_name: String,
}

/// WIPE_WRITE_PERM_OF_BROKER and ADD_WRITE_PERM_OF_BROKER.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerName {
    /// Broker name.
    pub broker_name: String,
}

/// Answer to WIPE_WRITE_PERM_OF_BROKER.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct WipeCount {
    /// Topics that lost the permission.
    pub wipe_topic_count: i32,
}

/// Answer to ADD_WRITE_PERM_OF_BROKER.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct AddCount {
    /// Topics that got the permission.
    pub add_topic_count: i32,
}

/// NOTIFY_MIN_BROKER_ID_CHANGE: another member of a group is its first now.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct MinBrokerIdChange {
    /// Id of the first member.
    pub min_broker_id: Option<i64>,
    /// Name of the group.
    pub broker_name: Option<String>,
    /// Address of the first member.
    pub min_broker_addr: Option<String>,
    /// Address of the member that went.
    pub offline_broker_addr: Option<String>,
    /// Replication address of the first member.
    pub ha_broker_addr: Option<String>,
}
