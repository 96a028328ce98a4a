//! The pieces of a dump as lines for people.

use std::fmt::{self, Display, Formatter};

use super::item::{
    CheckpointItem, DamageItem, IndexEntryItem, IndexItem, Item, QueueItem, RecordItem, StateItem, UnitItem,
};

impl Display for Item<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => record.fmt(f),
            Self::Blank { at, next } => write!(f, "blank    {at:>15} {:>8}", next - at),
            Self::Missing { at, next } => write!(f, "MISSING  {at:>15} {:>8}", next - at),
            Self::Damage(DamageItem { at, next, why }) => {
                write!(f, "DAMAGED  {at:>15} {:>8}  {why}", next - at)
            }
            Self::Queue(queue) => queue.fmt(f),
            Self::Unit(unit) => unit.fmt(f),
            Self::Index(index) => index.fmt(f),
            Self::IndexEntry(entry) => entry.fmt(f),
            Self::Checkpoint(checkpoint) => checkpoint.fmt(f),
            Self::State(state) => state.fmt(f),
        }
    }
}

impl Display for RecordItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let crc = if self.crc_ok { "crc ok " } else { "CRC BAD" };
        let queue = format!("{}/{}", self.topic.escape_debug(), self.queue_id);
        write!(
            f,
            "record   {:>15} {:>8}  {queue:<32} {:>12}",
            self.physical_offset, self.size, self.queue_offset
        )?;
        write!(f, "  {}  {crc} body {:>8}", self.store_time, self.body_length)?;
        write!(f, "  born {} {}  store {}", self.born_time, self.born_host, self.store_host)?;
        write!(f, "  flag {} sys {}", self.flag, self.sys_flag)?;
        if !self.sys_flags.is_empty() {
            write!(f, "({})", self.sys_flags.join(","))?;
        }
        if self.reconsume_times != 0 {
            write!(f, "  reconsumed {}", self.reconsume_times)?;
        }
        if self.prepared_transaction_offset != 0 {
            write!(f, "  prepared at {}", self.prepared_transaction_offset)?;
        }
        for (key, value) in &self.properties {
            write!(f, "  {}={}", key.escape_debug(), value.escape_debug())?;
        }
        match (&self.body, &self.body_hex) {
            (Some(text), _) => write!(f, "  body \"{}\"", text.escape_debug()),
            (_, Some(hex)) => write!(f, "  body 0x{hex}"),
            _ => Ok(()),
        }
    }
}

impl Display for QueueItem<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let queue = format!("{}/{}", self.topic.escape_debug(), self.queue_id);
        write!(f, "queue    {queue:<48} {:>12}..{:<12} files {}", self.first, self.next, self.files)
    }
}

impl Display for UnitItem<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let queue = format!("{}/{}", self.topic.escape_debug(), self.queue_id);
        write!(f, "unit     {queue:<48} {:>12} {:>15}", self.queue_offset, self.physical_offset)?;
        match self.filler {
            true => write!(f, "   filler"),
            false => write!(f, " {:>8}  tags {}", self.size, self.tags_code),
        }
    }
}

impl Display for IndexItem<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "index    {}  {} .. {}", self.file, self.begin_time, self.end_time)?;
        write!(f, "  offsets {}..={}", self.begin_offset, self.end_offset)?;
        let Self { entries, max_entries, used_slots, slots, .. } = self;
        write!(f, "  entries {entries} of {max_entries}  slots {used_slots} of {slots}")
    }
}

impl Display for IndexEntryItem<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "entry    {}  {:>10}  hash {:>10}  slot {:>8}",
            self.file, self.number, self.hash, self.slot
        )?;
        write!(f, "  {:>15}  +{} s  previous {}", self.physical_offset, self.seconds, self.previous)
    }
}

impl Display for CheckpointItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "checkpoint  log     {:>15}  {}", self.log_timestamp, self.log_time)?;
        writeln!(f, "checkpoint  queues  {:>15}  {}", self.queue_timestamp, self.queue_time)?;
        writeln!(f, "checkpoint  index   {:>15}  {}", self.index_timestamp, self.index_time)?;
        writeln!(f, "checkpoint  master  {:>15}", self.master_flushed_offset)?;
        writeln!(f, "checkpoint  confirm {:>15}", self.confirm_offset)?;
        write!(f, "checkpoint  offset  {:>15}", self.queue_offset)
    }
}

impl Display for StateItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let closed = if self.aborted { "crashed (there is a file abort)" } else { "closed in order" };
        writeln!(f, "state    {closed}")?;
        writeln!(f, "state    {} log files from {} on", self.log_files, self.log_start)?;
        writeln!(f, "state    mappedFileSizeCommitLog={}", self.log_file_length)?;
        writeln!(f, "state    mappedFileSizeConsumeQueue={}", self.queue_file_length)?;
        write!(f, "state    maxHashSlotNum={} maxIndexNum={}", self.index_slots, self.index_entries)
    }
}
