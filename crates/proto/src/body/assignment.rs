//! Queues that the broker hands out to the members of a group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MessageModel, MessageQueue, names::java_names};

/// Asks which queues a client shall consume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AssignmentRequest {
    pub client_id: String,
    pub consumer_group: String,
    pub message_model: MessageModel,
    /// `AVG`, `AVG_BY_CIRCLE`, …
    pub strategy_name: String,
    pub topic: String,
}

/// The queues that a client shall consume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Assignments {
    pub message_queue_assignments: Vec<QueueAssignment>,
}

/// One queue and how it is consumed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueAssignment {
    pub attachments: Option<BTreeMap<String, String>>,
    pub message_queue: MessageQueue,
    pub mode: MessageRequestMode,
}

java_names! {
    /// How messages are fetched.
    pub enum MessageRequestMode {
        #[default]
        Pull = "PULL",
        Pop = "POP",
    }
}

/// Tells a broker how a group shall fetch a topic's messages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestModeSetting {
    pub consumer_group: String,
    pub mode: MessageRequestMode,
    /// With how many other members a queue may be shared when popping; 0 with all.
    pub pop_share_queue_num: i32,
    pub topic: String,
}

/// All settings of a broker by topic and group; also `messageRequestMode.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestModes {
    pub message_request_mode_map: BTreeMap<String, BTreeMap<String, RequestModeSetting>>,
}
