//! Pulls that found nothing and wait for a message of their queue.
//!
//! A parked pull costs one entry here and one sleeping task; idle ones cost no CPU. The store reports each
//! new message, and only the pulls of that queue whose filter lets it pass are woken. The data path comes
//! from the store's dispatch and goes back to `handler/pull`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    },
};

use parking_lot::Mutex;
use rmq_store::Arrival;
use tokio::sync::oneshot;

use crate::filter::Filter;

/// All parked pulls.
#[derive(Debug)]
pub struct Pulls {
    shards: Vec<Mutex<Shard>>,
    next_ticket: AtomicU64,
    parked: AtomicUsize,
    max_parked: usize,
    max_per_queue: usize,
}

/// By topic, then by queue: looking up needs no allocation for a key of both.
type Shard = HashMap<String, HashMap<i32, Queue>>;
/// By ticket, so that the longest waiting is woken first.
type Queue = BTreeMap<u64, Waiting>;

#[derive(Debug)]
struct Waiting {
    from_offset: i64,
    filter: Filter,
    wake: oneshot::Sender<()>,
}

/// Too many pulls are parked already; the limit that was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// In the whole broker.
    #[error("{0} pulls are parked in this broker, which is the limit")]
    Broker(usize),
    /// On one queue.
    #[error("{0} pulls are parked on this queue, which is the limit")]
    Queue(usize),
}

/// A place among the parked pulls, given back when dropped.
#[derive(Debug)]
pub struct Parked {
    pulls: Arc<Pulls>,
    topic: String,
    queue_id: i32,
    ticket: u64,
    woken: oneshot::Receiver<()>,
}

impl Pulls {
    /// No pulls; room for `max_parked`, of them `max_per_queue` on one queue.
    pub fn new(max_parked: usize, max_per_queue: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            next_ticket: AtomicU64::default(),
            parked: AtomicUsize::default(),
            max_parked,
            max_per_queue,
        }
    }

    /// How many are parked.
    pub fn len(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// None parked?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are parked on a queue.
    pub fn len_of(&self, topic: &str, queue_id: i32) -> usize {
        self.shard(topic).lock().get(topic).and_then(|queues| queues.get(&queue_id)).map_or(0, Queue::len)
    }

    /// Parks a pull that has read everything below `from_offset`. The caller must look at the queue once
    /// more afterwards: a message may have arrived between its reading and this.
    pub fn park(
        self: &Arc<Self>,
        topic: &str,
        queue_id: i32,
        from_offset: i64,
        filter: Filter,
    ) -> Result<Parked, Full> {
        if self.parked.fetch_add(1, Ordering::Relaxed) >= self.max_parked {
            self.parked.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Broker(self.max_parked));
        }
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        let (wake, woken) = oneshot::channel();
        let mut shard = self.shard(topic).lock();
        let queues = match shard.get_mut(topic) {
            Some(queues) => queues,
            None => shard.entry(topic.to_owned()).or_default(),
        };
        let queue = queues.entry(queue_id).or_default();
        if queue.len() >= self.max_per_queue {
            self.parked.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Queue(self.max_per_queue));
        }
        queue.insert(ticket, Waiting { from_offset, filter, wake });
        drop(shard);
        // Pairs with the fence in `arrived`: either the store sees this pull, or the caller's second look
        // sees the message.
        fence(Ordering::SeqCst);
        Ok(Parked { pulls: self.clone(), topic: topic.to_owned(), queue_id, ticket, woken })
    }

    /// A message arrived in a queue. Called by the store for every message: cheap when nobody waits.
    pub fn arrived(&self, arrival: &Arrival<'_>) {
        fence(Ordering::SeqCst);
        if self.is_empty() {
            return;
        }
        let mut shard = self.shard(arrival.topic).lock();
        let Some(queue) = shard.get_mut(arrival.topic).and_then(|queues| queues.get_mut(&arrival.queue_id))
        else {
            return;
        };
        let wanted = |waiting: &mut Waiting| {
            arrival.queue_offset >= waiting.from_offset && waiting.filter.matches_code(arrival.tags_code)
        };
        for (_, waiting) in queue.extract_if(.., |_, waiting| wanted(waiting)) {
            self.parked.fetch_sub(1, Ordering::Relaxed);
            // A receiver that is gone has timed out just now.
            let _ = waiting.wake.send(());
        }
    }

    /// Wakes everybody, for instance because the topic is deleted or the broker changes its role.
    pub fn wake_all(&self) {
        for shard in &self.shards {
            for queue in shard.lock().values_mut().flat_map(HashMap::values_mut) {
                while let Some((_, waiting)) = queue.pop_first() {
                    self.parked.fetch_sub(1, Ordering::Relaxed);
                    let _ = waiting.wake.send(());
                }
            }
        }
    }

    fn shard(&self, topic: &str) -> &Mutex<Shard> {
        let hash = topic.bytes().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        &self.shards[hash % SHARDS]
    }

    fn leave(&self, topic: &str, queue_id: i32, ticket: u64) {
        let mut shard = self.shard(topic).lock();
        let Some(queues) = shard.get_mut(topic) else { return };
        let Some(queue) = queues.get_mut(&queue_id) else { return };
        if queue.remove(&ticket).is_some() {
            self.parked.fetch_sub(1, Ordering::Relaxed);
        }
        if queue.is_empty() {
            queues.remove(&queue_id);
        }
        if queues.is_empty() {
            shard.remove(topic);
        }
    }
}

