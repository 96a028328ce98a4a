//! How far groups are, and moving them: codes 43, 208, 222, 303, 308, 314, 317 and 343.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{Local, TimeZone};
use rmq_proto::body::{
    ConsumeStats, ConsumeStatsList, ConsumeTimeSpans, ConsumerOffsets, CorrectionOffsets, MessageQueue,
    OffsetWrapper, QueueTimeSpan, ResetOffsets, TopicConfig, TopicList,
};
use rmq_proto::code::ResponseCode;
use rmq_proto::command::Command;
use rmq_proto::header::admin::{
    BrokerConsumeStats, CloneOffset, CorrectionOffset, ResetOffset, TopicAndGroup,
};
use rmq_proto::header::group;
use rmq_store::{Boundary, Store};
use tracing::info;

use super::answer;
use crate::clients::consumers::Consumers;
use crate::config::{Addresses, LiveConfig};
use crate::counters::Counters;
use crate::error::Rejection;
use crate::meta::{Groups, Offsets, Topics, now_ms};

/// Shows and moves the offsets of groups.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct ProgressHandler {
    pub config: Arc<LiveConfig>,
    pub addresses: Arc<Addresses>,
    pub topics: Arc<Topics>,
    pub groups: Arc<Groups>,
    pub offsets: Arc<Offsets>,
    pub consumers: Arc<Consumers>,
    pub counters: Arc<Counters>,
    pub store: Arc<Store>,
}

impl ProgressHandler {
    /// GET_ALL_CONSUMER_OFFSET (43).
    pub fn all_offsets(&self, _request: &Command) -> Result<Command, Rejection> {
        answer(&ConsumerOffsets { pull_offset_table: Some(self.offsets.pulled()), ..self.offsets.snapshot() })
    }

    /// QUERY_TOPICS_BY_CONSUMER (343): topics in which a group has offsets.
    pub fn topics_of_group(&self, request: &Command) -> Result<Command, Rejection> {
        let group::GroupName { group } = request.header()?;
        let topic_list = self.offsets.topics_of(&group);
        answer(&TopicList { broker_addr: Some(self.addresses.client.clone()), topic_list })
    }

    /// GET_CONSUME_STATS (208).
    pub fn of_group(&self, request: &Command) -> Result<Command, Rejection> {
        let ask: group::ConsumeStats = request.header()?;
        let mut stats = ConsumeStats::default();
        for topic in self.topics_to_show(&ask) {
            let Some(found) = self.topics.get(&topic) else { continue };
            stats.offset_table.extend(self.progress(
                &ask.consumer_group,
                &found,
                found.read_queue_nums,
                true,
            ));
            stats.consume_tps += self.counters.get_tps(&ask.consumer_group, &topic);
        }
        answer(&stats)
    }

    /// Java: a list of topics is taken as it is; a single topic, or all of the group's, only if subscribed now.
    fn topics_to_show(&self, ask: &group::ConsumeStats) -> BTreeSet<String> {
        let listed = ask.topic_list.as_deref().unwrap_or_default();
        if !listed.trim().is_empty() {
            return listed.split(';').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        }
        let mut topics = match ask.topic.as_deref().filter(|topic| !topic.trim().is_empty()) {
            Some(topic) => BTreeSet::from([topic.to_owned()]),
            None => self.offsets.topics_of(&ask.consumer_group),
        };
        topics.retain(|topic| self.is_subscribed(&ask.consumer_group, topic));
        topics
    }

    /// A group that is not online counts as subscribed to what it consumed before.
    fn is_subscribed(&self, group: &str, topic: &str) -> bool {
        self.consumers.subscription(group, topic).is_some()
            || self.consumers.group(group).is_none_or(|group| group.subscriptions.is_empty())
    }

