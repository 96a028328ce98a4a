//! The push consumer: brings the messages of a group's subscriptions to a listener.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use rmq_proto::{
    body::{
        ConsumeDirectlyResult, ConsumeFromWhere, ConsumeResult, ConsumeStatus, ConsumeType, ConsumerData,
        ConsumerRunningInfo, MessageQueue, SubscriptionData, running_property,
    },
    code::version,
};
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinHandle},
    time::MissedTickBehavior,
};

use super::{
    AnyListener, Consumed, PushConsumerBuilder, StartFrom,
    concurrent::{self, Workers},
    feed,
    offsets::Offsets,
    pace::Pace,
    process_queue::{Limits, ProcessQueue},
    rebalance,
    retry::Retry,
};
use crate::{
    error::Result,
    heartbeat::{self, Member},
    instance::{Instance, now_ms},
    message::ReceivedMessage,
};

/// Java's `persistConsumerOffsetInterval`.
const COMMIT_PERIOD: Duration = Duration::from_secs(5);

/// Consumes a group's messages until it is shut down. Dropping it stops it at once: what is being consumed
/// then comes again.
#[must_use = "dropping a consumer stops it"]
pub struct PushConsumer {
    shared: Arc<Shared>,
    owns_instance: bool,
    tasks: Vec<JoinHandle<()>>,
}

pub(crate) struct Shared {
    pub(crate) group: String,
    pub(crate) instance: Instance,
    pub(crate) settings: Settings,
    pub(crate) subscriptions: BTreeMap<String, SubscriptionData>,
    pub(crate) listener: Arc<dyn AnyListener>,
    pub(crate) offsets: Offsets,
    pub(crate) workers: Workers,
    pub(crate) retry: Retry,
    pub(crate) rebalance_wanted: Notify,
    queues: Mutex<HashMap<MessageQueue, Taken>>,
    paces: HashMap<String, Paces>,
    started_ms: i64,
}

/// A queue that this member consumes, and its pull loop.
struct Taken {
    queue: Arc<ProcessQueue>,
    feed: AbortHandle,
}

/// How fast a topic is consumed.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    pub(crate) pulled: Pace,
    pub(crate) consumed: Pace,
    pub(crate) failed: Pace,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) start_from: StartFrom,
    pub(crate) concurrency: u32,
    pub(crate) batch_size: usize,
    pub(crate) pull_batch_size: i32,
    pub(crate) consume_timeout: Duration,
    pub(crate) max_reconsume_times: i32,
    pub(crate) limits: Limits,
    pub(crate) drain_timeout: Duration,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushConsumer").field("group", &self.group).finish_non_exhaustive()
    }
}

impl fmt::Debug for PushConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

async fn commit_periodically(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(COMMIT_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.offsets.commit_all().await;
    }
}

impl PushConsumer {
    /// Begins a consumer of that group. The name servers and a subscription must be given, too.
    pub fn builder(group: impl Into<String>) -> PushConsumerBuilder {
        PushConsumerBuilder::new(group.into())
    }

    /// Registers with the brokers and begins to consume.
    pub(super) async fn run(
        group: String,
        instance: Instance,
        owns_instance: bool,
        settings: Settings,
        subscriptions: BTreeMap<String, SubscriptionData>,
        listener: Arc<dyn AnyListener>,
    ) -> Result<Self> {
        let (workers, work) = Workers::new(settings.concurrency);
        let shared = Arc::new(Shared {
            offsets: Offsets::new(instance.clone(), group.clone()),
            retry: Retry::new(instance.clone(), group.clone(), settings.max_reconsume_times),
            paces: subscriptions.keys().map(|topic| (topic.clone(), Paces::default())).collect(),
            group,
            settings,
            subscriptions,
            listener,
            workers,
            rebalance_wanted: Notify::new(),
            queues: Mutex::default(),
            started_ms: now_ms(),
            instance,
        });
        let member: Arc<dyn Member> = shared.clone();
        shared.instance.join_consumer(&shared.group, Arc::downgrade(&member))?;
        heartbeat::heartbeat(&shared.instance).await;
        let tasks = vec![
            tokio::spawn(concurrent::run(shared.clone(), work)),
            tokio::spawn(rebalance::run(shared.clone())),
            tokio::spawn(commit_periodically(shared.clone())),
        ];
        Ok(PushConsumer { shared, owns_instance, tasks })
    }

