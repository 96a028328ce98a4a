//! A store that Java makes with options of which we serve only the files.

use std::fs;
use std::path::Path;

use rmq_interop::PATIENCE;
use rmq_testkit::Flavor::{Java, Ours};
use rmq_testkit::wait;

use crate::client::{Client, Outgoing};
use crate::house::{Exit, House};
use crate::ledger::Ledger;
use crate::record::Record;
use crate::traffic::{self, Delays};

const OPTIONS: [(&str, &str); 8] = [
    // Each record ends with a CRC of itself, and a record without one ends the log.
    ("enabledAppendPropCRC", "true"),
    ("forceVerifyPropCRC", "true"),
    // Queue entries hold a place in `consumequeue_ext` in place of the hash of the tags.
    ("enableConsumeQueueExt", "true"),
    ("enableCalcFilterBitMap", "true"),
    ("bitMapLengthConsumeQueueExt", "64"),
    ("mappedFileSizeConsumeQueueExt", "65536"),
    // Messages that are in further, light queues too.
    ("enableLmq", "true"),
    ("enableMultiDispatch", "true"),
];
/// `MESSAGE_ILLEGAL`
const ILLEGAL: i32 = 13;

/// Messages that only Java takes: for light queues, and batches that are one record.
fn send_java_only(client: &mut Client, turn: &str) {
    for number in 0..5 {
        client.send(&light(&format!("light-{turn}-{number}")));
    }
    for batch in 0..3 {
        let frame = client.try_send_batch(&inner(&format!("inner-{turn}-{batch}")));
        assert_eq!(frame.code, 0, "{:?}", frame.remark);
    }
    client.send(&Outgoing::new("TradeInner", 0, &format!("alone-{turn}"), "alone"));
    for number in 0..2 {
        client.send(&compacted(&format!("compacted-{turn}-{number}")));
    }
}

fn light(unique: &str) -> Outgoing {
    Outgoing::new("TradeLight", 0, unique, "light").with("INNER_MULTI_DISPATCH", "%LMQ%one,%LMQ%two")
}

fn compacted(unique: &str) -> Outgoing {
    Outgoing::new("TradeCompacted", 0, unique, "compacted").with("KEYS", unique)
}

fn inner(unique: &str) -> Vec<Outgoing> {
    (0..4).map(|number| Outgoing::new("TradeInner", 0, &format!("{unique}-{number}"), "in")).collect()
}

/// What only Java can show.
#[track_caller]
fn java_only(client: &mut Client) -> Vec<Vec<Record>> {
    let topics = ["%LMQ%one", "%LMQ%two", "TradeInner", "TradeCompacted"];
    topics.map(|topic| client.pull_all(topic, 0, 0, "*")).to_vec()
}

/// Java's queues follow its log in threads of their own.
#[track_caller]
fn await_java_only(client: &mut Client, counts: [usize; 4]) -> Vec<Vec<Record>> {
    wait::value(&format!("{counts:?} messages"), PATIENCE, || {
        let shown = java_only(client);
        shown.iter().map(Vec::len).eq(counts).then_some(shown)
    })
}

#[track_caller]
fn assert_whole_crc(ledger: &Ledger) {
    for topic in ["TradeMany", "TradeBulk", "TradeBatch", "TradeKinds", "TradeDelayed", "SCHEDULE_TOPIC_XXXX"]
    {
        for record in ledger.topic(topic) {
            assert!(record.property_text().contains("\u{2}__CRC32#\u{1}"), "{record:?}");
            assert_eq!(record.property_text().matches("__CRC32#").count(), 1, "{record:?}");
        }
    }
}

#[test]
fn checksums_extended_light_and_batch_queues() {
    let mut house = House::new(&OPTIONS);
    let mut ledger = Ledger::default();
    let mut delays = Delays::default();

    let mut client = house.enter(Java);
    client.create_topic("TradeInner", 1, "+queue.type=BatchCQ");
    client.create_topic("TradeCompacted", 1, "+cleanup.policy=COMPACTION");
    send_java_only(&mut client, "first");
    delays.send(&mut client, "java", 1..=9);
    traffic::fill(&mut client, &mut ledger, "java");
    ledger.check(&mut client, &house.store());
    let shown = await_java_only(&mut client, [5, 5, 4, 2]);
    assert!(house.store().join("consumequeue_ext/TradeMany/0").exists());
    house.leave(Exit::Stopped);

    for exit in [Exit::Killed, Exit::Stopped] {
        let mut client = house.enter(Ours);
        ledger.check(&mut client, &house.store());
        traffic::check_filter(&mut client, &ledger);
        for refused in [
            client.try_send(&light("refused")),
            client.try_send_batch(&inner("refused")),
            client.try_send(&inner("refused")[0]),
            client.try_send(&compacted("refused")),
        ] {
            assert_eq!(refused.code, ILLEGAL, "{:?}", refused.remark);
        }
        for (topic, why) in [("TradeInner", "BatchCQ"), ("TradeCompacted", "COMPACTION")] {
            assert!(client.pull(topic, 0, 0, "*").remark.unwrap().contains(why));
        }
        let turn = format!("ours{exit:?}");
        delays.send(&mut client, &turn, 1..=2);
        traffic::fill(&mut client, &mut ledger, &turn);
        ledger.check(&mut client, &house.store());
        house.leave(exit);
        if exit == Exit::Killed {
            ledger.offsets_as_written(&house.store());
            // Light queues are to be made again from the log, and other ones not.
            fs::remove_dir_all(house.store().join("consumequeue")).unwrap();
        }
    }
    assert!(!house.store().join("consumequeue/TradeInner").exists(), "Java would not start any more");

    let mut client = house.enter(Java);
    ledger.check(&mut client, &house.store());
    traffic::check_filter(&mut client, &ledger);
    assert_eq!(java_only(&mut client), shown);
    send_java_only(&mut client, "second");
    ledger.check(&mut client, &house.store());
    let grown = await_java_only(&mut client, [10, 10, 8, 4]);
    for (before, now) in shown.iter().zip(&grown) {
        assert_eq!(now[..before.len()], before[..]);
    }
    delays.await_all(&mut client);
    ledger.check(&mut client, &house.store());
    assert_whole_crc(&ledger);
    house.leave(Exit::Stopped);

    flip_a_property(&house.store(), &ledger);
    let mut client = house.enter(Ours);
    let left = client.pull_all("TradeMany", 0, 0, "*");
    assert_eq!(left.len(), ledger.records("TradeMany", 0).len() - 1, "the changed record is not delivered");
}

/// Changes a record where only the CRC of all of it can tell.
fn flip_a_property(store: &Path, ledger: &Ledger) {
    let record = &ledger.records("TradeMany", 0)[7];
    let file = record.physical_offset() >> 20 << 20;
    let path = store.join("commitlog").join(format!("{file:020}"));
    let mut bytes = fs::read(&path).unwrap();
    let end = (record.physical_offset() - file) as usize + record.bytes.len();
    bytes[end - 30] ^= 1;
    fs::write(&path, bytes).unwrap();
}
