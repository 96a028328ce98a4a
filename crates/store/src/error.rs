//! What can go wrong, each with the culprit and the remedy.

use std::{io, path::PathBuf};

use rmq_proto::message::RecordError;

/// Why a store could not be opened or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A setting makes no sense.
    #[error("{0}")]
    Config(String),
    /// The operating system refused something.
    #[error("can't {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as an infinitive.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the directory.
    #[error("{} is in use by another process; stop that one or configure another storePathRootDir", .0.display())]
    Locked(PathBuf),
    /// A file was written with another file size.
    #[error(
        "{} has {have} bytes, but {key} is {want}: configure the size with which the store was made",
        path.display()
    )]
    FileSize {
        /// The file.
        path: PathBuf,
        /// Its length, bytes.
        have: u64,
        /// The configured length, bytes.
        want: u64,
        /// The Java key that sets it.
        key: &'static str,
    },
    /// A topic whose name could leave the store's directory.
    #[error("the topic `{0}` can't be the name of a directory")]
    TopicName(String),
}

/// Adds what was tried, and on what, to an error of the operating system.
pub(crate) trait IoContext<T> {
    /// Turns the error into a [`StoreError`].
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, StoreError>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { doing, path: path.to_owned(), source: source.into() })
    }
}

/// Why a record was not stored. Nothing of it is visible, and its queue offset is free.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The body is above the limit.
    #[error("the body has {size} bytes, the limit maxMessageSize is {limit}")]
    BodyTooLarge {
        /// Its length, bytes.
        size: usize,
        /// The limit, bytes.
        limit: usize,
    },
    /// The record or batch does not fit in one file of the log.
    #[error("the message needs {size} bytes, a log file holds {limit}")]
    TooLargeForFile {
        /// What it needs, bytes.
        size: usize,
        /// What there is, bytes.
        limit: usize,
    },
    /// A part of the record is longer than its format allows, or its topic can't name a directory.
    #[error("{0}")]
    Illegal(String),
    /// The disk is full, or above the configured level.
    #[error("the disk of the store is full: {0}")]
    DiskFull(String),
    /// No log file can be made: the limit of open files is reached.
    #[error("the store can't open its next file: {0}; raise the limit of open files (ulimit -n)")]
    TooManyFiles(String),
    /// The store takes no more records since a write or a sync failed.
    #[error("the store is read-only since a write failed: {0}; check the disk and restart")]
    ReadOnly(String),
    /// The store is closed or closing.
    #[error("the store is shutting down")]
    Closed,
    /// Raw bytes do not continue the log.
    #[error("the bytes begin at {have}, the log ends at {want}")]
    NotContiguous {
        /// Where the bytes begin, physical offset.
        have: i64,
        /// Where the log ends, physical offset.
        want: i64,
    },
}

impl From<RecordError> for AppendError {
    fn from(error: RecordError) -> Self {
        Self::Illegal(error.to_string())
    }
}

/// A sync failed: what waited for it may not survive a power cut and must not be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log could not be synced to disk")]
pub struct FlushFailed;
