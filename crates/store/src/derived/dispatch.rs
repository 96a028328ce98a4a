//! From the log to the queues and the index: what makes a record visible to readers.
//!
//! There is no thread for this. Who has appended drains the log to its readable end, unless another
//! one is at it; that one looks again after it is done, so nothing is left behind. With synchronous
//! flushing the flusher drains instead, up to what is synced: Java 5.5 hides records until then.

use std::{
    io,
    sync::atomic::{AtomicI64, AtomicU64, Ordering, fence},
};

use parking_lot::{Mutex, MutexGuard};
use rmq_proto::{
    message::{RecordView, flags, hash, properties, property},
    topic::system,
};

use super::{
    consume_queue::Put,
    index::{Index, Keys},
    queue_file::Unit,
    queues::Queues,
};
use crate::{
    config::{DelayLevels, StoreConfig},
    error::{IoContext, StoreError},
    fault,
    log::{
        commit_log::CommitLog,
        cursor::{Cursor, Step},
        recover::next_valid,
    },
    progress::Progress,
};

/// What names of light queues begin with: queues of their own that hold records of other topics.
pub(crate) const LIGHT_PREFIX: &str = "%LMQ%";

/// A record that became visible to readers.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
    /// The record's place in the queue.
    pub queue_offset: i64,
    /// The tags code that the queue keeps for it.
    pub tags_code: i64,
    /// The record's place in the log.
    pub physical_offset: i64,
    /// The record's length, bytes.
    pub size: i32,
    /// When it was stored, ms.
    pub store_timestamp: i64,
    /// The properties in their stored form.
    pub properties: &'a str,
}

