//! A disk that fails or is slow, below a real broker: `FAILPOINTS` says where.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rmq_faults::{
    fleet::{self, send, sent_offset},
    history::{Contents, History},
    message::{Message, key},
};
use rmq_testkit::{
    Broker,
    wire::{Connection, Frame},
};

const NOBODY: &str = "127.0.0.1:1";
const TOPIC: &str = "Disk";
/// Far above what a broker under this load needs, far below what unbounded queues would take.
const MEMORY: u64 = 400 << 20;

/// Starts a broker with faults; `cargo build` of the broker alone leaves them out.
#[track_caller]
fn start(broker: &mut Broker, faults: &str) {
    broker.set_env("FAILPOINTS", faults);
    broker.start();
    let log = broker.process().log();
    assert!(log.contains("built with fail points"), "run `cargo build --workspace` first: {log}");
}

/// Sends messages one by one until one is refused; its answer.
#[track_caller]
fn send_until_refused(connection: &mut Connection, history: &mut History, sender: u32) -> Frame {
    for number in 0..2000 {
        let message = Message::new(key(sender, number), TOPIC, 0, 500);
        history.send(&message);
        let reply = send(connection, std::slice::from_ref(&message)).expect("the broker answers");
        match sent_offset(&reply) {
            Some(offset) => history.ack(message.key, offset, 0),
            None => return reply,
        }
    }
    panic!("nothing was refused");
}

#[track_caller]
fn read(broker: &Broker, history: &History) -> usize {
    let mut contents = Contents::new();
    fleet::pull_more(&broker.addr(), &[TOPIC.into()], &mut contents);
    let verdict = history.judge(&history.now(), &contents);
    assert!(verdict.is_clean(), "{verdict}");
    verdict.found
}

/// After the fault: nothing is acknowledged, everything is readable, a new start takes messages again.
#[track_caller]
fn writing_ends_for_good(flush: &str, faults: &str) {
    let mut broker = fleet::broker(NOBODY).set("flushDiskType", flush);
    start(&mut broker, faults);
    let mut history = History::default();
    let mut connection = Connection::open(&broker.addr());
    let refused = send_until_refused(&mut connection, &mut history, 1);
    let remark = refused.remark.clone().unwrap_or_default();
    assert!(history.acks() > 0, "{refused:?}");
    assert!(
        remark.contains("os error 5") || remark.contains("Input/output") || remark.contains("sync"),
        "{refused:?}"
    );
    for number in 0..50 {
        let message = Message::new(key(2, number), TOPIC, 0, 500);
        history.send(&message);
        let reply = send(&mut connection, &[message]).expect("the broker answers");
        assert_eq!(sent_offset(&reply), None, "acknowledged after a failed write: {reply:?}");
        assert!(reply.remark.is_some_and(|remark| !remark.is_empty()));
    }
    assert!(read(&broker, &history) >= history.acks());
    assert!(broker.process().is_running() && broker.process().resident_bytes() < MEMORY);
    broker.stop();
    start(&mut broker, "");
    assert!(read(&broker, &history) >= history.acks());
    let message = Message::new(key(3, 0), TOPIC, 0, 500);
    history.send(&message);
    let reply = send(&mut Connection::open(&broker.addr()), &[message]).expect("the broker answers");
    assert!(sent_offset(&reply).is_some(), "{reply:?}");
}

#[test]
fn a_failed_append_ends_writing() {
    writing_ends_for_good("ASYNC_FLUSH", "store-append=20*off->return(EIO)");
}

#[test]
fn a_failed_append_ends_writing_with_synchronous_flushing() {
    writing_ends_for_good("SYNC_FLUSH", "store-append=20*off->1*return(EIO)->off");
}

#[test]
fn a_failed_sync_is_never_repeated_into_an_acknowledgement() {
    writing_ends_for_good("SYNC_FLUSH", "store-log-sync=10*off->1*return(EIO)->off");
}

#[test]
fn a_failed_sync_ends_writing_with_asynchronous_flushing() {
    writing_ends_for_good("ASYNC_FLUSH", "store-log-sync=1*off->1*return(EIO)->off");
}

#[test]
fn a_failed_roll_ends_writing() {
    writing_ends_for_good("ASYNC_FLUSH", "store-roll=1*off->return(EIO)");
    writing_ends_for_good("ASYNC_FLUSH", "store-roll-created=return(EIO)");
    writing_ends_for_good("ASYNC_FLUSH", "store-rolled=return(EIO)");
}

#[test]
fn a_full_disk_at_the_roll_is_passing() {
    let mut broker = fleet::broker(NOBODY);
    start(&mut broker, "store-roll=1*off->5*return(ENOSPC)->off");
    let mut history = History::default();
    let mut connection = Connection::open(&broker.addr());
    let refused = send_until_refused(&mut connection, &mut history, 1);
    assert!(refused.remark.is_some_and(|remark| remark.contains("disk")));
    let mut refusals = 1;
    for number in 0..100 {
        let message = Message::new(key(2, number), TOPIC, 0, 500);
        history.send(&message);
        let reply = send(&mut connection, std::slice::from_ref(&message)).expect("the broker answers");
        match sent_offset(&reply) {
            Some(offset) => history.ack(message.key, offset, 0),
            None => refusals += 1,
        }
    }
    assert!(refusals <= 5, "{refusals} refused for 5 faults");
    assert_eq!(read(&broker, &history), history.acks());
}

