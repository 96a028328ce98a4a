use std::collections::BTreeMap;

use proptest::prelude::*;
use rmq_proto::message::{Record, record};

use super::*;

type Queue = (usize, i32);

#[derive(Debug, Clone)]
enum Act {
    Send {
        to: Queue,
        len: usize,
    },
    Batch {
        to: Queue,
        count: usize,
    },
    /// Bytes of another broker's log, then a crash: assigned and copied offsets do not mix in one life.
    Raw {
        to: Queue,
        len: usize,
    },
    Flush,
    Checkpoint,
    DeleteTopic(usize),
    /// Old files go.
    Clean,
    Close,
    Crash,
    /// A crash that takes some bytes at the log's end with it, but nothing that a checkpoint vouches for.
    Torn {
        bytes: i64,
    },
}

fn any_act() -> impl Strategy<Value = Act> {
    let to = || (0..2usize, 0..3);
    prop_oneof![
        16 => (to(), 0..900usize).prop_map(|(to, len)| Act::Send { to, len }),
        6 => (to(), 1..6usize).prop_map(|(to, count)| Act::Batch { to, count }),
        2 => (to(), 0..300usize).prop_map(|(to, len)| Act::Raw { to, len }),
        1 => Just(Act::Flush),
        2 => Just(Act::Checkpoint),
        1 => (0..2usize).prop_map(Act::DeleteTopic),
        1 => Just(Act::Clean),
        2 => Just(Act::Close),
        2 => Just(Act::Crash),
        2 => (1..2000i64).prop_map(|bytes| Act::Torn { bytes }),
    ]
}

const TOPICS: [&str; 2] = ["T", "U"];

/// A record that has to be there.
#[derive(Debug)]
struct Kept {
    start: i64,
    end: i64,
    body: String,
}

/// What a store is: lists of records, some of whose first ones are gone.
#[derive(Debug, Default)]
struct Model {
    queues: BTreeMap<Queue, Vec<Kept>>,
    log_start: i64,
    /// Up to here a checkpoint vouches for the log.
    vouched: i64,
}

impl Model {
    fn next(&self, to: Queue) -> i64 {
        self.queues.get(&to).map_or(0, |list| list.len() as i64)
    }

    fn add(&mut self, to: Queue, place: &crate::Appended, body: String) {
        assert_eq!(place.queue_offset, self.next(to));
        let kept = Kept { start: place.physical_offset, end: place.end, body };
        self.queues.entry(to).or_default().push(kept);
    }

    /// Opens the store after a crash; a recovery ends with a checkpoint.
    fn opened(&mut self, lab: &Lab) -> Arc<Store> {
        let store = lab.open();
        self.vouched = store.max_physical_offset();
        store
    }

    /// All bytes from `cut` on are zeros; before, the first that was not zero was at `first`.
    fn cut(&mut self, cut: i64, first: i64) {
        for list in self.queues.values_mut() {
            list.retain(|kept| kept.start < cut && kept.end <= first);
        }
    }

    fn check(&self, store: &Store) {
        for ((topic, queue), list) in &self.queues {
            let gone = list.partition_point(|kept| kept.start < self.log_start);
            let expected: Vec<_> = list[gone..].iter().map(|kept| kept.body.as_str()).collect();
            assert_eq!(bodies(store, TOPICS[*topic], *queue), expected, "topic {topic}, queue {queue}");
            let range = (gone as i64, list.len() as i64);
            assert_eq!(store.queue_range(TOPICS[*topic], *queue), range, "{topic} {queue}");
        }
    }
}

/// A record as a master would send it.
fn copied(store: &Store, (topic, queue_id): Queue, queue_offset: i64, body: &str) -> Vec<u8> {
    let host = "10.0.0.1:50000".parse().unwrap();
    let record = Record {
        topic: TOPICS[topic],
        queue_id,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_timestamp: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties: b"",
    };
    let mut bytes = record.encode().unwrap();
    let now = store.core_for_tests().config.clock.now_ms();
    record::place(&mut bytes, queue_offset, store.max_physical_offset(), now);
    bytes
}

