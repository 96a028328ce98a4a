//! The write gate: every message that enters the log passes here.
//!
//! It checks what the sender may do and whether the message is well-formed, creates topics on the fly,
//! writes the broker's own properties, diverts delayed messages ([`crate::divert`]), appends, and waits until
//! the message is as durable as it should be. Before it in the data path: `handler/send`; behind it: the store.

#[cfg(test)]
pub(crate) mod fixture;
mod notes;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use rmq_proto::{
    body::{TopicConfig, TopicFilterType},
    code::{ResponseCode, version},
    header::send::SendRequest,
    message::{OffsetId, Properties, UniqueIds, batch, flags, property},
    topic::{self, perm},
};
use rmq_store::{AppendError, Appended, DelayLevels, NewRecord, Store};
use tokio::time::timeout;
use tracing::trace;

use notes::Notes;

use crate::{
    clients::queue_locks::QueueLocks,
    config::{Addresses, BrokerConfig, LiveConfig},
    counters::Counters,
    divert::{Delivery, divert},
    error::Rejection,
    meta::{groups::Groups, now_ms, topics::Topics},
};

/// End of the remarks of errors that the documentation explains.
pub const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";
/// Stored as if they were normal, such messages would be delivered wrongly, or never by Java.
const NOT_SERVED: &str = "which this broker does not serve";
/// How long a sender waits for the flush (Java: `syncFlushTimeout`).
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Queues of a dead-letter topic.
const DLQ_QUEUES: i32 = 1;
/// The length field of a record's properties is 16 bits wide.
const MAX_PROPERTIES: usize = i16::MAX as usize;
/// Topics other than retry topics that a record of the first version can hold.
const MAX_TOPIC: usize = i8::MAX as usize;
/// Topic system flag of topics in unit mode.
const UNIT: i32 = 1;
/// Topic system flag of retry topics in unit mode.
const UNIT_SUBSCRIPTION: i32 = 1 << 1;

/// The gate and what it looks at.
#[derive(Debug)]
pub struct WriteGate {
    parts: WriteGateParts,
    delay_levels: DelayLevels,
    unique_ids: UniqueIds,
    next_queue: AtomicU32,
}

/// What a [`WriteGate`] is made of.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct WriteGateParts {
    pub config: Arc<LiveConfig>,
    pub addresses: Arc<Addresses>,
    pub topics: Arc<Topics>,
    pub groups: Arc<Groups>,
    pub store: Arc<Store>,
    pub queue_locks: Arc<QueueLocks>,
    pub counters: Arc<Counters>,
}

/// A message, or a batch, that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Offset ids, separated by commas.
    pub message_id: String,
    /// The queue that the sender is told; a diverted message lies in another one.
    pub queue_id: i32,
    /// Queue offset of the first message. Of a diverted message: its offset in the other queue, as in Java.
    pub queue_offset: i64,
    /// Unique key of the message; of a batch the keys that its header names.
    pub unique_key: Option<String>,
    /// How safe it is.
    pub durability: Durability,
}

/// How safe a stored message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As safe as configured, or the sender did not want to wait.
    AsAsked,
    /// The flush has not ended yet: the message is in the log, and a power cut may lose it.
    FlushPending,
}

impl WriteGate {
    /// The gate of one broker.
    pub fn new(parts: WriteGateParts) -> Self {
        let ip = parts.addresses.store_host.ip();
        Self {
            // The configuration was checked at the start.
            delay_levels: DelayLevels::parse(&parts.config.get().message_delay_level).unwrap_or_default(),
            unique_ids: UniqueIds::new(ip, std::process::id(), 0),
            next_queue: AtomicU32::default(),
            parts,
        }
    }

    /// The configuration of this moment.
    pub fn config(&self) -> Arc<BrokerConfig> {
        self.parts.config.get()
    }

