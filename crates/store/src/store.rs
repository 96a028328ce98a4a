//! The store as others see it: open, append, read, close.
//!
//! Locks, in the order in which they are taken: checkpoint, flush of the queues, append lock
//! (`CommitLog::appender`), dispatch lock (`Dispatcher`), table of queues, one queue; index. None is held
//! while a callback of another crate runs, except the dispatch lock while arrivals are announced.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rmq_proto::message::{RecordView, record};

use crate::{
    config::{FlushMode, Retention, StoreConfig},
    derived::{
        dispatch::{Dispatcher, OnArrival, unit_of},
        index::{self, Index},
        queue_file::Unit,
        queues::Queues,
        roster::Roster,
    },
    disk::{Disk, Usage},
    error::{AppendError, FlushFailed, IoContext, StoreError},
    file::{checkpoint::Checkpoint, lock::DirLock},
    log::{
        commit_log::CommitLog,
        flush::{self, Bell},
    },
    opening,
    read::{Boundary, Filter, Query, ReadLimits, ReadOutcome, ReadStatus, Reader},
};

/// Runs of [`Store::clean`] that an operator's wish lasts, as in Java.
const ASKED_RUNS: u32 = 20;

/// A message to be stored. What it lacks (offsets, store time) the append assigns.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the fields are those of `rmq_proto::message::Message`")]
pub struct NewRecord {
    pub topic: String,
    pub queue_id: i32,
    pub flag: i32,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub body: Bytes,
    /// In their stored form.
    pub properties: Bytes,
}

/// Where a record was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its place in the log.
    pub physical_offset: i64,
    /// Its length, bytes.
    pub size: i32,
    /// Its place in the queue; 0 for half and rolled back messages, which have none.
    pub queue_offset: i64,
    /// When it was stored, ms.
    pub store_timestamp: i64,
    /// Physical offset behind it: what [`Store::durable`] wants.
    pub end: i64,
}

/// How a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    /// Appends are taken, unless the disk is full.
    pub writable: bool,
    /// Appends are refused since the disk is too full.
    pub disk_full: bool,
    /// How full the fuller of the disks of log and root is, percent.
    pub disk_used_percent: u8,
    /// How much of it is free for ordinary users, bytes.
    pub disk_free_bytes: u64,
    /// Why appends are refused now, if they are.
    pub refusal: Option<String>,
    /// Damaged places in the log that were met since the start.
    pub damaged_records: u64,
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: StoreConfig,
    pub(crate) log: CommitLog,
    pub(crate) queues: Queues,
    pub(crate) index: Option<Index>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) checkpoint: Mutex<Checkpoint>,
    pub(crate) lock: Mutex<Option<DirLock>>,
    pub(crate) damaged: AtomicU64,
    /// Bytes behind the log's end that count as being in memory.
    pub(crate) memory: u64,
    pub(crate) flush_bell: Bell,
    pub(crate) queue_bell: Bell,
    pub(crate) closed: AtomicBool,
    pub(crate) disk: Disk,
    /// When the queues were noted, and how long that took.
    pub(crate) last_note: Mutex<Option<(Instant, Duration)>>,
    /// Where the log began when queues and index were last cleaned.
    pub(crate) cleaned_below: AtomicU64,
    /// Runs that still delete expired files since an operator asked.
    pub(crate) asked_runs: AtomicU32,
}

