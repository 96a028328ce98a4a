//! All queues, by topic and number.

use std::{
    collections::{HashMap, HashSet},
    fs,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use parking_lot::{Mutex, RwLock};

use super::{consume_queue::ConsumeQueue, open_files::OpenFiles, roster::Roster};
use crate::{
    config::StoreConfig,
    error::{IoContext, StoreError},
    fault,
    file::{checkpoint::Checkpoint, lock::sync_dir},
};

/// Queues above which one sync of the file system is cheaper than one per file.
const MANY: usize = 64;

/// Threads that wait for the file system at a start with very many queues.
const THREADS: usize = 8;
/// Topics or queues that are worth them.
const MANY_TO_OPEN: usize = 1_000;

type Topics = HashMap<Arc<str>, HashMap<i32, Arc<ConsumeQueue>>>;

/// All queues.
#[derive(Debug)]
pub(crate) struct Queues {
    dir: PathBuf,
    /// Directories in which Java keeps more about topics, and which go with them.
    javas: [PathBuf; 2],
    units_per_file: u64,
    open_files: OpenFiles,
    /// Topics whose queues are of another kind, which only Java's broker serves (`queue.type=BatchCQ`).
    of_batches: RwLock<HashSet<String>>,
    topics: RwLock<Topics>,
    /// Those with units in memory or open files.
    active: Mutex<Vec<Arc<ConsumeQueue>>>,
    /// Held during a flush: a second one must not end before what the first has taken is written.
    flushing: Mutex<()>,
}

impl Queues {
    /// Finds the queues that are there; the flag says whether all their files are intact. They have no
    /// units until [`ConsumeQueue::truncate`] has found their ends, but for those that have not changed
    /// since `roster` was written.
    pub(crate) fn load(
        config: &StoreConfig,
        checkpoint: &mut Checkpoint,
        roster: &Roster,
    ) -> Result<(Self, bool), StoreError> {
        let dir = config.consume_queue_dir();
        fs::create_dir_all(&dir).doing("create", &dir)?;
        let queues = Self {
            dir,
            javas: [config.batch_queue_dir(), config.extended_queue_dir()],
            units_per_file: config.units_per_queue_file(),
            open_files: OpenFiles::default(),
            of_batches: RwLock::new(topics_of_batches(&config.batch_queue_dir())?),
            topics: RwLock::default(),
            active: Mutex::default(),
            flushing: Mutex::default(),
        };
        let intact = AtomicBool::new(true);
        let checkpoint = Mutex::new(checkpoint);
        side_by_side(&directories(&queues.dir)?, |(topic, dir)| {
            for (name, _) in directories(dir)? {
                if let Ok(id) = name.parse::<i32>()
                    && let Some(queue) = queues.get_or_create(topic, id)
                {
                    let is_intact = queue.load(&checkpoint, roster.row(topic, id))?;
                    intact.fetch_and(is_intact, Ordering::Relaxed);
                }
            }
            Ok(())
        })?;
        Ok((queues, intact.into_inner()))
    }

    /// A queue that is there.
    pub(crate) fn get(&self, topic: &str, id: i32) -> Option<Arc<ConsumeQueue>> {
        self.topics.read().get(topic)?.get(&id).cloned()
    }

    /// Whether a topic's queues are of the kind that only Java's broker serves. Queues of ours would keep that
    /// from starting.
    pub(crate) fn is_of_batches(&self, topic: &str) -> bool {
        self.of_batches.read().contains(topic)
    }

    /// A queue; `None` if its name can't be that of a directory below ours.
    pub(crate) fn get_or_create(&self, topic: &str, id: i32) -> Option<Arc<ConsumeQueue>> {
        if let Some(queue) = self.get(topic, id) {
            return Some(queue);
        }
        if !is_safe_name(topic) || id < 0 || self.is_of_batches(topic) {
            return None;
        }
        let mut topics = self.topics.write();
        let name = match topics.get_key_value(topic) {
            Some((name, _)) => name.clone(),
            None => Arc::from(topic),
        };
        let queues = topics.entry(name.clone()).or_default();
        let create = || {
            let dir = self.dir.join(topic).join(id.to_string());
            Arc::new(ConsumeQueue::new(name, id, dir, self.units_per_file, self.open_files.clone()))
        };
        Some(queues.entry(id).or_insert_with(create).clone())
    }

    /// All queues.
    pub(crate) fn all(&self) -> Vec<Arc<ConsumeQueue>> {
        let topics = self.topics.read();
        topics.values().flat_map(HashMap::values).cloned().collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.topics.read().values().map(HashMap::len).sum()
    }

    /// Forgets all units whose records begin at or behind `limit`. Queues without any other are gone.
    pub(crate) fn truncate(&self, limit: u64) -> Result<(), StoreError> {
        side_by_side(&self.all(), |queue| queue.truncate(limit))
    }

    /// Keeps offsets whose records were damaged from being given again.
    pub(crate) fn fill_forgotten(&self) {
        for queue in self.all() {
            if queue.fill_forgotten() {
                self.activate(&queue);
            }
        }
    }

    /// The queue needs flushing.
    pub(crate) fn activate(&self, queue: &Arc<ConsumeQueue>) {
        if queue.activate() {
            self.active.lock().push(queue.clone());
        }
    }

    /// Writes the units in memory to the files and, with `sync`, makes them survive a power cut. True
    /// if there is more to do later: unsynced or open files.
    pub(crate) fn flush(&self, sync: bool) -> Result<bool, StoreError> {
        let _alone = self.flushing.lock();
        let active = std::mem::take(&mut *self.active.lock());
        let at_once = sync && active.len() > MANY;
        let mut result = Ok(());
        let mut still_active = Vec::new();
        for queue in active {
            if queue.is_deleted() {
                continue;
            }
            match queue.flush(sync && !at_once) {
                Ok(false) => {}
                Ok(true) => still_active.push(queue),
                Err(_) if queue.is_deleted() => {}
                Err(error) => {
                    still_active.push(queue);
                    result = Err(error);
                }
            }
        }
        if at_once && result.is_ok() {
            // Cleared first: what is written during the sync has to be synced again.
            let unsynced: Vec<_> = still_active.iter().map(|queue| queue.take_unsynced()).collect();
            result = sync_file_system(&self.dir);
            if result.is_err() {
                still_active.iter().zip(unsynced).for_each(|(queue, start)| queue.still_unsynced(start));
            }
        }
        let mut active = self.active.lock();
        active.extend(still_active);
        result.map(|()| !active.is_empty())
    }

    /// Takes a topic's queues away. Only under the append lock and the dispatch lock.
    pub(crate) fn remove(&self, topic: &str) -> Vec<Arc<ConsumeQueue>> {
        let removed = self.topics.write().remove(topic).unwrap_or_default();
        let removed: Vec<_> = removed.into_values().collect();
        removed.iter().for_each(|queue| queue.set_deleted());
        removed
    }

    /// Deletes a removed topic's files.
    pub(crate) fn delete_files(&self, topic: &str) -> Result<(), StoreError> {
        if !is_safe_name(topic) {
            return Err(StoreError::TopicName(topic.to_owned()));
        }
        for dir in self.javas.iter().chain([&self.dir]) {
            let topic_dir = dir.join(topic);
            fault::hit(fault::DELETE_TOPIC).doing("remove", &topic_dir)?;
            match fs::remove_dir_all(&topic_dir) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                // The checkpoint that follows says that the topic's records need not be looked at again.
                other => other.doing("remove", &topic_dir).and_then(|()| sync_dir(dir))?,
            }
        }
        self.of_batches.write().remove(topic);
        Ok(())
    }
}