    /// One message from a producer. `version` is the producer's protocol version.
    pub async fn send(
        &self,
        ask: &SendRequest,
        body: Bytes,
        from: SocketAddr,
        version: i32,
    ) -> Result<Sent, Rejection> {
        let config = self.config();
        let topic = self.admit(&config, ask, body.len(), from).await?;
        let raw = ask.properties.as_deref().unwrap_or_default();
        let notes = Notes::read(raw);
        check_light(&config, &ask.topic, &notes)?;
        self.check_transaction(&config, ask, &notes)?;
        let asked_queue = self.queue(ask.queue_id, topic.write_queue_nums);
        let queue_id = notes.priority_queue(topic.write_queue_nums).unwrap_or(asked_queue);
        let made_key = notes.unique_key.is_none().then(|| self.unique_ids.next(now_ms()).to_string());
        let unique_key = made_key.as_deref().or(notes.unique_key).map(str::to_owned);
        let mut record = NewRecord {
            topic: ask.topic.clone(),
            queue_id,
            flag: ask.flag,
            sys_flag: sys_flag(ask, &topic),
            born_timestamp: ask.born_timestamp,
            born_host: from,
            store_host: self.parts.addresses.store_host,
            reconsume_times: ask.reconsume_times.unwrap_or(0),
            prepared_transaction_offset: 0,
            properties: notes.stored(raw, made_key.as_deref(), &ask.topic, &config).into(),
            body,
        };
        let mut delivery = notes.delivery();
        if topic::is_retry(&ask.topic) && self.is_hopeless(ask, version)? {
            self.bury(&mut record).await;
            delivery = Delivery::default();
        }
        let stored = self.store(record, delivery, notes.waits).await?;
        Ok(Sent {
            message_id: self.offset_id(&stored.appended),
            queue_id,
            queue_offset: stored.appended.queue_offset,
            unique_key,
            durability: stored.durability,
        })
    }

    /// A batch from a producer: one record per message, in one queue, with consecutive offsets.
    pub async fn send_batch(
        &self,
        ask: &SendRequest,
        body: Bytes,
        from: SocketAddr,
    ) -> Result<Sent, Rejection> {
        let config = self.config();
        let topic = self.admit(&config, ask, body.len(), from).await?;
        let notes = Notes::read(ask.properties.as_deref().unwrap_or_default());
        check_role(&config)?;
        check_batch(&config, ask, &notes, body.len())?;
        let queue_id = self.queue(ask.queue_id, topic.write_queue_nums);
        let sys_flag = sys_flag(ask, &topic);
        let members = batch::decode(body).map_err(|error| illegal(error.to_string()))?;
        let records = members.into_iter().map(|member| NewRecord {
            topic: ask.topic.clone(),
            queue_id,
            flag: member.flag,
            sys_flag,
            born_timestamp: ask.born_timestamp,
            born_host: from,
            store_host: self.parts.addresses.store_host,
            reconsume_times: ask.reconsume_times.unwrap_or(0),
            prepared_transaction_offset: 0,
            // Java adds nothing to the properties of a batch's messages.
            properties: member.properties,
            body: member.body,
        });
        let started = Instant::now();
        let appended =
            self.parts.store.append_batch(records.collect()).map_err(|error| self.append_failed(error))?;
        let Some((first, last)) = appended.first().zip(appended.last()) else {
            return Err(illegal("the batch holds no message"));
        };
        self.count(&ask.topic, &appended, started);
        let ids: Vec<_> = appended.iter().map(|one| self.offset_id(one)).collect();
        Ok(Sent {
            message_id: ids.join(","),
            queue_id,
            queue_offset: first.queue_offset,
            unique_key: notes.unique_key.map(str::to_owned),
            durability: self.wait(last, notes.waits).await?,
        })
    }

