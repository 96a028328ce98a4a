//! Topics: codes 17, 18, 21, 202, 215, 300, 305 and 351.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rmq_proto::body::{
    DataVersion, GroupList, MessageQueue, TopicConfig, TopicConfigAndMapping, TopicConfigList,
    TopicFilterType, TopicList, TopicMessageType, TopicOffset, TopicStatsTable,
};
use rmq_proto::command::Command;
use rmq_proto::fastjson;
use rmq_proto::header::topic::{AllTopics, AllTopicsAnswer, CreateTopic, TopicName};
use rmq_proto::topic::{self, perm};
use rmq_remoting::Peer;
use rmq_store::Store;
use tracing::info;

use super::{answer, page};
use crate::clients::consumers::Consumers;
use crate::config::LiveConfig;
use crate::counters::Counters;
use crate::error::Rejection;
use crate::limits::MAX_QUEUES_PER_TOPIC;
use crate::meta::Offsets;
use crate::meta::topics::{self, Topics};

/// Changes and shows topics.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct TopicHandler {
    pub config: Arc<LiveConfig>,
    pub topics: Arc<Topics>,
    pub offsets: Arc<Offsets>,
    pub consumers: Arc<Consumers>,
    pub counters: Arc<Counters>,
    pub store: Arc<Store>,
}

impl TopicHandler {
    /// UPDATE_AND_CREATE_TOPIC (17).
    pub async fn update(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: CreateTopic = request.header()?;
        info!("{} creates or changes topic {}", peer.remote_addr(), ask.topic);
        let wanted = TopicConfig {
            // Java: an attribute that can't be read is an internal error with the reason as remark.
            attributes: topics::attribute_changes(ask.attributes.as_deref().unwrap_or_default())
                .map_err(Rejection::system)?,
            order: ask.order,
            topic_filter_type: filter_type(&ask.topic_filter_type)?,
            topic_sys_flag: ask.topic_sys_flag.unwrap_or(0),
            ..TopicConfig::new(ask.topic, ask.read_queue_nums, ask.write_queue_nums, ask.perm)
        };
        self.check(&wanted)?;
        self.change(vec![wanted]).await
    }

    /// UPDATE_AND_CREATE_TOPIC_LIST (18).
    pub async fn update_list(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: TopicConfigList = fastjson::from_slice(&request.body.bytes())?;
        info!("{} creates or changes {} topics", peer.remote_addr(), ask.topic_config_list.len());
        for wanted in &ask.topic_config_list {
            self.check(wanted)?;
        }
        self.change(ask.topic_config_list).await
    }

    fn check(&self, wanted: &TopicConfig) -> Result<(), Rejection> {
        let name = &wanted.topic_name;
        topic::check(name).map_err(|error| Rejection::illegal(error.to_string()))?;
        self.check_not_system(name)?;
        for (what, count) in [("read", wanted.read_queue_nums), ("write", wanted.write_queue_nums)] {
            if !(0..=MAX_QUEUES_PER_TOPIC).contains(&count) {
                let reason = format!(
                    "{count} {what} queues are not possible; allowed are 0 to {MAX_QUEUES_PER_TOPIC}"
                );
                return Err(Rejection::illegal(reason));
            }
        }
        if !perm::is_valid(wanted.perm) {
            return Err(Rejection::illegal(format!("the permission {} does not exist", wanted.perm)));
        }
        let mixed = TopicMessageType::Mixed.name();
        if !self.config.get().enable_mixed_message_type
            && wanted.attributes.get("+message.type").is_some_and(|kind| kind == mixed)
        {
            return Err(Rejection::illegal("MIXED message type is not supported."));
        }
        Ok(())
    }

    fn check_not_system(&self, name: &str) -> Result<(), Rejection> {
        if self.config.get().validate_system_topic_when_update_topic && self.topics.is_system(name) {
            return Err(Rejection::illegal(format!("The topic[{name}] is conflict with system topic.")));
        }
        Ok(())
    }

    /// Answers when the topics are on disk and the name servers know them.
    async fn change(&self, wanted: Vec<TopicConfig>) -> Result<Command, Rejection> {
        for topic in wanted {
            self.topics.update(topic).map_err(Rejection::system)?;
        }
        self.topics.save_settled().await.map_err(|error| Rejection::system(error.to_string()))?;
        Ok(Command::success())
    }

