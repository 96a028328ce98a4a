//! Which client of a group may consume which queue, for consumers that keep order.
//!
//! A lock lives [`LOCK_LIFETIME`] unless its holder renews it. Clients renew every 20 s and stop trusting
//! their own lock after 30 s, so no two of them ever work on a queue at once.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rmq_proto::body::MessageQueue;

/// How long a lock lives without being renewed (Java: `rocketmq.broker.rebalance.lockMaxLiveTime`).
pub const LOCK_LIFETIME: Duration = Duration::from_secs(60);

/// All queue locks of the broker.
#[derive(Debug, Default)]
pub struct QueueLocks {
    groups: Mutex<HashMap<String, HashMap<MessageQueue, Lock>>>,
}

#[derive(Debug)]
struct Lock {
    holder: String,
    renewed: Instant,
}

impl QueueLocks {
    /// No locks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Locks or renews each queue that is free or already held by `client_id`; answers those.
    pub fn lock(
        &self,
        group: &str,
        queues: &BTreeSet<MessageQueue>,
        client_id: &str,
        now: Instant,
    ) -> BTreeSet<MessageQueue> {
        let mut groups = self.groups.lock();
        let locks = groups.entry(group.to_owned()).or_default();
        locks.retain(|_, lock| lock.is_alive(now));
        for queue in queues {
            let lock = locks
                .entry(queue.clone())
                .or_insert_with(|| Lock { holder: client_id.to_owned(), renewed: now });
            if lock.holder == client_id {
                lock.renewed = now;
            }
        }
        queues
            .iter()
            .filter(|queue| locks.get(queue).is_some_and(|l| l.holder == client_id))
            .cloned()
            .collect()
    }

    /// Frees those of the queues that `client_id` holds.
    pub fn unlock(&self, group: &str, queues: &BTreeSet<MessageQueue>, client_id: &str) {
        let mut groups = self.groups.lock();
        let Some(locks) = groups.get_mut(group) else { return };
        locks.retain(|queue, lock| lock.holder != client_id || !queues.contains(queue));
        if locks.is_empty() {
            groups.remove(group);
        }
    }

    /// Does any client of the group hold a lock? If so the group consumes in order.
    pub fn any_held(&self, group: &str, now: Instant) -> bool {
        self.groups.lock().get(group).is_some_and(|locks| locks.values().any(|lock| lock.is_alive(now)))
    }
}

impl Lock {
    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.renewed) <= LOCK_LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(ids: &[i32]) -> BTreeSet<MessageQueue> {
        ids.iter().map(|id| MessageQueue::new("t", "b", *id)).collect()
    }

    #[test]
    fn a_queue_has_one_holder() {
        let locks = QueueLocks::new();
        let now = Instant::now();
        assert_eq!(locks.lock("g", &queues(&[0, 1]), "a", now), queues(&[0, 1]));
        assert_eq!(locks.lock("g", &queues(&[1, 2]), "b", now), queues(&[2]));
        assert_eq!(locks.lock("other", &queues(&[1]), "b", now), queues(&[1]));
        locks.unlock("g", &queues(&[1, 2]), "a");
        assert_eq!(locks.lock("g", &queues(&[1, 2]), "b", now), queues(&[1, 2]));
    }

    #[test]
    fn a_lock_that_is_not_renewed_ends() {
        let locks = QueueLocks::new();
        let start = Instant::now();
        let later = start + LOCK_LIFETIME;
        locks.lock("g", &queues(&[0, 1]), "a", start);
        locks.lock("g", &queues(&[0]), "a", later);
        let end = later + Duration::from_millis(1);
        assert_eq!(locks.lock("g", &queues(&[0, 1]), "b", end), queues(&[1]));
        assert!(locks.any_held("g", later + LOCK_LIFETIME));
        assert!(!locks.any_held("g", end + LOCK_LIFETIME + Duration::from_millis(1)));
    }
}