    /// Diverts, appends and, if `waits`, waits until it is durable. For messages of the broker itself too.
    pub async fn store(
        &self,
        mut record: NewRecord,
        delivery: Delivery,
        waits: bool,
    ) -> Result<Stored, Rejection> {
        let config = self.config();
        check_role(&config)?;
        divert(&mut record, delivery, self.delay_levels.max_level())?;
        check_record(&config, &record)?;
        let started = Instant::now();
        let topic = record.topic.clone();
        let appended = self.parts.store.append(record).map_err(|error| self.append_failed(error))?;
        trace!(%topic, offset = appended.queue_offset, "stored");
        self.count(&topic, std::slice::from_ref(&appended), started);
        let durability = self.wait(&appended, waits).await?;
        Ok(Stored { appended, durability })
    }

    /// Where a message is found again.
    pub fn offset_id(&self, appended: &Appended) -> String {
        let store_host = self.parts.addresses.store_host;
        OffsetId { store_host, physical_offset: appended.physical_offset }.to_string()
    }

    /// A queue of a topic with so many, each in turn; 0 if the topic has none.
    pub fn any_queue(&self, queues: i32) -> i32 {
        (self.next_queue.fetch_add(1, Ordering::Relaxed) % queues.max(1) as u32) as i32
    }

    /// Java's checks before a send, in its order; answers the topic, created if need be.
    async fn admit(
        &self,
        config: &BrokerConfig,
        ask: &SendRequest,
        body_len: usize,
        from: SocketAddr,
    ) -> Result<Arc<TopicConfig>, Rejection> {
        // Java fails on a null pointer here and answers code 1; on the wire an empty body is none.
        if body_len == 0 {
            return Err(Rejection::system("the message body is empty"));
        }
        if now_ms() < config.start_accept_send_request_time_stamp {
            let until = config.start_accept_send_request_time_stamp;
            return Err(Rejection::system(format!(
                "broker unable to service, until {until} (ms since the epoch)"
            )));
        }
        if !perm::is_writable(config.broker_permission) && self.parts.topics.is_order(&ask.topic) {
            return Err(Rejection::no_permission(format!(
                "the broker[{}] sending message is forbidden",
                config.broker_ip1
            )));
        }
        topic::check(&ask.topic).map_err(|error| Rejection::illegal(error.to_string()))?;
        if topic::is_forbidden_to_send(&ask.topic) {
            let remark = format!("Sending message to topic[{}] is forbidden.", ask.topic);
            return Err(Rejection::no_permission(remark));
        }
        let topic = match self.parts.topics.get(&ask.topic) {
            Some(topic) => topic,
            None => self.create_topic(ask, from).await?,
        };
        if ask.queue_id >= topic.write_queue_nums.max(topic.read_queue_nums) {
            return Err(Rejection::illegal(format!(
                "request queueId[{}] is illegal, {} has {} queues to write and {} to read, Producer: {from}",
                ask.queue_id, ask.topic, topic.write_queue_nums, topic.read_queue_nums
            )));
        }
        if let Some(attribute) = topic.other_files() {
            return Err(illegal(format!("topic[{}] has {attribute}, {NOT_SERVED}", ask.topic)));
        }
        Ok(topic)
    }

    async fn create_topic(&self, ask: &SendRequest, from: SocketAddr) -> Result<Arc<TopicConfig>, Rejection> {
        let topics = &self.parts.topics;
        let retry = topic::is_retry(&ask.topic);
        let sys_flag = match (ask.unit_mode.unwrap_or(false), retry) {
            (false, _) => 0,
            (true, false) => UNIT,
            (true, true) => UNIT_SUBSCRIPTION,
        };
        let queues = ask.default_topic_queue_nums;
        if let Some(topic) =
            topics.create_on_send(&ask.topic, &ask.default_topic, queues, sys_flag, from).await
        {
            return Ok(topic);
        }
        if retry {
            let read_write = perm::READ | perm::WRITE;
            return Ok(topics.create_on_send_back(&ask.topic, 1, read_write, false, sys_flag).await);
        }
        let remark = format!("topic[{}] not exist, apply first please!{FAQ}", ask.topic);
        Err(Rejection::new(ResponseCode::TOPIC_NOT_EXIST, remark))
    }

