//! Which queue a message goes to: all in turn, or one by the hash of a key.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::RwLock;
use rmq_proto::{body::MessageQueue, message::hash::string_hash};

use crate::{
    error::{Error, Result},
    instance::random,
};

/// Where the turn is in each topic. It begins at a random queue, so that many producers spread.
#[derive(Debug, Default)]
pub(crate) struct Rotations(RwLock<HashMap<String, Arc<AtomicUsize>>>);

impl Rotations {
    /// The next queue that `prefer` accepts; if there is none, one that the fallbacks accept, in their order.
    pub(crate) fn next<'q>(
        &self,
        topic: &str,
        queues: &'q [MessageQueue],
        wishes: &[&dyn Fn(&MessageQueue) -> bool],
    ) -> Option<&'q MessageQueue> {
        if queues.is_empty() {
            return None;
        }
        let turn = self.turn(topic);
        let next = || &queues[turn.fetch_add(1, Ordering::Relaxed) % queues.len()];
        for wish in wishes {
            if let Some(queue) = (0..queues.len()).map(|_| next()).find(|queue| wish(queue)) {
                return Some(queue);
            }
        }
        Some(next())
    }

    fn turn(&self, topic: &str) -> Arc<AtomicUsize> {
        if let Some(turn) = self.0.read().get(topic) {
            return turn.clone();
        }
        let mut turns = self.0.write();
        // Half the range leaves room to count up without ever wrapping.
        let start = || Arc::new(AtomicUsize::new(random() as usize >> 1));
        turns.entry(topic.to_owned()).or_insert_with(start).clone()
    }
}

/// Java's `SelectMessageQueueByHash`: the absolute value of the remainder.
pub(crate) fn by_hash(key: &str, queues: usize) -> usize {
    match i32::try_from(queues) {
        Ok(0) | Err(_) => 0,
        Ok(queues) => (string_hash(key) % queues).unsigned_abs() as usize,
    }
}

/// The queue at the index that `choose` returns.
pub(crate) fn chosen<'q>(
    topic: &str,
    queues: &'q [MessageQueue],
    choose: impl FnOnce(&[MessageQueue]) -> usize,
) -> Result<&'q MessageQueue> {
    if queues.is_empty() {
        return Err(Error::NoQueue { topic: topic.to_owned(), wanted: "written" });
    }
    Ok(&queues[choose(queues) % queues.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues() -> Vec<MessageQueue> {
        ["a", "b"].iter().flat_map(|broker| (0..2).map(|id| MessageQueue::new("T", *broker, id))).collect()
    }

    #[test]
    fn every_queue_has_its_turn() {
        let (rotations, queues) = (Rotations::default(), queues());
        let mut seen: Vec<_> = (0..4).map(|_| rotations.next("T", &queues, &[]).unwrap().clone()).collect();
        seen.sort();
        assert_eq!(seen, queues);
    }

    #[test]
    fn a_wish_is_met_if_it_can_be() {
        let (rotations, queues) = (Rotations::default(), queues());
        for _ in 0..8 {
            let not_a = rotations.next("T", &queues, &[&|queue| queue.broker_name != "a"]).unwrap();
            assert_eq!(not_a.broker_name, "b");
            let fallback = rotations.next("T", &queues, &[&|_| false, &|queue| queue.queue_id == 1]).unwrap();
            assert_eq!(fallback.queue_id, 1);
        }
        assert!(rotations.next("T", &queues, &[&|_| false]).is_some());
        assert!(rotations.next("T", &[], &[]).is_none());
    }

    #[test]
    fn equal_keys_go_to_equal_queues() {
        assert_eq!(by_hash("TagA", 4), 2_598_919 % 4);
        // This text's hash is the smallest i32, which has no positive twin.
        assert_eq!(by_hash("polygenelubricants", 3), 2);
        assert_eq!(by_hash("x", 0), 0);
    }
}
