//! Who is connected to a broker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConsumeFromWhere, ConsumeType, MessageModel, SubscriptionData, names};
use crate::code::Language;

/// One client of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// `ip:port`
    pub client_addr: String,
    pub client_id: String,
    #[serde(with = "names::language")]
    pub language: Language,
    /// See [`crate::code::version`].
    pub version: i32,
}

impl Default for Connection {
    fn default() -> Self {
        Self { client_addr: String::new(), client_id: String::new(), language: Language::OTHER, version: 0 }
    }
}

/// The clients of a consumer group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    pub connection_set: Vec<Connection>,
    pub consume_from_where: ConsumeFromWhere,
    pub consume_type: ConsumeType,
    pub message_model: MessageModel,
    /// By topic.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

impl ConsumerConnection {
    /// The oldest client's version; `i32::MAX` without clients, as in Java.
    pub fn min_version(&self) -> i32 {
        self.connection_set.iter().map(|one| one.version).min().unwrap_or(i32::MAX)
    }
}

/// The clients of a producer group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    pub connection_set: Vec<Connection>,
}

/// One client of a producer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerInfo {
    pub client_id: String,
    #[serde(with = "names::language")]
    pub language: Language,
    /// When it was last heard of, in milliseconds since 1970.
    pub last_update_timestamp: i64,
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    pub version: i32,
}

impl Default for ProducerInfo {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            language: Language::OTHER,
            last_update_timestamp: 0,
            remote_ip: String::new(),
            version: 0,
        }
    }
}

/// All producers of a broker, by group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerTableInfo {
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// The client ids of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerList {
    pub consumer_id_list: Vec<String>,
}
