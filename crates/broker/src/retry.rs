//! Messages that a consumer sends back: they come again later, or go to the dead letters.
//!
//! Each consumer group has a topic `%RETRY%<group>` that its consumers subscribe to, and a topic
//! `%DLQ%<group>` that nobody reads by itself.

use std::sync::Arc;

use rmq_proto::{
    code::{ResponseCode, version},
    header::retry::SendBack,
    message::{Message, property},
    topic::{self, perm},
};
use rmq_store::{NewRecord, Store};
use tracing::debug;

use crate::{
    config::LiveConfig,
    counters::Counters,
    divert::Delivery,
    error::Rejection,
    meta::{groups::Groups, topics::Topics},
    produce::{WriteGate, group_missing},
};

/// Level of the first retry when the consumer leaves the level to the broker: 10 s by default.
const FIRST_LEVEL: i32 = 3;
/// Topic system flag of retry topics in unit mode.
const UNIT_SUBSCRIPTION: i32 = 1 << 1;

/// Takes messages back.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct Retry {
    pub config: Arc<LiveConfig>,
    pub topics: Arc<Topics>,
    pub groups: Arc<Groups>,
    pub store: Arc<Store>,
    pub gate: Arc<WriteGate>,
    pub counters: Arc<Counters>,
}

impl Retry {
    /// A consumer could not consume a message. `client_version` is the consumer's protocol version.
    pub async fn send_back(&self, ask: &SendBack, client_version: i32) -> Result<(), Rejection> {
        let group = self.groups.find(&ask.group).ok_or_else(|| group_missing(&ask.group))?;
        let config = self.config.get();
        if !perm::is_writable(config.broker_permission) {
            let remark = format!("the broker[{}] sending message is forbidden", config.broker_ip1);
            return Err(Rejection::no_permission(remark));
        }
        // Java: a group without retry queues drops what it sends back.
        if group.retry_queue_nums <= 0 {
            return Ok(());
        }
        let retry_topic = self.retry_topic(ask, group.retry_queue_nums).await?;
        let message = self.message_at(ask.offset)?;
        let asked_limit = ask.max_reconsume_times.filter(|_| client_version >= version::V3_4_9);
        let limit = asked_limit.unwrap_or(group.retry_max_times);
        let hopeless = message.reconsume_times >= limit || ask.delay_level < 0;
        let (topic, queue_id, level) = if hopeless {
            let dead_letters = self.gate.dead_letters(&ask.group).await;
            (dead_letters.topic_name.clone(), self.gate.any_queue(dead_letters.write_queue_nums), 0)
        } else {
            let level = match ask.delay_level {
                0 => FIRST_LEVEL + message.reconsume_times,
                asked => asked,
            };
            (retry_topic, self.gate.any_queue(group.retry_queue_nums), level)
        };
        let origin = message.properties.get(property::RETRY_TOPIC).unwrap_or(&message.topic).to_owned();
        debug!(group = ask.group, topic = origin, %hopeless, "a message was sent back");
        let delivery = Delivery { delay_level: level, timed: false };
        self.gate.store(returned(message, topic, queue_id, level), delivery, false).await?;
        self.counters.sent_back(&ask.group, &origin, 1);
        Ok(())
    }

    async fn retry_topic(&self, ask: &SendBack, queues: i32) -> Result<String, Rejection> {
        let name = topic::retry(&ask.group);
        let sys_flag = if ask.unit_mode.unwrap_or(false) { UNIT_SUBSCRIPTION } else { 0 };
        let read_write = perm::READ | perm::WRITE;
        let topic = match self.topics.get(&name) {
            Some(topic) => topic,
            None => self.topics.create_on_send_back(&name, queues, read_write, false, sys_flag).await,
        };
        if !perm::is_writable(topic.perm) {
            return Err(Rejection::no_permission(format!("the topic[{name}] sending message is forbidden")));
        }
        Ok(name)
    }

    fn message_at(&self, offset: i64) -> Result<Message, Rejection> {
        let record = self.store.record_at(offset);
        let message = record.and_then(|record| Message::decode(&record).ok());
        message.ok_or_else(|| {
            Rejection::new(ResponseCode::SYSTEM_ERROR, format!("look message by offset failed, {offset}"))
        })
    }
}

/// The message on its way back. The consumer later shows it with its first topic and id.
fn returned(message: Message, topic: String, queue_id: i32, level: i32) -> NewRecord {
    let offset_id = message.offset_id().to_string();
    let mut properties = message.properties;
    if !properties.contains(property::RETRY_TOPIC) {
        properties.set(property::RETRY_TOPIC, message.topic);
    }
    if !properties.contains(property::ORIGIN_MESSAGE_ID) {
        properties.set(property::ORIGIN_MESSAGE_ID, offset_id);
    }
    // Java stores these with the message.
    properties.set(property::WAIT, "false");
    properties.set(property::DELAY, level.to_string());
    NewRecord {
        topic,
        queue_id,
        flag: message.flag,
        sys_flag: message.sys_flag,
        born_timestamp: message.born_timestamp,
        born_host: message.born_host,
        store_host: message.store_host,
        reconsume_times: message.reconsume_times + 1,
        prepared_transaction_offset: 0,
        properties: properties.encode().into(),
        body: message.body,
    }
}