/// Does one act on both; returns the store, which may have been opened again.
fn act(lab: &Lab, store: Arc<Store>, model: &mut Model, step: usize, act: Act) -> Arc<Store> {
    match act {
        Act::Send { to, len } => {
            let body = format!("{step}{}", "x".repeat(len));
            model.add(to, &send(&store, TOPICS[to.0], to.1, &body), body);
        }
        Act::Batch { to, count } => {
            let bodies: Vec<_> = (0..count).map(|number| format!("{step}-{number}")).collect();
            let records = bodies.iter().map(|body| new_record(TOPICS[to.0], to.1, body, &[])).collect();
            let places = store.append_batch(records).unwrap();
            places.iter().zip(bodies).for_each(|(place, body)| model.add(to, place, body));
        }
        Act::Raw { to, len } => {
            let body = format!("{step}{}", "r".repeat(len));
            let (start, offset) = (store.max_physical_offset(), model.next(to));
            let bytes = copied(&store, to, offset, &body);
            let room = lab.file_len as i64 - start % lab.file_len as i64;
            // A master would have begun another file.
            if bytes.len() as i64 + 8 <= room {
                let end = store.append_raw(start, &bytes).unwrap();
                model.queues.entry(to).or_default().push(Kept { start, end, body });
                drop(store);
                return model.opened(lab);
            }
        }
        Act::Flush => {
            let end = store.max_physical_offset();
            store.core_for_tests().log.flushed().reached_blocking(end).unwrap();
        }
        Act::Checkpoint => {
            store.core_for_tests().save_checkpoint().unwrap();
            model.vouched = store.max_physical_offset();
        }
        Act::DeleteTopic(topic) => {
            store.delete_topic(TOPICS[topic]).unwrap();
            model.queues.retain(|(other, _), _| *other != topic);
            model.vouched = store.max_physical_offset();
        }
        Act::Clean => {
            model.vouched = store.max_physical_offset();
            lab.tick(1_000_000_000_000);
            store.clean_now();
            lab.tick(-1_000_000_000_000);
            model.log_start = store.min_physical_offset();
        }
        Act::Close => {
            model.vouched = store.max_physical_offset();
            store.close();
            drop(store);
            return lab.open();
        }
        Act::Crash => {
            drop(store);
            return model.opened(lab);
        }
        Act::Torn { bytes } => {
            let end = store.max_physical_offset();
            drop(store);
            let file_start = end / lab.file_len as i64 * lab.file_len as i64;
            let cut = (end - bytes).max(model.vouched).max(file_start);
            if cut < end {
                let path = lab.root().join(format!("commitlog/{file_start:020}"));
                let mut log = fs::read(&path).unwrap();
                let tail = &mut log[(cut - file_start) as usize..];
                // A record may end with zeros: they are not missed.
                let first = tail.iter().position(|byte| *byte != 0).map_or(end, |first| cut + first as i64);
                tail.fill(0);
                fs::write(path, log).unwrap();
                model.cut(cut, first);
            }
            return model.opened(lab);
        }
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, each queue holds exactly what was appended to it, in order.
    #[test]
    fn a_store_is_a_map_of_lists(acts in prop::collection::vec(any_act(), 1..70)) {
        let lab = Lab::new();
        let mut store = lab.open();
        let mut model = Model::default();
        // One topic stays: without any queue a start would not trust the checkpoint.
        send(&store, "Stays", 0, "");
        for (step, next) in acts.into_iter().enumerate() {
            lab.tick(1);
            let opens = matches!(next, Act::Raw { .. } | Act::Close | Act::Crash | Act::Torn { .. });
            store = act(&lab, store, &mut model, step, next);
            if opens {
                model.check(&store);
            }
        }
        model.check(&store);
    }
}
