//! Walking the log record by record.

use std::{io, sync::Arc};

use rmq_proto::message::{RecordError, RecordView};

use super::commit_log::CommitLog;
use crate::file::mapped_file::MappedFile;

/// Why there is no record where one should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// The bytes are not a record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record says that it lies somewhere else.
    #[error("the record is that of physical offset {0}")]
    Misplaced(i64),
    /// The end of the record was not written.
    #[error("the record ends with zeros")]
    Torn,
}

/// What lies at a position.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A record; the cursor is behind it now.
    Record(RecordView<'a>),
    /// The end of a file; the cursor is at the next one now.
    Rolled,
    /// Nothing yet.
    End,
    /// Something else; the cursor stays.
    Damaged(Damage),
}

/// A position in the log.
#[derive(Debug)]
pub(crate) struct Cursor<'l> {
    log: &'l CommitLog,
    at: u64,
    file: Option<Arc<MappedFile>>,
}

impl<'l> Cursor<'l> {
    /// At a physical offset where a record begins.
    pub(crate) fn new(log: &'l CommitLog, at: u64) -> Self {
        Self { log, at, file: None }
    }

    /// Where it is.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Goes somewhere else.
    pub(crate) fn go(&mut self, at: u64) {
        self.at = at;
    }

    /// Looks at the next record, which must end at or below `limit`. The CRC is not checked.
    pub(crate) fn step(&mut self, limit: u64) -> io::Result<Step<'_>> {
        if self.at >= limit {
            return Ok(Step::End);
        }
        let is_current = |file: &Arc<MappedFile>| file.start() <= self.at && self.at < file.end();
        if !self.file.as_ref().is_some_and(is_current) {
            self.file = self.log.files().at_or_after(self.at);
        }
        let Some(file) = &self.file else {
            return Ok(Step::End);
        };
        if file.start() > self.at {
            self.at = file.start();
            return Ok(Step::Rolled);
        }
        let end = file.end();
        let bytes = file.record_bytes(self.at - file.start()..limit.min(end) - file.start())?;
        match RecordView::parse(bytes) {
            Ok(view) if view.physical_offset() == self.at as i64 => {
                self.at += view.size() as u64;
                Ok(Step::Record(view))
            }
            Ok(view) => Ok(Step::Damaged(Damage::Misplaced(view.physical_offset()))),
            Err(RecordError::Blank(_)) => {
                self.at = end;
                Ok(Step::Rolled)
            }
            Err(RecordError::Truncated { need, .. }) if self.at + need as u64 <= end => {
                // The rest of it has not been written yet.
                Ok(Step::End)
            }
            Err(RecordError::Truncated { have: 0..8, .. }) => {
                self.at = end;
                Ok(Step::Rolled)
            }
            Err(error) => Ok(Step::Damaged(error.into())),
        }
    }
}
