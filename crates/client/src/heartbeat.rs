//! Telling brokers who is here: heartbeats every 30 s, at once when a broker appears or a connection is lost.

use std::{
    fmt::Debug,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use rmq_proto::{
    body::{
        ConsumeDirectlyResult, ConsumerData, ConsumerRunningInfo, HeartbeatData, MessageQueue, ProducerData,
    },
    code::RequestCode,
    command::Command,
    header::client::UnregisterClient,
};
use tokio::{
    sync::Notify,
    time::{self, Interval, MissedTickBehavior, interval_at},
};

use crate::{
    exchange,
    instance::{Instance, Shared},
    message::ReceivedMessage,
};

/// Lost connections often come in groups; one heartbeat a little later serves them all.
const EARLY_BEAT_DELAY: Duration = Duration::from_millis(200);

/// A consumer group as its instance sees it: what heartbeats say about it and what brokers may ask of it.
pub(crate) trait Member: Send + Sync + Debug {
    /// Its part of a heartbeat.
    fn heartbeat(&self) -> ConsumerData;
    /// Share the queues out again, now.
    fn rebalance(&self);
    /// What it is doing, for an administrator.
    fn running_info(&self) -> ConsumerRunningInfo;
    /// How far it consumed each queue of a topic.
    fn consumed(&self, topic: &str) -> Vec<(MessageQueue, i64)>;
    /// Go on at other offsets.
    fn reset(self: Arc<Self>, offsets: Vec<(MessageQueue, i64)>);
    /// Consume one message now, outside of its queue.
    fn consume_directly(&self, message: ReceivedMessage) -> BoxFuture<'static, ConsumeDirectlyResult>;
}

/// Runs until the instance is gone, which aborts it.
pub(crate) async fn keep_alive(shared: Weak<Shared>, wanted: Arc<Notify>) {
    let Some(options) = shared.upgrade().map(|shared| Instance::of(shared).options().clone()) else {
        return;
    };
    let mut beat = ticks(options.heartbeat_interval_ms);
    let mut refresh = ticks(options.route_refresh_ms);
    loop {
        tokio::select! {
            _ = beat.tick() => beat_all(&shared).await,
            _ = refresh.tick() => refresh_routes(&shared).await,
            () = wanted.notified() => {
                tokio::time::sleep(EARLY_BEAT_DELAY).await;
                beat_all(&shared).await;
                beat.reset();
            }
        }
    }
}

fn ticks(period_ms: u64) -> Interval {
    let period = Duration::from_millis(period_ms.max(1));
    let mut ticks = interval_at(time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn beat_all(shared: &Weak<Shared>) {
    if let Some(shared) = shared.upgrade() {
        heartbeat(&Instance::of(shared)).await;
    }
}

async fn refresh_routes(shared: &Weak<Shared>) {
    let Some(instance) = shared.upgrade().map(Instance::of) else { return };
    for topic in instance.known_topics() {
        if let Err(error) = instance.refresh_route(&topic).await {
            tracing::warn!(topic, %error, "the route could not be refreshed");
        }
    }
}

/// One heartbeat to every known broker. Java leaves slaves out if there are only producers.
pub(crate) async fn heartbeat(instance: &Instance) {
    let data = describe(instance);
    if data.producer_data_set.is_empty() && data.consumer_data_set.is_empty() {
        return;
    }
    let body = match exchange::json(&data) {
        Ok(body) => body,
        Err(error) => return tracing::error!(%error, "no heartbeat can be sent"),
    };
    let to_slaves = !data.consumer_data_set.is_empty();
    let brokers = instance.known_brokers().into_iter().filter(|(_, id, _)| *id == 0 || to_slaves);
    join_all(brokers.map(|(broker, _, address)| {
        let request = Command::request(RequestCode::HEART_BEAT).with_body(body.clone());
        async move {
            match instance.invoke(&address, request).await {
                Ok(_) => tracing::trace!(broker, address, "heartbeat"),
                Err(error) => tracing::warn!(broker, %error, "the heartbeat failed"),
            }
        }
    }))
    .await;
}

fn describe(instance: &Instance) -> HeartbeatData {
    let members = instance.shared().members.lock();
    let consumers: Vec<Arc<dyn Member>> = members.consumers.values().filter_map(Weak::upgrade).collect();
    let producers =
        members.producers.iter().map(|group| ProducerData { group_name: group.clone() }).collect();
    drop(members);
    HeartbeatData {
        client_id: instance.client_id().to_owned(),
        producer_data_set: producers,
        consumer_data_set: consumers.iter().map(|consumer| consumer.heartbeat()).collect(),
        ..HeartbeatData::default()
    }
}

/// Tells every broker that a group leaves.
pub(crate) async fn unregister(instance: &Instance, producer: Option<&str>, consumer: Option<&str>) {
    let header = UnregisterClient {
        client_id: instance.client_id().to_owned(),
        producer_group: producer.map(str::to_owned),
        consumer_group: consumer.map(str::to_owned),
    };
    let header = &header;
    join_all(instance.known_brokers().into_iter().map(|(broker, _, address)| async move {
        // Only brokers that we talked to know us; dialling another one just to say goodbye would be odd.
        if instance.remoting().connected(&address).is_none() {
            return;
        }
        let request = Command::request(RequestCode::UNREGISTER_CLIENT).with_header(header);
        if let Err(error) = instance.invoke(&address, request).await {
            tracing::warn!(broker, %error, "the broker was not told that we leave");
        }
    }))
    .await;
}
