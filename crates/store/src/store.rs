//! The store as others see it: open, append, read, close.
//!
//! Locks, in the order in which they are taken: checkpoint, flush of the queues, append lock
//! (`CommitLog::appender`), dispatch lock (`Dispatcher`), table of queues, one queue; index. None is held
//! while a callback of another crate
//! runs, except the dispatch lock while arrivals are announced.

use std::{
    borrow::Cow,
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
use rmq_proto::message::{Record, RecordView, flags, properties, property, record};

use crate::{
    config::{FlushMode, Retention, StoreConfig},
    derived::{
        consume_queue::ConsumeQueue,
        dispatch::{Dispatcher, OnArrival, unit_of},
        index::{self, Index},
        queue_file::Unit,
        queues::Queues,
        roster::Roster,
    },
    disk::{Disk, Usage},
    error::{AppendError, FlushFailed, IoContext, StoreError},
    fault,
    file::{
        checkpoint::{Checkpoint, Marks},
        lock::{self, DirLock},
    },
    log::{
        commit_log::CommitLog,
        flush::{self, Bell},
    },
    opening,
    read::{Boundary, Filter, Query, ReadLimits, ReadOutcome, ReadStatus, Reader},
    retention::{self, Occasion},
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
    /// Where the log began when queues and index were last cleaned.
    pub(crate) cleaned_below: AtomicU64,
    /// Runs that still delete expired files since an operator asked.
    pub(crate) asked_runs: AtomicU32,
}

/// An encoded record that waits for its place.
struct Draft {
    bytes: Vec<u8>,
    topic: String,
    queue_id: i32,
    /// Half and rolled back messages have no queue.
    queue: Option<Arc<ConsumeQueue>>,
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
        Roster::delete(&core.config.root_dir)?;
        let removed = {
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
    fn check_closed(&self) -> Result<(), AppendError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(AppendError::Closed);
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), AppendError> {
        self.check_closed()?;
        self.log.check_failure()?;
        self.disk.check()
    }

    /// Encodes a record, as far as that goes without its place.
    fn draft(&self, new: NewRecord) -> Result<Draft, AppendError> {
        self.check_writable()?;
        let limit = self.config.max_message_size;
        if new.body.len() > limit {
            return Err(AppendError::BodyTooLarge { size: new.body.len(), limit });
        }
        let queue =
            if flags::is_queued(new.sys_flag) { Some(self.queue(&new.topic, new.queue_id)?) } else { None };
        let properties = match self.config.append_whole_crc {
            true => record::with_room_for_crc(&without_crc(&new.properties)).into(),
            false => new.properties,
        };
        let record = Record {
            topic: &new.topic,
            queue_id: new.queue_id,
            flag: new.flag,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: new.sys_flag,
            born_timestamp: new.born_timestamp,
            born_host: new.born_host,
            store_timestamp: 0,
            store_host: new.store_host,
            reconsume_times: new.reconsume_times,
            prepared_transaction_offset: new.prepared_transaction_offset,
            body: &new.body,
            properties: &properties,
        };
        Ok(Draft { bytes: record.encode()?, topic: new.topic, queue_id: new.queue_id, queue })
    }

    fn queue(&self, topic: &str, id: i32) -> Result<Arc<ConsumeQueue>, AppendError> {
        self.queues
            .get_or_create(topic, id)
            .ok_or_else(|| AppendError::Illegal(format!("there can be no queue {id} of a topic `{topic}`")))
    }

    /// Gives drafts their places and writes them, all or none.
    fn append(&self, mut drafts: impl AsMut<[Draft]>) -> Result<Vec<Appended>, AppendError> {
        let appended = self.append_locked(drafts.as_mut()).inspect_err(|error| self.refused(error))?;
        self.appended();
        Ok(appended)
    }

    /// An append found the disk full before the next look at it.
    fn refused(&self, error: &AppendError) {
        if let AppendError::DiskFull(why) = error {
            self.disk.ran_out(why);
        }
    }

    fn append_locked(&self, drafts: &mut [Draft]) -> Result<Vec<Appended>, AppendError> {
        let mut appender = self.log.appender()?;
        // Asked under the lock: what is appended after this is synced by close.
        self.check_closed()?;
        let size = drafts.iter().map(|draft| draft.bytes.len()).sum();
        let mut at = appender.place(size)? as i64;
        for draft in drafts.iter_mut() {
            self.renew_queue(draft)?;
        }
        let now = self.config.clock.now_ms();
        let mut appended = Vec::with_capacity(drafts.len());
        for draft in drafts.iter_mut() {
            let size = draft.bytes.len() as i32;
            let place = Appended {
                physical_offset: at,
                size,
                // Java: half and rolled back messages have the offset 0.
                queue_offset: draft.queue.as_ref().map_or(0, |queue| queue.take_next()),
                store_timestamp: now,
                end: at + i64::from(size),
            };
            record::place(&mut draft.bytes, place.queue_offset, at, now);
            if self.config.append_whole_crc {
                record::seal(&mut draft.bytes);
            }
            at = place.end;
            appended.push(place);
        }
        let written = match &*drafts {
            [one] => appender.write(&one.bytes, now),
            many => {
                let all: Vec<&[u8]> = many.iter().map(|draft| &draft.bytes[..]).collect();
                appender.write(&all.concat(), now)
            }
        };
        if written.is_err() {
            // Nobody else has taken offsets meanwhile: the append lock is still held.
            let queues = drafts.iter().filter_map(|draft| draft.queue.as_ref());
            queues.for_each(|queue| queue.give_back_next());
        }
        written.map(|()| appended)
    }

    /// The topic may have been deleted since the draft was made.
    fn renew_queue(&self, draft: &mut Draft) -> Result<(), AppendError> {
        if draft.queue.as_ref().is_some_and(|queue| queue.is_deleted()) {
            draft.queue = Some(self.queue(&draft.topic, draft.queue_id)?);
        }
        Ok(())
    }

    /// Makes appended records visible and gets them flushed.
    fn appended(&self) {
        self.flush_bell.ring();
        if self.config.flush != FlushMode::Sync {
            self.dispatch();
        }
    }

    /// Dispatches up to the readable end. Java 5.5 shows records only after the sync in SYNC_FLUSH.
    fn dispatch(&self) {
        let limit = || self.readable_end();
        self.dispatcher.drain(&self.log, &self.queues, self.index.as_ref(), limit);
        self.queue_bell.ring();
    }

    /// Dispatches what was appended while somebody held the dispatcher for something else: whoever
    /// appended has relied on a holder that dispatches.
    fn dispatch_missed(&self) {
        fence(Ordering::SeqCst);
        if (self.dispatcher.done().get() as u64) < self.readable_end() {
            self.dispatch();
        }
    }

    fn readable_end(&self) -> u64 {
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

    /// Writes queues to their files and advances the checkpoint, while there is anything to do.
    fn keep_queues(&self) {
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
        // Held throughout: one of two that save at once would not wait for the syncs of the other.
        let mut checkpoint = self.checkpoint.lock();
        let (queue_offset, queue_timestamp) = self.dispatcher.last();
        let log_timestamp = self.log.last_timestamp();
        let more = self.queues.flush(true)?;
        let index_timestamp = self.index.as_ref().map(Index::sync).transpose()?;
        if self.log.failure().is_some() {
            return Ok(more);
        }
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
        Ok(more)
    }

    fn clean(&self) {
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

    /// Notes the queues, which are synced, to be compared at the next start.
    pub(crate) fn note_queues(&self) -> Result<(), StoreError> {
        Roster::write(&self.config.root_dir, &self.queues, self.log.start())
    }

    fn close(&self) -> Result<(), StoreError> {
        // Waits for an append that is at it; later ones see that the store is closed.
        drop(self.log.appender());
        if self.log.failure().is_some() {
            return Ok(());
        }
        fault::hit(fault::CLOSE).doing("close", &self.config.root_dir)?;
        self.log.sync().doing("sync", self.log.files().dir())?;
        self.dispatch();
        let lacks_index = self.dispatcher.make_up_index(&self.log, self.index.as_ref());
        self.save_checkpoint()?;
        self.note_queues()?;
        // Java trusts queues and index without an abort file, so it goes only if they have everything.
        if self.dispatcher.done().get() as u64 == self.log.end() && !lacks_index {
            lock::remove_abort(&self.config.root_dir)?;
        }
        Ok(())
    }
}

/// Stored properties without the CRC of another record that a message was taken from.
fn without_crc(properties: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(properties);
    if properties::get(&text, property::CRC32).is_none() {
        return Cow::Borrowed(properties);
    }
    let mut kept = String::with_capacity(text.len());
    let others = properties::pairs(&text).filter(|(key, _)| *key != property::CRC32);
    others.for_each(|(key, value)| properties::append(&mut kept, key, value));
    Cow::Owned(kept.into_bytes())
}

/// Physical memory of the machine, bytes; 8 GiB if it does not say.
pub(crate) fn total_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kib.map_or(8 << 30, |kib| kib * 1024)
}
