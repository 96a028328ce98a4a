//! What a store does beside appending and reading: writing queues, checkpoints, deleting, closing.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    config::Retention,
    derived::{index::Index, roster::Roster},
    disk::Usage,
    error::{IoContext, StoreError},
    fault,
    file::{checkpoint::Marks, lock},
    retention::{self, Occasion},
    store::Core,
};

/// Queues that are noted at once.
const FEW_QUEUES: usize = 1_000;

impl Core {
    /// Writes queues to their files and advances the checkpoint, while there is anything to do.
    pub(crate) fn keep_queues(&self) {
        let interval = Duration::from_millis(self.config.queue_flush_interval_ms);
        let checkpoint_interval = Duration::from_millis(self.config.checkpoint_interval_ms);
        let mut last_checkpoint = Instant::now();
        let mut last_error = None;
        while self.queue_bell.wait() {
            if !self.queue_bell.pause(interval) {
                return;
            }
            // What was read is in the page cache; it need not count as memory of the process too.
            self.log.files().all().iter().for_each(|file| file.release_memory());
            let is_due = last_checkpoint.elapsed() >= checkpoint_interval;
            let flushed = if is_due {
                last_checkpoint = Instant::now();
                self.save_checkpoint()
            } else {
                self.queues.flush(false)
            };
            let lacks_index = self.dispatcher.make_up_index(&self.log, self.index.as_ref());
            self.dispatch_missed();
            if lacks_index || !matches!(flushed, Ok(false)) {
                self.queue_bell.ring();
            }
            let error = flushed.err().map(|error| error.to_string());
            // Each second the same would be said again.
            if last_error != error {
                match &error {
                    Some(error) => tracing::error!(error, "queues can't be written; they stay in memory"),
                    None => tracing::info!("queues can be written again"),
                }
                last_error = error;
            }
        }
    }

    /// Syncs queues and index, then says so in the checkpoint. True if there is more to do later.
    pub(crate) fn save_checkpoint(&self) -> Result<bool, StoreError> {
        self.save_with_roster(false)
    }

    /// Likewise, and notes the queues, which is done anyway unless there are many and it takes more than 1 %
    /// of the time.
    pub(crate) fn save_with_roster(&self, always: bool) -> Result<bool, StoreError> {
        // Held throughout: one of two that save at once would not wait for the syncs of the other.
        let mut checkpoint = self.checkpoint.lock();
        let (queue_offset, queue_timestamp) = self.dispatcher.last();
        let log_timestamp = self.log.last_timestamp();
        let more = self.queues.flush(true)?;
        let index_timestamp = self.index.as_ref().map(Index::sync).transpose()?;
        if self.log.failure().is_some() {
            return Ok(more);
        }
        let (started, mut last_note) = (Instant::now(), self.last_note.lock());
        let is_due = || last_note.is_none_or(|(at, cost)| at.elapsed() > cost * 100);
        let noted = (always || self.queues.count() <= FEW_QUEUES || is_due())
            .then(|| Roster::note(&self.queues, self.log.start()));
        let note_took = started.elapsed();
        // The checkpoint must not be ahead of the log.
        self.log.sync().doing("sync", self.log.files().dir())?;
        let before = checkpoint.marks();
        let marks = Marks {
            log_timestamp,
            queue_timestamp,
            index_timestamp: index_timestamp.unwrap_or(before.index_timestamp),
            queue_offset,
            ..before
        };
        checkpoint.save(marks)?;
        if let Some(noted) = noted {
            let started = Instant::now();
            Roster::save(&self.config.root_dir, &noted)?;
            *last_note = Some((Instant::now(), note_took + started.elapsed()));
        }
        Ok(more)
    }

    pub(crate) fn clean(&self) {
        if self.log.failure().is_some() {
            // Nothing new comes, so nothing has to go; and the disk would refuse that too.
            return;
        }
        let Usage { used_percent, .. } = self.disk.look();
        let (retention, is_full) = (self.disk.retention(), self.disk.full().is_some());
        let asked =
            self.asked_runs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |runs| runs.checked_sub(1));
        let now_ms = self.config.clock.now_ms();
        let reason = retention.reason(Occasion { used_percent, is_full, is_asked: asked.is_ok(), now_ms });
        if let Err(error) = self.delete_files(&retention, reason, now_ms) {
            tracing::error!(%error, "expired files can't be deleted");
        }
        if is_full {
            // Appends come again as soon as there is space, not only when somebody looks.
            self.disk.look();
        }
    }

    fn delete_log_files(&self, new_start: u64, reason: retention::Reason) -> Result<(), StoreError> {
        // Queues whose records all go must be on disk first: nothing could bring their offsets back.
        match self.save_checkpoint() {
            // On a full disk that may be impossible before there is space again.
            Err(error) if reason != retention::Reason::Forced => return Err(error),
            _ => {}
        }
        let deleted = self.log.files().delete(|file| file.end() <= new_start)?;
        tracing::info!(deleted, ?reason, new_start, "log files are deleted");
        Ok(())
    }

    fn delete_files(
        &self,
        retention: &Retention,
        reason: retention::Reason,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let new_start = retention::new_start(&self.log, retention, reason, now_ms)?;
        if new_start > self.log.start() {
            self.delete_log_files(new_start, reason)?;
        }
        let log_start = self.log.start();
        if self.cleaned_below.load(Ordering::SeqCst) >= log_start {
            return Ok(());
        }
        for queue in self.queues.all() {
            queue.delete_before(log_start)?;
        }
        if let Some(index) = &self.index {
            index.delete_before(log_start)?;
        }
        self.cleaned_below.store(log_start, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn close(&self) -> Result<(), StoreError> {
        // Waits for an append that is at it; later ones see that the store is closed.
        drop(self.log.appender());
        if self.log.failure().is_some() {
            return Ok(());
        }
        fault::hit(fault::CLOSE).doing("close", &self.config.root_dir)?;
        self.log.sync().doing("sync", self.log.files().dir())?;
        self.dispatch();
        let lacks_index = self.dispatcher.make_up_index(&self.log, self.index.as_ref());
        self.save_with_roster(true)?;
        // Java trusts queues and index without an abort file, so it goes only if they have everything.
        if self.dispatcher.done().get() as u64 == self.log.end() && !lacks_index {
            lock::remove_abort(&self.config.root_dir)?;
        }
        Ok(())
    }
}
