//! The pieces of a dump, as they are written in JSON.

use std::{collections::BTreeMap, fmt::Write};

use rmq_proto::message::{Properties, RecordView, flags};
use serde::Serialize;

use crate::{
    derived::{
        index_file::{Entry, Header, IndexFile, Shape},
        queue_file::Unit,
    },
    file::checkpoint::Marks,
};

/// A piece of a dump. As JSON it is an object whose `type` is the name of the kind.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item<'a> {
    /// A record of the log.
    Record(Box<RecordItem>),
    /// The rest of a log file, without a record.
    Blank {
        /// Physical offset where it begins.
        at: u64,
        /// Physical offset behind it.
        next: u64,
    },
    /// Log files that are not there.
    Missing {
        /// Physical offset where they would begin.
        at: u64,
        /// Physical offset behind them.
        next: u64,
    },
    /// Bytes of the log that are no record.
    Damage(DamageItem),
    /// A queue.
    Queue(QueueItem<'a>),
    /// An entry of a queue.
    Unit(UnitItem<'a>),
    /// An index file.
    Index(IndexItem<'a>),
    /// An entry of an index file.
    IndexEntry(IndexEntryItem<'a>),
    /// What the checkpoint says.
    Checkpoint(CheckpointItem),
    /// How the store was left.
    State(StateItem),
}

/// A record of the log. Times are ms since the epoch.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the fields are those of `rmq_proto::message::Message`")]
pub struct RecordItem {
    pub physical_offset: i64,
    pub size: usize,
    pub topic: String,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub store_timestamp: i64,
    pub store_time: String,
    pub store_host: String,
    pub born_timestamp: i64,
    pub born_time: String,
    pub born_host: String,
    pub flag: i32,
    pub sys_flag: i32,
    /// The names of the bits that are set.
    pub sys_flags: Vec<&'static str>,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub tags: Option<String>,
    pub keys: Vec<String>,
    pub unique_id: Option<String>,
    pub properties: BTreeMap<String, String>,
    pub body_length: usize,
    pub body_crc: u32,
    /// Whether the body is what was stored.
    pub crc_ok: bool,
    /// The body as stored, if asked for and UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body as stored in hexadecimal digits, if asked for and not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_hex: Option<String>,
}

impl RecordItem {
    pub(crate) fn new(view: &RecordView<'_>, is_whole: bool, with_body: bool) -> Box<Self> {
        let properties = Properties::parse(&view.properties());
        let (body, body_hex) = match std::str::from_utf8(view.body()) {
            _ if !with_body => (None, None),
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(hex(view.body()))),
        };
        Box::new(Self {
            physical_offset: view.physical_offset(),
            size: view.size(),
            topic: view.topic().into_owned(),
            queue_id: view.queue_id(),
            queue_offset: view.queue_offset(),
            store_timestamp: view.store_timestamp(),
            store_time: time(view.store_timestamp()),
            store_host: view.store_host().to_string(),
            born_timestamp: view.born_timestamp(),
            born_time: time(view.born_timestamp()),
            born_host: view.born_host().to_string(),
            flag: view.flag(),
            sys_flag: view.sys_flag(),
            sys_flags: bits(view.sys_flag()),
            reconsume_times: view.reconsume_times(),
            prepared_transaction_offset: view.prepared_transaction_offset(),
            tags: properties.tags().map(str::to_owned),
            keys: properties.keys().map(str::to_owned).collect(),
            unique_id: properties.unique_key().map(str::to_owned),
            properties: properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            body_length: view.body().len(),
            body_crc: view.body_crc(),
            crc_ok: is_whole || view.check_body().is_ok(),
            body,
            body_hex,
        })
    }
}

/// Bytes of the log that are no record.
#[derive(Debug, Clone, Serialize)]
pub struct DamageItem {
    /// Physical offset where they begin.
    pub at: u64,
    /// Physical offset of the next record.
    pub next: u64,
    /// What is wrong with them.
    pub why: String,
}

/// A queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueueItem<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The number.
    pub queue_id: i32,
    /// Offset of the first entry that there is a file for.
    pub first: i64,
    /// Offset behind the last entry.
    pub next: i64,
    /// Files.
    pub files: usize,
}

/// An entry of a queue.
#[derive(Debug, Clone, Serialize)]
pub struct UnitItem<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
    /// The entry's place.
    pub queue_offset: i64,
    /// Where the record lies.
    pub physical_offset: i64,
    /// The record's length, bytes.
    pub size: i32,
    /// Hash of the tags, or when a delayed message is due, ms.
    pub tags_code: i64,
    /// Whether it stands for a record that is not there.
    pub filler: bool,
}

impl<'a> UnitItem<'a> {
    pub(crate) fn new(topic: &'a str, queue_id: i32, queue_offset: i64, unit: Unit) -> Self {
        let Unit { physical_offset, size, tags_code } = unit;
        Self { topic, queue_id, queue_offset, physical_offset, size, tags_code, filler: unit.is_filler() }
    }
}

