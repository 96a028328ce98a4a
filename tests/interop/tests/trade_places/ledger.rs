//! The book of what was stored, and the check of an owner against it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rmq_interop::{PATIENCE, bare_keys_quoted};
use rmq_testkit::wait;
use serde_json::Value;

use crate::client::{Acknowledged, Client};
use crate::record::Record;

/// How many records of a queue are looked up by key, id and time.
const SAMPLES: usize = 6;

/// Everything that every owner has to answer the same.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    queues: BTreeMap<(String, i32), Vec<Record>>,
    acknowledged: Vec<Acknowledged>,
    /// Offsets of groups: group, topic and queue.
    committed: BTreeMap<(String, String, i32), i64>,
    tables: BTreeMap<String, Value>,
}

impl Ledger {
    /// Notes messages that a broker took, and that lie in the queue that it named.
    pub(crate) fn sent(&mut self, messages: impl IntoIterator<Item = Acknowledged>) {
        self.acknowledged.extend(messages);
    }

    /// Notes a group's offset that a broker took.
    pub(crate) fn committed(&mut self, group: &str, topic: &str, queue: i32, offset: i64) {
        self.committed.insert((group.to_owned(), topic.to_owned(), queue), offset);
    }

    /// The records of a queue, as of the last check.
    pub(crate) fn records(&self, topic: &str, queue: i32) -> &[Record] {
        self.queues.get(&(topic.to_owned(), queue)).map_or(&[], Vec::as_slice)
    }

    /// The records of all queues of a topic.
    pub(crate) fn topic(&self, topic: &str) -> Vec<&Record> {
        let queues = self.queues.iter().filter(|((name, _), _)| name == topic);
        queues.flat_map(|(_, records)| records).collect()
    }

    /// After a crash the groups' offsets are those that were written last.
    pub(crate) fn offsets_as_written(&mut self, store: &Path) {
        // With `enableLmq`, Java keeps all offsets in a file of their own.
        let files = ["config/lmqConsumerOffset.json", "config/consumerOffset.json"];
        let text =
            files.iter().find_map(|file| fs::read_to_string(store.join(file)).ok()).unwrap_or_default();
        let file: Value = serde_json::from_str(&bare_keys_quoted(&text)).unwrap_or_default();
        self.committed.retain(|(group, topic, queue), offset| {
            let written = file["offsetTable"][format!("{topic}@{group}")][queue.to_string()].as_i64();
            *offset = written.unwrap_or(*offset);
            written.is_some()
        });
    }

    /// The owner answers the same for all that is known; what is new is known from now on.
    #[track_caller]
    pub(crate) fn check(&mut self, client: &mut Client, store: &Path) {
        let mut names = queues_on_disk(store);
        names.extend(self.queues.keys().cloned());
        names.extend(self.acknowledged.iter().map(|sent| (sent.topic.clone(), sent.queue)));
        names.sort();
        names.dedup();
        for (topic, queue) in names {
            self.check_queue(client, &topic, queue);
        }
        self.check_acknowledged();
        for ((group, topic, queue), offset) in &self.committed {
            assert_eq!(client.committed(group, topic, *queue), Some(*offset), "{group} {topic} {queue}");
        }
        self.check_tables(client);
    }