    /// Its group.
    pub fn group(&self) -> &str {
        &self.shared.group
    }

    /// The instance that it runs in.
    pub fn instance(&self) -> &Instance {
        &self.shared.instance
    }

    /// The queues that this member consumes at the moment.
    pub fn queues(&self) -> Vec<MessageQueue> {
        let mut queues: Vec<_> = self.shared.queues.lock().keys().cloned().collect();
        queues.sort();
        queues
    }

    /// Stops pulling, lets running calls of the listener finish, commits how far the group got and tells the
    /// brokers that this member leaves. What was pulled but not consumed goes to another member or comes again.
    pub async fn shutdown(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            // The only error is that it was aborted.
            let _ = task.await;
        }
        self.shared.stop_feeds();
        if !self.shared.workers.drain(self.shared.settings.drain_timeout).await {
            tracing::warn!(
                group = self.shared.group,
                "shut down while the listener was running; its messages come again"
            );
        }
        self.shared.offsets.commit_all().await;
        self.shared.instance.leave_consumer(&self.shared.group).await;
        if self.owns_instance {
            self.shared.instance.shutdown();
        }
    }
}

impl Drop for PushConsumer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.stop_feeds();
        self.shared.instance.drop_consumer(&self.shared.group);
    }
}

impl Shared {
    pub(crate) fn has(&self, queue: &MessageQueue) -> bool {
        self.queues.lock().contains_key(queue)
    }

    /// The queues of a topic that this member consumes.
    pub(crate) fn taken(&self, topic: &str) -> Vec<Arc<ProcessQueue>> {
        let queues = self.queues.lock();
        let of_topic = queues.iter().filter(|(queue, _)| queue.topic == topic);
        of_topic.map(|(_, taken)| taken.queue.clone()).collect()
    }

    /// Begins to consume a queue.
    pub(crate) fn take(self: &Arc<Self>, queue: MessageQueue, offset: i64) {
        let process = Arc::new(ProcessQueue::new(queue.clone()));
        let feed = tokio::spawn(feed::run(self.clone(), process.clone(), offset)).abort_handle();
        if let Some(old) = self.queues.lock().insert(queue, Taken { queue: process, feed }) {
            old.stop();
        }
    }

    /// Stops consuming a queue. Listeners that run finish, but their messages do not count.
    pub(crate) fn release(&self, queue: &MessageQueue) {
        if let Some(taken) = self.queues.lock().remove(queue) {
            taken.stop();
        }
    }

    /// Begins again at another offset, if the queue is still this member's.
    pub(crate) fn restart(self: &Arc<Self>, queue: &ProcessQueue, offset: i64) {
        if self.has(queue.queue()) {
            self.take(queue.queue().clone(), offset);
        }
    }

    /// Stops pulling; what is being consumed still counts.
    fn stop_feeds(&self) {
        for (_, taken) in self.queues.lock().drain() {
            taken.feed.abort();
        }
    }

    pub(crate) fn paces(&self, topic: &str) -> &Paces {
        static NONE: std::sync::LazyLock<Paces> = std::sync::LazyLock::new(Paces::default);
        self.paces.get(topic).unwrap_or(&NONE)
    }

    fn status(&self, topic: &str) -> ConsumeStatus {
        let paces = self.paces(topic);
        let (pulled, consumed) = (paces.pulled.last_minute(), paces.consumed.last_minute());
        let failed = paces.failed.last_minute();
        ConsumeStatus {
            pull_rt: pulled.average_ms,
            pull_tps: pulled.per_second,
            consume_rt: consumed.average_ms,
            consume_ok_tps: consumed.per_second,
            consume_failed_tps: failed.per_second,
            consume_failed_msgs: failed.count as i64,
        }
    }
}