/// An index file. Times are ms since the epoch, offsets physical.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the fields are those of the file's header")]
pub struct IndexItem<'a> {
    pub file: &'a str,
    pub begin_timestamp: i64,
    pub begin_time: String,
    pub end_timestamp: i64,
    pub end_time: String,
    pub begin_offset: i64,
    pub end_offset: i64,
    pub used_slots: i32,
    pub slots: u32,
    /// Entries that are used.
    pub entries: u32,
    /// Entries that fit, one less than `maxIndexNum`.
    pub max_entries: u32,
}

impl<'a> IndexItem<'a> {
    pub(crate) fn new(file: &'a str, header: Header, shape: Shape) -> Self {
        Self {
            file,
            begin_timestamp: header.begin_timestamp,
            begin_time: time(header.begin_timestamp),
            end_timestamp: header.end_timestamp,
            end_time: time(header.end_timestamp),
            begin_offset: header.begin_offset,
            end_offset: header.end_offset,
            used_slots: header.used_slots,
            slots: shape.slots,
            entries: header.count.saturating_sub(1),
            max_entries: shape.entries.saturating_sub(1),
        }
    }
}

/// An entry of an index file.
#[derive(Debug, Clone, Serialize)]
pub struct IndexEntryItem<'a> {
    /// The file.
    pub file: &'a str,
    /// The entry's number, from 1.
    pub number: u32,
    /// Hash of the key.
    pub hash: i32,
    /// The slot whose chain it is in.
    pub slot: u32,
    /// Where the record lies.
    pub physical_offset: i64,
    /// Store time of the record since the file's first one, seconds.
    pub seconds: i32,
    /// Number of the chain's next entry; 0 for none.
    pub previous: u32,
}

impl<'a> IndexEntryItem<'a> {
    pub(crate) fn new(file: &'a str, number: u32, entry: Entry, index: &IndexFile) -> Self {
        let Entry { hash, physical_offset, seconds, previous } = entry;
        let slot = index.shape().slot_of(hash.max(0));
        Self { file, number, hash, slot, physical_offset, seconds, previous }
    }
}

/// What the checkpoint says. Times are ms since the epoch, offsets physical.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the fields are those of the file")]
pub struct CheckpointItem {
    pub log_timestamp: i64,
    pub log_time: String,
    pub queue_timestamp: i64,
    pub queue_time: String,
    pub index_timestamp: i64,
    pub index_time: String,
    pub master_flushed_offset: i64,
    pub confirm_offset: i64,
    pub queue_offset: i64,
}

impl CheckpointItem {
    pub(crate) fn new(marks: Marks) -> Self {
        Self {
            log_timestamp: marks.log_timestamp,
            log_time: time(marks.log_timestamp),
            queue_timestamp: marks.queue_timestamp,
            queue_time: time(marks.queue_timestamp),
            index_timestamp: marks.index_timestamp,
            index_time: time(marks.index_timestamp),
            master_flushed_offset: marks.master_flushed_offset,
            confirm_offset: marks.confirm_offset,
            queue_offset: marks.queue_offset,
        }
    }
}

/// How a store was left, and the sizes of its files.
#[derive(Debug, Clone, Serialize)]
pub struct StateItem {
    /// Whether the last broker ended without closing it.
    pub aborted: bool,
    /// Files of the log.
    pub log_files: usize,
    /// Physical offset of the log's first byte.
    pub log_start: u64,
    /// Length of a log file, bytes.
    pub log_file_length: u64,
    /// Length of a queue file, bytes.
    pub queue_file_length: u64,
    /// Slots of an index file.
    pub index_slots: u32,
    /// Entries of an index file, entry 0 included.
    pub index_entries: u32,
}

/// A time for people, in UTC; empty for one that no calendar has.
fn time(ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms);
    time.map_or_else(String::new, |time| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn bits(sys_flag: i32) -> Vec<&'static str> {
    let compression = match flags::compression(sys_flag) {
        None => None,
        Some(flags::Compression::Lz4) => Some("lz4"),
        Some(flags::Compression::Zstd) => Some("zstd"),
        Some(flags::Compression::Zlib) => Some("zlib"),
    };
    let transaction = match flags::transaction(sys_flag) {
        flags::TRANSACTION_PREPARED => Some("half"),
        flags::TRANSACTION_COMMIT => Some("committed"),
        flags::TRANSACTION_ROLLBACK => Some("rolled_back"),
        _ => None,
    };
    let single = [
        (flags::MULTI_TAGS, "multi_tags"),
        (flags::BORN_HOST_V6, "born_host_v6"),
        (flags::STORE_HOST_V6, "store_host_v6"),
        (flags::NEED_UNWRAP, "need_unwrap"),
        (flags::INNER_BATCH, "inner_batch"),
    ];
    let single = single.into_iter().filter(|(bit, _)| sys_flag & bit != 0).map(|(_, name)| name);
    compression.into_iter().chain(transaction).chain(single).collect()
}
