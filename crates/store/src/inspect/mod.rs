//! Looking at a store that is stopped: what is in its files, whether they fit together, making them fit.
//!
//! [`StoppedStore`] opens the files for reading only, of our broker or of Java's, and keeps a broker from
//! starting meanwhile. [`StoppedStore::dump`] tells what is there, [`StoppedStore::check`] whether it fits,
//! [`repair()`] makes the derived files fit the log again. The program `mqstore` prints what these say.
//!
//! ```no_run
//! use rmq_store::inspect::{Finding, Layout, StoppedStore};
//!
//! let store = StoppedStore::open(Layout::find("/root/store".as_ref())?)?;
//! let summary = store.check(&mut |finding: Finding| println!("{finding}"))?;
//! assert!(summary.is_sound());
//! # Ok::<(), rmq_store::inspect::InspectError>(())
//! ```

mod check;
mod check_index;
mod check_queues;
mod dump;
mod layout;
mod log_walk;
mod queue_reader;
mod queue_table;
mod repair;
mod report;

use std::{fs, io, path::PathBuf};

pub use dump::{
    CheckpointItem, DamageItem, IndexEntryItem, IndexItem, Item, Part, QueueItem, RecordItem, Selection,
    StateItem, UnitItem,
};
pub use layout::Layout;
pub use repair::{Repaired, repair};
pub use report::{Finding, Listener, Severity, Summary};

use crate::{
    config::StoreConfig,
    error::StoreError,
    file::lock::{self, DirLock},
    log::commit_log::CommitLog,
};

/// Why a store could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The store is in use, or its files can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory has none of a store's files.
    #[error(
        "{} is not a store: it has no commitlog, no consumequeue and no checkpoint; \
         give the directory that storePathRootDir names",
        .0.display()
    )]
    NotAStore(PathBuf),
    /// A setting that has to be known is missing or makes no sense.
    #[error("{0}")]
    Config(String),
    /// What was found can't be written down.
    #[error("can't write the output: {0}")]
    Output(#[from] io::Error),
}

/// A store that no broker has open. Nothing is written while it is looked at.
#[derive(Debug)]
pub struct StoppedStore {
    layout: Layout,
    log: CommitLog,
    _lock: Option<DirLock>,
}

impl StoppedStore {
    /// Opens the store that lies as `layout` says.
    pub fn open(layout: Layout) -> Result<Self, InspectError> {
        Self::check_place(layout.config())?;
        let lock = lock::share(&layout.config().root_dir)?;
        Self::with_lock(layout, lock)
    }

    fn with_lock(layout: Layout, lock: Option<DirLock>) -> Result<Self, InspectError> {
        let log = CommitLog::view(layout.config())?;
        Ok(Self { layout, log, _lock: lock })
    }

    fn check_place(config: &StoreConfig) -> Result<(), InspectError> {
        config.check()?;
        let root = &config.root_dir;
        let parts = [config.commit_log_dir(), config.consume_queue_dir(), root.join("checkpoint")];
        match parts.iter().any(|part| part.exists()) {
            true => Ok(()),
            false => Err(InspectError::NotAStore(root.clone())),
        }
    }

    /// Where its files lie and how long they are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    fn config(&self) -> &StoreConfig {
        self.layout.config()
    }

    fn log_start(&self) -> u64 {
        self.log.files().first().map_or(0, |file| file.start())
    }

    /// Whether the last broker that had it did not close it.
    fn was_aborted(&self) -> bool {
        lock::was_aborted(&self.config().root_dir)
    }

    /// Paths of the index files, oldest first, and of what else lies beside them.
    fn index_files(&self) -> Result<(Vec<PathBuf>, Vec<PathBuf>), InspectError> {
        layout::index_files(self.config())
    }
}

/// Names in a directory with what they are; empty if there is none.
fn entries(dir: &std::path::Path) -> Result<Vec<(String, fs::FileType)>, StoreError> {
    use crate::error::IoContext;
    let found = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing("list", dir)?,
    };
    let mut names = Vec::new();
    for entry in found {
        let entry = entry.doing("list", dir)?;
        let kind = entry.file_type().doing("look at", &entry.path())?;
        names.push((entry.file_name().to_string_lossy().into_owned(), kind));
    }
    names.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(names)
}
