//! Running the listener: many calls at a time, none for a queue that is not ours any more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rmq_proto::message::property;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Consumed, process_queue::ProcessQueue, push::Shared};
use crate::{instance::now_ms, message::ReceivedMessage};

/// Java's pause before messages that could not be given back are consumed again here.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Messages for one call of the listener.
#[derive(Debug)]
pub(crate) struct Work {
    queue: Arc<ProcessQueue>,
    messages: Vec<ReceivedMessage>,
}

/// Where work goes in. What waits is bounded by what the process queues may hold.
#[derive(Debug)]
pub(crate) struct Workers {
    sender: mpsc::UnboundedSender<Work>,
    permits: Arc<Semaphore>,
    concurrency: u32,
}

impl Workers {
    pub(crate) fn new(concurrency: u32) -> (Self, mpsc::UnboundedReceiver<Work>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(concurrency as usize));
        (Self { sender, permits, concurrency }, receiver)
    }

    /// Cuts pulled messages into calls of the listener.
    pub(crate) fn submit(
        &self,
        queue: &Arc<ProcessQueue>,
        messages: Vec<ReceivedMessage>,
        batch_size: usize,
    ) {
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let messages = messages.by_ref().take(batch_size).collect();
            // A closed channel means that the consumer is shutting down.
            let _ = self.sender.send(Work { queue: queue.clone(), messages });
        }
    }

    /// Waits until no call is running and prevents new ones. `false`: some are still running.
    pub(crate) async fn drain(&self, longest: Duration) -> bool {
        let all = tokio::time::timeout(longest, self.permits.acquire_many(self.concurrency)).await;
        self.permits.close();
        matches!(all, Ok(Ok(_)))
    }
}

/// Starts one task per call, as many at a time as there are permits.
pub(crate) async fn run(shared: Arc<Shared>, mut work: mpsc::UnboundedReceiver<Work>) {
    while let Some(work) = work.recv().await {
        let Ok(permit) = shared.workers.permits.clone().acquire_owned().await else {
            return;
        };
        if !work.queue.is_dropped() {
            tokio::spawn(consume(shared.clone(), work, permit));
        }
    }
}

async fn consume(shared: Arc<Shared>, work: Work, permit: OwnedSemaphorePermit) {
    let Work { queue, mut messages } = work;
    let offsets: Vec<i64> = messages.iter().map(|message| message.queue_offset).collect();
    let consumed = listen(&shared, &queue, &mut messages).await;
    if queue.is_dropped() {
        tracing::debug!(queue = %queue.queue(), "the queue went to another member while its messages were consumed");
        return;
    }
    let left = match consumed {
        Consumed::Success => Vec::new(),
        Consumed::Later => give_back(&shared, messages, 0).await,
        Consumed::LaterAtLevel(level) => give_back(&shared, messages, level).await,
    };
    let is_left = |offset: &i64| left.iter().any(|message| message.queue_offset == *offset);
    let done = offsets.into_iter().filter(|offset| !is_left(offset));
    if let Some(offset) = queue.remove(done)
        && !queue.is_dropped()
    {
        shared.offsets.advance(queue.queue(), offset);
    }
    drop(permit);
    if !left.is_empty() {
        tokio::time::sleep(AGAIN_AFTER).await;
        shared.workers.submit(&queue, left, shared.settings.batch_size);
    }
}

/// Calls the listener. It runs in a task of its own, so that a panic is a failed message and no more, and so
/// that one that takes too long goes on while its messages are given back, as in Java.
async fn listen(shared: &Arc<Shared>, queue: &ProcessQueue, messages: &mut [ReceivedMessage]) -> Consumed {
    let topic = queue.queue().topic.as_str();
    for message in messages.iter_mut() {
        message.restore_topic();
        message.set_property(property::CONSUME_START_TIME, now_ms());
        if let Some(kind) = message.unread_compression() {
            tracing::error!(
                topic,
                msg_id = message.id(),
                ?kind,
                "the body is compressed in a way this client cannot read"
            );
            return Consumed::Later;
        }
    }
    let started = Instant::now();
    let listener = shared.listener.clone();
    let given = messages.to_vec();
    let mut call = tokio::spawn(async move { listener.consume(given).await });
    let consumed = match tokio::time::timeout(shared.settings.consume_timeout, &mut call).await {
        Ok(Ok(consumed)) => consumed,
        Ok(Err(error)) => {
            tracing::error!(topic, %error, "the listener failed, its messages come again later");
            Consumed::Later
        }
        Err(_) => {
            tracing::error!(topic, "the listener takes too long, its messages come again later");
            Consumed::Later
        }
    };
    let (count, took_ms) = (messages.len() as u64, started.elapsed().as_millis() as u64);
    let pace = shared.paces(topic);
    match consumed {
        Consumed::Success => pace.consumed.add(count, took_ms * count),
        Consumed::Later | Consumed::LaterAtLevel(_) => pace.failed.add(count, took_ms * count),
    }
    consumed
}

/// Returns those messages that could not be given back.
async fn give_back(
    shared: &Shared,
    messages: Vec<ReceivedMessage>,
    delay_level: i32,
) -> Vec<ReceivedMessage> {
    let mut left = Vec::new();
    for mut message in messages {
        if !shared.retry.give_back(&message, delay_level).await {
            message.count_retry();
            left.push(message);
        }
    }
    left
}
