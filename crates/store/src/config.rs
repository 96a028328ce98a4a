//! Settings of a store, with Java's defaults.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rmq_proto::message::{RecordError, RecordView};

use crate::error::StoreError;

/// When an appended record counts as safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushMode {
    /// Past fdatasync before the append is acknowledged; one sync serves all that wait.
    Sync,
    /// Synced in the background.
    Async {
        /// Longest time that a record stays unsynced, ms. Java key `flushIntervalCommitLog`.
        interval_ms: u64,
    },
}

impl Default for FlushMode {
    fn default() -> Self {
        Self::Async { interval_ms: 500 }
    }
}

/// How long and how much is kept, and how full the disk may get. Fields name their Java key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Hours of the day (local time) at which expired files go, as `04` or `04;16` (`deleteWhen`).
    pub delete_when: String,
    /// Hours for which log files are kept (`fileReservedTime`).
    pub file_reserved_time_h: u64,
    /// Bytes of the log above which the oldest files go at any hour; 0 for no limit. Not a key of Java's:
    /// `commitLogMaxBytes`.
    pub max_log_bytes: u64,
    /// Disk usage above which expired files go at any hour, percent (`diskMaxUsedSpaceRatio`).
    pub disk_max_used_percent: u8,
    /// Disk usage above which even unexpired files go, percent (`diskSpaceCleanForciblyRatio`, 30 to 85).
    pub disk_clean_forcibly_percent: u8,
    /// Disk usage above which appends are refused, percent (`diskSpaceWarningLevelRatio`, 35 to 90).
    pub disk_warning_percent: u8,
    /// Bytes of the disk that appends leave free, so that what is derived from the log, the checkpoint and
    /// the tables of the broker can still be written; 0 for none. Not a key of Java's: `diskReservedBytes`.
    pub disk_reserved_bytes: u64,
    /// Whether unexpired files may be deleted when the disk gets full (`cleanFileForciblyEnable`).
    pub clean_forcibly: bool,
    /// Log files deleted in one run (`deleteFileBatchMax`).
    pub delete_files_max: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            delete_when: "04".into(),
            file_reserved_time_h: 72,
            max_log_bytes: 0,
            disk_max_used_percent: 75,
            disk_clean_forcibly_percent: 85,
            disk_warning_percent: 90,
            disk_reserved_bytes: 64 * 1024 * 1024,
            clean_forcibly: true,
            delete_files_max: 10,
        }
    }
}

