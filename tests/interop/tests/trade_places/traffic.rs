//! What an owner is sent in its turn: all kinds of messages that both brokers serve.

use rmq_interop::PATIENCE;
use rmq_testkit::wait;

use crate::client::{Client, Outgoing, number};
use crate::house::UNITS;
use crate::ledger::Ledger;
use crate::record::Record;

/// Topic of delayed messages.
pub(crate) const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";
const COMPRESSED_BY_ZLIB: i32 = 1 | 3 << 8;
const GROUP: &str = "TradeGroup";

/// Messages that come later than they were sent.
#[derive(Debug, Default)]
pub(crate) struct Delays(Vec<(String, i64)>);

impl Delays {
    /// Sends one message of each level; level n waits n seconds.
    pub(crate) fn send(&mut self, client: &mut Client, turn: &str, levels: impl Iterator<Item = i64>) {
        for level in levels {
            let unique = format!("delayed-{turn}-{level}");
            let message = Outgoing::new("TradeDelayed", level as i32 % 4, &unique, format!("later {level}"))
                .with("KEYS", format!("later{level}"))
                .with("DELAY", level);
            client.send(&message);
            self.0.push((unique, level * 1_000));
        }
    }

    /// Waits until all have come, and tells how many came more than once.
    #[track_caller]
    pub(crate) fn await_all(&self, client: &mut Client) -> usize {
        let arrived = |client: &mut Client| {
            let queues = (0..4).flat_map(|queue| client.pull_all("TradeDelayed", queue, 0, "*"));
            queues.collect::<Vec<_>>()
        };
        let is_of = |unique: &str| {
            let unique = unique.to_owned();
            move |record: &&Record| record.property("UNIQ_KEY") == Some(&unique)
        };
        let records = wait::value("all delayed messages", PATIENCE, || {
            let records = arrived(client);
            self.0.iter().all(|(unique, _)| records.iter().any(|one| is_of(unique)(&one))).then_some(records)
        });
        for (unique, delay_ms) in &self.0 {
            let level = (*delay_ms / 1_000 - 1) as i32;
            let waiting = client.pull_all(SCHEDULE, level, 0, "*");
            let since = waiting.iter().find(is_of(unique)).expect("it waited in the queue of its level");
            for came in records.iter().filter(is_of(unique)) {
                assert!(came.stored_at() >= since.stored_at() + delay_ms, "early: {came:?}");
                assert_eq!(came.property("REAL_TOPIC"), Some("TradeDelayed"));
            }
        }
        records.len() - self.0.len()
    }
}

/// One turn's messages. Log, queue and index files roll several times.
#[track_caller]
pub(crate) fn fill(client: &mut Client, ledger: &mut Ledger, turn: &str) {
    settings(client, turn);
    many_small(client, ledger, turn);
    special(client, ledger, turn);
    for number in 0..25 {
        let body = noise(100_000, number);
        let message = Outgoing::new("TradeBulk", number as i32 % 2, &format!("bulk-{turn}-{number}"), body);
        ledger.sent([client.send(&message)]);
    }
    for (queue, offset) in [(0, 3), (1, 7)] {
        let group = format!("{GROUP}-{turn}");
        client.commit(&group, "TradeMany", queue, offset);
        ledger.committed(&group, "TradeMany", queue, offset);
    }
    sent_back(client, ledger, turn);
}

fn settings(client: &mut Client, turn: &str) {
    client.create_topic("TradeMany", 2, "");
    client.create_topic(&format!("TradeSet{turn}"), 3, "+message.type=FIFO");
    for name in [GROUP.to_owned(), format!("{GROUP}-{turn}")] {
        let group = serde_json::json!({
            "groupName": name, "retryMaxTimes": 7, "consumeBroadcastEnable": false, "retryQueueNums": 2,
        });
        client.ask(200, &[], group.to_string().as_bytes());
    }
}

