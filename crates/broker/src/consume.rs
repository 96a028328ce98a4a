//! The read gate: every pull passes here.
//!
//! It checks what the consumer may read, finds out what it wants, reads, and keeps the offsets. Before it in
//! the data path: `handler/pull`; behind it: the store's read.

use std::{
    fmt::Display,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rmq_proto::{
    body::{ConsumeType, MessageModel, SubscriptionData, SubscriptionGroupConfig, TopicConfig},
    code::ResponseCode,
    header::pull::{PullRequest, flag},
    topic::{self, perm},
};
use rmq_remoting::Peer;
use rmq_store::{ReadLimits, ReadOutcome, ReadStatus, Store};
use tracing::debug;

use crate::{
    clients::consumers::Consumers,
    config::LiveConfig,
    counters::Counters,
    error::Rejection,
    filter::Filter,
    meta::{groups::Groups, offsets::Offsets, topics::Topics},
    produce::FAQ,
};

/// The bit of a group's forbidden table that means reading.
const FORBIDDEN_TO_READ: i32 = 1 << 2;
/// Broker id of a master.
const MASTER: i64 = 0;

/// The gate and what it looks at.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct ReadGate {
    pub config: Arc<LiveConfig>,
    pub topics: Arc<Topics>,
    pub groups: Arc<Groups>,
    pub offsets: Arc<Offsets>,
    pub consumers: Arc<Consumers>,
    pub store: Arc<Store>,
    pub counters: Arc<Counters>,
}

/// What a pull is allowed to read, and in which manner.
#[derive(Debug, Clone)]
pub struct Permit {
    /// What the consumer wants.
    pub filter: Filter,
    /// The topic that it reads.
    pub topic: Arc<TopicConfig>,
    /// The group that it belongs to.
    pub group: Arc<SubscriptionGroupConfig>,
}

/// A pull that is not allowed, and on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the consumer is told.
    pub rejection: Rejection,
    /// Java's `ForbiddenType`, for pulls that lack a permission.
    pub forbidden: Option<Forbidden>,
}

/// Who forbids a pull; the numbers are Java's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Forbidden {
    Broker = 1,
    Group = 2,
    Topic = 3,
    Broadcasting = 4,
    Subscription = 5,
}

/// What a pull gets.
#[derive(Debug)]
pub struct Reading {
    /// Found, nothing yet, try again at once, or at another offset.
    pub code: ResponseCode,
    /// Java's name of how it went.
    pub status: &'static str,
    /// Whole records.
    pub records: Vec<Bytes>,
    /// Where to go on.
    pub next_offset: i64,
    /// Smallest offset of the queue.
    pub min_offset: i64,
    /// Offset behind the newest message of the queue.
    pub max_offset: i64,
    /// Broker id to pull from next time.
    pub suggested_broker: i64,
}

/// Is this the first run of a pull, or the second after it was parked?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// As it came in: commits the offset that it carries.
    First,
    /// After waiting: must not wait again.
    Woken,
}

impl ReadGate {
    /// Java's checks before a pull, in its order. `lite` pulls come with their own request code.
    pub fn admit(&self, ask: &PullRequest, peer: &Peer, lite: bool) -> Result<Permit, Refusal> {
        let config = self.config.get();
        if !perm::is_readable(config.broker_permission) {
            let remark = format!("the broker[{}] pulling message is forbidden", config.broker_ip1);
            return Err(Refusal::forbidden(Forbidden::Broker, remark));
        }
        if lite && !config.lite_pull_message_enable {
            let remark = format!("the broker[{}] for lite pull consumer is forbidden", config.broker_ip1);
            return Err(Refusal::forbidden(Forbidden::Broker, remark));
        }
        let group = self.groups.find(&ask.consumer_group).ok_or_else(|| {
            let remark = format!("subscription group [{}] does not exist, {FAQ}", ask.consumer_group);
            Rejection::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
        })?;
        if !group.consume_enable {
            let remark = format!("subscription group no permission, {}", ask.consumer_group);
            return Err(Refusal::forbidden(Forbidden::Group, remark));
        }
        let topic = self.admit_topic(ask, peer)?;
        let subscription = self.subscription(ask, &group)?;
        if !subscription.is_tag() && !config.enable_property_filter {
            return Err(Filter::switched_off(&subscription.expression_type).into());
        }
        let filter = Filter::new(&subscription).map_err(|error| Rejection::system(error.to_string()))?;
        if config.reject_pull_consumer_enable {
            self.admit_manner(ask, peer)?;
        }
        Ok(Permit { filter, topic, group })
    }

