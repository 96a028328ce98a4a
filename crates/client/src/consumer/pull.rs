//! Pulling: the request itself, and the consumer whose application asks for messages when it wants them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rmq_proto::{
    body::{ConsumeType, ConsumerData, MessageQueue, SubscriptionData},
    code::{RequestCode, ResponseCode},
    command::Command,
    header::pull::{PullRequest, PullResponse, flag},
    message::{Message, flags, property, record},
    topic,
};

use super::{idle::Idle, offsets};
use crate::{
    error::{Error, Result},
    exchange,
    instance::{Instance, InstanceOptions},
    message::ReceivedMessage,
};

/// Most bytes that a pull asks for; Java's `pullBatchSizeInBytes`.
const MAX_PULL_BYTES: i32 = 256 * 1024;
/// How long a broker holds a pull that finds nothing.
pub(crate) const SUSPEND: Duration = Duration::from_secs(15);
/// Longest wait for the answer to a pull that the broker may hold.
const HELD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the answer to a pull that the broker answers at once.
const PULL_TIMEOUT: Duration = Duration::from_secs(10);

/// How a pull went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullStatus {
    /// There are messages.
    Found,
    /// The queue has no message at the offset yet.
    NoNewMessage,
    /// There are messages, but none that the expression lets through.
    NoMatch,
    /// The offset is outside of the queue.
    OffsetIllegal,
}

/// What a pull brought.
#[derive(Debug, Clone)]
pub struct PullResult {
    /// How it went.
    pub status: PullStatus,
    /// The offset to pull at next.
    pub next_offset: i64,
    /// The smallest offset of the queue.
    pub min_offset: i64,
    /// The offset behind the newest message of the queue.
    pub max_offset: i64,
    /// The messages.
    pub messages: Vec<ReceivedMessage>,
    /// Which broker id to pull from next.
    pub(crate) suggested_broker_id: i64,
}

/// One pull.
#[derive(Debug)]
pub(crate) struct Pull<'a> {
    pub(crate) group: &'a str,
    pub(crate) queue: &'a MessageQueue,
    pub(crate) offset: i64,
    pub(crate) max_messages: i32,
    pub(crate) subscription: &'a SubscriptionData,
    /// The broker does not know the subscription from a heartbeat.
    pub(crate) sends_subscription: bool,
    /// The progress to commit by the way.
    pub(crate) commit: Option<i64>,
    /// Hold the pull so long if it finds nothing.
    pub(crate) suspend: Option<Duration>,
    pub(crate) broker_id: i64,
}

impl Pull<'_> {
    /// Asks the broker.
    pub(crate) async fn run(&self, instance: &Instance) -> Result<PullResult> {
        instance.route(&self.queue.topic).await?;
        let (address, broker_id) = instance.reader_of(&self.queue.broker_name, self.broker_id)?;
        let code = RequestCode::PULL_MESSAGE;
        let request = Command::request(code).with_header(&self.header(broker_id));
        let timeout = match self.suspend {
            Some(suspend) => HELD_TIMEOUT.max(suspend + PULL_TIMEOUT),
            None => PULL_TIMEOUT,
        };
        let answer = exchange::invoke_any(instance.remoting(), &address, request, timeout).await?;
        let status = match answer.response_code() {
            ResponseCode::SUCCESS => PullStatus::Found,
            ResponseCode::PULL_NOT_FOUND => PullStatus::NoNewMessage,
            ResponseCode::PULL_RETRY_IMMEDIATELY => PullStatus::NoMatch,
            ResponseCode::PULL_OFFSET_MOVED => PullStatus::OffsetIllegal,
            _ => return Err(exchange::refused(&address, code, &answer)),
        };
        let header: PullResponse = exchange::parse_header(&address, code, &answer)?;
        let messages = match status {
            PullStatus::Found => self.read(&address, answer.body.bytes(), &header)?,
            _ => Vec::new(),
        };
        Ok(PullResult {
            status,
            next_offset: header.next_begin_offset,
            min_offset: header.min_offset,
            max_offset: header.max_offset,
            suggested_broker_id: header.suggest_which_broker_id,
            messages,
        })
    }

    fn header(&self, broker_id: i64) -> PullRequest {
        // Java: a slave must not be told offsets.
        let commit = self.commit.filter(|_| broker_id == 0);
        let mut sys_flag = 0;
        sys_flag |= if commit.is_some() { flag::COMMIT_OFFSET } else { 0 };
        sys_flag |= if self.suspend.is_some() { flag::SUSPEND } else { 0 };
        sys_flag |= if self.sends_subscription { flag::SUBSCRIPTION } else { 0 };
        let subscription = self.subscription;
        PullRequest {
            consumer_group: self.group.to_owned(),
            topic: self.queue.topic.clone(),
            queue_id: self.queue.queue_id,
            queue_offset: self.offset,
            max_msg_nums: self.max_messages,
            sys_flag,
            commit_offset: commit.unwrap_or(0),
            suspend_timeout_millis: self.suspend.map_or(0, |suspend| suspend.as_millis() as i64),
            subscription: self.sends_subscription.then(|| subscription.sub_string.clone()),
            sub_version: subscription.sub_version,
            expression_type: Some(subscription.expression_type.clone()),
            max_msg_bytes: Some(MAX_PULL_BYTES),
        }
    }

    /// Takes the records apart and drops those whose tag only has the same hash as a wanted one.
    fn read(&self, address: &str, body: Bytes, header: &PullResponse) -> Result<Vec<ReceivedMessage>> {
        let broker: Arc<str> = self.queue.broker_name.as_str().into();
        let mut messages = Vec::new();
        for message in record::decode_many(body) {
            let message =
                message.map_err(|error| exchange::unreadable(address, RequestCode::PULL_MESSAGE, error))?;
            for message in unwrap_batch(address, message)? {
                if !is_wanted(self.subscription, &message) {
                    continue;
                }
                let mut message = ReceivedMessage::new(message, broker.clone());
                message.set_property(property::MIN_OFFSET, header.min_offset);
                message.set_property(property::MAX_OFFSET, header.max_offset);
                messages.push(message);
            }
        }
        Ok(messages)
    }
}