fn many_small(client: &mut Client, ledger: &mut Ledger, turn: &str) {
    for number in 0..3 * UNITS {
        let queue = i32::from(number % 5 == 0);
        let message =
            Outgoing::new("TradeMany", queue, &format!("many-{turn}-{number}"), format!("m{number}"))
                .with("TAGS", ["red", "green", "blue"][number as usize % 3])
                .with("KEYS", format!("key{number} shared{}", number % 15));
        ledger.sent([client.send(&message)]);
    }
}

fn special(client: &mut Client, ledger: &mut Ledger, turn: &str) {
    let unique = |kind: &str| format!("{kind}-{turn}");
    let message = |kind: &str, body: Vec<u8>| Outgoing::new("TradeKinds", 0, &unique(kind), body);
    let mut properties =
        message("properties", b"p".to_vec()).with("TAGS", "täg").with("KEYS", "schlüssel ключ");
    properties = properties.with("mine", "ünï cödé 消息").with("empty", "").with("REPLY_TO_CLIENT", "nobody");
    properties.flag = -7;
    for message in [
        message("tiny", vec![0]),
        message("large", noise(900_000, 1)),
        message("compressed", noise(5_000, 2)).sys_flag(COMPRESSED_BY_ZLIB),
        message("magic", [&[0xDA, 0xA3, 0x20, 0xA7][..], &noise(300, 3)].concat()),
        properties,
    ] {
        ledger.sent([client.send(&message)]);
    }
    let batch = (0..12).map(|number| {
        Outgoing::new("TradeBatch", 1, &format!("batch-{turn}-{number}"), noise(50 + number, 4))
            .with("TAGS", "batch")
            .with("KEYS", format!("member{number}"))
    });
    ledger.sent(client.send_batch(&batch.collect::<Vec<_>>()));
}

/// A consumer sends messages back: one comes again after a while, one goes to the dead letters.
#[track_caller]
fn sent_back(client: &mut Client, ledger: &mut Ledger, turn: &str) {
    for (kind, level) in [("again", "1"), ("dead", "-1")] {
        let unique = format!("{kind}-{turn}");
        let sent = client.send(&Outgoing::new("TradeBack", 0, &unique, kind).with("KEYS", kind));
        let offset = sent.physical_offset.to_string();
        let ext = [
            ("offset", offset.as_str()),
            ("group", GROUP),
            ("delayLevel", level),
            ("originMsgId", &unique),
            ("originTopic", "TradeBack"),
            ("unitMode", "false"),
            ("maxReconsumeTimes", "16"),
        ];
        client.ask(36, &ext, b"");
        ledger.sent([sent]);
    }
}

/// Those that were sent back in a turn came to where they belong.
#[track_caller]
pub(crate) fn await_sent_back(client: &mut Client, turn: &str) {
    for (topic, unique) in [
        (format!("%RETRY%{GROUP}"), format!("again-{turn}")),
        (format!("%DLQ%{GROUP}"), format!("dead-{turn}")),
    ] {
        wait::until(&format!("{unique} in {topic}"), PATIENCE, || {
            (0..2).any(|queue| {
                client.0.call(30, &[("topic", &topic), ("queueId", &queue.to_string())], b"").code == 0
                    && client.pull(&topic, queue, 0, "*").code == 0
                    && client
                        .pull_all(&topic, queue, 0, "*")
                        .iter()
                        .any(|record| record.property("UNIQ_KEY") == Some(&unique))
            })
        });
    }
}

/// Bytes without a pattern that a compression would like.
fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// How many of the messages with one of two tags a filter by them lets through.
#[track_caller]
pub(crate) fn check_filter(client: &mut Client, ledger: &Ledger) {
    for queue in 0..2 {
        let is_wanted = |record: &&Record| matches!(record.property("TAGS"), Some("red" | "blue"));
        let wanted: Vec<_> = ledger.records("TradeMany", queue).iter().filter(is_wanted).cloned().collect();
        assert_eq!(client.pull_all("TradeMany", queue, 0, "red || blue"), wanted);
        assert!(!wanted.is_empty());
    }
    let frame = client.pull("TradeMany", 0, 0, "*");
    assert!(number(&frame, "maxOffset") >= 96);
}