    fn admit_topic(&self, ask: &PullRequest, peer: &Peer) -> Result<Arc<TopicConfig>, Refusal> {
        let topic = self.topics.get(&ask.topic).ok_or_else(|| {
            let remark = format!("topic[{}] not exist, apply first please! {FAQ}", ask.topic);
            Rejection::new(ResponseCode::TOPIC_NOT_EXIST, remark)
        })?;
        if !perm::is_readable(topic.perm) {
            let remark = format!("the topic[{}] pulling message is forbidden", ask.topic);
            return Err(Refusal::forbidden(Forbidden::Topic, remark));
        }
        if let Some(attribute) = topic.other_files() {
            // What the queues hold here would move the consumer's offsets to where Java has other messages.
            let remark = format!("topic[{}] has {attribute}, which this broker does not serve", ask.topic);
            return Err(Rejection::system(remark).into());
        }
        if !(0..topic.read_queue_nums).contains(&ask.queue_id) {
            let remark = format!(
                "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[{}]",
                ask.queue_id,
                ask.topic,
                topic.read_queue_nums,
                peer.remote_addr()
            );
            return Err(Rejection::illegal(remark).into());
        }
        Ok(topic)
    }

    /// What the consumer wants: it says so in the header, or has said so in a heartbeat.
    fn subscription(
        &self,
        ask: &PullRequest,
        group: &SubscriptionGroupConfig,
    ) -> Result<Arc<SubscriptionData>, Refusal> {
        if ask.sys_flag & flag::SUBSCRIPTION != 0 {
            return asked_subscription(ask);
        }
        let Some((_, model)) = self.consumers.manner(&ask.consumer_group) else {
            let remark = format!("the consumer's group info not exist{FAQ}");
            return Err(Rejection::new(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark).into());
        };
        if !group.consume_broadcast_enable && model == MessageModel::Broadcasting {
            let remark =
                format!("the consumer group[{}] can not consume by broadcast way", ask.consumer_group);
            return Err(Refusal::forbidden(Forbidden::Broadcasting, remark));
        }
        if self.groups.forbidden(&ask.consumer_group, &ask.topic) & FORBIDDEN_TO_READ != 0 {
            let remark =
                format!("the consumer group[{}] is forbidden for topic[{}]", ask.consumer_group, ask.topic);
            return Err(Refusal::forbidden(Forbidden::Subscription, remark));
        }
        let known = self.consumers.subscription(&ask.consumer_group, &ask.topic).ok_or_else(|| {
            let remark = format!("the consumer's subscription not exist{FAQ}");
            Rejection::new(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark)
        })?;
        if known.sub_version < ask.sub_version {
            let remark = "the consumer's subscription not latest";
            return Err(Rejection::new(ResponseCode::SUBSCRIPTION_NOT_LATEST, remark).into());
        }
        Ok(known)
    }

    /// `rejectPullConsumerEnable`: only push consumers that sent a heartbeat on this connection may pull.
    fn admit_manner(&self, ask: &PullRequest, peer: &Peer) -> Result<(), Refusal> {
        let manner = self.consumers.manner(&ask.consumer_group);
        let pushed = manner.is_some_and(|(consume_type, _)| consume_type != ConsumeType::Actively);
        let known = pushed
            || self.consumers.is_member(&ask.consumer_group, peer)
            || topic::group::is_system(&ask.consumer_group);
        if known {
            return Ok(());
        }
        let remark =
            format!("the consumer's group info not exist, or the pull consumer is rejected by server.{FAQ}");
        Err(Rejection::new(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark).into())
    }

    /// Reads, and keeps the offsets.
    pub fn read(&self, ask: &PullRequest, permit: &Permit, from: &dyn Display, run: Run) -> Reading {
        let reading = match self.reset_offset(ask) {
            Some(reset) => self.moved(ask, reset),
            None => self.read_store(ask, permit),
        };
        let PullRequest { consumer_group, topic, queue_id, .. } = ask;
        self.offsets.commit_pull(consumer_group, topic, *queue_id, reading.next_offset);
        if run == Run::First && ask.sys_flag & flag::COMMIT_OFFSET != 0 {
            self.offsets.commit(from, consumer_group, topic, *queue_id, ask.commit_offset);
        }
        reading
    }

    /// Has the queue a message at or behind `offset`?
    pub fn has_message_at(&self, topic: &str, queue_id: i32, offset: i64) -> bool {
        self.store.queue_range(topic, queue_id).1 > offset
    }

    /// Java tells a reset of an offset once, to the next pull of the queue.
    fn reset_offset(&self, ask: &PullRequest) -> Option<i64> {
        if !self.config.get().use_server_side_reset_offset {
            return None;
        }
        self.offsets.take_reset(&ask.consumer_group, &ask.topic, ask.queue_id)
    }

