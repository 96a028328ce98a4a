//! Clients and who they are: codes 35, 38, 40, 203, 204, 307.

use super::Header;

/// UNREGISTER_CLIENT.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct UnregisterClient {
    /// Client id.
    #[header(name = "clientID")]
    pub client_id: String,
    /// Producer group that goes.
    pub producer_group: Option<String>,
    /// Consumer group that goes.
    pub consumer_group: Option<String>,
}

/// GET_CONSUMER_LIST_BY_GROUP, NOTIFY_CONSUMER_IDS_CHANGED and GET_CONSUMER_CONNECTION_LIST: names one consumer group.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerGroup {
    /// Consumer group.
    pub consumer_group: String,
}

/// GET_PRODUCER_CONNECTION_LIST: names one producer group.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerGroup {
    /// Producer group.
    pub producer_group: String,
}

/// GET_CONSUMER_RUNNING_INFO; the broker passes it on to the client.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerRunningInfo {
    /// Consumer group.
    pub consumer_group: String,
    /// Client id.
    pub client_id: String,
    /// Also answer the client's thread stacks.
    pub jstack_enable: Option<bool>,
}
