//! Topics: codes 17, 21, 105, 202, 206, 215, 216, 217, 224, 300, 351.

use super::Header;

/// UPDATE_AND_CREATE_TOPIC.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTopic {
    /// Topic.
    pub topic: String,
    /// Template topic.
    #[header(default)]
    pub default_topic: String,
    /// Queues to read.
    pub read_queue_nums: i32,
    /// Queues to write.
    pub write_queue_nums: i32,
    /// Permission bits.
    pub perm: i32,
    /// `SINGLE_TAG` or `MULTI_TAG`.
    #[header(default)]
    pub topic_filter_type: String,
    /// System flag.
    pub topic_sys_flag: Option<i32>,
    /// Ordered topic.
    #[header(default)]
    pub order: bool,
    /// Attribute changes: `+key=value,-key`.
    pub attributes: Option<String>,
    /// Skip the check for a change of message type.
    pub force: Option<bool>,
}

/// Names one topic: GET_TOPIC_CONFIG, GET_TOPIC_STATS_INFO, DELETE_TOPIC_IN_BROKER, REGISTER_TOPIC_IN_NAMESRV, QUERY_TOPIC_CONSUME_BY_WHO.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicName {
    /// Topic.
    pub topic: String,
}

/// DELETE_TOPIC_IN_NAMESRV.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteTopicInNamesrv {
    /// Topic.
    pub topic: String,
    /// Only in this cluster.
    pub cluster_name: Option<String>,
}

/// GET_TOPICS_BY_CLUSTER.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsOfCluster {
    /// Cluster name.
    pub cluster: String,
}

/// GET_ROUTEINFO_BY_TOPIC.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRequest {
    /// Topic.
    pub topic: String,
    /// The asker reads only standard JSON.
    pub accept_standard_json_only: Option<bool>,
}

/// GET_ALL_TOPIC_CONFIG; all absent asks for everything.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct AllTopics {
    /// Index of the first topic of a page.
    pub topic_seq: Option<i32>,
    /// Version known to the asker, as JSON.
    pub data_version: Option<String>,
    /// Topics in a page.
    pub max_topic_num: Option<i32>,
}

/// Answer to GET_ALL_TOPIC_CONFIG.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct AllTopicsAnswer {
    /// Topics in all pages.
    pub total_topic_num: Option<i32>,
}
