//! Reading: by queue offset, by time, by key.
//!
//! A reader gets the records as they lie in the log, without a copy: they share the mapping of their
//! file, which stays as long as they do. Comes after `derived/consume_queue`; next is the answer.

use bytes::Bytes;
use rmq_proto::message::RecordView;

use crate::{
    config::StoreConfig,
    derived::{
        consume_queue::{ConsumeQueue, partition},
        dispatch::unit_of,
        heal::{belongs, heal},
        queue_file::{UNIT_LEN, Unit},
    },
    log::commit_log::CommitLog,
};

/// How much one read may return. The first matching record always comes, whatever its size.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Most records.
    pub max_messages: usize,
    /// Most bytes.
    pub max_bytes: usize,
}

impl ReadLimits {
    /// That many messages and no byte limit of its own; those of the configuration hold anyway.
    pub fn messages(max_messages: usize) -> Self {
        Self { max_messages, max_bytes: usize::MAX }
    }
}

/// Decides which records a reader wants.
pub trait Filter {
    /// By the tags code in the queue; asked first, without touching the record.
    fn by_queue(&self, tags_code: i64) -> bool {
        let _ = tags_code;
        true
    }

    /// By the record itself.
    fn by_record(&self, record: &RecordView<'_>) -> bool {
        let _ = record;
        true
    }
}

/// Wants every record.
#[derive(Debug, Clone, Copy)]
pub struct NoFilter;

impl Filter for NoFilter {}

impl<F: Fn(i64) -> bool> Filter for F {
    fn by_queue(&self, tags_code: i64) -> bool {
        self(tags_code)
    }
}

/// How a read went; the names are those of Java's `GetMessageStatus`, which clients see as remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ReadStatus {
    Found,
    NoMatchedMessage,
    MessageWasRemoving,
    OffsetFoundNull,
    OffsetOverflowBadly,
    OffsetOverflowOne,
    OffsetTooSmall,
    NoMatchedLogicQueue,
    NoMessageInQueue,
}

impl ReadStatus {
    /// Java's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "FOUND",
            Self::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            Self::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            Self::OffsetFoundNull => "OFFSET_FOUND_NULL",
            Self::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            Self::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            Self::OffsetTooSmall => "OFFSET_TOO_SMALL",
            Self::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            Self::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
        }
    }
}

/// What a read returns.
#[derive(Debug, Clone)]
pub struct ReadOutcome {
    /// How it went.
    pub status: ReadStatus,
    /// Whole records, in queue order; they share the log's memory.
    pub records: Vec<Bytes>,
    /// Length of all records together, bytes.
    pub bytes: usize,
    /// Where to read next.
    pub next_offset: i64,
    /// Smallest offset of the queue.
    pub min_offset: i64,
    /// Offset that the queue's next record will have.
    pub max_offset: i64,
    /// The records are further behind the log's end than memory reaches: a slave may serve them better.
    pub far_behind: bool,
}

/// Which of several records of the same time a search by time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The first record that is not older.
    Lower,
    /// The last record that is not newer.
    Upper,
}

/// Records found by key.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Whole records, oldest first.
    pub records: Vec<Bytes>,
    /// Store time of the newest indexed record, ms.
    pub index_last_update_timestamp: i64,
    /// Physical offset of the newest indexed record.
    pub index_last_update_offset: i64,
}

/// What a queue's entry leads to.
enum Found {
    Record(Bytes),
    /// The log does not have it any more.
    Gone,
    /// It is not where the entry says.
    Elsewhere,
    /// The entry or the record is damaged.
    Damaged,
}

/// Reads from one queue.
pub(crate) struct Reader<'a> {
    pub(crate) log: &'a CommitLog,
    pub(crate) queue: &'a ConsumeQueue,
    pub(crate) config: &'a StoreConfig,
    /// Bytes behind the log's end that count as being in memory.
    pub(crate) memory: u64,
    /// Told of each damaged record.
    pub(crate) damaged: &'a dyn Fn(),
}

