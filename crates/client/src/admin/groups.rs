//! Groups: how they are set up, who is in them, and how far they are.

use rmq_proto::{
    body::{
        ConsumeStats, ConsumerConnection, ConsumerRunningInfo, ProducerConnection, ProducerTableInfo,
        SubscriptionGroupConfig, SubscriptionGroups,
    },
    code::RequestCode,
    header::{
        client::{ConsumerGroup, ConsumerRunningInfo as RunningInfoRequest, ProducerGroup},
        group::{AllGroups, ConsumeStats as ConsumeStatsRequest, DeleteGroup, GroupName},
    },
    topic,
};

use super::{Admin, address_of, request};
use crate::{
    error::{Error, Result},
    exchange,
};

impl Admin {
    /// Creates a group on one broker, or changes it.
    pub async fn update_group(&self, broker: &str, config: &SubscriptionGroupConfig) -> Result<()> {
        let body = exchange::json(config)?;
        let code = RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
        self.ask(broker, request(code).with_body(body)).await.map(drop)
    }

    /// Removes a group from one broker, and its offsets too if wanted.
    pub async fn delete_group(&self, broker: &str, group: &str, clean_offset: bool) -> Result<()> {
        let header = DeleteGroup { group_name: group.into(), clean_offset: Some(clean_offset) };
        self.ask(broker, request(RequestCode::DELETE_SUBSCRIPTIONGROUP).with_header(&header)).await.map(drop)
    }

    /// How a group is set up on one broker.
    pub async fn group_config(&self, broker: &str, group: &str) -> Result<SubscriptionGroupConfig> {
        let header = GroupName { group: group.into() };
        self.ask_for(broker, request(RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG).with_header(&header)).await
    }

    /// How all groups are set up on one broker.
    pub async fn all_group_configs(&self, broker: &str) -> Result<SubscriptionGroups> {
        let header = AllGroups::default();
        let code = RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG;
        self.ask_for(broker, request(code).with_header(&header)).await
    }

    /// The members of a consumer group that are connected to one broker.
    pub async fn consumer_connection(&self, broker: &str, group: &str) -> Result<ConsumerConnection> {
        let header = ConsumerGroup { consumer_group: group.into() };
        self.ask_for(broker, request(RequestCode::GET_CONSUMER_CONNECTION_LIST).with_header(&header)).await
    }

    /// The members of a producer group that are connected to one broker.
    pub async fn producer_connection(&self, broker: &str, group: &str) -> Result<ProducerConnection> {
        let header = ProducerGroup { producer_group: group.into() };
        self.ask_for(broker, request(RequestCode::GET_PRODUCER_CONNECTION_LIST).with_header(&header)).await
    }

    /// All producers that are connected to one broker.
    pub async fn producers(&self, broker: &str) -> Result<ProducerTableInfo> {
        self.ask_for(broker, request(RequestCode::GET_ALL_PRODUCER_INFO)).await
    }

    /// How far a group is on one broker, in one topic or all.
    pub async fn consume_stats(
        &self,
        broker: &str,
        group: &str,
        topic: Option<&str>,
    ) -> Result<ConsumeStats> {
        let header = ConsumeStatsRequest {
            consumer_group: group.into(),
            topic: topic.map(str::to_owned),
            topic_list: None,
        };
        self.ask_for(broker, request(RequestCode::GET_CONSUME_STATS).with_header(&header)).await
    }

    /// The members of a consumer group, from any broker that holds its retry topic.
    pub async fn any_consumer_connection(&self, group: &str) -> Result<ConsumerConnection> {
        let route = self.route(&topic::retry(group)).await?;
        let mut failure = Error::NoQueue { topic: topic::retry(group), wanted: "read" };
        for broker in route.broker_datas.iter().filter_map(address_of) {
            match self.consumer_connection(broker, group).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// How far a group is on all brokers: on those of its retry topic, or else of the topic asked for.
    pub async fn group_progress(
        &self,
        group: &str,
        of_topic: Option<&str>,
        cluster: Option<&str>,
    ) -> Result<ConsumeStats> {
        let route = match (self.route(&topic::retry(group)).await, of_topic) {
            (Err(_), Some(of_topic)) => match self.route(of_topic).await {
                Ok(route) => route,
                Err(error) => match cluster {
                    Some(cluster) => self.route(cluster).await?,
                    None => return Err(error),
                },
            },
            (route, _) => route?,
        };
        let mut all = ConsumeStats::default();
        for broker in route.broker_datas.iter().filter_map(address_of) {
            let stats = self.consume_stats(broker, group, of_topic).await?;
            all.offset_table.extend(stats.offset_table);
            all.consume_tps += stats.consume_tps;
        }
        Ok(all)
    }

    /// What one consumer is doing; the broker asks it.
    pub async fn running_info(
        &self,
        broker: &str,
        group: &str,
        client_id: &str,
        stacks: bool,
    ) -> Result<ConsumerRunningInfo> {
        let header = RunningInfoRequest {
            consumer_group: group.into(),
            client_id: client_id.into(),
            jstack_enable: Some(stacks),
        };
        self.ask_for(broker, request(RequestCode::GET_CONSUMER_RUNNING_INFO).with_header(&header)).await
    }
}
