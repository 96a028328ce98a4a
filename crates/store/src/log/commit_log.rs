//! The log of all records of all topics, in files of one length.
//!
//! ```text
//! 00000000000000000000        00000000001073741824
//! [record][record]…[blank]    [record][record]…      ▲ end: published to readers after the write
//! ```
//! One lock orders the appends. Under it a record gets its place and is written with one system call;
//! everything else (encoding, CRC, looking up the queue) happened before.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rmq_proto::message::{
    RecordView,
    record::{BLANK_LEN, MAGIC_BLANK},
};

use crate::{
    config::StoreConfig,
    error::{AppendError, IoContext, StoreError},
    fault,
    file::{
        allocator::{is_disk_full, is_file_limit},
        mapped_file::MappedFile,
        mapped_files::MappedFiles,
    },
    progress::Progress,
};

/// The log.
#[derive(Debug)]
pub(crate) struct CommitLog {
    files: MappedFiles,
    /// The file that is written; `None` until the first append.
    tail: Mutex<Option<Arc<MappedFile>>>,
    end: AtomicU64,
    last_timestamp: AtomicI64,
    flushed: Progress,
    failure: OnceLock<String>,
    /// Bytes of the disk that appends leave free.
    keep_free: AtomicU64,
}

impl CommitLog {
    /// Opens the files that are there. Where the log ends is for recovery to find.
    pub(crate) fn load(config: &StoreConfig) -> Result<Self, StoreError> {
        MappedFiles::load(config.commit_log_dir(), config.mapped_file_size_commit_log)
            .map(|files| Self::of(files, config))
    }

    /// Opens the files that are there only to be read; nothing on disk changes.
    pub(crate) fn view(config: &StoreConfig) -> Result<Self, StoreError> {
        MappedFiles::view(config.commit_log_dir(), config.mapped_file_size_commit_log)
            .map(|files| Self::of(files, config))
    }

    fn of(files: MappedFiles, config: &StoreConfig) -> Self {
        Self {
            files,
            tail: Mutex::new(None),
            end: AtomicU64::new(0),
            last_timestamp: AtomicI64::new(0),
            flushed: Progress::default(),
            failure: OnceLock::new(),
            keep_free: AtomicU64::new(config.retention.disk_reserved_bytes),
        }
    }

    /// The files.
    pub(crate) fn files(&self) -> &MappedFiles {
        &self.files
    }

    /// Cuts the log at `end`, which becomes its end. Only before anybody reads or appends.
    pub(crate) fn truncate(&self, end: u64, last_timestamp: i64) -> Result<(), StoreError> {
        let first = self.files.first().map(|file| file.start());
        // An empty first file stays: its name keeps the place in the log.
        let is_behind = |file: &MappedFile| file.start() >= end && Some(file.start()) != first;
        let deleted = self.files.delete(is_behind)?;
        if deleted > 0 {
            tracing::info!(deleted, end, "files behind the log's end are deleted");
        }
        let tail = self.files.at(end);
        if let Some(file) = &tail {
            clear_from(file, end)?;
        }
        *self.tail.lock() = tail;
        self.last_timestamp.store(last_timestamp, Ordering::SeqCst);
        self.end.store(end, Ordering::SeqCst);
        Ok(())
    }

    /// Physical offset of the first byte that is kept.
    pub(crate) fn start(&self) -> u64 {
        self.files.first().map_or_else(|| self.end(), |file| file.start())
    }

