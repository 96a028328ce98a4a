//! The store: an append-only log of all messages, and queues and an index derived from it.
//!
//! ```text
//!  append ─▶ commit log ──▶ dispatch ─┬▶ consume queues ─▶ read ─▶ records, without a copy
//!               │                     └▶ index ──────────▶ query
//!               └▶ flush ─▶ durable
//! ```
//! The log is the truth: what is derived can be deleted and is made again from it. Files are those of
//! Apache RocketMQ, byte for byte; `docs/DISK.md` describes them.
//!
//! What enters is a [`NewRecord`]; what leaves are whole records as [`bytes::Bytes`], the same bytes
//! that a pull answer carries. [`Store::durable`] waits for the disk, [`Progress`] is how.
//!
//! ```
//! use rmq_store::{NewRecord, NoFilter, ReadLimits, Store, StoreConfig};
//!
//! let dir = tempfile::tempdir()?;
//! let store = Store::open(StoreConfig::new(dir.path()), Box::new(|_| {}))?;
//! let stored = store.append(NewRecord {
//!     topic: "orders".into(),
//!     queue_id: 0,
//!     flag: 0,
//!     sys_flag: 0,
//!     born_timestamp: 1_700_000_000_000,
//!     born_host: "10.0.0.1:50000".parse()?,
//!     store_host: "10.0.0.2:10911".parse()?,
//!     reconsume_times: 0,
//!     prepared_transaction_offset: 0,
//!     body: "hello".into(),
//!     properties: "TAGS\u{1}TagA\u{2}".into(),
//! })?;
//! let read = store.read("orders", 0, stored.queue_offset, ReadLimits::messages(32), &NoFilter);
//! assert_eq!(read.records.len(), 1);
//! store.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod appending;
mod config;
mod derived;
mod disk;
mod error;
pub mod fault;
mod file;
pub mod inspect;
mod log;
mod opening;
mod progress;
mod read;
mod retention;
mod store;
mod upkeep;

pub use config::{Clock, DelayLevels, FlushMode, Retention, StoreConfig};
pub use derived::{
    dispatch::{Arrival, OnArrival},
    queue_file::Unit,
};
pub use error::{AppendError, FlushFailed, StoreError};
pub use progress::{Progress, Stopped};
pub use read::{Boundary, Filter, NoFilter, Query, ReadLimits, ReadOutcome, ReadStatus};
pub use store::{Appended, NewRecord, Store, StoreStatus};

#[cfg(test)]
mod tests;