    /// DELETE_TOPIC_IN_BROKER (215): the topic, its pop retry topics, their queues and offsets.
    pub async fn delete(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let TopicName { topic } = request.header()?;
        info!("{} deletes topic {topic}", peer.remote_addr());
        if topic.trim().is_empty() {
            return Err(Rejection::illegal("The specified topic is blank."));
        }
        self.check_not_system(&topic)?;
        let mut names = vec![topic];
        if self.config.get().clear_retry_topic_when_delete_topic {
            names.extend(self.pop_retry_topics(&names[0]));
        }
        for name in &names {
            // Only names that passed the check when they were created can become paths.
            self.topics.remove(name);
            self.offsets.remove_topic(name);
            self.counters.forget_topic(name);
        }
        let store = self.store.clone();
        let deleted = tokio::task::spawn_blocking(move || {
            names
                .iter()
                .filter(|name| topic::check(name).is_ok())
                .try_for_each(|name| store.delete_topic(name).map(drop))
        });
        match deleted.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Rejection::system(error.to_string())),
            Err(error) => return Err(Rejection::system(error.to_string())),
        }
        self.topics.save_settled().await.map_err(|error| Rejection::system(error.to_string()))?;
        Ok(Command::success())
    }

    fn pop_retry_topics(&self, of: &str) -> Vec<String> {
        let groups = self.offsets.groups_of(of);
        let names =
            groups.iter().flat_map(|group| [topic::pop_retry_v2(of, group), topic::pop_retry(of, group)]);
        names.filter(|name| self.topics.contains(name)).collect()
    }

    /// GET_ALL_TOPIC_CONFIG (21): everything, or a page of the sorted table.
    pub fn all(&self, request: &Command) -> Result<Command, Rejection> {
        let ask: AllTopics = request.header()?;
        let config = self.config.get();
        let mut topics = self.topics.snapshot();
        let total = topics.topic_config_table.len() as i32;
        let paged = ask.topic_seq.is_some() || ask.data_version.is_some() || ask.max_topic_num.is_some();
        if config.enable_split_metadata && paged {
            let most = config.split_metadata_size.min(ask.max_topic_num.unwrap_or(i32::MAX));
            let begin = page::begin(ask.topic_seq, ask.data_version.as_deref(), &topics.data_version);
            topics.topic_config_table = page::cut(topics.topic_config_table, begin, most);
        }
        topics.mapping_data_version = Some(DataVersion::default());
        topics.topic_queue_mapping_detail_map = Some(BTreeMap::new());
        topics.topic_queue_mapping_info_map = Some(BTreeMap::new());
        Ok(answer(&topics)?.with_header(&AllTopicsAnswer { total_topic_num: Some(total) }))
    }

    /// GET_TOPIC_CONFIG (351).
    pub fn one(&self, request: &Command) -> Result<Command, Rejection> {
        let TopicName { topic } = request.header()?;
        let found = self.topics.get(&topic).ok_or_else(|| {
            let remark = format!("No topic in this broker. topic: {topic}");
            Rejection { remark, ..Rejection::topic_missing(&topic) }
        })?;
        answer(&TopicConfigAndMapping::from((TopicConfig::clone(&found), None)))
    }

    /// GET_TOPIC_STATS_INFO (202): offsets of all queues.
    pub fn stats(&self, request: &Command) -> Result<Command, Rejection> {
        let TopicName { topic } = request.header()?;
        let found = self.topics.get(&topic).ok_or_else(|| Rejection::topic_missing(&topic))?;
        let broker = self.config.get().broker_name.clone();
        let queues = found.write_queue_nums.max(found.read_queue_nums);
        let offset_table = (0..queues)
            .map(|queue_id| {
                (MessageQueue::new(&topic, &broker, queue_id), self.offsets_of_queue(&topic, queue_id))
            })
            .collect();
        answer(&TopicStatsTable { offset_table, topic_put_tps: self.counters.put_tps(&topic) })
    }

    fn offsets_of_queue(&self, topic: &str, queue_id: i32) -> TopicOffset {
        let (min, max) = self.store.queue_range(topic, queue_id);
        // Java: 0 for a queue that never had a message, -1 for one whose last message is gone.
        let last = if max > 0 { self.store.record_time(topic, queue_id, max - 1).unwrap_or(-1) } else { 0 };
        TopicOffset { min_offset: min, max_offset: max, last_update_timestamp: last }
    }

    /// GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305).
    pub fn system(&self, _request: &Command) -> Result<Command, Rejection> {
        answer(&TopicList { broker_addr: None, topic_list: self.topics.system_names().clone() })
    }

    /// QUERY_TOPIC_CONSUME_BY_WHO (300): groups that subscribe now or ever committed an offset.
    pub fn consumed_by(&self, request: &Command) -> Result<Command, Rejection> {
        let TopicName { topic } = request.header()?;
        let mut group_list: BTreeSet<String> = self.consumers.groups_of_topic(&topic);
        group_list.extend(self.offsets.groups_of(&topic));
        answer(&GroupList { group_list })
    }
}

fn filter_type(text: &str) -> Result<TopicFilterType, Rejection> {
    if text.is_empty() {
        return Ok(TopicFilterType::default());
    }
    TopicFilterType::from_name(text).ok_or_else(|| {
        Rejection::system(format!("`{text}` is no filter type; there are SINGLE_TAG and MULTI_TAG"))
    })
}