    /// Physical offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::SeqCst)
    }

    /// Store time of the last record, ms; 0 if unknown.
    pub(crate) fn last_timestamp(&self) -> i64 {
        self.last_timestamp.load(Ordering::SeqCst)
    }

    /// How far the log is past fdatasync.
    pub(crate) fn flushed(&self) -> &Progress {
        &self.flushed
    }

    /// Takes no more records, and says why to those who try.
    pub(crate) fn fail(&self, why: String) {
        // Only the first reason matters.
        if self.failure.set(why.clone()).is_ok() {
            tracing::error!(why, "the store is read-only from now on; reading goes on");
        }
        self.flushed.stop();
    }

    /// Leaves that many bytes of the disk free from now on.
    pub(crate) fn keep_free(&self, bytes: u64) {
        self.keep_free.store(bytes, Ordering::Relaxed);
    }

    fn reserve(&self, file: &MappedFile, range: Range<u64>) -> io::Result<()> {
        file.reserve(range, self.keep_free.load(Ordering::Relaxed))
    }

    /// Refuses appends to a log that takes no more records.
    pub(crate) fn check_failure(&self) -> Result<(), AppendError> {
        match self.failure() {
            Some(why) => Err(AppendError::ReadOnly(why.to_owned())),
            None => Ok(()),
        }
    }

    /// Why the log takes no more records, if so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Waits for the turn to append.
    pub(crate) fn appender(&self) -> Result<Appender<'_>, AppendError> {
        let tail = self.tail.lock();
        self.check_failure()?;
        Ok(Appender { log: self, tail })
    }

    /// Syncs everything that is written and raises the watermark. A failure is final: the kernel may
    /// have dropped the pages, so that a second sync would succeed without them.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if let Some(why) = self.failure() {
            return Err(io::Error::other(why));
        }
        let (from, end) = (self.flushed.get() as u64, self.end());
        let mut at = from;
        while at < end {
            let Some(file) = self.files.at_or_after(at) else {
                break;
            };
            let range = at.max(file.start())..end.min(file.end());
            let written = range.start - file.start()..range.end.saturating_sub(file.start());
            if let Err(error) = fault::hit(fault::LOG_SYNC).and_then(|()| file.sync_written(written)) {
                self.fail(format!("can't sync {}: {error}", file.path().display()));
                return Err(error);
            }
            at = file.end();
        }
        if self.failure().is_none() {
            self.flushed.raise(end as i64);
        }
        Ok(())
    }

    /// The whole record that begins at a physical offset; `None` if none does. Its CRC is not checked.
    pub(crate) fn record(&self, offset: u64) -> Option<Bytes> {
        let end = self.end();
        let file = self.files.at(offset).filter(|_| offset < end)?;
        let start = offset - file.start();
        let bytes = self.read(&file, start..end - file.start())?;
        let view = RecordView::parse(bytes).ok()?;
        if view.physical_offset() != offset as i64 {
            return None;
        }
        file.shared(start..start + view.size() as u64).ok()
    }

    /// Store time of the record at a physical offset, ms.
    pub(crate) fn store_timestamp(&self, offset: u64) -> Option<i64> {
        let end = self.end();
        let file = self.files.at(offset).filter(|_| offset < end)?;
        let start = offset - file.start();
        let bytes = self.read(&file, start..end - file.start())?;
        let view = RecordView::parse(bytes).ok()?;
        (view.physical_offset() == offset as i64).then(|| view.store_timestamp())
    }

    /// Bytes of the log as they are, at most to the end of their file.
    pub(crate) fn raw(&self, offset: u64, max: usize) -> Option<Bytes> {
        let end = self.end();
        let file = self.files.at(offset).filter(|_| offset < end)?;
        let last = end.min(file.end()).min(offset.saturating_add(max as u64));
        file.look_at(offset - file.start()..last - file.start()).ok()?;
        file.shared(offset - file.start()..last - file.start()).ok()
    }

    fn read<'f>(&self, file: &'f MappedFile, range: Range<u64>) -> Option<&'f [u8]> {
        let bytes = file.record_bytes(range);
        bytes
            .inspect_err(|error| tracing::debug!(path = %file.path().display(), %error, "can't read the log"))
            .ok()
    }

    fn publish(&self, end: u64) {
        self.end.store(end, Ordering::SeqCst);
    }
}

/// The turn to append.
#[derive(Debug)]
pub(crate) struct Appender<'a> {
    log: &'a CommitLog,
    tail: MutexGuard<'a, Option<Arc<MappedFile>>>,
}

