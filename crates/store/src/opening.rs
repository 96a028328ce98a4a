//! Opening a store: what was there, what of it holds, and where the log ends.
//!
//! Everything below a point D of the log is taken as it is: log, queues and index are synced there.
//! Whatever queues and index hold of records behind D is forgotten, the log is walked from D to its
//! end, and each record is put into them again. So one way serves both starts:
//!
//! * after a clean close (no `abort` file) D is behind the last record that a queue knows;
//! * after a crash it is what the checkpoint says.
//!
//! If files of queues or index were lost, the walk begins at the log's start instead: when a directory is
//! gone or a file has a wrong length, when a record comes to a queue that lacks units of earlier ones, or
//! when a queue is shorter than the list of queues says (`derived/roster`).

use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use rmq_proto::message::RecordView;

use crate::{
    config::StoreConfig,
    derived::{
        dispatch::{Dispatcher, OnArrival},
        index::Index,
        queue_file::Unit,
        queues::Queues,
        roster::Roster,
    },
    disk::Disk,
    error::{IoContext, StoreError},
    fault,
    file::{
        checkpoint::{Checkpoint, Marks},
        lock::{self, DirLock},
        mapped_file::MappedFile,
    },
    log::{
        commit_log::CommitLog,
        recover::{self, Recovered},
    },
    store::{Core, total_memory},
};

/// A Java broker before 5.3 has no offset in its checkpoint; it goes back by time, and a little more.
const CHECKPOINT_SLACK_MS: i64 = 3_000;

/// Opens or creates the store and brings it to a state in which it can serve.
pub(crate) fn open(config: StoreConfig, on_arrival: OnArrival) -> Result<Core, StoreError> {
    config.check()?;
    let root = config.root_dir.clone();
    for dir in [&root, &config.commit_log_dir()] {
        lock::create_dir(dir)?;
    }
    let dir_lock = DirLock::take(&root)?;
    let aborted = lock::was_aborted(&root);
    let has_queues = config.consume_queue_dir().exists();
    let has_index = !config.index_enable || root.join("index").exists();
    let mut checkpoint = Checkpoint::open(&root)?;
    if !has_queues || !has_index {
        checkpoint.forget()?;
    }
    let log = CommitLog::load(&config)?;
    let roster = Roster::read(&root)?;
    let nothing = Roster::default();
    let unchanged = if aborted && !roster.is_of_this_boot() { &nothing } else { &roster };
    let (queues, queues_intact) = Queues::load(&config, &mut checkpoint, unchanged)?;
    let (index, index_intact) = match config.index_enable {
        true => Index::load(&config, &mut checkpoint).map(|(index, intact)| (Some(index), intact))?,
        false => (None, true),
    };
    lock::create_abort(&root)?;
    let core = Core {
        memory: total_memory() / 100 * u64::from(config.memory_percent),
        dispatcher: Dispatcher::new(&config, on_arrival),
        checkpoint: Mutex::new(checkpoint),
        lock: Mutex::new(Some(dir_lock)),
        damaged: Default::default(),
        flush_bell: Default::default(),
        queue_bell: Default::default(),
        closed: Default::default(),
        disk: Disk::new(&config),
        last_note: Default::default(),
        cleaned_below: Default::default(),
        asked_runs: Default::default(),
        config,
        log,
        queues,
        index,
    };
    let is_complete = has_queues && has_index && queues_intact && index_intact;
    core.recover(aborted, is_complete, &roster)?;
    Ok(core)
}