    fn moved(&self, ask: &PullRequest, next_offset: i64) -> Reading {
        let (min_offset, max_offset) = self.store.queue_range(&ask.topic, ask.queue_id);
        Reading {
            code: ResponseCode::PULL_OFFSET_MOVED,
            status: "OFFSET_RESET",
            records: Vec::new(),
            next_offset,
            min_offset,
            max_offset,
            suggested_broker: MASTER,
        }
    }

    fn read_store(&self, ask: &PullRequest, permit: &Permit) -> Reading {
        let limits = ReadLimits::messages(ask.max_msg_nums.max(0) as usize);
        let filter = |tags_code| permit.filter.matches_code(tags_code);
        let started = Instant::now();
        let outcome = self.store.read(&ask.topic, ask.queue_id, ask.queue_offset, limits, &filter);
        self.count(ask, &outcome, started.elapsed());
        let mut code = code_of(outcome.status, ask.queue_offset);
        if code == ResponseCode::PULL_OFFSET_MOVED {
            debug!(
                group = ask.consumer_group,
                topic = ask.topic,
                queue = ask.queue_id,
                from = ask.queue_offset,
                to = outcome.next_offset,
                "a consumer's offset is corrected"
            );
        }
        let config = self.config.get();
        let mut suggested_broker = match (config.slave_read_enable, outcome.far_behind) {
            (false, _) => MASTER,
            (true, true) => permit.group.which_broker_when_consume_slowly,
            (true, false) => permit.group.broker_id,
        };
        // Java: a slave sends consumers that have caught up back to the master.
        if config.broker_id != MASTER && !outcome.far_behind {
            suggested_broker = MASTER;
            if outcome.status != ReadStatus::Found {
                code = ResponseCode::PULL_RETRY_IMMEDIATELY;
            }
        }
        Reading {
            code,
            status: outcome.status.name(),
            records: outcome.records,
            next_offset: outcome.next_offset,
            min_offset: outcome.min_offset,
            max_offset: outcome.max_offset,
            suggested_broker,
        }
    }

    fn count(&self, ask: &PullRequest, outcome: &ReadOutcome, took: Duration) {
        if outcome.status == ReadStatus::Found {
            let (messages, bytes) = (outcome.records.len() as u64, outcome.bytes as u64);
            self.counters.fetched(&ask.consumer_group, &ask.topic, messages, bytes);
            let took_ms = took.as_millis() as u64;
            self.counters.pull_latency(&ask.consumer_group, &ask.topic, ask.queue_id, took_ms);
            self.counters.pull_found();
        } else {
            self.counters.pull_missed();
        }
    }
}

impl Refusal {
    fn forbidden(who: Forbidden, remark: String) -> Self {
        Self { rejection: Rejection::no_permission(remark), forbidden: Some(who) }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, forbidden: None }
    }
}

fn asked_subscription(ask: &PullRequest) -> Result<Arc<SubscriptionData>, Refusal> {
    let expression = ask.subscription.as_deref().unwrap_or_default();
    let kind = ask.expression_type.as_deref();
    let subscription = SubscriptionData::expression(&ask.topic, expression, kind, ask.sub_version);
    subscription.map(Arc::new).map_err(|_| {
        let remark = "parse the consumer's subscription failed";
        Rejection::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark).into()
    })
}

/// Java's response code for how a read went.
fn code_of(status: ReadStatus, asked_offset: i64) -> ResponseCode {
    match status {
        ReadStatus::Found => ResponseCode::SUCCESS,
        ReadStatus::NoMatchedMessage | ReadStatus::MessageWasRemoving => ResponseCode::PULL_RETRY_IMMEDIATELY,
        ReadStatus::NoMatchedLogicQueue | ReadStatus::NoMessageInQueue if asked_offset != 0 => {
            ResponseCode::PULL_OFFSET_MOVED
        }
        ReadStatus::NoMatchedLogicQueue
        | ReadStatus::NoMessageInQueue
        | ReadStatus::OffsetFoundNull
        | ReadStatus::OffsetOverflowOne => ResponseCode::PULL_NOT_FOUND,
        ReadStatus::OffsetOverflowBadly | ReadStatus::OffsetTooSmall => ResponseCode::PULL_OFFSET_MOVED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_queue_has_no_offset_but_zero() {
        for status in [ReadStatus::NoMatchedLogicQueue, ReadStatus::NoMessageInQueue] {
            assert_eq!(code_of(status, 0), ResponseCode::PULL_NOT_FOUND);
            assert_eq!(code_of(status, 1), ResponseCode::PULL_OFFSET_MOVED);
            assert_eq!(code_of(status, -1), ResponseCode::PULL_OFFSET_MOVED);
        }
        assert_eq!(code_of(ReadStatus::OffsetOverflowOne, 7), ResponseCode::PULL_NOT_FOUND);
    }
}