#[test]
fn failing_queues_and_indexes_lose_nothing() {
    let mut broker = fleet::broker(NOBODY);
    let faults =
        ["store-queue-write", "store-queue-sync", "store-index-put", "store-index-sync", "store-checkpoint"];
    let faults: Vec<_> = faults.iter().map(|point| format!("{point}=5*off->60%return(EIO)")).collect();
    start(&mut broker, &faults.join(";"));
    let history: Arc<Mutex<History>> = Arc::default();
    let senders = fleet::Senders::start(&broker.addr(), &history, 1, 2, 1);
    rmq_testkit::wait::until("messages", Duration::from_secs(60), || history.lock().acks() > 1500);
    senders.stop();
    let topics = ["Own0", "Own1", "Common"].map(str::to_owned);
    for killed in [false, true] {
        let mut contents = Contents::new();
        fleet::pull_more(&broker.addr(), &topics, &mut contents);
        let history = history.lock();
        let verdict = history.judge(&history.now(), &contents);
        assert!(verdict.is_clean() && verdict.required > 1500, "killed {killed}: {verdict}");
        if !killed {
            broker.kill();
            start(&mut broker, "");
        }
    }
}

/// One sync takes `ms`: nobody gets an acknowledgement before it is over, memory stays bounded, and then
/// everything goes on.
fn slow_sync(ms: u64) {
    let mut broker = fleet::broker(NOBODY).set("flushDiskType", "SYNC_FLUSH");
    start(&mut broker, &format!("store-log-sync=10*off->1*sleep({ms})->off"));
    let addr = broker.addr();
    let history: Arc<Mutex<History>> = Arc::default();
    let mut connection = Connection::open(&addr);
    let mut latencies = Vec::new();
    let mut peak = 0;
    for number in 0..200 {
        let message = Message::new(key(1, number), TOPIC, 0, 500);
        history.lock().send(&message);
        let sent = Instant::now();
        let flood = (number == 9).then(|| flood(&addr));
        let reply = send(&mut connection, std::slice::from_ref(&message)).expect("the broker answers");
        latencies.push((sent.elapsed(), sent_offset(&reply).is_some()));
        peak = peak.max(broker.process().resident_bytes());
        if let Some(offset) = sent_offset(&reply) {
            history.lock().ack(message.key, offset, 0);
        }
        drop(flood);
    }
    let slow: Vec<_> =
        latencies.iter().filter(|(took, _)| *took >= Duration::from_millis(ms.min(4_000))).collect();
    println!("sync of {ms} ms: slow answers {slow:?}, resident at most {} MiB", peak >> 20);
    assert!(!slow.is_empty(), "no answer waited for the slow sync: {latencies:?}");
    // Java's clients are told after 5 s (syncFlushTimeout) that it is stored but not on disk yet.
    assert!(slow.iter().all(|(took, acked)| !acked || *took >= Duration::from_millis(ms * 9 / 10)));
    assert!(latencies[150..].iter().all(|(_, acked)| *acked), "service resumes: {latencies:?}");
    assert!(peak < MEMORY, "{peak} bytes resident");
    let mut contents = Contents::new();
    fleet::pull_more(&addr, &[TOPIC.into()], &mut contents);
    let history = history.lock();
    let verdict = history.judge(&history.now(), &contents);
    assert!(verdict.is_clean(), "{verdict}");
}

/// Connections that send without waiting for answers, until they are dropped.
fn flood(addr: &str) -> Vec<Connection> {
    let mut connections: Vec<_> = (0..8).map(|_| Connection::open(addr)).collect();
    for (sender, connection) in (100..).zip(&mut connections) {
        for number in 0..100 {
            let message = Message::new(key(sender, number), "Flood", 0, 30_000);
            let properties = message.properties();
            let fields = [
                ("producerGroup", "flood"),
                ("topic", "Flood"),
                ("defaultTopic", "TBW102"),
                ("defaultTopicQueueNums", "4"),
                ("queueId", "0"),
                ("sysFlag", "0"),
                ("bornTimestamp", "1"),
                ("flag", "0"),
                ("properties", &properties),
                ("reconsumeTimes", "0"),
                ("unitMode", "false"),
            ];
            // A broker that takes no more is what is wanted.
            if connection.send(10, 0, &fields, &message.body).is_err() {
                break;
            }
        }
    }
    connections
}

#[test]
fn a_sync_of_one_second_delays_acknowledgements() {
    slow_sync(1_000);
}

#[test]
fn a_sync_of_ten_seconds_delays_acknowledgements() {
    slow_sync(10_000);
}

