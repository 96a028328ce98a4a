//! Tests of the whole store: what is promised in `docs/DISK.md`.

mod append;
mod damage;
mod faults;
mod model;
mod options;
mod reading;
mod recovery;
mod retention;
mod space;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use rmq_proto::message::{Message, Properties};
use tempfile::TempDir;

use crate::{Clock, FlushMode, NewRecord, NoFilter, OnArrival, ReadLimits, Retention, Store, StoreConfig};

/// A store with small files and a clock that tests set.
struct Lab {
    dir: TempDir,
    now_ms: Arc<AtomicI64>,
    file_len: u64,
    flush: FlushMode,
}

impl Lab {
    fn new() -> Self {
        Self {
            // In memory, if there is such a file system: a disk's syncs would take most of the time.
            dir: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap(),
            now_ms: Arc::new(AtomicI64::new(1_700_000_000_000)),
            file_len: 4096,
            flush: FlushMode::Async { interval_ms: 10 },
        }
    }

    fn config(&self) -> StoreConfig {
        let now = self.now_ms.clone();
        StoreConfig {
            mapped_file_size_commit_log: self.file_len,
            mapped_file_size_consume_queue: 400,
            flush: self.flush,
            queue_flush_interval_ms: 10,
            // Checkpoints come when a test closes the store, so that crashes leave work to recovery.
            checkpoint_interval_ms: u64::MAX,
            index_slots: 100,
            index_entries: 1000,
            retention: calm(),
            clock: Clock::new(move || now.load(Ordering::SeqCst)),
            ..StoreConfig::new(self.dir.path().join("store"))
        }
    }

    fn open(&self) -> Arc<Store> {
        self.open_with(Box::new(|_| {}))
    }

    fn open_with(&self, on_arrival: OnArrival) -> Arc<Store> {
        Store::open(self.config(), on_arrival).unwrap()
    }

    fn tick(&self, ms: i64) -> i64 {
        self.now_ms.fetch_add(ms, Ordering::SeqCst) + ms
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }
}

/// Deletes nothing by itself, even if the machine of the test has a full disk.
fn calm() -> Retention {
    Retention {
        delete_when: String::new(),
        disk_max_used_percent: 100,
        disk_reserved_bytes: 0,
        clean_forcibly: false,
        ..Retention::default()
    }
}

fn new_record(topic: &str, queue_id: i32, body: &str, properties: &[(&str, &str)]) -> NewRecord {
    let properties: Properties = properties.iter().copied().collect();
    NewRecord {
        topic: topic.into(),
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: "10.0.0.1:50000".parse().unwrap(),
        store_host: "10.0.0.2:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.to_owned().into(),
        properties: properties.encode().into(),
    }
}

fn send(store: &Store, topic: &str, queue_id: i32, body: &str) -> crate::Appended {
    store.append(new_record(topic, queue_id, body, &[("TAGS", "TagA")])).unwrap()
}

/// All bodies of a queue that can be read.
fn bodies(store: &Store, topic: &str, queue_id: i32) -> Vec<String> {
    let (mut offset, max) = store.queue_range(topic, queue_id);
    let mut found = Vec::new();
    while offset < max {
        let read = store.read(topic, queue_id, offset, ReadLimits::messages(32), &NoFilter);
        assert!(read.next_offset > offset, "{read:?}");
        offset = read.next_offset;
        for record in read.records {
            let message = Message::decode(&record).unwrap();
            found.push(String::from_utf8(message.body.to_vec()).unwrap());
        }
    }
    found
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
