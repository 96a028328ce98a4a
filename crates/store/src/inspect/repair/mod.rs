//! Putting a store right: the log is healed as by a start after a crash, queues and index are made to fit.
//!
//! Queues are put right in place, entry by entry, and never emptied: the entries are all that is left of
//! the offsets of records that have expired. The index is moved aside and made again by the store itself.
//! Until everything is safe on disk the file `abort` is there, so that a start of the broker after an
//! interrupted repair recovers the store as after a crash; another repair begins anew.

mod queues;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use queues::QueueHealer;

use super::{
    InspectError, Layout, StoppedStore,
    check::Checked,
    entries,
    log_walk::check_sums,
    report::{Listener, Summary},
};
use crate::{
    derived::{queues::sync_file_system, roster::Roster},
    error::{IoContext, StoreError},
    file::{
        checkpoint::{Checkpoint, Marks},
        lock::{self, DirLock},
    },
    log::{commit_log::CommitLog, recover},
    store::Store,
};

/// Where the index lies until a new one has been made.
const INDEX_ASIDE: &str = "index.before-repair";

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// What was found before.
    pub before: Summary,
    /// What was found after; `None` if nothing was done.
    pub after: Option<Summary>,
    /// Entries of queues that were written.
    pub entries: u64,
}

/// Puts a stopped store right; one that is sound and was closed is left alone unless `always`. Tells
/// `listener` what is found before and, after [`Listener::after_repair`], what is found then. May be
/// interrupted anywhere.
///
/// # Errors
/// When the sizes of the files are in doubt, when files can't be read or written, or the store is in use.
pub fn repair(layout: &Layout, always: bool, listener: &mut dyn Listener) -> Result<Repaired, InspectError> {
    let config = layout.config();
    let root = &config.root_dir;
    StoppedStore::check_place(config)?;
    let dir_lock = DirLock::take(root)?;
    let store = StoppedStore::with_lock(layout.clone(), Some(dir_lock))?;
    let checked = store.check_all(listener)?;
    let before = checked.summary.clone();
    if before.is_sound() && !before.aborted && !always {
        return Ok(Repaired { before, after: None, entries: 0 });
    }
    check_doubts(layout, &checked)?;
    let healer = QueueHealer::new(config, &checked.queues);
    healer.check_names()?;
    let written = heal(&store, healer)?;
    drop(store);
    make_index(layout, &checked)?;
    listener.after_repair();
    let after = StoppedStore::open(layout.clone())?.check(listener)?;
    Ok(Repaired { before, after: Some(after), entries: written })
}

fn check_doubts(layout: &Layout, checked: &Checked) -> Result<(), InspectError> {
    if let [first, ..] = layout.doubts() {
        return Err(InspectError::Config(first.clone()));
    }
    if checked.queues.odd_delays > 0 && !layout.is_configured() {
        let why = "the times of delivery of delayed messages are not those of the default messageDelayLevel";
        return Err(InspectError::Config(format!("{why}: give the broker's config file with -c")));
    }
    Ok(())
}

/// Heals log, queues and checkpoint; returns how many entries were written.
fn heal(store: &StoppedStore, mut healer: QueueHealer<'_>) -> Result<u64, InspectError> {
    let config = store.config();
    let root = &config.root_dir;
    let log = CommitLog::load(config)?;
    lock::create_abort(root)?;
    // It tells of the queues as they were.
    Roster::delete(root)?;
    if config.index_enable {
        move_index_aside(root)?;
    }
    let mut last = 0;
    let mut failed = None;
    let found = recover::recover(&log, store.log_start(), check_sums, |view| {
        last = view.physical_offset();
        if failed.is_none() {
            failed = healer.record(view).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    log.truncate(found.end, found.last_timestamp)?;
    let written = healer.finish(store.log_start(), found.end)?;
    for dir in [config.commit_log_dir(), config.consume_queue_dir()] {
        fs::create_dir_all(&dir).doing("create", &dir)?;
        sync_file_system(&dir)?;
    }
    let mut checkpoint = Checkpoint::open(root)?;
    checkpoint.save(Marks {
        log_timestamp: found.last_timestamp,
        queue_timestamp: found.last_timestamp,
        index_timestamp: 0,
        queue_offset: last,
        ..checkpoint.marks()
    })?;
    lock::remove_abort(root)?;
    lock::sync_dir(root)?;
    Ok(written)
}

/// Opens and closes the store, which makes the index again if it is not there.
fn make_index(layout: &Layout, checked: &Checked) -> Result<(), InspectError> {
    let store = Store::open(layout.config().clone(), Box::new(|_| {}))?;
    // The log still has their records, so that they have come back.
    for topic in checked.queues.deleted_topics() {
        store.delete_topic(topic)?;
    }
    store.close();
    remove_aside(&layout.config().root_dir)
}

fn move_index_aside(root: &Path) -> Result<(), InspectError> {
    remove_aside(root)?;
    let index = root.join("index");
    match fs::rename(&index, root.join(INDEX_ASIDE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other.doing("move aside", &index)?,
    }
    Ok(lock::sync_dir(root)?)
}

/// Removes the old index; what is not the store's goes back to where it was.
fn remove_aside(root: &Path) -> Result<(), InspectError> {
    let aside = root.join(INDEX_ASIDE);
    if !aside.exists() {
        return Ok(());
    }
    for (name, _) in entries(&aside)? {
        let path = aside.join(&name);
        if name.bytes().all(|byte| byte.is_ascii_digit()) && path.is_file() {
            fs::remove_file(&path).doing("remove", &path)?;
        } else {
            put_back(&path, root.join("index"), &name)?;
        }
    }
    Ok(fs::remove_dir(&aside).doing("remove", &aside)?)
}

fn put_back(path: &Path, dir: PathBuf, name: &str) -> Result<(), StoreError> {
    fs::create_dir_all(&dir).doing("create", &dir)?;
    fs::rename(path, dir.join(name)).doing("move back", path)
}