/// Brokers compare only hashes; Java's client compares the tags themselves.
fn is_wanted(subscription: &SubscriptionData, message: &Message) -> bool {
    if !subscription.is_tag() || subscription.is_all() || subscription.tags_set.is_empty() {
        return true;
    }
    message.properties.tags().is_some_and(|tag| subscription.tags_set.contains(tag))
}

/// A batch that was stored as one record becomes its members, at consecutive offsets.
fn unwrap_batch(address: &str, message: Message) -> Result<Vec<Message>> {
    const WRAPPED: i32 = flags::INNER_BATCH | flags::NEED_UNWRAP;
    if message.sys_flag & WRAPPED != WRAPPED {
        return Ok(vec![message]);
    }
    let unreadable = |reason: &dyn std::fmt::Display| {
        exchange::unreadable(address, RequestCode::PULL_MESSAGE, format!("an inner batch: {reason}"))
    };
    let members =
        rmq_proto::message::batch::decode(message.body.clone()).map_err(|error| unreadable(&error))?;
    let base = message.properties.number(property::INNER_BASE).unwrap_or(message.queue_offset);
    let members = members.into_iter().zip(base..).map(|(member, queue_offset)| Message {
        queue_offset,
        flag: member.flag,
        sys_flag: message.sys_flag & !WRAPPED,
        properties: rmq_proto::message::Properties::parse(&String::from_utf8_lossy(&member.properties)),
        body: member.body,
        ..message.clone()
    });
    Ok(members.collect())
}

/// A consumer whose application decides when to pull which queue, and commits offsets itself.
///
/// ```no_run
/// # async fn run() -> rmq_client::Result<()> {
/// use rmq_client::PullConsumer;
/// let consumer = PullConsumer::builder("audit").name_servers("127.0.0.1:9876").start().await?;
/// for queue in consumer.queues("orders").await? {
///     let mut offset = consumer.committed(&queue).await?.unwrap_or(0);
///     let pulled = consumer.pull(&queue, "*", offset, 32).await?;
///     for message in &pulled.messages {
///         println!("{message}");
///     }
///     offset = pulled.next_offset;
///     consumer.commit(&queue, offset).await?;
/// }
/// consumer.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct PullConsumer {
    group: String,
    instance: Instance,
    owns_instance: bool,
    /// Brokers know the group from its heartbeats.
    _member: Arc<Idle>,
}

/// Settings of a pull consumer; made by [`PullConsumer::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start` is called"]
pub struct PullConsumerBuilder {
    group: String,
    instance: Option<Instance>,
    options: InstanceOptions,
}

impl PullConsumerBuilder {
    /// Name servers separated by `;`.
    pub fn name_servers(mut self, addresses: &str) -> Self {
        self.options.name_servers = InstanceOptions::new(addresses).name_servers;
        self
    }