/// Called for each record that became visible, on a thread that appends or flushes: it must be quick.
pub type OnArrival = Box<dyn Fn(&Arrival<'_>) + Send + Sync>;

/// Keeps queues and index up with the log.
pub(crate) struct Dispatcher {
    turn: Mutex<()>,
    done: Progress,
    /// Physical offset and store time of the last record, for the checkpoint.
    last_offset: AtomicI64,
    last_timestamp: AtomicI64,
    damaged: AtomicU64,
    gaps: AtomicU64,
    /// Since when the index lacks records; they are put into it when it can be written again.
    index_gap: Mutex<Option<Gap>>,
    delay_levels: DelayLevels,
    light_queues: bool,
    on_arrival: OnArrival,
}

/// The first record that could not be indexed, and the last one before it as the checkpoint knows it.
#[derive(Debug, Clone, Copy)]
struct Gap {
    first: i64,
    before: (i64, i64),
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Starts at the log's beginning; recovery moves it.
    pub(crate) fn new(config: &StoreConfig, on_arrival: OnArrival) -> Self {
        Self {
            turn: Mutex::new(()),
            done: Progress::default(),
            last_offset: AtomicI64::new(0),
            last_timestamp: AtomicI64::new(0),
            damaged: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            index_gap: Mutex::default(),
            delay_levels: config.delay_levels.clone(),
            light_queues: config.light_queues,
            on_arrival,
        }
    }

    /// How far queues and index are, physical offset.
    pub(crate) fn done(&self) -> &Progress {
        &self.done
    }

    /// Physical offset and store time of the last record that queues and index have.
    pub(crate) fn last(&self) -> (i64, i64) {
        let _turn = self.turn.lock();
        match *self.index_gap.lock() {
            Some(gap) => gap.before,
            None => self.last_dispatched(),
        }
    }

    fn last_dispatched(&self) -> (i64, i64) {
        let offset = self.last_offset.load(Ordering::SeqCst);
        (offset, self.last_timestamp.load(Ordering::SeqCst))
    }

    /// Where an earlier run has left off, should there be nothing to dispatch.
    pub(crate) fn resume(&self, last_offset: i64, last_timestamp: i64) {
        self.last_offset.store(last_offset, Ordering::SeqCst);
        self.last_timestamp.store(last_timestamp, Ordering::SeqCst);
    }

    /// Damaged places met so far.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Records that came to a queue whose units of earlier records were missing.
    pub(crate) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Dispatches up to `limit`, and then keeps everybody from dispatching more.
    pub(crate) fn pause_at(
        &self,
        log: &CommitLog,
        queues: &Queues,
        index: Option<&Index>,
        limit: u64,
    ) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock();
        self.drain_to(log, queues, index, limit);
        turn
    }

    /// Dispatches up to `limit`, which is asked again until there is nothing left.
    pub(crate) fn drain(
        &self,
        log: &CommitLog,
        queues: &Queues,
        index: Option<&Index>,
        limit: impl Fn() -> u64,
    ) {
        loop {
            let Some(turn) = self.turn.try_lock() else {
                // Its holder asks for the limit once more after it let go, and our append is in it.
                return;
            };
            let target = limit();
            let advanced = self.drain_to(log, queues, index, target);
            drop(turn);
            // Whoever failed to lock before this drop raised the limit before we look at it here.
            fence(Ordering::SeqCst);
            let limit = limit();
            let is_stuck = !advanced && limit == target;
            if is_stuck || self.done.get() as u64 >= limit {
                return;
            }
        }
    }

    fn drain_to(&self, log: &CommitLog, queues: &Queues, index: Option<&Index>, limit: u64) -> bool {
        let from = self.done.get() as u64;
        let mut cursor = Cursor::new(log, from);
        loop {
            match cursor.step(limit) {
                Ok(Step::Record(view)) => self.dispatch(&view, queues, index, true),
                Ok(Step::Rolled) => {}
                Ok(Step::End) => break,
                Ok(Step::Damaged(damage)) => {
                    let at = cursor.at();
                    let next = next_valid(log, at, 0).filter(|next| *next < limit);
                    self.damaged.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(at, next, %damage, "the log is damaged");
                    match next {
                        Some(next) => cursor.go(next),
                        None => break,
                    }
                }
                Err(error) => {
                    tracing::error!(at = cursor.at(), %error, "can't read the log");
                    break;
                }
            }
        }
        self.done.raise(cursor.at() as i64);
        cursor.at() > from
    }

    /// Puts a record into its queue and the index. During recovery nobody is told.
    pub(crate) fn dispatch(
        &self,
        view: &RecordView<'_>,
        queues: &Queues,
        index: Option<&Index>,
        announce: bool,
    ) {
        // A test may want it to wait or to look at the disk; dispatching can't fail.
        let _ = fault::hit(fault::DISPATCH);
        let topic = view.topic();
        let stored = view.properties();
        // Java keeps inner batches in queues of another kind.
        if flags::is_queued(view.sys_flag()) && view.sys_flag() & flags::INNER_BATCH == 0 {
            let unit = decoded_unit(view, &topic, &stored, &self.delay_levels);
            let put = put(queues, &topic, view.queue_id(), view.queue_offset(), unit);
            match put {
                Put::AddedBehindGap => self.gaps.fetch_add(1, Ordering::Relaxed),
                Put::Mended | Put::Refused => self.damaged.fetch_add(1, Ordering::Relaxed),
                Put::Added | Put::Known => 0,
            };
            if announce && put.is_added() {
                (self.on_arrival)(&Arrival {
                    topic: &topic,
                    queue_id: view.queue_id(),
                    queue_offset: view.queue_offset(),
                    tags_code: unit.tags_code,
                    physical_offset: unit.physical_offset,
                    size: unit.size,
                    store_timestamp: view.store_timestamp(),
                    properties: &stored,
                });
            }
        }
        if self.light_queues && flags::is_queued(view.sys_flag()) {
            let unit = Unit {
                physical_offset: view.physical_offset(),
                size: view.size() as i32,
                tags_code: properties::get(&stored, property::TAGS).map_or(0, hash::tags_code),
            };
            for (name, offset) in light_queues(&stored) {
                put(queues, name, 0, offset, unit);
            }
        }
        if let Some(index) = index {
            let mut gap = self.index_gap.lock();
            if gap.is_none()
                && let Err(error) = put_keys(index, view, &topic, &stored)
            {
                tracing::error!(%error, "the index can't be written; what it lacks is made up for later");
                *gap = Some(Gap { first: view.physical_offset(), before: self.last_dispatched() });
            }
        }
        self.last_offset.store(view.physical_offset(), Ordering::SeqCst);
        self.last_timestamp.store(view.store_timestamp(), Ordering::SeqCst);
    }

    /// Puts into the index what it lacks, if it can be written again. True if it still lacks something.
    pub(crate) fn make_up_index(&self, log: &CommitLog, index: Option<&Index>) -> bool {
        if index.is_none() || self.index_gap.lock().is_none() {
            return false;
        }
        let _turn = self.turn.lock();
        let mut gap = self.index_gap.lock();
        let (Some(index), Some(Gap { first, .. })) = (index, *gap) else {
            return false;
        };
        match make_up(log, index, first as u64, self.done.get() as u64) {
            Ok(()) => {
                tracing::info!(from = first, "the index can be written again and has everything");
                *gap = None;
                false
            }
            Err(error) => {
                tracing::debug!(%error, "the index still can't be written");
                true
            }
        }
    }
}