    /// Half messages must never be stored as if they were normal ones.
    fn check_transaction(
        &self,
        config: &BrokerConfig,
        ask: &SendRequest,
        notes: &Notes<'_>,
    ) -> Result<(), Rejection> {
        // Java: clients before 4.6.1 left the mark on retried messages.
        if !notes.half || (ask.reconsume_times.unwrap_or(0) > 0 && notes.delay_level > 0) {
            return Ok(());
        }
        if config.reject_transaction_message {
            return Err(Rejection::no_permission(format!(
                "the broker[{}] sending transaction message is forbidden",
                config.broker_ip1
            )));
        }
        Err(illegal("transactional messages are not served by this broker"))
    }

    /// Java: a message sent to a retry topic goes to the dead letters if it was tried too often, or if the
    /// group consumes in order, which its queue locks show.
    fn is_hopeless(&self, ask: &SendRequest, client_version: i32) -> Result<bool, Rejection> {
        let name = group_of_retry(&ask.topic);
        let group = self.parts.groups.find(name).ok_or_else(|| group_missing(name))?;
        let asked_limit = ask.max_reconsume_times.filter(|_| client_version >= version::V3_4_9);
        let limit = asked_limit.unwrap_or(group.retry_max_times);
        let tried = ask.reconsume_times.unwrap_or(0);
        Ok(tried > limit || self.parts.queue_locks.any_held(name, Instant::now()))
    }

    async fn bury(&self, record: &mut NewRecord) {
        record.topic = self.dead_letters(group_of_retry(&record.topic)).await.topic_name.clone();
        record.queue_id = self.any_queue(DLQ_QUEUES);
        let mut properties = Properties::parse(&String::from_utf8_lossy(&record.properties));
        properties.set(property::DELAY, "-1");
        record.properties = properties.encode().into();
    }

    /// The dead-letter topic of a group, created if need be.
    pub async fn dead_letters(&self, group: &str) -> Arc<TopicConfig> {
        let read_write = perm::READ | perm::WRITE;
        self.parts.topics.create_on_send_back(&topic::dlq(group), DLQ_QUEUES, read_write, false, 0).await
    }

    fn queue(&self, asked: i32, queues: i32) -> i32 {
        if asked < 0 { self.any_queue(queues) } else { asked }
    }

    async fn wait(&self, appended: &Appended, waits: bool) -> Result<Durability, Rejection> {
        if !waits {
            return Ok(Durability::AsAsked);
        }
        match timeout(FLUSH_TIMEOUT, self.parts.store.durable(appended.end)).await {
            Ok(Ok(())) => Ok(Durability::AsAsked),
            Err(_) => Ok(Durability::FlushPending),
            // Java acknowledges these. The bytes may be gone after a power cut, so we do not.
            Ok(Err(failed)) => {
                let why = self.parts.store.status().refusal.unwrap_or_default();
                Err(unavailable(&format!("{failed}, {why}")))
            }
        }
    }

    fn count(&self, topic: &str, appended: &[Appended], started: Instant) {
        let bytes = appended.iter().map(|one| one.size as u64).sum();
        self.parts.counters.stored(topic, appended.len() as u64, bytes);
        self.parts.counters.put_took(started.elapsed().as_millis() as u64);
    }

    fn append_failed(&self, error: AppendError) -> Rejection {
        self.parts.counters.put_failed();
        match error {
            AppendError::BodyTooLarge { .. }
            | AppendError::TooLargeForFile { .. }
            | AppendError::Illegal(_) => illegal(format!("the message is illegal: {error}")),
            AppendError::DiskFull(_)
            | AppendError::TooManyFiles(_)
            | AppendError::ReadOnly(_)
            | AppendError::Closed => unavailable(&error.to_string()),
            AppendError::NotContiguous { .. } => Rejection::system(error.to_string()),
        }
    }
}

