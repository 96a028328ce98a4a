//! The messages of one queue that were pulled and are not consumed yet, and how far the queue is consumed.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use rmq_proto::body::{MessageQueue, ProcessQueueInfo};
use tokio::sync::Notify;

use crate::{instance::now_ms, message::ReceivedMessage};

/// Java gives a queue up that was not pulled for that long, and takes it anew.
const PULL_EXPIRES: Duration = Duration::from_secs(120);

/// Most that one queue may hold before pulling pauses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// Distance between the smallest and the largest offset: one stuck message must not let the others
    /// run far ahead, since all behind it would be consumed again after a crash.
    pub(crate) span: i64,
}

#[derive(Debug)]
pub(crate) struct ProcessQueue {
    queue: MessageQueue,
    held: Mutex<Held>,
    dropped: AtomicBool,
    /// Tells the puller that messages went or that the queue was dropped.
    changed: Notify,
    last_pull_ms: AtomicI64,
    last_consume_ms: AtomicI64,
}

#[derive(Debug, Default)]
struct Held {
    /// Offset → bytes of the body.
    messages: BTreeMap<i64, usize>,
    bytes: usize,
    /// Offset behind the last message that was ever held.
    end: i64,
}

impl ProcessQueue {
    pub(crate) fn new(queue: MessageQueue) -> Self {
        Self {
            queue,
            held: Mutex::default(),
            dropped: AtomicBool::new(false),
            changed: Notify::new(),
            last_pull_ms: AtomicI64::new(now_ms()),
            last_consume_ms: AtomicI64::new(now_ms()),
        }
    }

    pub(crate) fn queue(&self) -> &MessageQueue {
        &self.queue
    }

    /// Takes pulled messages in.
    pub(crate) fn add(&self, messages: &[ReceivedMessage]) {
        let mut held = self.held.lock();
        for message in messages {
            if held.messages.insert(message.queue_offset, message.body.len()).is_none() {
                held.bytes += message.body.len();
            }
            held.end = held.end.max(message.queue_offset + 1);
        }
    }

    /// Lets consumed messages go. Returns the offset up to which everything is consumed: that of the smallest
    /// message still held. `None` if there never was a message.
    pub(crate) fn remove(&self, offsets: impl IntoIterator<Item = i64>) -> Option<i64> {
        self.last_consume_ms.store(now_ms(), Ordering::Relaxed);
        let mut held = self.held.lock();
        for offset in offsets {
            if let Some(bytes) = held.messages.remove(&offset) {
                held.bytes -= bytes;
            }
        }
        let consumed = held.messages.keys().next().copied().unwrap_or(held.end);
        let ever_held = held.end > 0;
        drop(held);
        self.changed.notify_one();
        ever_held.then_some(consumed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.lock().messages.is_empty()
    }

    /// Whether pulling has to pause.
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        let held = self.held.lock();
        let (first, last) = (held.messages.keys().next(), held.messages.keys().next_back());
        let span = first.zip(last).map_or(0, |(first, last)| last - first);
        held.messages.len() > limits.messages || held.bytes > limits.bytes || span > limits.span
    }

    /// Waits while the queue is full.
    pub(crate) async fn room(&self, limits: &Limits) {
        while self.is_full(limits) && !self.is_dropped() {
            // A full queue is no reason to give it up as expired.
            self.pulled();
            let _ = tokio::time::timeout(Duration::from_secs(10), self.changed.notified()).await;
        }
    }

    /// The queue is not ours any more: nothing is consumed or committed from here on.
    pub(crate) fn drop_it(&self) {
        self.dropped.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    /// Notes that a pull begins.
    pub(crate) fn pulled(&self) {
        self.last_pull_ms.store(now_ms(), Ordering::Relaxed);
    }

    pub(crate) fn is_pull_expired(&self) -> bool {
        let silent_ms = now_ms() - self.last_pull_ms.load(Ordering::Relaxed);
        silent_ms > PULL_EXPIRES.as_millis() as i64
    }

    /// For an administrator. The commit offset is known elsewhere.
    pub(crate) fn info(&self, commit_offset: i64) -> ProcessQueueInfo {
        let held = self.held.lock();
        ProcessQueueInfo {
            commit_offset,
            cached_msg_min_offset: held.messages.keys().next().copied().unwrap_or(0),
            cached_msg_max_offset: held.messages.keys().next_back().copied().unwrap_or(0),
            cached_msg_count: held.messages.len() as i32,
            cached_msg_size_in_mib: (held.bytes / (1024 * 1024)) as i32,
            droped: self.is_dropped(),
            last_pull_timestamp: self.last_pull_ms.load(Ordering::Relaxed),
            last_consume_timestamp: self.last_consume_ms.load(Ordering::Relaxed),
            ..ProcessQueueInfo::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use rmq_proto::message::Message;

    use super::*;

    fn message(offset: i64, len: usize) -> ReceivedMessage {
        let host = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let record = Message {
            topic: "T".into(),
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: host,
            store_timestamp: 0,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            queue_offset: offset,
            physical_offset: 0,
            body_crc: 0,
            body: vec![0; len].into(),
            properties: Default::default(),
            store_size: 0,
        };
        ReceivedMessage::new(record, "b".into())
    }

    fn queue(offsets: &[i64]) -> ProcessQueue {
        let queue = ProcessQueue::new(MessageQueue::new("T", "b", 0));
        queue.add(&offsets.iter().map(|offset| message(*offset, 10)).collect::<Vec<_>>());
        queue
    }

    const LIMITS: Limits = Limits { messages: 3, bytes: 100, span: 50 };

    #[test]
    fn only_what_has_no_gap_before_it_counts_as_consumed() {
        let queue = queue(&[5, 6, 7, 9]);
        assert_eq!(queue.remove([6]), Some(5));
        assert_eq!(queue.remove([9]), Some(5));
        assert_eq!(queue.remove([5]), Some(7));
        assert_eq!(queue.remove([7]), Some(10));
        assert!(queue.is_empty());
    }

    #[test]
    fn an_untouched_queue_commits_nothing() {
        assert_eq!(queue(&[]).remove([]), None);
    }

    #[test]
    fn a_queue_is_full_by_number_bytes_or_span() {
        assert!(!queue(&[0, 1, 2]).is_full(&LIMITS));
        assert!(queue(&[0, 1, 2, 3]).is_full(&LIMITS));
        assert!(queue(&[0, 51]).is_full(&LIMITS));
        let heavy = queue(&[]);
        heavy.add(&[message(0, 101)]);
        assert!(heavy.is_full(&LIMITS));
    }

    #[test]
    fn a_message_pulled_twice_is_counted_once() {
        let queue = queue(&[1, 1, 1]);
        assert_eq!(queue.info(0).cached_msg_count, 1);
        assert_eq!(queue.remove([1]), Some(2));
        assert_eq!(queue.held.lock().bytes, 0);
    }

    #[tokio::test]
    async fn room_comes_with_consumption() {
        let queue = std::sync::Arc::new(queue(&[0, 1, 2, 3]));
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.room(&LIMITS).await }
        });
        queue.remove([0]);
        waiting.await.unwrap();
    }
}