    fn progress(
        &self,
        group: &str,
        topic: &TopicConfig,
        queues: i32,
        with_pulls: bool,
    ) -> BTreeMap<MessageQueue, OffsetWrapper> {
        let broker = self.config.get().broker_name.clone();
        let name = &topic.topic_name;
        let one = |queue_id| {
            let consumed = self.offsets.query(group, name, queue_id).unwrap_or(0).max(0);
            let last = if consumed > 0 { self.store.record_time(name, queue_id, consumed - 1) } else { None };
            let pulled =
                if with_pulls { self.offsets.query_pull(group, name, queue_id).unwrap_or(-1) } else { 0 };
            let wrapper = OffsetWrapper {
                broker_offset: self.store.queue_range(name, queue_id).1,
                consumer_offset: consumed,
                last_timestamp: last.unwrap_or(0),
                pull_offset: if with_pulls { pulled.max(consumed) } else { 0 },
            };
            (MessageQueue::new(name, &broker, queue_id), wrapper)
        };
        (0..queues).map(one).collect()
    }

    /// GET_BROKER_CONSUME_STATS (317): all groups.
    pub fn of_all_groups(&self, request: &Command) -> Result<Command, Rejection> {
        let BrokerConsumeStats { is_order } = request.header()?;
        let mut list = ConsumeStatsList {
            broker_addr: Some(self.addresses.client.clone()),
            ..ConsumeStatsList::default()
        };
        for group in self.groups.names() {
            let topics =
                self.offsets.topics_of(&group).into_iter().filter_map(|topic| self.topics.get(&topic));
            let shown = topics
                .filter(|topic| (!is_order || topic.order) && self.is_subscribed(&group, &topic.topic_name));
            let stats: Vec<_> = shown
                .map(|topic| ConsumeStats {
                    // Java fills in no pull offsets here.
                    offset_table: self.progress(&group, &topic, topic.write_queue_nums, false),
                    consume_tps: self.counters.get_tps(&group, &topic.topic_name),
                })
                .collect();
            list.total_diff += stats.iter().map(ConsumeStats::total_diff).sum::<i64>();
            list.total_inflight_diff += stats.iter().map(ConsumeStats::inflight_total_diff).sum::<i64>();
            list.consume_stats_list.push(BTreeMap::from([(group, stats)]));
        }
        answer(&list)
    }

    /// QUERY_CONSUME_TIME_SPAN (303).
    pub fn time_spans(&self, request: &Command) -> Result<Command, Rejection> {
        let TopicAndGroup { topic, group } = request.header()?;
        let found = self.topics.get(&topic).ok_or_else(|| Rejection::topic_missing(&topic))?;
        let broker = self.config.get().broker_name.clone();
        let one = |queue_id| self.time_span(&group, MessageQueue::new(&topic, &broker, queue_id));
        answer(&ConsumeTimeSpans { consume_time_span_set: (0..found.write_queue_nums).map(one).collect() })
    }

    fn time_span(&self, group: &str, queue: MessageQueue) -> QueueTimeSpan {
        let (topic, queue_id) = (queue.topic.as_str(), queue.queue_id);
        let time_of = |offset| self.store.record_time(topic, queue_id, offset).unwrap_or(-1);
        let (min, max) = self.store.queue_range(topic, queue_id);
        let earliest = time_of(min);
        // Java takes a group without offset as one that stands before the first message.
        let consumed = self.offsets.query(group, topic, queue_id).unwrap_or(-1);
        let (newest, last) = (time_of(max - 1), if consumed > 0 { time_of(consumed - 1) } else { earliest });
        QueueTimeSpan {
            min_time_stamp: earliest,
            min_time_stamp_str: Some(time_text(earliest)),
            max_time_stamp: newest,
            max_time_stamp_str: Some(time_text(newest)),
            consume_time_stamp: last,
            consume_time_stamp_str: Some(time_text(last)),
            delay_time: if consumed < max { now_ms() - time_of(consumed) } else { 0 },
            message_queue: queue,
        }
    }

    /// QUERY_CORRECTION_OFFSET (308): the smallest offset of all groups by queue, where a group is not ahead of it.
    /// Java deletes the offsets of the groups to leave out; that is taken for a mistake.
    pub fn correction(&self, request: &Command) -> Result<Command, Rejection> {
        let ask: CorrectionOffset = request.header()?;
        let except: Vec<&str> = ask
            .filter_groups
            .as_deref()
            .unwrap_or_default()
            .split(',')
            .filter(|group| !group.is_empty())
            .collect();
        let mut least: BTreeMap<i32, i64> = BTreeMap::new();
        for (queue_id, offset) in self.offsets.in_topic(&ask.topic, &except) {
            if offset >= self.store.queue_range(&ask.topic, queue_id).0 {
                least.entry(queue_id).and_modify(|known| *known = offset.min(*known)).or_insert(offset);
            }
        }
        for (queue_id, offset) in self.offsets.of(&ask.compare_group, &ask.topic) {
            let known = least.entry(queue_id).or_insert(i64::MAX);
            if *known > offset {
                *known = i64::MAX;
            }
        }
        answer(&CorrectionOffsets { correction_offsets: least })
    }