impl Store {
    /// Opens or creates the store below `config.root_dir`, and recovers it if it was not closed.
    /// `on_arrival` is told of every record that becomes visible from now on.
    pub fn open(config: StoreConfig, on_arrival: OnArrival) -> Result<Arc<Self>, StoreError> {
        let core = Arc::new(opening::open(config, on_arrival)?);
        let store = Self { core: core.clone(), threads: Mutex::default() };
        let flusher = core.clone();
        store.spawn("store-flush", move || {
            flush::run(&flusher.log, &flusher.config, &flusher.flush_bell, || {
                flusher.dispatch();
            });
        })?;
        store.spawn("store-queues", move || core.keep_queues())?;
        Ok(Arc::new(store))
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let thread = thread::Builder::new().name(name.into()).spawn(run);
        let thread = thread.doing("start a thread for", &self.core.config.root_dir)?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Stores a message. It is visible to readers shortly after, and safe when [`Store::durable`] of
    /// its end says so.
    pub fn append(&self, record: NewRecord) -> Result<Appended, AppendError> {
        let drafts = [self.core.draft(record)?];
        let appended = self.core.append(drafts)?;
        Ok(appended[0])
    }

    /// Stores several messages one behind the other in one file: all or none.
    pub fn append_batch(&self, records: Vec<NewRecord>) -> Result<Vec<Appended>, AppendError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let drafts: Result<Vec<_>, _> = records.into_iter().map(|record| self.core.draft(record)).collect();
        self.core.append(drafts?)
    }

    /// Stores bytes of another broker's log that begin at `start`; returns the new end. They may end
    /// inside a record.
    pub fn append_raw(&self, start: i64, bytes: &[u8]) -> Result<i64, AppendError> {
        let core = &self.core;
        core.check_writable()?;
        let start = u64::try_from(start).map_err(|_| AppendError::Illegal("a negative offset".into()))?;
        let end = {
            let mut appender = core.log.appender()?;
            let was_empty = core.log.end() == core.log.start();
            let end = appender.write_raw(start, bytes)?;
            if was_empty {
                core.dispatcher.done().raise(start as i64);
            }
            end
        };
        core.appended();
        Ok(end as i64)
    }

    /// Waits until the log is past fdatasync up to `end`. With asynchronous flushing it returns at once.
    pub async fn durable(&self, end: i64) -> Result<(), FlushFailed> {
        match self.core.config.flush {
            FlushMode::Sync => self.core.log.flushed().reached(end).await.map_err(|_| FlushFailed),
            FlushMode::Async { .. } => Ok(()),
        }
    }

    /// Waits until readers see everything up to `end`; fails only when the store is closed first.
    pub async fn dispatched(&self, end: i64) -> Result<(), FlushFailed> {
        self.core.dispatcher.done().reached(end).await.map_err(|_| FlushFailed)
    }

    /// Smallest offset and next offset of a queue; (0, 0) if there is none.
    pub fn queue_range(&self, topic: &str, queue_id: i32) -> (i64, i64) {
        let queue = self.core.queues.get(topic, queue_id);
        queue.map_or((0, 0), |queue| queue.range(self.core.log.start()))
    }

    /// Reads records of a queue from an offset on.
    pub fn read(
        &self,
        topic: &str,
        queue_id: i32,
        offset: i64,
        limits: ReadLimits,
        filter: &dyn Filter,
    ) -> ReadOutcome {
        let read = |reader: Reader<'_>| reader.read(offset, limits, filter);
        self.core.with_reader(topic, queue_id, read).unwrap_or(ReadOutcome {
            status: ReadStatus::NoMatchedLogicQueue,
            records: Vec::new(),
            bytes: 0,
            next_offset: 0,
            min_offset: 0,
            max_offset: 0,
            far_behind: false,
        })
    }

    /// Up to `count` entries of a queue from an offset on.
    pub fn queue_units(&self, topic: &str, queue_id: i32, from: i64, count: usize) -> Vec<Unit> {
        let queue = self.core.queues.get(topic, queue_id);
        let mut units = queue.map_or_else(Vec::new, |queue| queue.units(from, count));
        for unit in units.iter_mut().filter(|unit| unit.is_extended()) {
            let record = self.record_at(unit.physical_offset);
            let view = record.as_deref().and_then(|record| RecordView::parse(record).ok());
            unit.tags_code = view.map_or(0, |view| unit_of(&view, &self.core.config.delay_levels).tags_code);
        }
        units
    }

