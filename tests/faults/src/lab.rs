//! A store in this process: random work on it, and the examination of what a fault has left.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use parking_lot::{Mutex, ReentrantMutex};
use rmq_proto::message::{Message as Stored, RecordView, property};
use rmq_store::{FlushMode, NoFilter, ReadLimits, Retention, Store, StoreConfig};
use tempfile::TempDir;

use crate::{
    history::{Contents, Found, History, Moment, Verdict},
    message::{Key, Message, key},
};

/// Small files everywhere, so that a few hundred messages roll all of them.
pub fn config(root: &Path, flush: FlushMode) -> StoreConfig {
    StoreConfig {
        mapped_file_size_commit_log: 16 * 1024,
        mapped_file_size_consume_queue: 400,
        flush,
        queue_flush_interval_ms: 5,
        checkpoint_interval_ms: 20,
        index_slots: 50,
        index_entries: 200,
        retention: Retention {
            delete_when: String::new(),
            file_reserved_time_h: 0,
            delete_files_max: 1,
            // How full the disk of the machine is, is no business of a test.
            disk_max_used_percent: 100,
            disk_reserved_bytes: 0,
            clean_forcibly: false,
            ..Retention::default()
        },
        ..StoreConfig::new(root)
    }
}

/// Opens a store whose arrivals nobody wants.
///
/// # Panics
/// When it does not open: a store always does.
#[track_caller]
pub fn open(config: StoreConfig) -> Arc<Store> {
    Store::open(config, Box::new(|_| {})).unwrap_or_else(|error| panic!("the store does not open: {error}"))
}

/// Everything that can be read.
///
/// # Panics
/// When a read does not get on.
pub fn contents(store: &Store) -> Contents {
    let mut contents = Contents::new();
    for (topic, queue) in store.queues() {
        let (mut offset, max) = store.queue_range(&topic, queue);
        let mut found = Vec::new();
        while offset < max {
            let read = store.read(&topic, queue, offset, ReadLimits::messages(32), &NoFilter);
            assert!(read.next_offset > offset, "{topic}/{queue} is stuck at {offset} of {max}: {read:?}");
            offset = read.next_offset;
            for record in read.records {
                let view = RecordView::parse(&record).expect("what is delivered is a record");
                let stored = Stored::decode(&record).expect("what is delivered is a message");
                found.push(Found::new(
                    (view.queue_offset(), view.physical_offset()),
                    &stored.body,
                    Some(view.properties().as_bytes()),
                ));
            }
        }
        if !found.is_empty() {
            contents.insert((topic, queue), found);
        }
    }
    contents
}

/// How many messages at or behind `log_start` can be read but not be found by their key.
pub fn unindexed(store: &Store, contents: &Contents, log_start: i64) -> usize {
    let has_key = |topic: &str, found: &&Found| {
        let text = format!("{:016x}", found.key.unwrap_or_default());
        let query = store.query(topic, &text, 64, 0, i64::MAX);
        query.records.iter().any(|record| {
            let stored = Stored::decode(record);
            stored.is_ok_and(|stored| stored.properties.get(property::KEYS) == Some(text.as_str()))
        })
    };
    let all =
        contents.iter().flat_map(|((topic, _), messages)| messages.iter().map(move |found| (topic, found)));
    all.filter(|(topic, found)| found.position >= log_start && !has_key(topic, found)).count()
}

/// Which work a driver does.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Topics are deleted now and then.
    pub deletes_topics: bool,
    /// Old files are deleted now and then.
    pub cleans: bool,
}

/// Does random work on a store and writes the history of it.
#[derive(Debug)]
pub struct Driver {
    /// Shared with those who stop the world.
    pub history: Arc<Mutex<History>>,
    /// Held by those who want no work done meanwhile.
    pub gate: Arc<ReentrantMutex<()>>,
    work: Work,
    random: Rng,
    sender: u32,
    next: u32,
}

impl Driver {
    /// Its senders have numbers from `sender` on, one for each life of the store.
    pub fn new(seed: u64, work: Work) -> Self {
        Self {
            history: Arc::default(),
            gate: Arc::default(),
            work,
            random: Rng::with_seed(seed),
            sender: 0,
            next: 0,
        }
    }

    /// The store was opened again: what comes now is another sender's.
    pub fn begin_life(&mut self) {
        self.sender += 1;
        self.next = 0;
    }

    /// Its source of chance.
    pub fn random(&mut self) -> &mut Rng {
        &mut self.random
    }

    fn message(&mut self, topic: &str, queue: i32) -> Message {
        let len = match self.random.u8(0..10) {
            0 => self.random.usize(1000..5000),
            _ => self.random.usize(16..400),
        };
        let message = Message::new(key(self.sender, self.next), topic, queue, len);
        self.next += 1;
        match self.random.u8(0..10) {
            0 => message.with_filler(self.random.clone().usize(600..2000)),
            _ => message,
        }
    }

