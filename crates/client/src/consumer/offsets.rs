//! How far a group has consumed each queue: kept here, committed to the broker from time to time.

use std::collections::HashMap;

use parking_lot::Mutex;
use rmq_proto::{
    body::MessageQueue,
    code::{RequestCode, ResponseCode},
    command::Command,
    header::offset::{
        MaxOffset, OffsetFound, QueryConsumerOffset, QueueOf, SearchOffset, UpdateConsumerOffset,
    },
    topic,
};

use super::StartFrom;
use crate::{error::Result, exchange, instance::Instance};

#[derive(Debug)]
pub(crate) struct Offsets {
    instance: Instance,
    group: String,
    table: Mutex<HashMap<MessageQueue, Progress>>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    consumed: i64,
    committed: Option<i64>,
    /// A commit is on its way. Nothing else may tell the broker an offset meanwhile: it could arrive first, and
    /// the older one would win.
    committing: bool,
}

impl Progress {
    fn at(consumed: i64) -> Self {
        Self { consumed, committed: None, committing: false }
    }
}

impl Offsets {
    pub(crate) fn new(instance: Instance, group: String) -> Self {
        Self { instance, group, table: Mutex::default() }
    }

    /// The offset to begin a queue at: the committed one, else where the rule says.
    pub(crate) async fn start_of(&self, queue: &MessageQueue, rule: StartFrom) -> Result<i64> {
        if let Some(offset) = committed(&self.instance, &self.group, queue).await? {
            let progress = Progress { committed: Some(offset), ..Progress::at(offset) };
            self.table.lock().insert(queue.clone(), progress);
            return Ok(offset);
        }
        match rule {
            StartFrom::First => Ok(0),
            // Java: a group never skips its own retries.
            StartFrom::Last if topic::is_retry(&queue.topic) => Ok(0),
            StartFrom::Last => max_offset(&self.instance, queue).await,
            StartFrom::Timestamp(_) if topic::is_retry(&queue.topic) => {
                max_offset(&self.instance, queue).await
            }
            StartFrom::Timestamp(time_ms) => offset_at(&self.instance, queue, time_ms).await,
        }
    }

    /// Notes progress. It never goes back: several listeners finish in any order.
    pub(crate) fn advance(&self, queue: &MessageQueue, offset: i64) {
        let mut table = self.table.lock();
        let progress = table.entry(queue.clone()).or_insert(Progress::at(offset));
        progress.consumed = progress.consumed.max(offset);
    }

    /// Sets a new position, forwards or backwards.
    pub(crate) fn set(&self, queue: &MessageQueue, offset: i64) {
        self.table.lock().insert(queue.clone(), Progress::at(offset));
    }

    pub(crate) fn consumed(&self, queue: &MessageQueue) -> Option<i64> {
        self.table.lock().get(queue).map(|progress| progress.consumed)
    }

    /// The offset to commit along with a pull.
    pub(crate) fn to_commit(&self, queue: &MessageQueue) -> Option<i64> {
        let table = self.table.lock();
        let progress = table.get(queue).filter(|progress| !progress.committing)?;
        Some(progress.consumed).filter(|offset| *offset > 0)
    }

    pub(crate) fn forget(&self, queue: &MessageQueue) {
        self.table.lock().remove(queue);
    }

    /// Commits everything that changed since it was committed last. Failures are tried again next time.
    pub(crate) async fn commit_all(&self) {
        let changed: Vec<MessageQueue> = {
            let table = self.table.lock();
            let changed = table.iter().filter(|(_, progress)| progress.committed != Some(progress.consumed));
            changed.map(|(queue, _)| queue.clone()).collect()
        };
        futures::future::join_all(changed.iter().map(|queue| self.commit(queue))).await;
    }

    /// Commits one queue's progress, if it changed.
    pub(crate) async fn commit(&self, queue: &MessageQueue) {
        let Some(offset) = self.begin_commit(queue) else { return };
        let outcome = commit(&self.instance, &self.group, queue, offset).await;
        if let Some(progress) = self.table.lock().get_mut(queue) {
            progress.committing = false;
            if outcome.is_ok() {
                progress.committed = Some(offset);
            }
        }
        if let Err(error) = outcome {
            tracing::warn!(%queue, group = self.group, %error, "the offset was not committed");
        }
    }