    /// The whole record that begins at a physical offset; `None` if none does or it is damaged.
    pub fn record_at(&self, physical_offset: i64) -> Option<Bytes> {
        let offset = u64::try_from(physical_offset).ok()?;
        let record = self.core.log.record(offset)?;
        let view = record::RecordView::parse(&record).ok()?;
        if self.core.config.check_record(&view, self.core.config.check_crc_on_read).is_err() {
            self.core.damaged.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(record)
    }

    /// Bytes of the log as they are, at most to the end of their file.
    pub fn raw_at(&self, physical_offset: i64, max_bytes: usize) -> Option<Bytes> {
        self.core.log.raw(u64::try_from(physical_offset).ok()?, max_bytes)
    }

    /// Records with a key or unique id, stored between `begin_ms` and `end_ms`; at most `max` and at
    /// most `query_max_records`, the newest ones.
    pub fn query(&self, topic: &str, key: &str, max: usize, begin_ms: i64, end_ms: i64) -> Query {
        self.find(&index::key_of(topic, key), max, begin_ms, end_ms)
    }

    /// Records with these tags, likewise.
    pub fn query_tag(&self, topic: &str, tag: &str, max: usize, begin_ms: i64, end_ms: i64) -> Query {
        self.find(&index::tag_of(topic, tag), max, begin_ms, end_ms)
    }

    fn find(&self, key: &str, max: usize, begin_ms: i64, end_ms: i64) -> Query {
        let Some(index) = &self.core.index else {
            return Query::default();
        };
        let max = max.min(self.core.config.query_max_records);
        let mut hits = index.find(key, max, begin_ms, end_ms);
        hits.offsets.sort_unstable();
        hits.offsets.dedup();
        Query {
            records: hits.offsets.into_iter().filter_map(|at| self.record_at(at)).collect(),
            index_last_update_timestamp: hits.end_timestamp,
            index_last_update_offset: hits.end_offset,
        }
    }

    /// The offset in a queue at a store time; 0 if there is no such queue.
    pub fn offset_by_time(&self, topic: &str, queue_id: i32, timestamp_ms: i64, boundary: Boundary) -> i64 {
        let search = |reader: Reader<'_>| reader.offset_by_time(timestamp_ms, boundary);
        self.core.with_reader(topic, queue_id, search).unwrap_or(0)
    }

    /// Store time of a queue's record, ms.
    pub fn record_time(&self, topic: &str, queue_id: i32, queue_offset: i64) -> Option<i64> {
        self.core.with_reader(topic, queue_id, |reader| reader.time(queue_offset))?
    }

    /// Store time of the oldest record in the log, ms.
    pub fn earliest_time(&self) -> Option<i64> {
        self.core.log.store_timestamp(self.core.log.start())
    }

    /// Physical offset of the oldest byte in the log.
    pub fn min_physical_offset(&self) -> i64 {
        self.core.log.start() as i64
    }

    /// Physical offset behind the newest byte in the log.
    pub fn max_physical_offset(&self) -> i64 {
        self.core.log.end() as i64
    }

    /// Physical offset up to which the log is past fdatasync.
    pub fn flushed_offset(&self) -> i64 {
        self.core.log.flushed().get()
    }

    /// Physical offset up to which readers see the log.
    pub fn dispatched_offset(&self) -> i64 {
        self.core.dispatcher.done().get()
    }

    /// How the store is.
    pub fn status(&self) -> StoreStatus {
        let core = &self.core;
        let Usage { used_percent, free_bytes } = core.disk.usage();
        let lasting = core.check_closed().and_then(|()| core.log.check_failure());
        let refusal = lasting.as_ref().map_or_else(|error| Some(error.to_string()), |()| core.disk.full());
        StoreStatus {
            writable: lasting.is_ok(),
            disk_full: lasting.is_ok() && refusal.is_some(),
            disk_used_percent: used_percent,
            disk_free_bytes: free_bytes,
            refusal,
            damaged_records: core.damaged.load(Ordering::Relaxed) + core.dispatcher.damaged(),
        }
    }

    /// Deletes the queues of a topic and returns how many there were. Its records stay in the log until
    /// their files expire.
    pub fn delete_topic(&self, topic: &str) -> Result<usize, StoreError> {
        let core = &self.core;
        let removed = {
            // Who saves one now has noted the topic, and must not write that later.
            let _checkpoint = core.checkpoint.lock();
            // Keeps new offsets from being assigned until the files are gone: a queue of the topic's next
            // life has the same ones.
            let _appender = core.log.appender();
            if core.log.failure().is_none() {
                // Without the sync, earlier records may wait to be dispatched, and would be in that life.
                core.log.sync().doing("sync", core.log.files().dir())?;
            }
            let (log, queues, index) = (&core.log, &core.queues, core.index.as_ref());
            let _turn = core.dispatcher.pause_at(log, queues, index, core.readable_end());
            let removed = core.queues.remove(topic);
            Roster::delete(&core.config.root_dir)?;
            core.queues.delete_files(topic)?;
            removed
        };
        core.dispatch_missed();
        // Recovery must not find the topic's records again: it would make the queues anew.
        core.save_checkpoint()?;
        Ok(removed.len())
    }

    /// All queues, as topic and number.
    pub fn queues(&self) -> Vec<(String, i32)> {
        let queues = self.core.queues.all();
        queues.iter().map(|queue| (queue.topic().to_string(), queue.id())).collect()
    }

    /// Looks at the disk and deletes what may go. To be called every 10 s.
    pub fn clean(&self) {
        self.core.clean();
    }

    /// Deletes expired files at any hour, now and in the next 19 runs of [`Store::clean`].
    pub fn clean_now(&self) {
        self.core.asked_runs.store(ASKED_RUNS, Ordering::SeqCst);
        self.core.clean();
    }

    /// How long and how much is kept, from now on.
    pub fn set_retention(&self, retention: Retention) {
        self.core.log.keep_free(retention.disk_reserved_bytes);
        self.core.disk.set_retention(retention);
    }

    /// Ends the store in order: everything is synced, and the next start needs no recovery.
    pub fn close(&self) {
        if self.core.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.stop_threads();
        if let Err(error) = self.core.close() {
            tracing::error!(%error, "the store could not be closed in order; the next start recovers it");
        }
        self.core.log.flushed().stop();
        self.core.dispatcher.done().stop();
        self.core.lock.lock().take();
    }

    #[cfg(test)]
    pub(crate) fn core_for_tests(&self) -> &Core {
        &self.core
    }

    fn stop_threads(&self) {
        self.core.flush_bell.stop();
        self.core.queue_bell.stop();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
    }
}

/// Without [`Store::close`] the store is left as by a crash.
impl Drop for Store {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

impl Core {
    /// Dispatches up to the readable end. Java 5.5 shows records only after the sync in SYNC_FLUSH.
    pub(crate) fn dispatch(&self) {
        let limit = || self.readable_end();
        self.dispatcher.drain(&self.log, &self.queues, self.index.as_ref(), limit);
        self.queue_bell.ring();
    }

