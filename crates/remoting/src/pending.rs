//! Who waits for which answer: the opaque of a request leads to its waiter.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use rmq_proto::command::Command;
use tokio::sync::oneshot;

/// A table that grew larger than this in a burst is given back once it is empty.
const KEPT_CAPACITY: usize = 256;

/// The requests of this side that the peer has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    next_opaque: AtomicI32,
    waiters: Mutex<HashMap<i32, oneshot::Sender<Command>>>,
}

/// One request's claim on its answer; it is withdrawn when dropped.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    pending: &'a Pending,
    pub(crate) opaque: i32,
    answer: oneshot::Receiver<Command>,
}

impl Pending {
    /// A number for the next request of this side.
    pub(crate) fn next_opaque(&self) -> i32 {
        self.next_opaque.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts to wait for the answer to a request with a new number.
    pub(crate) fn register(&self) -> Waiter<'_> {
        let (sender, answer) = oneshot::channel();
        let opaque = self.next_opaque();
        self.waiters.lock().insert(opaque, sender);
        Waiter { pending: self, opaque, answer }
    }

    /// Hands an answer to its waiter; false if nobody waits for it any more.
    pub(crate) fn complete(&self, answer: Command) -> bool {
        let waiter = self.remove(answer.opaque);
        waiter.is_some_and(|waiter| waiter.send(answer).is_ok())
    }

    /// Ends the wait of all, without an answer.
    pub(crate) fn fail_all(&self) {
        let waiters = std::mem::take(&mut *self.waiters.lock());
        drop(waiters);
    }

    fn remove(&self, opaque: i32) -> Option<oneshot::Sender<Command>> {
        let mut waiters = self.waiters.lock();
        let waiter = waiters.remove(&opaque);
        if waiters.is_empty() && waiters.capacity() > KEPT_CAPACITY {
            *waiters = HashMap::new();
        }
        waiter
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiters.lock().len()
    }
}

impl Waiter<'_> {
    /// The answer; nothing if the connection ended first.
    pub(crate) async fn answer(&mut self) -> Option<Command> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.pending.remove(self.opaque);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(opaque: i32) -> Command {
        Command { opaque, ..Command::success() }
    }

    #[tokio::test]
    async fn an_answer_finds_its_waiter_and_only_that_one() {
        let pending = Pending::default();
        let (mut first, mut second) = (pending.register(), pending.register());
        assert!(pending.complete(answer(second.opaque)));
        assert!(pending.complete(answer(first.opaque)));
        assert_eq!(first.answer().await.map(|a| a.opaque), Some(first.opaque));
        assert_eq!(second.answer().await.map(|a| a.opaque), Some(second.opaque));
        assert!(!pending.complete(answer(first.opaque)));
    }

    #[tokio::test]
    async fn dropped_waiters_leave_nothing_behind() {
        let pending = Pending::default();
        let waiters: Vec<_> = (0..1000).map(|_| pending.register()).collect();
        assert_eq!(pending.len(), 1000);
        drop(waiters);
        assert_eq!(pending.len(), 0);
        assert!(pending.waiters.lock().capacity() <= KEPT_CAPACITY);
    }

    #[tokio::test]
    async fn closing_ends_all_waits() {
        let pending = Pending::default();
        let mut waiter = pending.register();
        pending.fail_all();
        assert!(waiter.answer().await.is_none());
    }
}