/// Settings of a store. Fields name their Java key where it differs.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Everything is below this directory (`storePathRootDir`).
    pub root_dir: PathBuf,
    /// The log, if not in `commitlog` below the root (`storePathCommitLog`).
    pub commit_log_dir: Option<PathBuf>,
    /// Size of each log file, bytes (`mappedFileSizeCommitLog`). Must be that of the files that are there.
    pub mapped_file_size_commit_log: u64,
    /// Size of each queue file, bytes (`mappedFileSizeConsumeQueue`); rounded up to whole units of 20.
    pub mapped_file_size_consume_queue: u64,
    /// When an append is safe (`flushDiskType`).
    pub flush: FlushMode,
    /// Dirty 4 KiB pages below which an asynchronous flush is put off (`flushCommitLogLeastPages`). Java
    /// has 4, which can leave a few messages unsynced for 10 s; 0 keeps the promise of the interval.
    pub flush_least_pages: u64,
    /// A flush is never put off longer than this, ms (`flushCommitLogThoroughInterval`).
    pub flush_thorough_interval_ms: u64,
    /// How often queues are written to their files, ms (`flushIntervalConsumeQueue`).
    pub queue_flush_interval_ms: u64,
    /// How often queues are synced and the checkpoint advances, ms (`flushConsumeQueueThoroughInterval`).
    pub checkpoint_interval_ms: u64,
    /// Largest body, bytes (`maxMessageSize`).
    pub max_message_size: usize,
    /// How long and how much is kept; changes while the store is open with `Store::set_retention`.
    pub retention: Retention,
    /// Whether records are indexed by key (`messageIndexEnable`).
    pub index_enable: bool,
    /// Slots of an index file (`maxHashSlotNum`).
    pub index_slots: u32,
    /// Entries of an index file (`maxIndexNum`).
    pub index_entries: u32,
    /// Most records that one query by key returns (`maxMsgsNumBatch`).
    pub query_max_records: usize,
    /// Whether recovery compares bodies with their CRC (`checkCRCOnRecover`).
    pub check_crc_on_recover: bool,
    /// Whether reads compare bodies with their CRC, so that damaged ones are never delivered. Java does not.
    pub check_crc_on_read: bool,
    /// Whether records end with a CRC of all that is in them (`enabledAppendPropCRC`).
    pub append_whole_crc: bool,
    /// Whether recovery and reads compare records with such a CRC, where they have one (`forceVerifyPropCRC`).
    pub check_whole_crc: bool,
    /// Whether records that name light queues are in those too (`enableLmq` and `enableMultiDispatch`).
    pub light_queues: bool,
    /// Most bytes of one read near the end of the log (`maxTransferBytesOnMessageInMemory`).
    pub max_read_bytes_in_memory: usize,
    /// Most records of one read near the end of the log (`maxTransferCountOnMessageInMemory`).
    pub max_read_count_in_memory: usize,
    /// Most bytes of one read far from the end of the log (`maxTransferBytesOnMessageInDisk`).
    pub max_read_bytes_on_disk: usize,
    /// Most records of one read far from the end of the log (`maxTransferCountOnMessageInDisk`).
    pub max_read_count_on_disk: usize,
    /// What counts as near the end: this share of the physical memory, percent
    /// (`accessMessageInMemoryMaxRatio`).
    pub memory_percent: u8,
    /// Bytes of a queue that one read looks at while filtering (`maxFilterMessageSize`).
    pub max_filter_bytes: usize,
    /// Delay per level (`messageDelayLevel`).
    pub delay_levels: DelayLevels,
    /// Source of the store timestamps.
    pub clock: Clock,
}

impl StoreConfig {
    /// Java's defaults below `root_dir`.
    pub fn new(root_dir: impl Into<PathBuf>) -> Self {
        Self {
            root_dir: root_dir.into(),
            commit_log_dir: None,
            mapped_file_size_commit_log: 1024 * 1024 * 1024,
            mapped_file_size_consume_queue: 6_000_000,
            flush: FlushMode::default(),
            flush_least_pages: 0,
            flush_thorough_interval_ms: 10_000,
            queue_flush_interval_ms: 1_000,
            checkpoint_interval_ms: 10_000,
            max_message_size: 4 * 1024 * 1024,
            retention: Retention::default(),
            index_enable: true,
            index_slots: 5_000_000,
            index_entries: 20_000_000,
            query_max_records: 64,
            check_crc_on_recover: true,
            check_crc_on_read: true,
            append_whole_crc: false,
            check_whole_crc: false,
            light_queues: false,
            max_read_bytes_in_memory: 256 * 1024,
            max_read_count_in_memory: 32,
            max_read_bytes_on_disk: 64 * 1024,
            max_read_count_on_disk: 8,
            memory_percent: 40,
            max_filter_bytes: 16_000,
            delay_levels: DelayLevels::default(),
            clock: Clock::default(),
        }
    }

    /// Directory of the log.
    pub(crate) fn commit_log_dir(&self) -> PathBuf {
        let below_root = || self.root_dir.join("commitlog");
        self.commit_log_dir.clone().unwrap_or_else(below_root)
    }

    /// Compares a record with the checksums that it has; `body` says whether that of its body is wanted.
    pub(crate) fn check_record(&self, view: &RecordView<'_>, body: bool) -> Result<(), RecordError> {
        if body {
            view.check_body()?;
        }
        if self.check_whole_crc { view.check_whole() } else { Ok(()) }
    }

    /// Directory of the queues.
    pub(crate) fn consume_queue_dir(&self) -> PathBuf {
        self.root_dir.join("consumequeue")
    }

    /// Directory of the queues of batches, which only Java's broker serves.
    pub(crate) fn batch_queue_dir(&self) -> PathBuf {
        self.root_dir.join("batchconsumequeue")
    }

