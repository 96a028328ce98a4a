//! Places where tests inject faults, and what tests see of the disk.
//!
//! Without the cargo feature `failpoints` all of this is empty and the crate `fail` is not linked. With
//! it, [`hit`] asks that crate what shall happen at a point: an error, a delay, or a callback that, for
//! example, copies the store as a killed process would leave it. [`Syncs`] tells an observer which files
//! are past fdatasync, from which a test makes the disk as a power cut would leave it.

use std::{fs::File, io, path::Path};

/// Declares the points, and the list of all of them.
macro_rules! points {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
        /// All points.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

points! {
    /// Before a record or batch is written to the log.
    APPEND = "store-append";
    /// It is written but not published.
    APPENDED = "store-appended";
    /// Before the log's files are synced.
    LOG_SYNC = "store-log-sync";
    /// Before the next log file is created.
    ROLL = "store-roll";
    /// The next log file is there, the last one has no blank yet.
    ROLL_CREATED = "store-roll-created";
    /// The blank is written, nothing is in the next file.
    ROLLED = "store-rolled";
    /// Before a record is put into its queue and the index.
    DISPATCH = "store-dispatch";
    /// Before units are written to a queue file.
    QUEUE_WRITE = "store-queue-write";
    /// Before a queue file is synced.
    QUEUE_SYNC = "store-queue-sync";
    /// Before an entry is put into an index file.
    INDEX_PUT = "store-index-put";
    /// An index entry and its slot are written, the header does not know them.
    INDEX_SLOT = "store-index-slot";
    /// Before the index files are synced.
    INDEX_SYNC = "store-index-sync";
    /// Everything is synced, the checkpoint does not say so yet.
    CHECKPOINT = "store-checkpoint";
    /// Before an expired log file is removed.
    DELETE_LOG = "store-delete-log";
    /// Before an expired queue file is removed.
    DELETE_QUEUE = "store-delete-queue";
    /// Before the files of a deleted topic are removed.
    DELETE_TOPIC = "store-delete-topic";
    /// Recovery: the files are open, nothing has been changed.
    RECOVER = "store-recover";
    /// Recovery: queues and index have forgotten what is not safe.
    RECOVER_FORGOTTEN = "store-recover-forgotten";
    /// Recovery: before each step of the walk through the log.
    RECOVER_WALK = "store-recover-walk";
    /// Recovery: before a damaged range is sealed.
    RECOVER_SEAL = "store-recover-seal";
    /// Recovery: the end is found, nothing behind it is cut off yet.
    RECOVER_TRUNCATE = "store-recover-truncate";
    /// Recovery: everything is in place, the log is not synced yet.
    RECOVER_SYNC = "store-recover-sync";
    /// Closing: before the last sync.
    CLOSE = "store-close";
    /// Closing: before the mark of an unclean end is removed.
    CLOSE_ABORT = "store-close-abort";
    /// A table of the broker: before the new version is written under another name.
    PERSIST = "broker-persist";
    /// A table of the broker: the new version is written under another name.
    PERSIST_WRITTEN = "broker-persist-written";
    /// A table of the broker: the former version is kept too, the new one does not have its name yet.
    PERSIST_COPIED = "broker-persist-copied";
    /// A table of the broker: the new version has its name.
    PERSIST_RENAMED = "broker-persist-renamed";
    /// Before the progress of delayed messages is saved.
    DELAY_PROGRESS = "broker-delay-progress";
}

/// Lets happen what a test wants at a point: `return(EIO)` or another error, `sleep(ms)`, a callback.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_point: &str) -> io::Result<()> {
    Ok(())
}

/// Lets happen what a test wants at a point: `return(EIO)` or another error, `sleep(ms)`, a callback.
#[cfg(feature = "failpoints")]
pub fn hit(point: &str) -> io::Result<()> {
    use rustix::io::Errno;
    fail::fail_point!(point, |error| Err(match error.as_deref() {
        Some("ENOSPC") => Errno::NOSPC,
        Some("EROFS") => Errno::ROFS,
        _ => Errno::IO,
    }
    .into()));
    Ok(())
}

/// Makes a file's data survive a power cut.
pub fn sync_file(file: &File) -> io::Result<()> {
    #[cfg(feature = "failpoints")]
    let synced = syncs::begin(file);
    file.sync_data()?;
    #[cfg(feature = "failpoints")]
    synced.into_iter().for_each(|synced| synced());
    Ok(())
}

/// Makes the creation, renaming and removal of files in a directory survive a power cut.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = File::open(dir)?;
    #[cfg(feature = "failpoints")]
    let synced = syncs::begin(&dir);
    dir.sync_all()?;
    #[cfg(feature = "failpoints")]
    synced.into_iter().for_each(|synced| synced());
    Ok(())
}

/// Makes everything on the file system of a directory survive a power cut.
pub(crate) fn sync_file_system(dir: &Path) -> io::Result<()> {
    let dir = File::open(dir)?;
    #[cfg(feature = "failpoints")]
    let synced = syncs::begin_all();
    rustix::fs::syncfs(&dir)?;
    #[cfg(feature = "failpoints")]
    synced.into_iter().for_each(|synced| synced());
    Ok(())
}

#[cfg(feature = "failpoints")]
pub use syncs::{Observed, Synced, Syncs, observe};

#[cfg(feature = "failpoints")]
mod syncs {
    use std::{
        fs::{self, File},
        os::fd::AsRawFd,
        path::{Path, PathBuf},
        sync::Arc,
    };

    use parking_lot::Mutex;

    /// What an observer wants to be called with when the sync has succeeded.
    pub type Synced = Box<dyn FnOnce() + Send>;

    /// Is told of syncs below a directory.
    pub trait Syncs: Send + Sync {
        /// A sync of a file or directory, or of everything below one, begins.
        fn begin(&self, path: &Path, everything: bool) -> Synced;
    }

    static OBSERVERS: Mutex<Vec<(PathBuf, Arc<dyn Syncs>)>> = Mutex::new(Vec::new());

    /// Observes a directory until it is dropped.
    #[derive(Debug)]
    pub struct Observed(PathBuf);

    impl Drop for Observed {
        fn drop(&mut self) {
            OBSERVERS.lock().retain(|(root, _)| *root != self.0);
        }
    }

    /// Tells `observer` of the syncs at and below `root`, an absolute path without symbolic links.
    pub fn observe(root: &Path, observer: Arc<dyn Syncs>) -> Observed {
        OBSERVERS.lock().push((root.to_owned(), observer));
        Observed(root.to_owned())
    }

    fn tell(told: impl Fn(&Path, &dyn Syncs) -> Option<Synced>) -> Vec<Synced> {
        let observers = OBSERVERS.lock().clone();
        observers.iter().filter_map(|(root, observer)| told(root, &**observer)).collect()
    }

    pub(super) fn begin(file: &File) -> Vec<Synced> {
        // The path by which it was opened, or the one to which it was renamed since.
        let Ok(path) = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) else {
            return Vec::new();
        };
        tell(|root, observer| path.starts_with(root).then(|| observer.begin(&path, false)))
    }

    pub(super) fn begin_all() -> Vec<Synced> {
        tell(|root, observer| Some(observer.begin(root, true)))
    }
}
