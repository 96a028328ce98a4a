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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::produce::fixture::{Rooms, client_addr, send_request};

    async fn stored(rooms: &Rooms) -> Message {
        rooms.topic("t", 1);
        let ask = send_request("t", &[("TAGS", "A"), ("UNIQ_KEY", "u")]);
        rooms.write.send(&ask, "body".into(), client_addr(), version::CURRENT).await.unwrap();
        rooms.messages("t", 0).remove(0)
    }

    fn back(message: &Message, delay_level: i32) -> SendBack {
        SendBack {
            offset: message.physical_offset,
            group: "g".to_owned(),
            delay_level,
            ..SendBack::default()
        }
    }

    #[tokio::test]
    async fn a_message_waits_and_remembers_where_it_came_from() {
        let rooms = Rooms::new();
        let message = stored(&rooms).await;
        rooms.retry.send_back(&back(&message, 0), version::CURRENT).await.unwrap();
        let waiting = rooms.messages("SCHEDULE_TOPIC_XXXX", 2).remove(0);
        assert_eq!(waiting.reconsume_times, 1);
        assert_eq!(waiting.born_timestamp, message.born_timestamp);
        let id = message.offset_id().to_string();
        let expected = [
            ("RETRY_TOPIC", "t"),
            ("ORIGIN_MESSAGE_ID", &id),
            ("REAL_TOPIC", "%RETRY%g"),
            ("REAL_QID", "0"),
            ("DELAY", "3"),
            ("WAIT", "false"),
            ("UNIQ_KEY", "u"),
        ];
        for (key, value) in expected {
            assert_eq!(waiting.properties.get(key), Some(value), "{key}");
        }
        // The second time: one level up, and the first origin stays.
        rooms.retry.send_back(&back(&waiting, 0), version::CURRENT).await.unwrap();
        let again = rooms.messages("SCHEDULE_TOPIC_XXXX", 3).remove(0);
        assert_eq!((again.reconsume_times, again.properties.get("RETRY_TOPIC")), (2, Some("t")));
        assert_eq!(again.properties.get("ORIGIN_MESSAGE_ID"), Some(id.as_str()));
    }

    #[tokio::test]
    async fn a_hopeless_message_goes_to_the_dead_letters() {
        let rooms = Rooms::new();
        let message = stored(&rooms).await;
        rooms.retry.send_back(&back(&message, -1), version::CURRENT).await.unwrap();
        let limit = SendBack { max_reconsume_times: Some(0), ..back(&message, 5) };
        rooms.retry.send_back(&limit, version::CURRENT).await.unwrap();
        let dead = rooms.messages("%DLQ%g", 0);
        assert_eq!(dead.len(), 2);
        assert_eq!((dead[0].reconsume_times, dead[0].properties.get("DELAY")), (1, Some("0")));
        // Clients before 3.4.9 sent something else in that field.
        rooms.retry.send_back(&limit, version::V3_4_9 - 1).await.unwrap();
        assert_eq!(rooms.messages("SCHEDULE_TOPIC_XXXX", 4).len(), 1);
    }

    #[tokio::test]
    async fn a_place_without_message_is_named() {
        let rooms = Rooms::new();
        let message = stored(&rooms).await;
        for offset in [-1, 7, 1 << 40] {
            let ask = SendBack { offset, ..back(&message, 0) };
            let rejection = rooms.retry.send_back(&ask, version::CURRENT).await.unwrap_err();
            assert_eq!(rejection.remark, format!("look message by offset failed, {offset}"));
        }
    }
}