    /// Directory of what Java keeps behind the entries of queues.
    pub(crate) fn extended_queue_dir(&self) -> PathBuf {
        self.root_dir.join("consumequeue_ext")
    }

    /// Units in a queue file. Java rounds the configured size up to whole units.
    pub(crate) fn units_per_queue_file(&self) -> u64 {
        self.mapped_file_size_consume_queue.div_ceil(20)
    }

    /// Refuses settings with which a store cannot work.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let wrong =
            |key: &str, remedy: &str| Err(StoreError::Config(format!("{key} is out of range: {remedy}")));
        let file_size = self.mapped_file_size_commit_log;
        // Positions inside a file are 32-bit in the blank record that ends it.
        if !(4096..=i32::MAX as u64).contains(&file_size) {
            return wrong("mappedFileSizeCommitLog", "use 4096 to 2147483647 bytes");
        }
        if self.mapped_file_size_consume_queue < 20 {
            return wrong("mappedFileSizeConsumeQueue", "use at least 20 bytes");
        }
        if self.index_slots == 0 || self.index_entries < 2 {
            return wrong("maxHashSlotNum or maxIndexNum", "use at least 1 and 2");
        }
        if self.index_slots > i32::MAX as u32 || self.index_entries > i32::MAX as u32 {
            return wrong("maxHashSlotNum or maxIndexNum", "use at most 2147483647");
        }
        Ok(())
    }
}

/// The delays of levels 1, 2, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelayLevels(Vec<i64>);

impl DelayLevels {
    /// Reads Java's form: numbers with a unit of s, m, h or d, separated by spaces.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let level = |word: &str| {
            let unit = match word.chars().last()? {
                's' => 1_000,
                'm' => 60_000,
                'h' => 3_600_000,
                'd' => 86_400_000,
                _ => return None,
            };
            let number: i64 = word[..word.len() - 1].parse().ok()?;
            number.checked_mul(unit)
        };
        text.split_whitespace()
            .map(|word| {
                level(word).ok_or_else(|| {
                    let why = "write numbers with the unit s, m, h or d";
                    StoreError::Config(format!("messageDelayLevel `{word}` is not a delay: {why}"))
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The highest level.
    pub fn max_level(&self) -> i32 {
        self.0.len() as i32
    }

    /// Delay of a level, ms; levels above the highest count as the highest. `None` for 0 and below.
    pub fn delay_ms(&self, level: i32) -> Option<i64> {
        let level = level.min(self.max_level());
        let index = usize::try_from(level).ok()?.checked_sub(1)?;
        self.0.get(index).copied()
    }

    /// When a record of that level stored at `store_timestamp` is due, ms. Java falls back to one
    /// second for a level without a delay.
    pub fn due_ms(&self, level: i32, store_timestamp: i64) -> i64 {
        store_timestamp.saturating_add(self.delay_ms(level).unwrap_or(1_000))
    }
}

impl Default for DelayLevels {
    fn default() -> Self {
        const S: i64 = 1_000;
        const M: i64 = 60 * S;
        const H: i64 = 60 * M;
        let minutes = (1..=10).chain([20, 30]).map(|minutes| minutes * M);
        let seconds = [S, 5 * S, 10 * S, 30 * S].into_iter();
        Self(seconds.chain(minutes).chain([H, 2 * H]).collect())
    }
}

/// Where the time comes from; tests bring their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock that asks `now_ms`.
    pub fn new(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_millis() as i64)
        })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_levels_are_those_of_java() {
        let text = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";
        assert_eq!(DelayLevels::parse(text).unwrap(), DelayLevels::default());
        assert_eq!(DelayLevels::default().max_level(), 18);
    }

    #[test]
    fn levels_are_clamped() {
        let levels = DelayLevels::parse("1s 2d").unwrap();
        assert_eq!(levels.delay_ms(0), None);
        assert_eq!(levels.delay_ms(1), Some(1_000));
        assert_eq!(levels.delay_ms(9), Some(172_800_000));
        assert_eq!(levels.delay_ms(i32::MIN), None);
    }

    #[test]
    fn wrong_levels_are_named() {
        for text in ["5", "s", "5x", "5é", "99999999999999999d"] {
            let error = DelayLevels::parse(text).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