/// A record's entry in its queue.
pub(crate) fn unit_of(view: &RecordView<'_>, levels: &DelayLevels) -> Unit {
    decoded_unit(view, &view.topic(), &view.properties(), levels)
}

/// Likewise, for one whose topic and properties are decoded already.
fn decoded_unit(view: &RecordView<'_>, topic: &str, stored: &str, levels: &DelayLevels) -> Unit {
    // Java: queue entries of delayed messages hold the time of delivery instead of a hash.
    let code = match delay_level(topic, stored) {
        Some(level) => levels.due_ms(level, view.store_timestamp()),
        None => properties::get(stored, property::TAGS).map_or(0, hash::tags_code),
    };
    Unit { physical_offset: view.physical_offset(), size: view.size() as i32, tags_code: code }
}

/// The level of a record that waits in the topic of delayed messages.
pub(crate) fn delay_level(topic: &str, stored: &str) -> Option<i32> {
    if topic != system::SCHEDULE {
        return None;
    }
    let level = properties::get(stored, property::DELAY)?.parse().ok();
    level.filter(|level| *level > 0)
}

/// What a record is indexed by, if it is at all.
pub(crate) fn keys_of<'a>(view: &RecordView<'_>, topic: &'a str, stored: &'a str) -> Option<Keys<'a>> {
    // Java indexes half messages but not rolled back ones.
    if flags::transaction(view.sys_flag()) == flags::TRANSACTION_ROLLBACK {
        return None;
    }
    Some(Keys {
        topic,
        unique: properties::get(stored, property::UNIQ_KEY),
        keys: properties::get(stored, property::KEYS),
        tags: properties::get(stored, property::TAGS),
    })
}

/// The light queues that a record is also in, with its offset in each.
fn light_queues(stored: &str) -> impl Iterator<Item = (&str, i64)> {
    let list = |key| properties::get(stored, key).unwrap_or_default().split(',');
    let offsets = list(property::INNER_MULTI_QUEUE_OFFSET).map(|offset| offset.parse().unwrap_or(-1));
    let queues = list(property::INNER_MULTI_DISPATCH).zip(offsets);
    queues.filter(|(name, _)| name.starts_with(LIGHT_PREFIX))
}

fn make_up(log: &CommitLog, index: &Index, from: u64, until: u64) -> Result<(), StoreError> {
    // The first record may be there in part: under some of its keys.
    index.truncate(from)?;
    let mut cursor = Cursor::new(log, from);
    loop {
        match cursor.step(until).doing("read", log.files().dir())? {
            Step::Record(view) => {
                put_keys(index, &view, &view.topic(), &view.properties()).doing("write", index.dir())?
            }
            Step::Rolled => {}
            Step::End => return Ok(()),
            Step::Damaged(_) => {
                let at = cursor.at();
                match next_valid(log, at, 0).filter(|next| *next < until) {
                    Some(next) => cursor.go(next),
                    None => return Ok(()),
                }
            }
        }
    }
}

fn put_keys(index: &Index, view: &RecordView<'_>, topic: &str, stored: &str) -> io::Result<()> {
    match keys_of(view, topic, stored) {
        Some(keys) => index.put(&keys, view.physical_offset(), view.store_timestamp()),
        None => Ok(()),
    }
}

fn put(queues: &Queues, topic: &str, queue_id: i32, queue_offset: i64, unit: Unit) -> Put {
    if queue_offset < 0 || queues.is_of_batches(topic) {
        return Put::Refused;
    }
    let Some(queue) = queues.get_or_create(topic, queue_id) else {
        tracing::warn!(offset = unit.physical_offset, "a record has a topic that can't be a queue's");
        return Put::Refused;
    };
    let put = queue.put(queue_offset, unit);
    if put.is_added() {
        queues.activate(&queue);
    }
    put
}
