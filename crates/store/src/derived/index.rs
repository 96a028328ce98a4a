//! The index: records by key, in files that are named after the time of their creation.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use chrono::{Local, TimeZone};
use parking_lot::RwLock;

use super::index_file::{IndexFile, Shape};
use crate::{
    config::{Clock, StoreConfig},
    error::{IoContext, StoreError},
    fault,
    file::{checkpoint::Checkpoint, lock::was_aborted},
};

/// What a record is found by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// The record's topic.
    pub(crate) topic: &'a str,
    /// The sender's unique id.
    pub(crate) unique: Option<&'a str>,
    /// Search keys, separated by spaces.
    pub(crate) keys: Option<&'a str>,
    /// The tags.
    pub(crate) tags: Option<&'a str>,
}

impl Keys<'_> {
    /// The index keys. Java 5.4 and later also index the tags.
    pub(crate) fn each(&self) -> impl Iterator<Item = String> {
        let keys = self.unique.into_iter().chain(self.keys.unwrap_or_default().split(' '));
        let keys = keys.filter(|key| !key.is_empty()).map(|key| key_of(self.topic, key));
        keys.chain(self.tags.filter(|tags| !tags.is_empty()).map(|tags| tag_of(self.topic, tags)))
    }
}

/// The index key of a unique id or search key.
pub(crate) fn key_of(topic: &str, key: &str) -> String {
    format!("{topic}#{key}")
}

/// The index key of tags.
pub(crate) fn tag_of(topic: &str, tags: &str) -> String {
    format!("{topic}#T#{tags}")
}

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    /// Physical offsets, newest first.
    pub(crate) offsets: Vec<i64>,
    /// Store time of the newest indexed record, ms.
    pub(crate) end_timestamp: i64,
    /// Physical offset of the newest indexed record.
    pub(crate) end_offset: i64,
}

/// The index files, oldest first.
#[derive(Debug)]
pub(crate) struct Index {
    dir: PathBuf,
    shape: Shape,
    clock: Clock,
    files: RwLock<Vec<IndexFile>>,
    /// A file was created whose name would not survive a power cut yet.
    created: AtomicBool,
    /// The last process did not close the store, so slots may be newer than headers.
    aborted: bool,
}

