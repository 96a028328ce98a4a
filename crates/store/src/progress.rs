//! A watermark that one side raises and others await: flushed, dispatched, replicated.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The watermark stopped rising for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was waited for failed and will not happen")]
pub struct Stopped;

type Waiter = oneshot::Sender<()>;

/// A position that only rises, and those who wait for it.
#[derive(Debug, Default)]
pub struct Progress {
    value: AtomicI64,
    stopped: AtomicBool,
    waiters: Mutex<BTreeMap<i64, Vec<Waiter>>>,
}

impl Progress {
    /// A watermark at `value`.
    pub fn new(value: i64) -> Self {
        Self { value: AtomicI64::new(value), ..Self::default() }
    }

    /// Where it is.
    pub fn get(&self) -> i64 {
        self.value.load(Ordering::SeqCst)
    }

    /// Raises it to `value` and wakes all that waited for `value` or less. Lower values change nothing.
    pub fn raise(&self, value: i64) {
        if self.value.fetch_max(value, Ordering::SeqCst) >= value {
            return;
        }
        let mut waiters = self.waiters.lock();
        let still_waiting = match value.checked_add(1) {
            Some(above) => waiters.split_off(&above),
            None => BTreeMap::new(),
        };
        let ready = std::mem::replace(&mut *waiters, still_waiting);
        drop(waiters);
        for waiter in ready.into_values().flatten() {
            // The other side may have given up; that is its business.
            let _ = waiter.send(());
        }
    }

    /// Ends it: whoever waits above the current value fails, now and later.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Dropping the senders is what wakes the waiters with a failure.
        self.waiters.lock().clear();
    }

    /// Waits until it is at `target` or above.
    pub async fn reached(&self, target: i64) -> Result<(), Stopped> {
        match self.waiter(target)? {
            Some(waiter) => waiter.await.map_err(|_| Stopped),
            None => Ok(()),
        }
    }

    /// Like [`Progress::reached`], for a thread that may block.
    pub fn reached_blocking(&self, target: i64) -> Result<(), Stopped> {
        match self.waiter(target)? {
            Some(waiter) => waiter.blocking_recv().map_err(|_| Stopped),
            None => Ok(()),
        }
    }

    fn waiter(&self, target: i64) -> Result<Option<oneshot::Receiver<()>>, Stopped> {
        if self.get() >= target {
            return Ok(None);
        }
        let mut waiters = self.waiters.lock();
        // Both are asked again under the lock: raise and stop change them before they take it.
        if self.get() >= target {
            return Ok(None);
        }
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Stopped);
        }
        let (sender, receiver) = oneshot::channel();
        waiters.entry(target).or_default().push(sender);
        Ok(Some(receiver))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn reached_targets_do_not_wait() {
        let progress = Progress::new(5);
        assert_eq!(progress.reached_blocking(5), Ok(()));
        progress.raise(3);
        assert_eq!(progress.get(), 5);
    }

    #[test]
    fn one_raise_wakes_all_below() {
        let progress = Arc::new(Progress::new(0));
        let waiting: Vec<_> = (1..=8)
            .map(|target| {
                let progress = progress.clone();
                thread::spawn(move || progress.reached_blocking(target))
            })
            .collect();
        progress.raise(8);
        for waiter in waiting {
            assert_eq!(waiter.join().unwrap(), Ok(()));
        }
    }

    #[test]
    fn stopping_fails_only_what_was_not_reached() {
        let progress = Progress::new(0);
        let waiter = progress.waiter(2).unwrap().unwrap();
        progress.raise(1);
        progress.stop();
        assert!(waiter.blocking_recv().is_err());
        assert_eq!(progress.reached_blocking(1), Ok(()));
        assert_eq!(progress.reached_blocking(2), Err(Stopped));
    }
}
