//! What a client tells brokers about itself every 30 seconds.

use serde::{Deserialize, Serialize};

use super::{SubscriptionData, names::java_names};
use crate::fastjson;
use crate::message::hash::string_hash;

/// The producers and consumers of one client.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    #[serde(rename = "clientID")]
    pub client_id: String,
    pub consumer_data_set: Vec<ConsumerData>,
    /// A hash of everything but the ids and versions; 0 if the client does not use the short form.
    pub heartbeat_fingerprint: i32,
    pub producer_data_set: Vec<ProducerData>,
    /// The short form: the subscriptions are those of the last heartbeat.
    pub without_sub: bool,
}

impl HeartbeatData {
    /// The hash that tells a broker whether the subscriptions are those of the last heartbeat: of the
    /// JSON without ids and versions. Only its sender computes it, so the order of sets is free.
    pub fn fingerprint(&self) -> i32 {
        let mut copy =
            Self { client_id: String::new(), heartbeat_fingerprint: 0, without_sub: false, ..self.clone() };
        for consumer in &mut copy.consumer_data_set {
            consumer.subscription_data_set.iter_mut().for_each(|subscription| subscription.sub_version = 0);
        }
        let text = fastjson::to_vec(&copy).unwrap_or_default();
        string_hash(&String::from_utf8_lossy(&text))
    }
}

/// A producer group that a client takes part in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    pub group_name: String,
}

/// A consumer group that a client takes part in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    pub consume_from_where: ConsumeFromWhere,
    pub consume_type: ConsumeType,
    pub group_name: String,
    pub message_model: MessageModel,
    pub subscription_data_set: Vec<SubscriptionData>,
    pub unit_mode: bool,
}

java_names! {
    /// Who drives the consumption.
    pub enum ConsumeType {
        /// The application pulls.
        Actively = "CONSUME_ACTIVELY",
        /// The client library pulls and calls a listener.
        #[default]
        Passively = "CONSUME_PASSIVELY",
        /// The broker hands out messages, each to be acknowledged.
        Pop = "CONSUME_POP",
    }
}

java_names! {
    /// Whether members of a group share messages or each get all.
    pub enum MessageModel {
        Broadcasting = "BROADCASTING",
        #[default]
        Clustering = "CLUSTERING",
        LiteSelective = "LITE_SELECTIVE",
    }
}

java_names! {
    /// Where a group that has no offsets begins.
    pub enum ConsumeFromWhere {
        #[default]
        LastOffset = "CONSUME_FROM_LAST_OFFSET",
        /// Deprecated by Java, means the last offset.
        LastOffsetAndFromMinWhenBootFirst = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        /// Deprecated by Java, means the last offset.
        MinOffset = "CONSUME_FROM_MIN_OFFSET",
        /// Deprecated by Java, means the last offset.
        MaxOffset = "CONSUME_FROM_MAX_OFFSET",
        FirstOffset = "CONSUME_FROM_FIRST_OFFSET",
        Timestamp = "CONSUME_FROM_TIMESTAMP",
    }
}
