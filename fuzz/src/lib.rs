//! What the targets for a store's files share: a small store, damage for its files, and what has to hold
//! whatever the damage is.
//!
//! Set `TMPDIR=/dev/shm`: a store is written, opened and repaired in each run.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use rmq_proto::message::{Message, Properties, flags};
use rmq_store::{
    NewRecord, NoFilter, ReadLimits, Store, StoreConfig,
    inspect::{self, Finding, Layout, Part, Selection, StoppedStore},
};

/// Which files are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// A file of the log.
    Log,
    /// A file of a queue.
    Queue,
    /// An index file.
    Index,
    /// The checkpoint.
    Checkpoint,
}

/// Damage, and whether the store was closed before.
#[derive(Debug, Arbitrary)]
pub struct Damage {
    edits: Vec<Edit>,
    crashed: bool,
}

#[derive(Debug, Arbitrary)]
enum Edit {
    /// A bit is another one.
    Flip { at: u16, bit: u8 },
    /// Something else is written.
    Write { at: u16, bytes: Vec<u8> },
    /// Zeros.
    Zero { at: u16, len: u8 },
    /// A piece of the file is found somewhere else too, as stale records are.
    Copy { from: u16, to: u16, len: u8 },
    /// The file ends early.
    Cut { len: u16 },
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        let mut write = |at: u16, piece: &[u8]| {
            let at = usize::from(at) % len;
            let piece = &piece[..piece.len().min(len - at)];
            bytes[at..at + piece.len()].copy_from_slice(piece);
        };
        match self {
            Self::Flip { at, bit } => bytes[usize::from(*at) % len] ^= 1 << (bit % 8),
            Self::Write { at, bytes: piece } => write(*at, piece),
            Self::Zero { at, len } => write(*at, &vec![0; usize::from(*len)]),
            Self::Copy { from, to, len: piece } => {
                let from = usize::from(*from) % len;
                let piece = bytes[from..(from + 2 * usize::from(*piece)).min(len)].to_vec();
                let to = usize::from(*to) % len;
                let fits = piece.len().min(len - to);
                bytes[to..to + fits].copy_from_slice(&piece[..fits]);
            }
            Self::Cut { len: new } => bytes.truncate(usize::from(*new) % (len + 1)),
        }
    }
}

/// Damages a small store and asks everything of it: it must be told what is there and what is wrong, a
/// broker opens it or says why not and delivers whole records only, and after a repair nothing is wrong.
pub fn survives(victim: Victim, damage: &Damage) {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let root = dir.path().join("store");
    lay(&root, victim, damage);
    look(&root);
    open(&root);
    fs::remove_dir_all(&root).expect("what was laid can be removed");
    lay(&root, victim, damage);
    repair(&root);
}

fn config(root: &Path) -> StoreConfig {
    StoreConfig {
        mapped_file_size_commit_log: 4096,
        mapped_file_size_consume_queue: 200,
        index_slots: 20,
        index_entries: 80,
        disk_max_used_percent: 100,
        clean_forcibly: false,
        delete_when: String::new(),
        ..StoreConfig::new(root)
    }
}

fn record(number: usize) -> NewRecord {
    let key = format!("key-{number}");
    let properties: Properties = [("TAGS", "TagA"), ("KEYS", &key)].into_iter().collect();
    NewRecord {
        topic: if number.is_multiple_of(3) { "Orders".into() } else { "Bills".into() },
        queue_id: (number % 2) as i32,
        flag: 0,
        sys_flag: if number == 7 { flags::TRANSACTION_PREPARED } else { 0 },
        born_timestamp: 1_700_000_000_000,
        born_host: "10.0.0.1:50000".parse().expect("an address"),
        store_host: "10.0.0.2:10911".parse().expect("an address"),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: vec![number as u8; 20 + number].into(),
        properties: properties.encode().into(),
    }
}

/// The files of a sound store, by their place in it.
fn template() -> &'static [(PathBuf, Vec<u8>)] {
    static FILES: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = Store::open(config(dir.path()), Box::new(|_| {})).expect("a new store opens");
        for number in 0..50 {
            store.append(record(number)).expect("there is room for a record");
        }
        store.close();
        let mut files = Vec::new();
        collect(dir.path(), dir.path(), &mut files);
        files
    })
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let mut paths: Vec<_> =
        fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("it is there").path()).collect();
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => collect(root, &path, files),
            false => files.push((
                path.strip_prefix(root).expect("it is below").into(),
                fs::read(&path).expect("it is there"),
            )),
        }
    }
}

