//! Looking into and correcting a broker: codes 222, 223, 300, 303, 308, 309, 314, 315, 317, 321, 343, 345, 353.

use super::Header;

/// Names a topic and a group: QUERY_CONSUME_TIME_SPAN and QUERY_SUBSCRIPTION_BY_CONSUMER.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicAndGroup {
    /// Topic.
    #[header(default)]
    pub topic: String,
    /// Consumer group.
    pub group: String,
}

/// INVOKE_BROKER_TO_RESET_OFFSET.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ResetOffset {
    /// Topic.
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// Queue; negative or absent for all.
    pub queue_id: Option<i32>,
    /// The new offset, if one queue is named; -1 or absent: by time.
    pub offset: Option<i64>,
    /// Reset to what was stored at this time, milliseconds since the epoch; negative: to the end.
    pub timestamp: i64,
    /// Also move forward over what is not consumed.
    #[header(default)]
    pub is_force: bool,
}

/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerStatus {
    /// Topic.
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// Only this client.
    pub client_addr: Option<String>,
}

/// QUERY_CORRECTION_OFFSET.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct CorrectionOffset {
    /// Groups to leave out, separated by commas.
    pub filter_groups: Option<String>,
    /// Group to compare with.
    pub compare_group: String,
    /// Topic.
    pub topic: String,
}

/// CONSUME_MESSAGE_DIRECTLY; the broker passes it on to the client.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumeDirectly {
    /// Consumer group.
    pub consumer_group: String,
    /// Client id.
    pub client_id: Option<String>,
    /// Offset message id.
    pub msg_id: Option<String>,
    /// Broker name; the broker fills it in.
    pub broker_name: Option<String>,
    /// Topic.
    pub topic: Option<String>,
    /// System flag of the topic; the broker fills it in.
    pub topic_sys_flag: Option<i32>,
    /// System flag of the group; the broker fills it in.
    pub group_sys_flag: Option<i32>,
}

/// CLONE_GROUP_OFFSET.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct CloneOffset {
    /// Group to copy from.
    pub src_group: String,
    /// Group to copy to.
    pub dest_group: String,
    /// Topic; all of the group's if absent.
    pub topic: Option<String>,
    /// Do not check what the group subscribes to now.
    #[header(default)]
    pub offline: bool,
}

/// VIEW_BROKER_STATS_DATA.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Which statistic, for example `TOPIC_PUT_NUMS`.
    pub stats_name: String,
    /// Of what, for example a topic or `topic@group`.
    pub stats_key: String,
}

/// GET_BROKER_CONSUME_STATS.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerConsumeStats {
    /// Only ordered topics.
    pub is_order: bool,
}

/// QUERY_CONSUME_QUEUE.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumeQueue {
    /// Topic.
    #[header(default)]
    pub topic: String,
    /// Queue within the topic.
    #[header(default)]
    pub queue_id: i32,
    /// First entry wanted.
    #[header(default)]
    pub index: i64,
    /// Entries wanted.
    #[header(default)]
    pub count: i32,
    /// Group whose filter is to be tried.
    pub consumer_group: Option<String>,
}

/// UPDATE_AND_GET_GROUP_FORBIDDEN.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupForbidden {
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Allow or forbid reading; absent: only ask.
    pub readable: Option<bool>,
}