impl Index {
    /// Opens the files that are there; the flag says whether all of them are sane. One that is not, and
    /// all newer ones, are deleted, to be made again from the log.
    pub(crate) fn load(
        config: &StoreConfig,
        checkpoint: &mut Checkpoint,
    ) -> Result<(Self, bool), StoreError> {
        let dir = config.root_dir.join("index");
        fs::create_dir_all(&dir).doing("create", &dir)?;
        let shape = Shape { slots: config.index_slots, entries: config.index_entries };
        let mut paths = Vec::new();
        for entry in fs::read_dir(&dir).doing("list", &dir)? {
            let entry = entry.doing("list", &dir)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        let mut files = Vec::new();
        let mut intact = true;
        for path in paths {
            // A file is followed by another one only when it is full, and has an entry from its first moment.
            intact &= files.last().is_none_or(IndexFile::is_full);
            let opened =
                if intact { IndexFile::open(path.clone(), shape).doing("open", &path)? } else { None };
            match opened.filter(|file| !file.is_empty()) {
                Some(file) => files.push(file),
                None => {
                    tracing::warn!(path = %path.display(), "an index file is made again from the log");
                    checkpoint.forget()?;
                    fs::remove_file(&path).doing("remove", &path)?;
                    intact = false;
                }
            }
        }
        let clock = config.clock.clone();
        let aborted = was_aborted(&config.root_dir);
        let (files, created) = (RwLock::new(files), AtomicBool::new(false));
        Ok((Self { dir, shape, clock, files, created, aborted }, intact))
    }

    /// Where the files lie.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Forgets the entries of records at or behind `limit`.
    pub(crate) fn truncate(&self, limit: u64) -> Result<(), StoreError> {
        let mut files = self.files.write();
        while let Some(file) = files.last_mut() {
            if !self.aborted && file.header().end_offset < limit as i64 && !file.is_empty() {
                break;
            }
            if file.truncate(limit as i64).doing("truncate", file.path())? > 0 {
                break;
            }
            fs::remove_file(file.path()).doing("remove", file.path())?;
            files.pop();
        }
        Ok(())
    }

    /// Adds a record under all its keys. Does nothing for one that it has.
    pub(crate) fn put(&self, keys: &Keys<'_>, offset: i64, timestamp: i64) -> io::Result<()> {
        let mut files = self.files.write();
        let newest = files.last().filter(|file| !file.is_empty());
        if newest.is_some_and(|file| offset <= file.header().end_offset) {
            return Ok(());
        }
        for key in keys.each() {
            let added = match files.last_mut() {
                Some(file) => file.put(&key, offset, timestamp)?,
                None => false,
            };
            if !added {
                let mut file = self.next_file(files.last())?;
                file.put(&key, offset, timestamp)?;
                files.push(file);
            }
        }
        Ok(())
    }

    fn next_file(&self, full: Option<&IndexFile>) -> io::Result<IndexFile> {
        let mut now = self.clock.now_ms();
        loop {
            let path = self.dir.join(name_of(now));
            let is_newer = full.is_none_or(|full| full.path() < path.as_path());
            if is_newer && !path.exists() {
                self.created.store(true, Ordering::SeqCst);
                let created = IndexFile::create(path.clone(), self.shape, full.map(IndexFile::header));
                if created.is_err() {
                    // Without space for it, it must not stay as an empty file.
                    let _ = fs::remove_file(&path);
                }
                return created;
            }
            now += 1;
        }
    }

    /// Searches the newest files first, up to `max` records stored between `begin` and `end`, ms.
    pub(crate) fn find(&self, key: &str, max: usize, begin: i64, end: i64) -> Hits {
        let files = self.files.read();
        let newest = files.last().map(IndexFile::header).unwrap_or_default();
        let mut hits =
            Hits { offsets: Vec::new(), end_timestamp: newest.end_timestamp, end_offset: newest.end_offset };
        for file in files.iter().rev() {
            if file.covers(begin, end) {
                file.find(key, max, begin, end, &mut hits.offsets);
            }
            if file.header().begin_timestamp < begin || hits.offsets.len() >= max {
                break;
            }
        }
        hits
    }

    /// Makes everything survive a power cut; returns the store time of the newest record in a full file.
    /// After a crash, Java throws away files that end later and, with `messageIndexSafe`, makes them again
    /// from that time on: an earlier part of the file that is being filled would be lost. Records are put
    /// meanwhile.
    pub(crate) fn sync(&self) -> Result<i64, StoreError> {
        let (end_timestamp, dirty, created) = {
            let files = self.files.read();
            let created = self.created.swap(false, Ordering::SeqCst);
            let full = files.iter().rev().find(|file| file.is_full());
            let end = full.map_or(0, |file| file.header().end_timestamp);
            (end, files.iter().filter_map(IndexFile::take_dirty).collect::<Vec<_>>(), created)
        };
        let synced = fault::hit(fault::INDEX_SYNC)
            .and_then(|()| dirty.iter().try_for_each(|file| fault::sync_file(file)))
            .and_then(|()| if created { fault::sync_dir(&self.dir) } else { Ok(()) });
        let files = self.files.read();
        match synced.doing("sync", &self.dir) {
            Ok(()) => files.iter().for_each(IndexFile::release_memory),
            Err(error) => {
                files.iter().for_each(IndexFile::set_dirty);
                self.created.fetch_or(created, Ordering::SeqCst);
                return Err(error);
            }
        }
        Ok(end_timestamp)
    }

    /// Deletes the files whose records are all before `log_start`, but never the last one.
    pub(crate) fn delete_before(&self, log_start: u64) -> Result<usize, StoreError> {
        let mut files = self.files.write();
        let is_gone = |file: &&IndexFile| file.header().end_offset < log_start as i64;
        let last = files.len().saturating_sub(1);
        let gone = files[..last].iter().take_while(is_gone).count();
        for file in files.drain(..gone) {
            fs::remove_file(file.path()).doing("remove", file.path())?;
        }
        Ok(gone)
    }
}

/// Java's `yyyyMMddHHmmssSSS` in local time.
fn name_of(now_ms: i64) -> String {
    match Local.timestamp_millis_opt(now_ms).earliest() {
        Some(time) => time.format("%Y%m%d%H%M%S%3f").to_string(),
        None => format!("{now_ms:017}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &tempfile::TempDir) -> StoreConfig {
        StoreConfig {
            index_slots: 7,
            index_entries: 10,
            clock: Clock::new(|| 1_700_000_000_000),
            ..StoreConfig::new(dir.path())
        }
    }

    fn load(dir: &tempfile::TempDir) -> Result<(Index, bool), StoreError> {
        Index::load(&config(dir), &mut Checkpoint::open(dir.path()).unwrap())
    }

    fn fill(index: &Index, records: std::ops::Range<i64>) {
        for number in records {
            let unique = format!("u{number}");
            let keys = Keys { topic: "T", unique: Some(&unique), keys: Some("a  b"), tags: Some("tag") };
            index.put(&keys, number * 100, 1_000_000 + number * 1000).unwrap();
        }
    }

    #[test]
    fn records_are_found_by_all_their_keys_over_several_files() {
        let dir = tempfile::tempdir().unwrap();
        let (index, intact) = load(&dir).unwrap();
        assert!(intact);
        fill(&index, 0..20);
        assert_eq!(index.files.read().len(), 9);
        for key in [key_of("T", "a"), key_of("T", "b"), tag_of("T", "tag")] {
            let hits = index.find(&key, 64, 0, i64::MAX);
            assert_eq!(hits.offsets, (0..20).rev().map(|n| n * 100).collect::<Vec<_>>());
            assert_eq!((hits.end_offset, hits.end_timestamp), (1900, 1_019_000));
        }
        assert_eq!(index.find("T#u7", 64, 0, i64::MAX).offsets, [700]);
        assert_eq!(index.find("T#a", 3, 0, i64::MAX).offsets, [1900, 1800, 1700]);
    }

    #[test]
    fn putting_twice_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (index, _) = load(&dir).unwrap();
        fill(&index, 0..5);
        fill(&index, 0..5);
        assert_eq!(index.find("T#a", 64, 0, i64::MAX).offsets.len(), 5);
    }

    #[test]
    fn truncation_and_putting_again_give_the_same() {
        for limit in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let (index, _) = load(&dir).unwrap();
            fill(&index, 0..20);
            drop(index);
            let (index, _) = load(&dir).unwrap();
            index.truncate(limit * 100).unwrap();
            let left = index.find("T#a", 64, 0, i64::MAX).offsets.len();
            assert_eq!(left as u64, limit);
            fill(&index, limit as i64..20);
            assert_eq!(index.find("T#b", 64, 0, i64::MAX).offsets.len(), 20);
        }
    }

    #[test]
    fn old_files_go_but_never_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let (index, _) = load(&dir).unwrap();
        fill(&index, 0..20);
        assert_eq!(index.delete_before(1000).unwrap(), 4);
        index.delete_before(u64::MAX >> 1).unwrap();
        assert_eq!(index.files.read().len(), 1);
    }

    #[test]
    fn a_damaged_file_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (index, _) = load(&dir).unwrap();
        fill(&index, 0..2);
        let path = index.files.read()[0].path().to_owned();
        drop(index);
        fs::write(&path, [0; 10]).unwrap();
        let (index, intact) = load(&dir).unwrap();
        assert!(!intact && index.files.read().is_empty() && !path.exists());
    }
}