const UPDATE_AND_CREATE_TOPIC: i32 = 17;
const GET_ALL_TOPIC_CONFIG: i32 = 21;

fn create_topic(broker: &Broker, topic: &str) -> std::io::Result<Frame> {
    let fields = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "4"),
        ("writeQueueNums", "4"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    Connection::open(&broker.addr()).try_call(UPDATE_AND_CREATE_TOPIC, &fields, b"")
}

fn topics(broker: &Broker) -> String {
    let reply = Connection::open(&broker.addr()).call(GET_ALL_TOPIC_CONFIG, &[], b"");
    String::from_utf8_lossy(&reply.body).into_owned()
}

#[test]
fn a_kill_while_a_table_is_saved_loses_nothing_that_was_acknowledged() {
    let mut broker = fleet::broker(NOBODY);
    start(&mut broker, "");
    for (number, point) in
        ["broker-persist", "broker-persist-copied", "broker-persist-written", "broker-persist-renamed"]
            .into_iter()
            .enumerate()
    {
        let (kept, risked) = (format!("Kept{number}"), format!("Risked{number}"));
        let reply = create_topic(&broker, &kept).expect("the broker answers");
        assert_eq!(reply.code, 0, "{reply:?}");
        broker.stop();
        // The first save from now on stops at the point, and so does everything behind it.
        start(&mut broker, &format!("{point}=sleep(600000)"));
        let (addr, topic) = (broker.addr(), risked.clone());
        let asked = std::thread::spawn(move || {
            let fields = [
                ("topic", topic.as_str()),
                ("defaultTopic", "TBW102"),
                ("readQueueNums", "4"),
                ("writeQueueNums", "4"),
                ("perm", "6"),
                ("topicFilterType", "SINGLE_TAG"),
                ("topicSysFlag", "0"),
                ("order", "false"),
            ];
            Connection::open(&addr)
                .try_call(UPDATE_AND_CREATE_TOPIC, &fields, b"")
                .is_ok_and(|reply| reply.code == 0)
        });
        rmq_testkit::wait::until("the topic to be in memory", Duration::from_secs(20), || {
            topics(&broker).contains(&risked)
        });
        let config = broker.store_dir().join("config");
        let holds = |name: &str, text: &str| {
            fs::read_to_string(config.join(name)).is_ok_and(|json| json.contains(text))
        };
        rmq_testkit::wait::until(point, Duration::from_secs(20), || match point {
            "broker-persist-copied" => holds("topics.json.bak", &kept),
            "broker-persist-written" => holds("topics.json.tmp", &risked),
            "broker-persist-renamed" => holds("topics.json", &risked),
            _ => true,
        });
        broker.kill();
        let acknowledged = asked.join().unwrap();
        start(&mut broker, "");
        let found = topics(&broker);
        assert!((0..=number).all(|number| found.contains(&format!("Kept{number}"))), "{point}: {found}");
        assert!(!acknowledged || found.contains(&risked), "{point}: {found}");
        let damaged = config.join("topics.json.damaged");
        assert!(!damaged.exists(), "{point}: the table was not readable");
    }
}

#[test]
fn a_kill_before_the_progress_of_delayed_messages_is_saved_loses_none() {
    let mut broker = fleet::broker(NOBODY).set("flushDelayOffsetInterval", 100);
    start(&mut broker, "broker-delay-progress=sleep(600000)");
    let mut connection = Connection::open(&broker.addr());
    let mut history = History::default();
    for number in 0..5 {
        let message = Message::new(key(1, number), TOPIC, 0, 100);
        history.send(&message);
        // Level 1 is one second.
        let properties = format!("{}DELAY\u{1}1\u{2}", message.properties());
        let fields = [
            ("producerGroup", "faults"),
            ("topic", TOPIC),
            ("defaultTopic", "TBW102"),
            ("defaultTopicQueueNums", "4"),
            ("queueId", "0"),
            ("sysFlag", "0"),
            ("bornTimestamp", "1700000000000"),
            ("flag", "0"),
            ("properties", &properties),
            ("reconsumeTimes", "0"),
            ("unitMode", "false"),
        ];
        let reply = connection.try_call(10, &fields, &message.body).expect("the broker answers");
        assert!(sent_offset(&reply).is_some(), "{reply:?}");
    }
    let delivered = |broker: &Broker| {
        let mut contents = Contents::new();
        fleet::pull_more(&broker.addr(), &[TOPIC.into()], &mut contents);
        history.judge(&history.now(), &contents)
    };
    let patience = Duration::from_secs(30);
    rmq_testkit::wait::until("the delayed messages", patience, || delivered(&broker).found == 5);
    broker.kill();
    start(&mut broker, "");
    // What was delivered since the last save comes again; nothing is gone, nothing is invented.
    rmq_testkit::wait::until("the delayed messages again", patience, || {
        delivered(&broker).duplicated.len() == 5
    });
    let verdict = delivered(&broker);
    assert!(verdict.corrupt.is_empty() && verdict.never_sent.is_empty() && verdict.found == 10, "{verdict}");
}