    /// Dispatches what was appended while somebody held the dispatcher for something else: whoever
    /// appended has relied on a holder that dispatches.
    pub(crate) fn dispatch_missed(&self) {
        fence(Ordering::SeqCst);
        if (self.dispatcher.done().get() as u64) < self.readable_end() {
            self.dispatch();
        }
    }

    pub(crate) fn readable_end(&self) -> u64 {
        match self.config.flush {
            FlushMode::Sync => self.log.flushed().get() as u64,
            FlushMode::Async { .. } => self.log.end(),
        }
    }

    fn with_reader<T>(&self, topic: &str, queue_id: i32, read: impl FnOnce(Reader<'_>) -> T) -> Option<T> {
        let queue = self.queues.get(topic, queue_id)?;
        let outcome = read(Reader {
            log: &self.log,
            queue: &queue,
            config: &self.config,
            memory: self.memory,
            damaged: &|| {
                self.damaged.fetch_add(1, Ordering::Relaxed);
            },
        });
        // It may have opened a file, which wants to be closed again.
        self.queues.activate(&queue);
        self.queue_bell.ring();
        Some(outcome)
    }
}

/// Physical memory of the machine, bytes; 8 GiB if it does not say.
pub(crate) fn total_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kib.map_or(8 << 30, |kib| kib * 1024)
}
