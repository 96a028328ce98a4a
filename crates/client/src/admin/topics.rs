//! Topics: what there are, how they are set up, and what is in them.

use rmq_proto::{
    body::{GroupList, TopicConfig, TopicConfigAndMapping, TopicConfigs, TopicList, TopicStatsTable},
    code::RequestCode,
    header::topic::{AllTopics, CreateTopic, DeleteTopicInNamesrv, TopicName, TopicsOfCluster},
    topic::system,
};

use super::{Admin, request};
use crate::error::Result;

impl Admin {
    /// All topics that a name server knows.
    pub async fn topic_list(&self) -> Result<TopicList> {
        self.ask_names_for(request(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).await
    }

    /// The topics of one cluster.
    pub async fn topics_of_cluster(&self, cluster: &str) -> Result<TopicList> {
        let header = TopicsOfCluster { cluster: cluster.into() };
        self.ask_names_for(request(RequestCode::GET_TOPICS_BY_CLUSTER).with_header(&header)).await
    }

    /// Creates a topic on one broker, or changes it. An attribute is added when its key begins with `+`.
    pub async fn update_topic(&self, broker: &str, config: &TopicConfig) -> Result<()> {
        let attributes: Vec<String> = config
            .attributes
            .iter()
            .map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}={value}") })
            .collect();
        let header = CreateTopic {
            topic: config.topic_name.clone(),
            default_topic: system::AUTO_CREATE.into(),
            read_queue_nums: config.read_queue_nums,
            write_queue_nums: config.write_queue_nums,
            perm: config.perm,
            topic_filter_type: config.topic_filter_type.name().into(),
            topic_sys_flag: Some(config.topic_sys_flag),
            order: config.order,
            attributes: Some(attributes.join(",")),
            force: None,
        };
        self.ask(broker, request(RequestCode::UPDATE_AND_CREATE_TOPIC).with_header(&header)).await.map(drop)
    }

    /// Removes a topic and its messages from one broker.
    pub async fn delete_topic(&self, broker: &str, topic: &str) -> Result<()> {
        let header = TopicName { topic: topic.into() };
        self.ask(broker, request(RequestCode::DELETE_TOPIC_IN_BROKER).with_header(&header)).await.map(drop)
    }

    /// Removes a topic's route from all name servers.
    pub async fn delete_topic_in_name_servers(&self, topic: &str, cluster: Option<&str>) -> Result<()> {
        let header = DeleteTopicInNamesrv { topic: topic.into(), cluster_name: cluster.map(str::to_owned) };
        self.tell_names(request(RequestCode::DELETE_TOPIC_IN_NAMESRV).with_header(&header)).await
    }

    /// How a topic is set up on one broker.
    pub async fn topic_config(&self, broker: &str, topic: &str) -> Result<TopicConfigAndMapping> {
        let header = TopicName { topic: topic.into() };
        self.ask_for(broker, request(RequestCode::GET_TOPIC_CONFIG).with_header(&header)).await
    }

    /// How all topics are set up on one broker.
    pub async fn all_topic_configs(&self, broker: &str) -> Result<TopicConfigs> {
        let header = AllTopics::default();
        self.ask_for(broker, request(RequestCode::GET_ALL_TOPIC_CONFIG).with_header(&header)).await
    }

    /// The offsets of a topic's queues on one broker.
    pub async fn topic_stats(&self, broker: &str, topic: &str) -> Result<TopicStatsTable> {
        let header = TopicName { topic: topic.into() };
        self.ask_for(broker, request(RequestCode::GET_TOPIC_STATS_INFO).with_header(&header)).await
    }

    /// The groups that consume a topic from one broker.
    pub async fn topic_groups(&self, broker: &str, topic: &str) -> Result<GroupList> {
        let header = TopicName { topic: topic.into() };
        self.ask_for(broker, request(RequestCode::QUERY_TOPIC_CONSUME_BY_WHO).with_header(&header)).await
    }
}