impl Reader<'_> {
    /// Java's `DefaultMessageStore.getMessage`: which offsets are answered how decides what clients do.
    pub(crate) fn read(&self, offset: i64, limits: ReadLimits, filter: &dyn Filter) -> ReadOutcome {
        let (min, max) = self.queue.range(self.log.start());
        let (status, next) = if max == 0 {
            (ReadStatus::NoMessageInQueue, 0)
        } else if offset < min {
            (ReadStatus::OffsetTooSmall, min)
        } else if offset == max {
            (ReadStatus::OffsetOverflowOne, offset)
        } else if offset > max {
            (ReadStatus::OffsetOverflowBadly, max)
        } else {
            return self.collect(offset, (min, max), limits, filter);
        };
        ReadOutcome {
            status,
            records: Vec::new(),
            bytes: 0,
            next_offset: next,
            min_offset: min,
            max_offset: max,
            far_behind: false,
        }
    }

    fn collect(
        &self,
        offset: i64,
        (min, max): (i64, i64),
        limits: ReadLimits,
        filter: &dyn Filter,
    ) -> ReadOutcome {
        let log_end = self.log.end();
        let mut outcome = ReadOutcome {
            status: ReadStatus::NoMatchedMessage,
            records: Vec::new(),
            bytes: 0,
            next_offset: offset,
            min_offset: min,
            max_offset: max,
            far_behind: false,
        };
        let scan = (self.config.max_filter_bytes / UNIT_LEN).max(limits.max_messages) as i64;
        let last = max.min(offset.saturating_add(scan));
        let mut reached = 0;
        'units: while outcome.next_offset < last {
            let count = (last - outcome.next_offset).min(limits.max_messages.max(32) as i64);
            let Ok(mut units) = self.queue.try_units(outcome.next_offset, count as usize) else {
                // What can't be read now is still there: the reader shall come again, not go on behind it.
                if outcome.records.is_empty() {
                    outcome.status = ReadStatus::OffsetFoundNull;
                }
                break;
            };
            if units.is_empty() {
                units.extend(self.heal(outcome.next_offset));
            }
            if units.is_empty() {
                if outcome.records.is_empty() {
                    outcome.status = ReadStatus::OffsetFoundNull;
                    // Java goes to the next file.
                    outcome.next_offset = self.queue.next_valid(outcome.next_offset + 1).min(max);
                }
                break;
            }
            for unit in units {
                let is_near = log_end.saturating_sub(unit.physical_offset as u64) <= self.memory;
                if self.is_enough(&outcome, &unit, limits, is_near) {
                    break 'units;
                }
                reached = unit.physical_offset as u64;
                let at = outcome.next_offset;
                outcome.next_offset += 1;
                if !unit.is_extended() && !filter.by_queue(unit.tags_code) {
                    continue;
                }
                match self.record(at, &unit) {
                    Found::Record(record) => {
                        if self.is_wanted(&record, &unit, filter) {
                            outcome.bytes += record.len();
                            outcome.records.push(record);
                            outcome.status = ReadStatus::Found;
                        }
                    }
                    Found::Gone | Found::Elsewhere | Found::Damaged if outcome.records.is_empty() => {
                        outcome.status = ReadStatus::MessageWasRemoving;
                    }
                    Found::Gone | Found::Elsewhere | Found::Damaged => {}
                }
            }
        }
        outcome.far_behind = log_end.saturating_sub(reached) > self.memory;
        outcome
    }

    fn is_wanted(&self, record: &Bytes, unit: &Unit, filter: &dyn Filter) -> bool {
        let Ok(view) = RecordView::parse(record) else {
            return false;
        };
        let by_queue = || filter.by_queue(unit_of(&view, &self.config.delay_levels).tags_code);
        (!unit.is_extended() || by_queue()) && filter.by_record(&view)
    }

    fn is_enough(&self, outcome: &ReadOutcome, unit: &Unit, limits: ReadLimits, is_near: bool) -> bool {
        if outcome.records.is_empty() {
            return false;
        }
        let (bytes, count) = if is_near {
            (self.config.max_read_bytes_in_memory, self.config.max_read_count_in_memory)
        } else {
            (self.config.max_read_bytes_on_disk, self.config.max_read_count_on_disk)
        };
        let size = usize::try_from(unit.size).unwrap_or(0);
        outcome.records.len() >= limits.max_messages.min(count)
            || outcome.bytes.saturating_add(size) > limits.max_bytes.min(bytes)
    }

    /// The record of a unit, checked: damaged bytes are never delivered.
    fn record(&self, offset: i64, unit: &Unit) -> Found {
        // It stands for a record that was found to be lost before.
        if unit.is_filler() {
            return Found::Damaged;
        }
        let found = self.record_of(offset, unit);
        if !matches!(found, Found::Elsewhere) {
            return found;
        }
        match self.heal(offset).map(|healed| self.record_of(offset, &healed)) {
            Some(Found::Record(record)) => Found::Record(record),
            _ => self.damaged(offset, unit),
        }
    }

    fn record_of(&self, offset: i64, unit: &Unit) -> Found {
        let is_gone = || (unit.physical_offset as u64) < self.log.start();
        if is_gone() {
            return Found::Gone;
        }
        let found = self.log.record(unit.physical_offset as u64);
        // The log's beginning may have gone meanwhile.
        let Some(record) = found.filter(|_| !is_gone()) else {
            return if is_gone() { Found::Gone } else { Found::Elsewhere };
        };
        match RecordView::parse(&record) {
            Ok(view) if belongs(&view, self.queue, offset) && record.len() == unit.size as usize => {
                if self.config.check_record(&view, self.config.check_crc_on_read).is_err() {
                    return self.damaged(offset, unit);
                }
            }
            _ => return Found::Elsewhere,
        }
        Found::Record(record)
    }

    fn damaged(&self, offset: i64, unit: &Unit) -> Found {
        (self.damaged)();
        let (topic, queue) = (self.queue.topic(), self.queue.id());
        let physical_offset = unit.physical_offset;
        tracing::warn!(%topic, queue, offset, physical_offset, "a record is damaged and not delivered");
        Found::Damaged
    }

    fn heal(&self, offset: i64) -> Option<Unit> {
        heal(self.log, self.queue, &self.config.delay_levels, offset)
    }

    /// Store time of a queue's record, ms.
    pub(crate) fn time(&self, offset: i64) -> Option<i64> {
        let (min, max) = self.queue.range(self.log.start());
        if !(min..max).contains(&offset) {
            return None;
        }
        let unit = self.queue.unit(offset)?;
        self.log.store_timestamp(unit.physical_offset as u64)
    }

    /// The offset at a time. Java: without a record that is not older, `Lower` is behind the last one;
    /// without one that is not newer, `Upper` is 0. Records that can't be read count as older.
    pub(crate) fn offset_by_time(&self, timestamp: i64, boundary: Boundary) -> i64 {
        let (min, max) = self.queue.range(self.log.start());
        let time = |offset| {
            let unit = self.queue.unit(offset)?;
            self.log.store_timestamp(unit.physical_offset as u64)
        };
        match boundary {
            Boundary::Lower => partition(min, max, |offset| time(offset).is_none_or(|time| time < timestamp)),
            Boundary::Upper => {
                let behind = partition(min, max, |offset| time(offset).is_none_or(|time| time <= timestamp));
                if behind > min { behind - 1 } else { 0 }
            }
        }
    }
}
