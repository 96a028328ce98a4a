//! The pull loop of one queue: pulls while there is room, and keeps the position.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rmq_proto::{code::ResponseCode, topic};

use super::{
    process_queue::ProcessQueue,
    pull::{self, Pull, PullResult, PullStatus},
    push::Shared,
};
use crate::error::{Error, Result};

/// Java's pause after a failed pull.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Java's pause when a broker says that it is busy.
const AFTER_BUSY: Duration = Duration::from_millis(20);

/// Runs until the queue is given to another member, which aborts it.
pub(crate) async fn run(shared: Arc<Shared>, queue: Arc<ProcessQueue>, mut offset: i64) {
    let mut broker_id = 0;
    loop {
        queue.room(&shared.settings.limits).await;
        if queue.is_dropped() {
            return;
        }
        queue.pulled();
        let pulled = match pull(&shared, &queue, offset, broker_id).await {
            Ok(pulled) => pulled,
            Err(Error::Closed) => return,
            Err(error) => {
                pause(&shared, &queue, &error).await;
                continue;
            }
        };
        broker_id = pulled.suggested_broker_id;
        if pulled.status == PullStatus::OffsetIllegal {
            return move_to(&shared, &queue, offset, pulled.next_offset).await;
        }
        offset = pulled.next_offset;
        if pulled.messages.is_empty() {
            skip_to(&shared, &queue, offset);
        } else {
            queue.add(&pulled.messages);
            shared.workers.submit(&queue, pulled.messages, shared.settings.batch_size);
        }
    }
}

async fn pull(shared: &Shared, queue: &ProcessQueue, offset: i64, broker_id: i64) -> Result<PullResult> {
    let topic = &queue.queue().topic;
    let subscription = shared.subscriptions.get(topic).ok_or(Error::Closed)?;
    let pull = Pull {
        group: &shared.group,
        queue: queue.queue(),
        offset,
        max_messages: shared.settings.pull_batch_size,
        subscription,
        sends_subscription: false,
        commit: shared.offsets.to_commit(queue.queue()),
        suspend: Some(pull::SUSPEND),
        broker_id,
    };
    let started = Instant::now();
    let pulled = pull.run(&shared.instance).await?;
    if !pulled.messages.is_empty() {
        let count = pulled.messages.len() as u64;
        shared.paces(topic).pulled.add(count, started.elapsed().as_millis() as u64 * count);
    }
    Ok(pulled)
}

/// Messages that nobody subscribed to count as consumed, once all before them are.
fn skip_to(shared: &Shared, queue: &ProcessQueue, offset: i64) {
    if queue.is_empty() && offset > 0 && !queue.is_dropped() {
        shared.offsets.advance(queue.queue(), offset);
    }
}

/// The broker says where the queue really is, or an administrator reset the group: start there, and let
/// nothing that was pulled before count.
async fn move_to(shared: &Arc<Shared>, queue: &ProcessQueue, from: i64, to: i64) {
    tracing::warn!(queue = %queue.queue(), group = shared.group, from, to, "the offset was moved by the broker");
    if from == to {
        tokio::time::sleep(AFTER_FAILURE).await;
    }
    queue.drop_it();
    shared.offsets.set(queue.queue(), to);
    shared.offsets.commit(queue.queue()).await;
    shared.restart(queue, to);
}

async fn pause(shared: &Shared, queue: &ProcessQueue, error: &Error) {
    let (queue, group) = (queue.queue(), &shared.group);
    let code = error.response_code();
    if topic::is_retry(&queue.topic) {
        tracing::debug!(%queue, group, %error, "pulling failed");
    } else {
        tracing::warn!(%queue, group, %error, "pulling failed");
    }
    match code {
        Some(ResponseCode::SYSTEM_BUSY | ResponseCode::FLOW_CONTROL) => tokio::time::sleep(AFTER_BUSY).await,
        Some(ResponseCode::SUBSCRIPTION_NOT_EXIST | ResponseCode::SUBSCRIPTION_NOT_LATEST) => {
            // The broker was restarted and does not know us yet.
            shared.instance.shared().beat.notify_one();
            tokio::time::sleep(AFTER_FAILURE).await;
        }
        _ => tokio::time::sleep(AFTER_FAILURE).await,
    }
}