    /// One random act.
    ///
    /// # Panics
    /// When the store refuses it.
    #[track_caller]
    pub fn step(&mut self, store: &Store) {
        drop(self.gate.lock());
        let topic = format!("T{}", self.random.u8(0..3));
        let queue = self.random.i32(0..3);
        match self.random.u8(0..100) {
            0..70 => self.send(store, &topic, queue, 1),
            70..90 => {
                let count = self.random.usize(2..6);
                self.send(store, &topic, queue, count)
            }
            90 if self.work.deletes_topics => {
                self.history.lock().delete_topic(&topic);
                store.delete_topic(&topic).unwrap_or_else(|error| panic!("{error}"));
            }
            91..94 if self.work.cleans => {
                store.clean_now();
            }
            94..96 => checkpoint(store),
            // Lets background threads get a turn.
            _ => {
                std::thread::yield_now();
            }
        }
    }

    #[track_caller]
    fn send(&mut self, store: &Store, topic: &str, queue: i32, count: usize) {
        let messages: Vec<_> = (0..count).map(|_| self.message(topic, queue)).collect();
        messages.iter().for_each(|message| self.history.lock().send(message));
        let appended = store.append_batch(messages.iter().map(Message::record).collect());
        let appended = appended.unwrap_or_else(|error| panic!("{error}"));
        let mut history = self.history.lock();
        for (message, place) in messages.iter().zip(appended) {
            history.ack(message.key, place.queue_offset, place.end);
        }
    }
}

/// Syncs everything and writes the checkpoint: what deleting a topic ends with.
///
/// # Panics
/// When it can't.
#[track_caller]
pub fn checkpoint(store: &Store) {
    store.delete_topic("there-is-no-such-topic").unwrap_or_else(|error| panic!("{error}"));
}

/// What a fault has left, and what has to be in it.
#[derive(Debug)]
pub struct Case {
    /// A store's directory.
    pub image: TempDir,
    /// When the fault came.
    pub moment: Moment,
    /// For the report of a failure.
    pub what: String,
}

/// What the examination of a case has shown.
#[derive(Debug)]
pub struct Examined {
    /// What was wrong.
    pub verdict: Verdict,
    /// Readable but not found by key.
    pub unindexed: usize,
    /// How long the first opening took.
    pub opening: Duration,
    /// What can be read.
    pub contents: Contents,
}

impl Case {
    /// Opens the image, reads everything, crashes, opens it again, goes on with it, closes it and opens
    /// it once more: each time everything that was there is there.
    ///
    /// # Panics
    /// When a second opening shows anything else than the first.
    pub fn examine(&self, history: &History, flush: FlushMode) -> Examined {
        let what = &self.what;
        let settings = || StoreConfig {
            // Nobody but the openings changes anything.
            checkpoint_interval_ms: u64::MAX,
            ..config(self.image.path(), flush)
        };
        let started = Instant::now();
        let store = open(settings());
        let opening = started.elapsed();
        let first = contents(&store);
        let verdict = history.judge(&self.moment, &first);
        let unindexed = unindexed(&store, &first, self.moment.log_start());
        drop(store);

        let store = open(settings());
        let second = contents(&store);
        assert!(
            first == second,
            "{what}: a second start shows something else: {}",
            difference(&first, &second)
        );
        let mut third = second;
        for ((topic, queue), number) in first.keys().zip(0..) {
            let message = Message::new(key(u32::MAX, number), topic, *queue, 100);
            let (_, next) = store.queue_range(topic, *queue);
            let place = store.append(message.record()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(place.queue_offset, next, "{what}: {topic}/{queue}");
            let found = Found::new(
                (next, place.physical_offset),
                &message.body,
                Some(message.properties().as_bytes()),
            );
            third.get_mut(&(topic.clone(), *queue)).expect("the queue is there").push(found);
        }
        store.close();
        drop(store);
        let store = open(settings());
        let last = contents(&store);
        assert!(last == third, "{what}: what came later is not there: {}", difference(&third, &last));
        Examined { verdict, unindexed, opening, contents: first }
    }
}

/// What differs between two contents, in words.
pub fn difference(before: &Contents, after: &Contents) -> String {
    let mut lines = Vec::new();
    let empty = Vec::new();
    for queue in before.keys().chain(after.keys().filter(|queue| !before.contains_key(*queue))) {
        let (old, new) = (before.get(queue).unwrap_or(&empty), after.get(queue).unwrap_or(&empty));
        let names = |list: &[Found], others: &[Found]| -> Vec<(i64, Option<Key>)> {
            let only = list.iter().filter(|found| !others.contains(found));
            only.map(|found| (found.offset, found.key)).take(4).collect()
        };
        if old != new {
            lines.push(format!("{queue:?}: gone {:x?}, new {:x?}", names(old, new), names(new, old)));
        }
    }
    lines.join("; ")
}