/// Locks that the topics are spread over, so that arrivals of different topics rarely meet.
const SHARDS: usize = 64;

impl Parked {
    /// Waits until a wanted message arrives.
    pub async fn woken(&mut self) {
        // An error would mean that the sender was dropped without waking, which only `leave` does.
        let _ = (&mut self.woken).await;
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.pulls.leave(&self.topic, self.queue_id, self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use rmq_proto::{body::SubscriptionData, message::hash::tags_code};

    use super::*;

    fn arrival<'a>(topic: &'a str, queue_id: i32, queue_offset: i64, tags: &str) -> Arrival<'a> {
        let tags_code = tags_code(tags);
        let (physical_offset, size, store_timestamp, properties) = (0, 100, 0, "");
        Arrival {
            topic,
            queue_id,
            queue_offset,
            tags_code,
            physical_offset,
            size,
            store_timestamp,
            properties,
        }
    }

    fn is_woken(parked: &mut Parked) -> bool {
        parked.woken.try_recv().is_ok()
    }

    fn only(tag: &str) -> Filter {
        Filter::new(&SubscriptionData::tags("t", tag, 0).unwrap()).unwrap()
    }

    #[test]
    fn only_the_pulls_of_the_queue_that_want_the_message_wake() {
        let pulls = Arc::new(Pulls::new(10, 10));
        let mut all = pulls.park("t", 0, 5, Filter::All).unwrap();
        let mut wanting_b = pulls.park("t", 0, 5, only("B")).unwrap();
        let mut further = pulls.park("t", 0, 6, Filter::All).unwrap();
        let mut elsewhere = pulls.park("t", 1, 5, Filter::All).unwrap();
        pulls.arrived(&arrival("t", 0, 4, "A"));
        assert!(!is_woken(&mut all), "that message was read already");
        pulls.arrived(&arrival("t", 0, 5, "A"));
        assert!(is_woken(&mut all));
        assert!(!is_woken(&mut wanting_b));
        assert!(!is_woken(&mut further));
        assert!(!is_woken(&mut elsewhere));
        pulls.arrived(&arrival("t", 0, 6, "B"));
        assert!(is_woken(&mut wanting_b));
        assert!(is_woken(&mut further));
        assert_eq!(pulls.len(), 1);
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let pulls = Arc::new(Pulls::new(3, 2));
        let first = pulls.park("t", 0, 0, Filter::All).unwrap();
        let _second = pulls.park("t", 0, 0, Filter::All).unwrap();
        assert_eq!(pulls.park("t", 0, 0, Filter::All).unwrap_err(), Full::Queue(2));
        let _third = pulls.park("u", 0, 0, Filter::All).unwrap();
        assert_eq!(pulls.park("u", 0, 0, Filter::All).unwrap_err(), Full::Broker(3));
        drop(first);
        assert_eq!(pulls.len_of("t", 0), 1);
        let again = pulls.park("t", 0, 0, Filter::All).unwrap();
        pulls.arrived(&arrival("t", 0, 0, ""));
        drop(again);
        assert_eq!(pulls.len(), 1);
    }

    #[test]
    fn an_idle_queue_leaves_nothing_behind() {
        let pulls = Arc::new(Pulls::new(3, 3));
        drop(pulls.park("t", 0, 0, Filter::All).unwrap());
        assert!(pulls.shards.iter().all(|shard| shard.lock().is_empty()));
    }

    #[tokio::test]
    async fn waking_all_wakes_all() {
        let pulls = Arc::new(Pulls::new(3, 3));
        let mut parked = pulls.park("t", 0, 0, Filter::All).unwrap();
        pulls.wake_all();
        parked.woken().await;
        assert!(pulls.is_empty());
    }
}