/// A message that is in the log.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Where it is.
    pub appended: Appended,
    /// How safe it is.
    pub durability: Durability,
}

fn sys_flag(ask: &SendRequest, topic: &TopicConfig) -> i32 {
    match topic.topic_filter_type {
        TopicFilterType::MultiTag => ask.sys_flag | flags::MULTI_TAGS,
        TopicFilterType::SingleTag => ask.sys_flag,
    }
}

/// Java gives such a message a place in each of its light queues.
fn check_light(config: &BrokerConfig, topic: &str, notes: &Notes<'_>) -> Result<(), Rejection> {
    let enabled = config.enable_lmq && config.enable_multi_dispatch;
    if enabled && notes.light && !topic::is_retry(topic) {
        return Err(illegal(format!("messages for light queues (LMQ), {NOT_SERVED}")));
    }
    Ok(())
}

fn check_record(config: &BrokerConfig, record: &NewRecord) -> Result<(), Rejection> {
    let (body, properties) = (record.body.len(), record.properties.len());
    if body > config.max_message_size as usize {
        return Err(too_long("body", body, config.max_message_size as usize));
    }
    if properties > MAX_PROPERTIES {
        return Err(too_long("properties", properties, MAX_PROPERTIES));
    }
    if record.sys_flag & flags::INNER_BATCH != 0 {
        return Err(illegal(format!("batches that are one record, {NOT_SERVED}")));
    }
    if record.topic.len() > MAX_TOPIC && !topic::is_retry(&record.topic) {
        return Err(too_long("topic", record.topic.len(), MAX_TOPIC));
    }
    Ok(())
}

fn check_batch(
    config: &BrokerConfig,
    ask: &SendRequest,
    notes: &Notes<'_>,
    body_len: usize,
) -> Result<(), Rejection> {
    if ask.topic.len() > MAX_TOPIC {
        return Err(illegal(format!("message topic length too long {}", ask.topic.len())));
    }
    if topic::is_retry(&ask.topic) {
        return Err(illegal(format!("batch request does not support retry group {}", ask.topic)));
    }
    if flags::transaction(ask.sys_flag) != 0 || notes.half {
        return Err(illegal("a batch cannot be transactional"));
    }
    if notes.delay_level > 0 || notes.delivery().timed {
        return Err(illegal("a batch cannot be delayed"));
    }
    if body_len > config.max_message_size as usize {
        return Err(too_long("batch", body_len, config.max_message_size as usize));
    }
    Ok(())
}

fn group_of_retry(topic: &str) -> &str {
    topic.strip_prefix(topic::RETRY_PREFIX).unwrap_or(topic)
}

/// Java's answer when a consumer group does not exist and may not be created.
pub fn group_missing(group: &str) -> Rejection {
    Rejection::new(
        ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
        format!("subscription group not exist, {group} {FAQ}"),
    )
}

/// Java has this one code, and one remark with all reasons in it, for a full disk, a slave, a store that can't
/// be written and a shutdown. Clients send to another broker then, so the code stays; the remark says which.
fn unavailable(why: &str) -> Rejection {
    Rejection::new(ResponseCode::SERVICE_NOT_AVAILABLE, format!("service not available now: {why}"))
}

/// A slave's log is a copy of its master's; nobody else may add to it.
fn check_role(config: &BrokerConfig) -> Result<(), Rejection> {
    if config.is_slave() {
        let why = format!(
            "this broker is a slave (brokerRole=SLAVE, brokerId={}); send to the master of {}",
            config.broker_id, config.broker_name
        );
        return Err(unavailable(&why));
    }
    Ok(())
}

fn illegal(remark: impl Into<String>) -> Rejection {
    Rejection::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

fn too_long(what: &str, len: usize, limit: usize) -> Rejection {
    illegal(format!("the message is illegal: its {what} has {len} bytes, the limit is {limit} bytes"))
}