impl Taken {
    fn stop(&self) {
        self.queue.drop_it();
        self.feed.abort();
    }
}

impl Member for Shared {
    fn heartbeat(&self) -> ConsumerData {
        ConsumerData {
            group_name: self.group.clone(),
            consume_type: ConsumeType::Passively,
            consume_from_where: match self.settings.start_from {
                StartFrom::Last => ConsumeFromWhere::LastOffset,
                StartFrom::First => ConsumeFromWhere::FirstOffset,
                StartFrom::Timestamp(_) => ConsumeFromWhere::Timestamp,
            },
            subscription_data_set: self.subscriptions.values().cloned().collect(),
            ..ConsumerData::default()
        }
    }

    fn rebalance(&self) {
        self.rebalance_wanted.notify_one();
    }

    fn running_info(&self) -> ConsumerRunningInfo {
        let servers = self.instance.name_servers().list();
        let properties = [
            (running_property::NAMESERVER_ADDR, format!("{servers};")),
            (running_property::CONSUME_TYPE, "CONSUME_PASSIVELY".to_owned()),
            (running_property::CONSUME_ORDERLY, "false".to_owned()),
            (running_property::THREADPOOL_CORE_SIZE, self.settings.concurrency.to_string()),
            (running_property::CONSUMER_START_TIMESTAMP, self.started_ms.to_string()),
            (running_property::CLIENT_VERSION, version_name(version::CURRENT).to_owned()),
        ];
        let queues = self.queues.lock();
        let info = |(queue, taken): (&MessageQueue, &Taken)| {
            (queue.clone(), taken.queue.info(self.offsets.consumed(queue).unwrap_or(0)))
        };
        ConsumerRunningInfo {
            mq_table: queues.iter().map(info).collect(),
            properties: properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            status_table: self
                .subscriptions
                .keys()
                .map(|topic| (topic.clone(), self.status(topic)))
                .collect(),
            subscription_set: self.subscriptions.values().cloned().collect(),
            ..ConsumerRunningInfo::default()
        }
    }

    fn consumed(&self, topic: &str) -> Vec<(MessageQueue, i64)> {
        let queues = self.queues.lock();
        let of_topic = queues.keys().filter(|queue| queue.topic == topic);
        of_topic.filter_map(|queue| Some((queue.clone(), self.offsets.consumed(queue)?))).collect()
    }

    fn reset(self: Arc<Self>, offsets: Vec<(MessageQueue, i64)>) {
        tokio::spawn(async move {
            for (queue, offset) in offsets.into_iter().filter(|(queue, _)| self.has(queue)) {
                self.release(&queue);
                self.offsets.set(&queue, offset);
                self.offsets.commit(&queue).await;
                self.take(queue, offset);
            }
        });
    }

    fn consume_directly(&self, mut message: ReceivedMessage) -> BoxFuture<'static, ConsumeDirectlyResult> {
        let listener = self.listener.clone();
        message.restore_topic();
        async move {
            let started = Instant::now();
            let call = tokio::spawn(async move { listener.consume(vec![message]).await });
            let (consume_result, remark) = match call.await {
                Ok(Consumed::Success) => (ConsumeResult::Success, None),
                Ok(_) => (ConsumeResult::Later, None),
                Err(error) => (ConsumeResult::ThrowException, Some(error.to_string())),
            };
            ConsumeDirectlyResult {
                consume_result,
                remark,
                spent_time_mills: started.elapsed().as_millis() as i64,
                ..ConsumeDirectlyResult::default()
            }
        }
        .boxed()
    }
}

fn version_name(version: i32) -> &'static str {
    match version {
        version::V5_5_0 => "V5_5_0",
        _ => "unknown",
    }
}