    /// CLONE_GROUP_OFFSET (314). Java copies nothing if no topic is named; here all of the group's are.
    pub fn copy(&self, request: &Command) -> Result<Command, Rejection> {
        let ask: CloneOffset = request.header()?;
        let topics = match ask.topic.filter(|topic| !topic.trim().is_empty()) {
            Some(topic) => BTreeSet::from([topic]),
            None => self.offsets.topics_of(&ask.src_group),
        };
        for topic in topics.iter().filter(|topic| self.topics.contains(topic)) {
            if ask.offline || self.is_subscribed(&ask.src_group, topic) {
                info!(
                    "group {} gets the offsets of group {} in topic {topic}",
                    ask.dest_group, ask.src_group
                );
                self.offsets.copy(&ask.src_group, &ask.dest_group, topic);
            }
        }
        Ok(Command::success())
    }

    /// INVOKE_BROKER_TO_RESET_OFFSET (222), as 5.x does it by default: the broker keeps the new offset and answers the
    /// group's next pull with it.
    pub fn reset(&self, request: &Command) -> Result<Command, Rejection> {
        let ask: ResetOffset = request.header()?;
        if self.config.get().is_slave() {
            return Err(Rejection::system("Can not reset offset in slave broker"));
        }
        let topic = self.topics.get(&ask.topic).ok_or_else(|| {
            Rejection::new(ResponseCode::TOPIC_NOT_EXIST, format!("Topic {} does not exist", ask.topic))
        })?;
        if !self.groups.contains(&ask.group) {
            let remark = format!("Group {} does not exist", ask.group);
            return Err(Rejection::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
        }
        let targets = self.reset_targets(&ask, topic.read_queue_nums)?;
        if targets.is_empty() {
            return Err(Rejection::system("No queues to reset."));
        }
        info!("group {} is reset in topic {} to {targets:?}", ask.group, ask.topic);
        let broker = self.config.get().broker_name.clone();
        let mut body = ResetOffsets::default();
        for (queue_id, offset) in targets {
            self.offsets.reset(&ask.group, &ask.topic, queue_id, offset);
            body.offset_table.insert(MessageQueue::new(&ask.topic, &broker, queue_id), offset);
        }
        answer(&body)
    }

    fn reset_targets(&self, ask: &ResetOffset, queues: i32) -> Result<Vec<(i32, i64)>, Rejection> {
        let at_time = |queue_id| match ask.timestamp {
            // Java: a negative time means the end.
            ..0 => self.store.queue_range(&ask.topic, queue_id).1,
            time => self.store.offset_by_time(&ask.topic, queue_id, time, Boundary::Lower),
        };
        match (ask.queue_id.unwrap_or(-1), ask.offset.unwrap_or(-1)) {
            (..0, _) => Ok((0..queues).map(|queue_id| (queue_id, at_time(queue_id))).collect()),
            (queue_id, -1) => Ok(vec![(queue_id, at_time(queue_id))]),
            (queue_id, offset) => {
                let (min, max) = self.store.queue_range(&ask.topic, queue_id);
                if offset < min || offset > max + 1 {
                    let remark = format!("Target offset {offset} not in consume queue range [{min}-{max}]");
                    return Err(Rejection::system(remark));
                }
                Ok(vec![(queue_id, offset)])
            }
        }
    }
}

/// Java's UtilAll.timeMillisToHumanString2 with `#` for the blank, in local time.
fn time_text(ms: i64) -> String {
    let time = Local.timestamp_millis_opt(ms).earliest();
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d#%H:%M:%S:%3f").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_for_people() {
        let text = time_text(1_700_000_000_002);
        // The zone of the machine decides about hour and day.
        assert!(text.starts_with("2023-11-1") && text.ends_with(":20:002"), "{text}");
    }
}
