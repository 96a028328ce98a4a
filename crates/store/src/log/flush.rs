//! The thread that makes the log safe, and everything that has to wait for that.
//!
//! It sleeps until something is appended. With asynchronous flushing it then waits for the interval,
//! so that one sync covers all appends of it; with synchronous flushing it syncs at once, and what is
//! appended during a sync is covered by the next one: the group commit.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::commit_log::CommitLog;
use crate::config::{FlushMode, StoreConfig};

const PAGE: u64 = 4096;

/// Tells a sleeping thread that there is work or that it shall end.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    /// There is work. Costs one atomic operation while the thread has not taken the last ring.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            // Under the lock, or the ring could fall between the sleeper's look and its sleep.
            let _stopped = self.stopped.lock();
            self.wake.notify_all();
        }
    }

    /// The thread shall end.
    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.wake.notify_all();
    }

    /// Sleeps until it rings, and takes the ring; false: end.
    pub(crate) fn wait(&self) -> bool {
        let mut stopped = self.stopped.lock();
        while !*stopped && !self.rung.load(Ordering::SeqCst) {
            self.wake.wait(&mut stopped);
        }
        self.rung.store(false, Ordering::SeqCst);
        !*stopped
    }

    /// Sleeps for a while, whatever rings; false: end.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut stopped = self.stopped.lock();
        while !*stopped && !self.wake.wait_until(&mut stopped, until).timed_out() {}
        !*stopped
    }
}

/// Syncs the log whenever the bell says that something was appended, until it stops; calls `synced`
/// after each sync.
pub(crate) fn run(log: &CommitLog, config: &StoreConfig, bell: &Bell, synced: impl Fn()) {
    let mut last_sync = Instant::now();
    while bell.wait() {
        if let FlushMode::Async { interval_ms } = config.flush {
            if !bell.pause(Duration::from_millis(interval_ms)) {
                return;
            }
            let dirty = log.end().saturating_sub(log.flushed().get() as u64);
            let since = last_sync.elapsed().as_millis() as u64;
            if dirty < config.flush_least_pages * PAGE && since < config.flush_thorough_interval_ms {
                bell.ring();
                continue;
            }
        }
        last_sync = Instant::now();
        if log.sync().is_err() {
            // The log has said why and is read-only now: nothing is left to sync.
            return;
        }
        synced();
    }
}