    fn begin_commit(&self, queue: &MessageQueue) -> Option<i64> {
        let mut table = self.table.lock();
        let progress = table.get_mut(queue)?;
        if progress.committed == Some(progress.consumed) {
            return None;
        }
        progress.committing = true;
        Some(progress.consumed)
    }
}

async fn ask_offset(instance: &Instance, queue: &MessageQueue, request: Command) -> Result<i64> {
    instance.route(&queue.topic).await?;
    let address = instance.master_of(&queue.broker_name)?;
    let code = request.request_code();
    let answer = instance.invoke(&address, request).await?;
    Ok(exchange::parse_header::<OffsetFound>(&address, code, &answer)?.offset)
}

/// The offset that a group committed; `None` if it never did.
pub(crate) async fn committed(instance: &Instance, group: &str, queue: &MessageQueue) -> Result<Option<i64>> {
    let header = QueryConsumerOffset {
        consumer_group: group.to_owned(),
        topic: queue.topic.clone(),
        queue_id: queue.queue_id,
        set_zero_if_not_found: None,
    };
    let request = Command::request(RequestCode::QUERY_CONSUMER_OFFSET).with_header(&header);
    match ask_offset(instance, queue, request).await {
        Ok(offset) => Ok(Some(offset)),
        Err(error) if error.is(ResponseCode::QUERY_NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Commits an offset. Java sends this oneway; asking for an answer is what lets a shutdown lose nothing.
pub(crate) async fn commit(
    instance: &Instance,
    group: &str,
    queue: &MessageQueue,
    offset: i64,
) -> Result<()> {
    let header = UpdateConsumerOffset {
        consumer_group: group.to_owned(),
        topic: queue.topic.clone(),
        queue_id: queue.queue_id,
        commit_offset: offset,
    };
    let address = instance.master_of(&queue.broker_name)?;
    let request = Command::request(RequestCode::UPDATE_CONSUMER_OFFSET).with_header(&header);
    instance.invoke(&address, request).await.map(drop)
}

/// The offset behind the newest message.
pub(crate) async fn max_offset(instance: &Instance, queue: &MessageQueue) -> Result<i64> {
    let header = MaxOffset { topic: queue.topic.clone(), queue_id: queue.queue_id, committed: None };
    ask_offset(instance, queue, Command::request(RequestCode::GET_MAX_OFFSET).with_header(&header)).await
}

/// The offset of the oldest message that is still there.
pub(crate) async fn min_offset(instance: &Instance, queue: &MessageQueue) -> Result<i64> {
    let header = QueueOf { topic: queue.topic.clone(), queue_id: queue.queue_id };
    ask_offset(instance, queue, Command::request(RequestCode::GET_MIN_OFFSET).with_header(&header)).await
}

/// The offset of the first message that was stored at that time or later.
pub(crate) async fn offset_at(instance: &Instance, queue: &MessageQueue, time_ms: i64) -> Result<i64> {
    let header = SearchOffset {
        topic: queue.topic.clone(),
        queue_id: queue.queue_id,
        timestamp: time_ms,
        boundary_type: None,
    };
    let request = Command::request(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP).with_header(&header);
    ask_offset(instance, queue, request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceOptions;

    #[tokio::test]
    async fn progress_goes_back_only_when_it_is_set() {
        let instance = Instance::new(InstanceOptions::new("127.0.0.1:1")).unwrap();
        let offsets = Offsets::new(instance, "g".into());
        let queue = MessageQueue::new("T", "b", 0);
        assert_eq!(offsets.consumed(&queue), None);
        offsets.advance(&queue, 7);
        offsets.advance(&queue, 5);
        assert_eq!(offsets.consumed(&queue), Some(7));
        offsets.set(&queue, 2);
        assert_eq!(offsets.consumed(&queue), Some(2));
        offsets.forget(&queue);
        assert_eq!(offsets.consumed(&queue), None);
    }
}
