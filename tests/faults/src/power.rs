//! What a power cut leaves: what was synced, and any part of what was not.
//!
//! For each file the content as of the beginning of its last successful sync is kept, for each directory
//! its entries likewise. When the power is cut, each page that differs from that may be on the disk or
//! not, as may each creation, renaming or removal: the kernel writes back in any order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use fastrand::Rng;
use parking_lot::Mutex;
use rmq_store::fault::{Synced, Syncs};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// An inode. Those that are known are held open, or the file system would give them again at once.
type Id = u64;

/// A directory's entry.
#[derive(Debug, Clone)]
struct Entry {
    id: Id,
    is_dir: bool,
    held: Arc<File>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

type Entries = BTreeMap<OsString, Entry>;

/// What is on the disk for certain, with the number of the sync that says so.
#[derive(Debug, Default)]
struct Safe {
    files: HashMap<Id, (u64, Vec<u8>)>,
    dirs: HashMap<Id, (u64, Entries)>,
    syncs: u64,
    held: HashMap<Id, Arc<File>>,
}

/// What one file or directory was when a sync began.
enum Seen {
    File(Entry, Vec<u8>),
    Dir(Entry, Entries),
}

/// How a power cut hits.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Bytes that are written whole or not at all: 512 for most disks, 4096 for a page.
    pub page: usize,
    /// Share of the unsynced pages and entries that got to the disk, 0 to 1.
    pub written: f64,
}

impl Cut {
    /// Everything from nothing to all written back, in pages or sectors.
    pub fn any(random: &mut Rng) -> Self {
        let written = match random.u8(0..6) {
            0 => 0.0,
            1 => 1.0,
            _ => random.f64(),
        };
        Self { page: if random.bool() { 512 } else { 4096 }, written }
    }
}

/// Called at the beginning and after the end of each sync.
type Hook = Box<dyn Fn(&Disk) + Send + Sync>;

/// The disk below one directory.
pub struct Disk {
    root: PathBuf,
    safe: Arc<Mutex<Safe>>,
    hook: Arc<Mutex<Option<Arc<Hook>>>>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Disk {
    /// The disk below a directory; what is there now is safe.
    pub fn new(root: &Path) -> io::Result<Arc<Self>> {
        // Every file that is known is held open; the usual soft limit of 1,024 is soon reached.
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
        let disk = Self { root: root.to_owned(), safe: Arc::default(), hook: Arc::default() };
        let seen = everything(root)?;
        note(&mut disk.safe.lock(), 0, seen);
        Ok(Arc::new(disk))
    }

    /// Has `hook` called at the beginning and after the end of each sync, on the thread that syncs.
    pub fn on_sync(&self, hook: impl Fn(&Disk) + Send + Sync + 'static) {
        *self.hook.lock() = Some(Arc::new(Box::new(hook)));
    }

    /// No more calls.
    pub fn ignore_syncs(&self) {
        *self.hook.lock() = None;
    }

    /// Makes `target` what is on the disk if the power is cut now. No sync ends meanwhile.
    pub fn cut(&self, cut: Cut, random: &mut Rng, target: &Path) -> io::Result<()> {
        let safe = self.safe.lock();
        let root = entry_of(&self.root)?;
        restore(&safe, cut, random, root.id, Some(&self.root), target)
    }

    /// The kernel writes some dirty pages back, without anybody having asked for it.
    pub fn write_back(&self, cut: Cut, random: &mut Rng) -> io::Result<()> {
        let mut safe = self.safe.lock();
        for seen in everything(&self.root)? {
            if let Seen::File(entry, live) = seen {
                safe.held.entry(entry.id).or_insert(entry.held);
                let content = &mut safe.files.entry(entry.id).or_default().1;
                mix(content, &live, cut, random);
            }
        }
        Ok(())
    }
}

impl Syncs for Disk {
    fn begin(&self, path: &Path, all: bool) -> Synced {
        let call = |hook: &Mutex<Option<Arc<Hook>>>, disk: &Disk| {
            let hook = hook.lock().clone();
            hook.into_iter().for_each(|hook| hook(disk));
        };
        call(&self.hook, self);
        let turn = {
            let mut safe = self.safe.lock();
            safe.syncs += 1;
            safe.syncs
        };
        // A file that is deleted meanwhile can't be seen; nobody can lose it either.
        let seen = match all {
            true => everything(path).unwrap_or_default(),
            false => one(path).into_iter().collect(),
        };
        let again = Disk { root: self.root.clone(), safe: self.safe.clone(), hook: self.hook.clone() };
        Box::new(move || {
            note(&mut again.safe.lock(), turn, seen);
            call(&again.hook, &again);
        })
    }
}

fn note(safe: &mut Safe, turn: u64, seen: Vec<Seen>) {
    for seen in seen {
        match seen {
            Seen::File(entry, content) => {
                safe.held.entry(entry.id).or_insert(entry.held);
                let known = safe.files.entry(entry.id).or_default();
                if known.0 <= turn {
                    *known = (turn, content);
                }
            }
            Seen::Dir(entry, entries) => {
                safe.held.entry(entry.id).or_insert(entry.held);
                let known = safe.dirs.entry(entry.id).or_default();
                if known.0 <= turn {
                    *known = (turn, entries);
                }
            }
        }
    }
}

fn entry_of(path: &Path) -> io::Result<Entry> {
    let held = File::open(path)?;
    let metadata = held.metadata()?;
    Ok(Entry { id: metadata.ino(), is_dir: metadata.is_dir(), held: Arc::new(held) })
}

/// What is in a directory now; files that go meanwhile are left out.
fn entries_of(dir: &Path) -> io::Result<Entries> {
    let mut entries = Entries::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Ok(found) = entry_of(&entry.path()) {
            entries.insert(entry.file_name(), found);
        }
    }
    Ok(entries)
}

