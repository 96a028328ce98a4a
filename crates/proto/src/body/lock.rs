//! Locks on queues, for consuming in order.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// Asks a broker to lock queues for a client, or to unlock them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockRequest {
    pub client_id: String,
    pub consumer_group: String,
    pub mq_set: BTreeSet<MessageQueue>,
    /// Not to be asked of the other brokers of the same name.
    pub only_this_broker: bool,
}

/// The queues that a client now has locked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockedQueues {
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: BTreeSet<MessageQueue>,
}