impl Core {
    fn recover(&self, aborted: bool, is_complete: bool, roster: &Roster) -> Result<(), StoreError> {
        fault::hit(fault::RECOVER).doing("open", &self.config.root_dir)?;
        let log_start = self.log.files().first().map_or(0, |file| file.start());
        let marks = self.checkpoint.lock().marks();
        let trusted = if aborted {
            synced_until(&self.log, &marks).unwrap_or(log_start)
        } else {
            self.queues.truncate(u64::MAX >> 1)?;
            // Not before the checkpoint, or the records of a deleted topic at the log's end would make it
            // anew. Without any queue nothing is known, and it must not be trusted.
            let queued = self.last_queued();
            queued.map_or(log_start, |queued| queued.max(synced_until(&self.log, &marks).unwrap_or(0)))
        };
        let known_end = self.last_unit().map_or(0, |unit| unit.end());
        self.forget_from(trusted)?;
        fault::hit(fault::RECOVER_FORGOTTEN).doing("open", &self.config.root_dir)?;
        // What is lost is put again from the log's start; what is there is known and stays.
        let from = if is_complete { trusted } else { log_start };
        let is_long = (aborted || !is_complete) && self.log.files().last().is_some();
        if is_long {
            tracing::info!(aborted, is_complete, from, "the store is being recovered");
        }
        let last = self.last_unit().map_or(0, |unit| unit.physical_offset).max(marks.queue_offset);
        self.dispatcher.resume(last, marks.queue_timestamp);
        let mut found = self.walk(from)?;
        let lost = roster.lost(&self.queues, log_start);
        if from > log_start && (lost.is_some() || self.dispatcher.gaps() > 0) {
            tracing::warn!(queue = lost, "units of queues are lost: all are made again from the log");
            self.checkpoint.lock().forget()?;
            self.forget_from(log_start)?;
            let again = self.walk(log_start)?;
            found = Recovered { damaged_ranges: found.damaged_ranges + again.damaged_ranges, ..again };
        }
        let last_timestamp = match found.records {
            0 => marks.log_timestamp,
            _ => found.last_timestamp,
        };
        fault::hit(fault::RECOVER_TRUNCATE).doing("open", &self.config.root_dir)?;
        self.log.truncate(found.end, last_timestamp)?;
        self.forget_from(found.end)?;
        self.queues.all().iter().for_each(|queue| queue.reset_next());
        roster.fill(&self.queues);
        if found.damaged_ranges > 0 {
            self.queues.fill_forgotten();
        }
        fault::hit(fault::RECOVER_SYNC).doing("open", &self.config.root_dir)?;
        self.log.flushed().raise(from as i64);
        self.log.sync().doing("sync", self.log.files().dir())?;
        self.dispatcher.done().raise(found.end as i64);
        // After a clean close the queues know where the log ended: what is gone from there was damaged.
        let is_cut = !aborted && known_end > found.end;
        self.damaged.store(found.damaged_ranges + u64::from(is_cut), Ordering::Relaxed);
        if is_long {
            self.note_recovery();
            tracing::info!(?found, "the store is recovered");
        }
        Ok(())
    }

    /// The next start, should this run crash, begins here. A full disk must not keep a store from being read.
    fn note_recovery(&self) {
        if let Err(error) = self.save_with_roster(true) {
            tracing::warn!(%error, "the next start recovers the same again");
        }
    }

    /// Puts the records from an offset on into queues and index.
    fn walk(&self, from: u64) -> Result<Recovered, StoreError> {
        let check_body = self.config.check_crc_on_recover;
        let check_sums = |view: &RecordView<'_>| self.config.check_record(view, check_body);
        recover::recover(&self.log, from, check_sums, |view| {
            self.dispatcher.dispatch(view, &self.queues, self.index.as_ref(), false);
        })
    }

    /// Forgets what queues and index know of records at or behind an offset.
    fn forget_from(&self, offset: u64) -> Result<(), StoreError> {
        self.queues.truncate(offset)?;
        match &self.index {
            Some(index) => index.truncate(offset),
            None => Ok(()),
        }
    }

    /// Behind the last record that a queue knows, if it is where the queue says; else the beginning of
    /// its file.
    fn last_queued(&self) -> Option<u64> {
        let last = self.last_unit()?;
        let offset = u64::try_from(last.physical_offset).ok()?;
        let file = self.log.files().at(offset)?;
        let is_there = record_at(&file, offset).is_some_and(|view| view.size() as i32 == last.size);
        Some(if is_there { last.end() } else { file.start() })
    }

    /// The unit of the last record that a queue knows.
    fn last_unit(&self) -> Option<Unit> {
        let queues = self.queues.all();
        queues.iter().max_by_key(|queue| queue.indexed())?.last()
    }
}

/// Behind the record up to which, as the checkpoint says, everything was synced; else the beginning of the
/// newest file that began before.
pub(crate) fn synced_until(log: &CommitLog, marks: &Marks) -> Option<u64> {
    let offset = u64::try_from(marks.queue_offset).ok()?;
    // Both numbers must speak of the same record: either may be damaged.
    if offset > 0
        && let Some(file) = log.files().at(offset)
        && let Some(view) = record_at(&file, offset)
        && view.store_timestamp() == marks.queue_timestamp
    {
        return Some(offset + view.size() as u64);
    }
    let before = marks.log_timestamp.min(marks.queue_timestamp).saturating_sub(CHECKPOINT_SLACK_MS);
    let began_before = |file: &MappedFile| {
        record_at(file, file.start()).is_some_and(|view| {
            view.store_timestamp() <= before && (offset == 0 || view.physical_offset() as u64 <= offset)
        })
    };
    log.files().all().iter().rev().find(|file| began_before(file)).map(|file| file.start())
}

fn record_at(file: &MappedFile, offset: u64) -> Option<RecordView<'_>> {
    let end = file.end() - file.start();
    let bytes = file.bytes(offset - file.start()..end).ok()?;
    let view = RecordView::parse(bytes).ok()?;
    (view.physical_offset() == offset as i64).then_some(view)
}