fn lay(root: &Path, victim: Victim, damage: &Damage) {
    let part = match victim {
        Victim::Log => "commitlog",
        Victim::Queue => "consumequeue/Bills/0",
        Victim::Index => "index",
        Victim::Checkpoint => "checkpoint",
    };
    let mut at = 0;
    for (place, bytes) in template() {
        let mut bytes = bytes.clone();
        if place.starts_with(part) {
            // The edits go round among the files of the victim.
            damage.edits.iter().skip(at).step_by(2).for_each(|edit| edit.apply(&mut bytes));
            at = 1 - at;
        }
        let path = root.join(place);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("there is room");
        fs::write(path, bytes).expect("there is room");
    }
    if damage.crashed {
        fs::write(root.join("abort"), "1").expect("there is room");
    }
}

fn look(root: &Path) {
    let _ = Layout::find(root);
    let store = StoppedStore::open(Layout::configured(config(root))).expect("a store is looked at");
    store.check(&mut |_: Finding| {}).expect("a check reads everything");
    let selection = Selection { entries: true, body: true, ..Selection::default() };
    let chains = Selection { key: Some("Bills#key-9".into()), ..Selection::default() };
    for part in [Part::State, Part::Checkpoint, Part::Log, Part::Queue, Part::Index] {
        for selection in [&selection, &chains] {
            let mut text = |item: inspect::Item<'_>| {
                let _ = item.to_string();
                Ok(())
            };
            store.dump(part, selection, &mut text).expect("a dump reads everything");
        }
    }
}

/// What a broker makes of it. Twice, since the first start heals.
fn open(root: &Path) {
    for _ in 0..2 {
        let Ok(store) = Store::open(config(root), Box::new(|_| {})) else {
            return;
        };
        for (topic, queue) in store.queues() {
            deliver(&store, &topic, queue);
        }
        for number in 0..50 {
            for topic in ["Orders", "Bills"] {
                let found = store.query(topic, &format!("key-{number}"), 32, 0, i64::MAX);
                found.records.iter().for_each(|bytes| assert!(Message::decode(bytes).is_ok()));
            }
        }
        let (_, next) = store.queue_range("Bills", 0);
        let stored = store.append(record(2)).expect("a store that is open takes records");
        assert_eq!(stored.queue_offset, next);
        store.close();
    }
}

fn deliver(store: &Store, topic: &str, queue: i32) {
    let (mut offset, end) = store.queue_range(topic, queue);
    let mut rounds = 0;
    while offset < end {
        let read = store.read(topic, queue, offset, ReadLimits::messages(32), &NoFilter);
        for bytes in &read.records {
            let message = Message::decode(bytes).expect("what is delivered is whole");
            assert_eq!((message.topic.as_str(), message.queue_id), (topic, queue));
        }
        assert!(read.next_offset > offset, "reading gets on: {read:?}");
        offset = read.next_offset;
        rounds += 1;
        assert!(rounds < 100_000, "reading ends");
    }
}

fn repair(root: &Path) {
    let mut left = Vec::new();
    let mut hear = Left { after: false, left: &mut left };
    let repaired = match inspect::repair(&Layout::configured(config(root)), true, &mut hear) {
        Ok(repaired) => repaired,
        Err(error) => panic!("a store with the right file sizes is repaired: {error}"),
    };
    // Two records for one offset can't both be in the queue.
    left.retain(|finding| finding.kind != "queue.offset");
    assert!(left.is_empty(), "{left:#?}\n{:#?}", repaired.after);
}

struct Left<'a> {
    after: bool,
    left: &'a mut Vec<Finding>,
}

impl inspect::Listener for Left<'_> {
    fn found(&mut self, finding: Finding) {
        if self.after && finding.severity != inspect::Severity::Note {
            self.left.push(finding);
        }
    }

    fn after_repair(&mut self) {
        self.after = true;
    }
}