    #[track_caller]
    fn check_queue(&mut self, client: &mut Client, topic: &str, queue: i32) {
        let acknowledged = self.acknowledged.iter().filter(|sent| sent.topic == topic && sent.queue == queue);
        let most = acknowledged.map(|sent| sent.queue_offset + 1).max().unwrap_or(0);
        let known = self.queues.entry((topic.to_owned(), queue)).or_default();
        // Java's queues follow its log in a thread of their own.
        let least = most.max(known.len() as i64);
        let (min, max) = wait::value(&format!("{least} messages in {topic} {queue}"), PATIENCE, || {
            Some(client.range(topic, queue)).filter(|(_, max)| *max >= least)
        });
        assert_eq!(min, 0, "the smallest offset of {topic} {queue}");
        let records = client.pull_all(topic, queue, 0, "*");
        // System topics go on meanwhile.
        assert!(records.len() as i64 >= max, "{} of {max} records of {topic} {queue}", records.len());
        for (at, (record, known)) in records.iter().zip(&*known).enumerate() {
            assert_eq!(record, known, "{topic} {queue} {at}");
        }
        for (at, record) in records.iter().enumerate().skip(known.len()) {
            let place = (record.topic(), record.queue(), record.queue_offset());
            assert_eq!(place, (topic, queue, at as i64));
        }
        let stride = records.len().div_ceil(SAMPLES).max(1);
        for (at, record) in records.iter().enumerate().rev().step_by(stride) {
            check_record(client, &records, at, record);
        }
        *known = records;
    }

    #[track_caller]
    fn check_acknowledged(&self) {
        for sent in &self.acknowledged {
            let record = self.records(&sent.topic, sent.queue).get(sent.queue_offset as usize);
            let record = record.unwrap_or_else(|| panic!("lost: {sent:?}"));
            assert_eq!(record.physical_offset(), sent.physical_offset, "{record:?}");
            assert_eq!(record.property("UNIQ_KEY").unwrap_or_default(), sent.unique, "{record:?}");
            assert_eq!(record.body(), sent.body, "{record:?}");
        }
    }

    /// Settings of topics and groups stay as they were; those that a broker makes for itself are its own.
    #[track_caller]
    fn check_tables(&mut self, client: &mut Client) {
        let tables = client.tables();
        for (name, settings) in self.tables.iter().filter(|(name, _)| name.contains("/Trade")) {
            assert_eq!(tables.get(name), Some(settings), "{name}");
        }
        self.tables = tables;
    }
}

/// A record is found by its place in the log, by its keys, and by its time.
#[track_caller]
fn check_record(client: &mut Client, records: &[Record], at: usize, record: &Record) {
    assert_eq!(client.view(record.physical_offset()), record.bytes, "by offset id: {record:?}");
    let unique = record.property("UNIQ_KEY").map(|key| (key, true));
    let keys = record.property("KEYS").unwrap_or_default().split(' ').filter(|key| !key.is_empty());
    for (key, unique) in unique.into_iter().chain(keys.map(|key| (key, false))) {
        let what = format!("{record:?} by its key {key}");
        // Java's index follows its log in a thread of its own.
        let found = wait::value(&what, PATIENCE, || {
            let found = Record::all(&client.query(record.topic(), key, unique)?);
            found.contains(record).then_some(found)
        });
        assert!(found.iter().all(|found| found.topic() == record.topic()), "{what}: {found:?}");
    }
    let time = record.stored_at();
    let first = records.iter().position(|other| other.stored_at() >= time).unwrap_or(records.len());
    let behind = records.iter().position(|other| other.stored_at() > time).unwrap_or(records.len());
    let (topic, queue) = (record.topic(), record.queue());
    assert_eq!(client.search(topic, queue, time, "LOWER"), first as i64, "{topic} {queue} {at} from {time}");
    assert_eq!(
        client.search(topic, queue, time, "UPPER"),
        behind as i64 - 1,
        "{topic} {queue} {at} to {time}"
    );
}

/// Topics and queues that have a directory, except light queues, which hold records of other topics, and
/// compacted ones, which Java shows from other files.
fn queues_on_disk(store: &Path) -> Vec<(String, i32)> {
    let list = |dir: &Path| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect::<Vec<_>>()
    };
    let root = store.join("consumequeue");
    let of_topic = |topic: String| {
        let queues = list(&root.join(&topic)).into_iter();
        queues.map(move |queue| (topic.clone(), queue.parse().expect("queues have numbers")))
    };
    let is_plain = |topic: &String| !topic.starts_with("%LMQ%") && topic != "TradeCompacted";
    list(&root).into_iter().filter(is_plain).flat_map(of_topic).collect()
}