fn one(path: &Path) -> io::Result<Seen> {
    let entry = entry_of(path)?;
    Ok(match entry.is_dir {
        true => Seen::Dir(entry, entries_of(path)?),
        false => {
            let mut content = Vec::new();
            (&*entry.held).read_to_end(&mut content)?;
            Seen::File(entry, content)
        }
    })
}

fn everything(root: &Path) -> io::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let Ok(found) = one(&path) else {
            continue;
        };
        if let Seen::Dir(_, entries) = &found {
            paths.extend(entries.keys().map(|name| path.join(name)));
        }
        seen.push(found);
    }
    Ok(seen)
}

/// Builds a directory from what is safe and a part of what is there now (`live`).
fn restore(
    safe: &Safe,
    cut: Cut,
    random: &mut Rng,
    id: Id,
    live: Option<&Path>,
    target: &Path,
) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let old = safe.dirs.get(&id).map(|(_, entries)| entries.clone()).unwrap_or_default();
    // It may be removed meanwhile.
    let new = live.and_then(|live| entries_of(live).ok()).unwrap_or_else(|| old.clone());
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (before, now) = (old.get(name), new.get(name));
        let chosen = if before == now || random.f64() < cut.written { now } else { before };
        let Some(entry) = chosen else {
            continue;
        };
        let path = live.filter(|_| now == Some(entry)).map(|live| live.join(name));
        let target = target.join(name);
        if entry.is_dir {
            restore(safe, cut, random, entry.id, path.as_deref(), &target)?;
            continue;
        }
        let mut content = safe.files.get(&entry.id).map(|(_, content)| content.clone()).unwrap_or_default();
        if let Some(Ok(live)) = path.map(fs::read) {
            mix(&mut content, &live, cut, random);
        }
        fs::write(target, content)?;
    }
    Ok(())
}

/// Brings a share of the pages up to date; the length first, as it is part of another block.
fn mix(content: &mut Vec<u8>, live: &[u8], cut: Cut, random: &mut Rng) {
    if content.len() != live.len() && random.f64() < cut.written {
        content.resize(live.len(), 0);
    }
    for (page, new) in content.chunks_mut(cut.page).zip(live.chunks(cut.page)) {
        let len = page.len().min(new.len());
        if page[..len] != new[..len] && random.f64() < cut.written {
            page[..len].copy_from_slice(&new[..len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(disk: &Disk, written: f64) -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        let mut random = Rng::with_seed(1);
        disk.cut(Cut { page: 512, written }, &mut random, image.path()).unwrap();
        image
    }

    #[test]
    fn only_what_was_synced_survives_for_certain() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::write(root.join("old"), "old").unwrap();
        let disk = Disk::new(root).unwrap();
        fs::write(root.join("new"), "new").unwrap();
        fs::write(root.join("old"), "changed").unwrap();
        let image = cut(&disk, 0.0);
        assert_eq!(fs::read(image.path().join("old")).unwrap(), b"old");
        assert!(!image.path().join("new").exists());
        let image = cut(&disk, 1.0);
        assert_eq!(fs::read(image.path().join("old")).unwrap(), b"changed");
        assert_eq!(fs::read(image.path().join("new")).unwrap(), b"new");

        disk.begin(&root.join("new"), false)();
        assert!(!cut(&disk, 0.0).path().join("new").exists(), "its directory was not synced");
        disk.begin(root, false)();
        assert_eq!(fs::read(cut(&disk, 0.0).path().join("new")).unwrap(), b"new");
        fs::remove_file(root.join("new")).unwrap();
        assert!(cut(&disk, 0.0).path().join("new").exists(), "its removal was not synced");
        assert!(!cut(&disk, 1.0).path().join("new").exists());
    }

    #[test]
    fn a_sync_covers_what_was_there_when_it_began() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "first").unwrap();
        let disk = Disk::new(dir.path()).unwrap();
        fs::write(&path, "second").unwrap();
        let synced = disk.begin(&path, false);
        fs::write(&path, "third!").unwrap();
        assert_eq!(fs::read(cut(&disk, 0.0).path().join("file")).unwrap(), b"first");
        synced();
        assert_eq!(fs::read(cut(&disk, 0.0).path().join("file")).unwrap(), b"second");
    }

    #[test]
    fn pages_come_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [1; 5120]).unwrap();
        let disk = Disk::new(dir.path()).unwrap();
        fs::write(&path, [2; 5120]).unwrap();
        let bytes = fs::read(cut(&disk, 0.5).path().join("file")).unwrap();
        let pages: Vec<_> = bytes.chunks(512).map(|page| page[0]).collect();
        assert!(pages.contains(&1) && pages.contains(&2), "{pages:?}");
        assert!(bytes.chunks(512).all(|page| page.iter().all(|byte| *byte == page[0])));
    }
}