    /// All settings of the instance that the consumer makes for itself.
    pub fn options(mut self, options: InstanceOptions) -> Self {
        self.options = options;
        self
    }

    /// Uses this instance instead of one of its own.
    pub fn instance(mut self, instance: &Instance) -> Self {
        self.instance = Some(instance.clone());
        self
    }

    /// Checks the settings and makes the consumer.
    pub async fn start(self) -> Result<PullConsumer> {
        topic::client::check_group(&self.group).map_err(|invalid| Error::Setting(invalid.to_string()))?;
        let owns_instance = self.instance.is_none();
        let instance = match self.instance {
            Some(instance) => instance,
            None => Instance::new(self.options)?,
        };
        let data = ConsumerData {
            group_name: self.group.clone(),
            consume_type: ConsumeType::Actively,
            ..ConsumerData::default()
        };
        let member = Arc::new(Idle::new(data));
        let weak = Arc::downgrade(&member);
        instance.join_consumer(&self.group, weak)?;
        Ok(PullConsumer { group: self.group, instance, owns_instance, _member: member })
    }
}

impl PullConsumer {
    /// Begins a consumer of that group. The name servers must be given, too.
    pub fn builder(group: impl Into<String>) -> PullConsumerBuilder {
        PullConsumerBuilder { group: group.into(), instance: None, options: InstanceOptions::new("") }
    }

    /// The queues of a topic.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>> {
        Ok(self.instance.route(topic).await?.subscribe.clone())
    }

    /// Pulls at most `max_messages` from `offset` on; answers at once. `expression` is `*` or tags: `A || B`.
    pub async fn pull(
        &self,
        queue: &MessageQueue,
        expression: &str,
        offset: i64,
        max_messages: i32,
    ) -> Result<PullResult> {
        self.ask(queue, expression, offset, max_messages, None).await
    }

    /// Like [`pull`](Self::pull), but waits up to `longest` for a message if there is none.
    pub async fn pull_or_wait(
        &self,
        queue: &MessageQueue,
        expression: &str,
        offset: i64,
        max_messages: i32,
        longest: Duration,
    ) -> Result<PullResult> {
        self.ask(queue, expression, offset, max_messages, Some(longest)).await
    }

    async fn ask(
        &self,
        queue: &MessageQueue,
        expression: &str,
        offset: i64,
        max_messages: i32,
        suspend: Option<Duration>,
    ) -> Result<PullResult> {
        pull_once(&self.instance, &self.group, queue, expression, offset, max_messages, suspend).await
    }

    /// The offset that the group committed; `None` if it never did.
    pub async fn committed(&self, queue: &MessageQueue) -> Result<Option<i64>> {
        offsets::committed(&self.instance, &self.group, queue).await
    }

    /// Commits the offset of the next message to consume.
    pub async fn commit(&self, queue: &MessageQueue, offset: i64) -> Result<()> {
        self.instance.route(&queue.topic).await?;
        offsets::commit(&self.instance, &self.group, queue, offset).await
    }

    /// The offset of the oldest message that is still there.
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<i64> {
        offsets::min_offset(&self.instance, queue).await
    }

    /// The offset behind the newest message.
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<i64> {
        offsets::max_offset(&self.instance, queue).await
    }

    /// The offset of the first message that was stored at that time (milliseconds since the epoch) or later.
    pub async fn offset_at(&self, queue: &MessageQueue, time_ms: i64) -> Result<i64> {
        offsets::offset_at(&self.instance, queue, time_ms).await
    }

    /// Tells the brokers that this consumer leaves, and closes its connections.
    pub async fn shutdown(&self) {
        self.instance.leave_consumer(&self.group).await;
        if self.owns_instance {
            self.instance.shutdown();
        }
    }
}

/// One pull that brings its subscription along.
pub(crate) async fn pull_once(
    instance: &Instance,
    group: &str,
    queue: &MessageQueue,
    expression: &str,
    offset: i64,
    max_messages: i32,
    suspend: Option<Duration>,
) -> Result<PullResult> {
    let subscription = SubscriptionData::tags(&queue.topic, expression, 0)
        .map_err(|error| Error::Setting(format!("the expression `{expression}`: {error}")))?;
    let pull = Pull {
        group,
        queue,
        offset,
        max_messages,
        subscription: &subscription,
        sends_subscription: true,
        commit: None,
        suspend,
        broker_id: 0,
    };
    pull.run(instance).await
}