/// Does something with each that waits for the file system; with very many in several threads.
fn side_by_side<T: Sync>(
    all: &[T],
    work: impl Fn(&T) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let run = |part: &[T]| part.iter().try_for_each(&work);
    if all.len() < MANY_TO_OPEN {
        return run(all);
    }
    thread::scope(|scope| {
        let parts = all.chunks(all.len().div_ceil(THREADS));
        let threads: Vec<_> = parts.map(|part| scope.spawn(|| run(part))).collect();
        let ended = threads.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.fold(Ok(()), Result::and)
    })
}

/// Whether a topic can name a directory without leaving ours. The broker allows far less; this is the
/// last gate, also for topics that come from a log.
pub(crate) fn is_safe_name(topic: &str) -> bool {
    let is_dots = topic == "." || topic == "..";
    !topic.is_empty() && topic.len() <= 255 && !is_dots && !topic.contains(['/', '\0'])
}

fn topics_of_batches(dir: &Path) -> Result<HashSet<String>, StoreError> {
    if !dir.exists() {
        return Ok(HashSet::new());
    }
    Ok(directories(dir)?.into_iter().map(|(topic, _)| topic).collect())
}

/// Names and paths of the directories in a directory.
pub(crate) fn directories(dir: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).doing("list", dir)? {
        let entry = entry.doing("list", dir)?;
        if entry.file_type().doing("look at", &entry.path())?.is_dir()
            && let Some(name) = entry.file_name().to_str()
        {
            found.push((name.to_owned(), entry.path()));
        }
    }
    Ok(found)
}

/// Syncs everything on the file system of a directory.
pub(crate) fn sync_file_system(dir: &Path) -> Result<(), StoreError> {
    fault::sync_file_system(dir).doing("sync the file system of", dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for name in ["TopicA", "%RETRY%group", "a.b"] {
            assert!(is_safe_name(name));
        }
        for name in ["", ".", "..", "a/b", "/etc", "a\0", "x".repeat(256).as_str()] {
            assert!(!is_safe_name(name));
        }
    }
}