impl Appender<'_> {
    /// Where `size` bytes will go, all in one file. Java puts a record only where a blank still fits
    /// behind it; otherwise the rest of the file becomes a blank.
    pub(crate) fn place(&mut self, size: usize) -> Result<u64, AppendError> {
        let file_len = self.log.files.file_len();
        let need = (size + BLANK_LEN) as u64;
        if need > file_len {
            return Err(AppendError::TooLargeForFile { size, limit: file_len as usize - BLANK_LEN });
        }
        let end = self.log.end();
        if let Some(file) = self.tail.clone().filter(|file| end < file.end()) {
            if need <= file.end() - end {
                let at = end - file.start();
                self.check(self.log.reserve(&file, at..at + need))?;
                return Ok(end);
            }
            // The next file first: without space for it the log must not roll.
            let next = self.next_file(file.end(), need)?;
            self.check(fault::hit(fault::ROLL_CREATED))?;
            self.write_blank(&file, end)?;
            self.check(fault::hit(fault::ROLLED))?;
            *self.tail = Some(next);
            return Ok(self.log.end());
        }
        *self.tail = Some(self.next_file(end / file_len * file_len, need)?);
        Ok(end)
    }

    /// Writes at the log's end and publishes it. Comes after [`Appender::place`] of the same size.
    pub(crate) fn write(&mut self, bytes: &[u8], timestamp: i64) -> Result<(), AppendError> {
        self.write_tail(bytes)?;
        self.log.last_timestamp.store(timestamp, Ordering::SeqCst);
        Ok(())
    }

    /// Writes bytes of another broker's log that begin at `start`; returns the new end. An empty log
    /// begins anywhere.
    pub(crate) fn write_raw(&mut self, start: u64, mut bytes: &[u8]) -> Result<u64, AppendError> {
        if self.tail.is_none() && self.log.files.last().is_none() {
            self.log.publish(start);
            self.log.flushed.raise(start as i64);
        }
        let end = self.log.end();
        if start != end {
            return Err(AppendError::NotContiguous { have: start as i64, want: end as i64 });
        }
        let file_len = self.log.files.file_len();
        while !bytes.is_empty() {
            let end = self.log.end();
            if self.tail.as_ref().is_none_or(|file| file.end() <= end) {
                *self.tail = Some(self.next_file(end / file_len * file_len, 0)?);
            }
            let room = file_len - end % file_len;
            let (now, later) = bytes.split_at(bytes.len().min(room as usize));
            self.write_tail(now)?;
            bytes = later;
        }
        Ok(self.log.end())
    }

    fn write_tail(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        let end = self.log.end();
        let Some(file) = self.tail.clone() else {
            return Err(AppendError::Illegal("nothing was placed".into()));
        };
        let at = end - file.start();
        // Raw bytes have not been placed; for others this has nothing to do.
        let reserved = self.log.reserve(&file, at..at + bytes.len() as u64);
        let written = reserved
            .and_then(|()| fault::hit(fault::APPEND))
            .and_then(|()| file.write(at, bytes))
            .and_then(|()| fault::hit(fault::APPENDED));
        if written.is_err() {
            // What was written of it must not look like a record later on.
            let _ = clear_from(&file, end);
        }
        self.check(written)?;
        self.log.publish(end + bytes.len() as u64);
        Ok(())
    }

    fn write_blank(&mut self, file: &MappedFile, end: u64) -> Result<(), AppendError> {
        let rest = (file.end() - end) as i32;
        let mut blank = [0; BLANK_LEN];
        blank[..4].copy_from_slice(&rest.to_be_bytes());
        blank[4..].copy_from_slice(&MAGIC_BLANK.to_be_bytes());
        self.check(file.write(end - file.start(), &blank))?;
        self.log.publish(file.end());
        Ok(())
    }

    fn next_file(&self, start: u64, need: u64) -> Result<Arc<MappedFile>, AppendError> {
        let created = fault::hit(fault::ROLL).and_then(|()| self.log.files.create(start));
        let file = self.check(created)?;
        self.check(self.log.reserve(&file, 0..need))?;
        Ok(file)
    }

    /// A full disk or too many open files refuse the record and may pass; any other failed write ends writing.
    fn check<T>(&self, result: io::Result<T>) -> Result<T, AppendError> {
        result.map_err(|error| {
            if is_disk_full(&error) {
                return AppendError::DiskFull(error.to_string());
            }
            if is_file_limit(&error) {
                return AppendError::TooManyFiles(error.to_string());
            }
            let why = format!("can't write to {}: {error}", self.log.files.dir().display());
            self.log.fail(why.clone());
            AppendError::ReadOnly(why)
        })
    }
}

/// Zeros from a physical offset to the end of its file, so that nothing old comes back to life.
fn clear_from(file: &MappedFile, offset: u64) -> Result<(), StoreError> {
    let at = offset - file.start();
    let is_clean = |range: &Range<u64>| {
        let bytes = file.bytes(range.clone());
        bytes.is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    };
    match file.next_data(at) {
        // Nothing behind the end, or only what was reserved.
        None => return Ok(()),
        Some(data) if file.next_data(data.end).is_none() && is_clean(&data) => return Ok(()),
        Some(_) => {}
    }
    file.clear_from(at).and_then(|()| file.sync()).doing("clear the end of", file.path())
}
