//! A disk that is full or breaks, under a broker: a small ext4 is mounted for each test, which takes root.
//! What needs no mount is tested in `crates/store/src/tests/space.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rmq_e2e::PATIENCE;
use rmq_proto::message::record::decode_many;
use rmq_testkit::wire::{Connection, Frame};
use rmq_testkit::{Broker, Flavor, Volume, wait};

const SERVICE_NOT_AVAILABLE: i32 = 14;
const SEND_MESSAGE: i32 = 10;
const PULL_MESSAGE: i32 = 11;
const QUERY_MESSAGE: i32 = 12;
const QUERY_CONSUMER_OFFSET: i32 = 14;
const UPDATE_CONSUMER_OFFSET: i32 = 15;
const GET_BROKER_RUNTIME_INFO: i32 = 28;
const PULL_OFFSET_MOVED: i32 = 21;
const UPDATE_BROKER_CONFIG: i32 = 25;
const GET_MAX_OFFSET: i32 = 30;
const GET_MIN_OFFSET: i32 = 31;
const DELETE_EXPIRED_COMMITLOG: i32 = 329;

const TOPIC: &str = "Disk";
const QUEUES: i32 = 4;
const BODY_LEN: usize = 16 * 1024;
const NOBODY: &str = "127.0.0.1:1";
/// How soon sends must be taken again once there is space.
const RESUME: Duration = Duration::from_secs(5);
const MIB: u64 = 1 << 20;

/// A broker with small files on a volume.
fn broker(volume: &Volume) -> Broker {
    Broker::new(Flavor::Ours, NOBODY)
        .set("storePathRootDir", volume.path().join("store").display())
        .set("maxHashSlotNum", 1000)
        .set("maxIndexNum", 4000)
        .set("flushConsumerOffsetInterval", 200)
        // Only what a test is about may refuse or delete.
        .set("diskSpaceWarningLevelRatio", 90)
        .set("cleanFileForciblyEnable", false)
}

/// A producer that remembers what was acknowledged.
struct Sender {
    connection: Connection,
    name: String,
    sent: u64,
    /// Body by queue and offset.
    acked: BTreeMap<(i32, i64), String>,
}

impl Sender {
    fn new(broker: &Broker, name: &str) -> Sender {
        let connection = Connection::open(&broker.addr());
        Sender { connection, name: name.to_owned(), sent: 0, acked: BTreeMap::new() }
    }

    fn send(&mut self) -> Frame {
        let key = format!("{}-{}", self.name, self.sent);
        let body = format!("{key:x<BODY_LEN$}");
        let queue = (self.sent as i32 % QUEUES).to_string();
        self.sent += 1;
        let properties = format!("KEYS\u{1}{key}\u{2}WAIT\u{1}true\u{2}");
        let fields = [
            ("producerGroup", "raw"),
            ("topic", TOPIC),
            ("defaultTopic", "TBW102"),
            ("defaultTopicQueueNums", "4"),
            ("queueId", &queue),
            ("sysFlag", "0"),
            ("bornTimestamp", "1700000000000"),
            ("flag", "0"),
            ("properties", &properties),
            ("reconsumeTimes", "0"),
            ("unitMode", "false"),
        ];
        let reply = self.connection.call(SEND_MESSAGE, &fields, body.as_bytes());
        if reply.code == 0 {
            let place = (reply.ext["queueId"].parse().unwrap(), reply.ext["queueOffset"].parse().unwrap());
            assert_eq!(self.acked.insert(place, body), None, "a place is given twice");
        }
        reply
    }

    /// Sends until something is refused; answers the refusal.
    fn send_until_refused(&mut self) -> Frame {
        wait::value("a refusal", PATIENCE, || (0..100).map(|_| self.send()).find(|reply| reply.code != 0))
    }

    /// Sends until something is taken; answers how long that was.
    fn send_until_taken(&mut self) -> Duration {
        let since = Instant::now();
        wait::until("a send to be taken", PATIENCE, || self.send().code == 0);
        since.elapsed()
    }
}

fn pull_fields<'a>(queue: &'a str, offset: &'a str, suspend_ms: &'a str) -> [(&'a str, &'a str); 11] {
    [
        ("consumerGroup", "g"),
        ("topic", TOPIC),
        ("queueId", queue),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        // Bit 1: it may wait; bit 2: the subscription comes with the request.
        ("sysFlag", "6"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", suspend_ms),
        ("subscription", "*"),
        ("subVersion", "1"),
        ("expressionType", "TAG"),
    ]
}

fn pull_all(connection: &mut Connection) -> BTreeMap<(i32, i64), String> {
    let mut found = BTreeMap::new();
    for queue in 0..QUEUES {
        let (queue_id, mut offset) = (queue.to_string(), 0i64);
        loop {
            let from = offset.to_string();
            let fields = pull_fields(&queue_id, &from, "0");
            let reply = connection.call(PULL_MESSAGE, &fields, b"");
            for message in decode_many(reply.body.into()).map(Result::unwrap) {
                let body = String::from_utf8(message.body.to_vec()).unwrap();
                found.insert((queue, message.queue_offset), body);
            }
            let next = reply.ext["nextBeginOffset"].parse().unwrap();
            if next <= offset {
                break;
            }
            offset = next;
        }
    }
    found
}

/// Everything that was acknowledged is there, as it was sent and where it was said to be.
#[track_caller]
fn nothing_is_lost(connection: &mut Connection, acked: &BTreeMap<(i32, i64), String>) {
    for queue in 0..QUEUES {
        let end = acked.keys().filter(|place| place.0 == queue).map(|place| place.1 + 1).max().unwrap_or(0);
        wait::until("the messages to be readable", PATIENCE, || {
            let queue_id = queue.to_string();
            let reply = connection.call(GET_MAX_OFFSET, &[("topic", TOPIC), ("queueId", &queue_id)], b"");
            reply.ext.get("offset").is_some_and(|offset| offset.parse::<i64>().unwrap() >= end)
        });
    }
    let found = pull_all(connection);
    let lost: Vec<_> =
        acked.iter().filter(|(place, body)| found.get(place) != Some(body)).map(|(at, _)| at).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), acked.len());
}

/// Reading, acknowledging and asking work although sends do not.
#[track_caller]
fn all_but_sends_go_on(broker: &mut Broker, acked: &BTreeMap<(i32, i64), String>, saves: bool) {
    assert!(broker.process().is_running());
    let mut connection = Connection::open(&broker.addr());
    nothing_is_lost(&mut connection, acked);
    let offset = (acked.len() as i32 / QUEUES).to_string();
    let place = [("consumerGroup", "g"), ("topic", TOPIC), ("queueId", "1")];
    let commit = [&place[..], &[("commitOffset", offset.as_str())]].concat();
    assert_eq!(connection.call(UPDATE_CONSUMER_OFFSET, &commit, b"").code, 0);
    assert_eq!(connection.call(QUERY_CONSUMER_OFFSET, &place, b"").ext["offset"], offset);
    if saves {
        let file =
            broker.properties().get("storePathRootDir").unwrap().to_owned() + "/config/consumerOffset.json";
        wait::until("the offset to be saved", PATIENCE, || {
            fs::read_to_string(&file).is_ok_and(|text| text.contains(&format!("1:{offset}")))
        });
    }
    let info = connection.call(GET_BROKER_RUNTIME_INFO, &[], b"");
    let info = String::from_utf8(info.body).unwrap();
    assert!(info.contains("sendsRefused") && info.contains("commitLogDiskRatio"), "{info}");
}

fn key_fields(key: &str) -> [(&str, &str); 5] {
    let (begin, end) = (("beginTimestamp", "0"), ("endTimestamp", "9999999999999"));
    [("topic", TOPIC), ("key", key), ("maxNum", "9"), begin, end]
}

#[track_caller]
fn is_found_by_key(connection: &mut Connection, key: &str) {
    wait::until(&format!("the key {key}"), PATIENCE, || {
        connection.call(QUERY_MESSAGE, &key_fields(key), b"").code == 0
    });
}

fn lines_with(broker: &mut Broker, text: &str) -> usize {
    broker.process().log().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn sends_stop_at_the_reserve_and_come_back_by_themselves() {
    let volume = Volume::new(64);
    let reserve = 12 * MIB;
    let mut broker =
        broker(&volume).set("mappedFileSizeCommitLog", 4 * MIB).set("diskReservedBytes", reserve).started();
    volume.fill(reserve + 8 * MIB);
    let mut sender = Sender::new(&broker, "a");
    let refused = sender.send_until_refused();
    let remark = refused.remark.unwrap();
    assert_eq!(refused.code, SERVICE_NOT_AVAILABLE, "{remark}");
    assert!(remark.contains("diskReservedBytes") && remark.contains(&reserve.to_string()), "{remark}");
    assert!(sender.acked.len() > 100, "{}", sender.acked.len());
    assert!(volume.free_bytes() > reserve - 2 * MIB, "only {} bytes are left", volume.free_bytes());
    (0..50).for_each(|_| assert_eq!(sender.send().code, SERVICE_NOT_AVAILABLE));
    all_but_sends_go_on(&mut broker, &sender.acked, true);
    assert_eq!(lines_with(&mut broker, "the disk is full"), 1);

    volume.relieve();
    let resumed = sender.send_until_taken();
    eprintln!("{} acknowledged, sends are taken again after {resumed:?}", sender.acked.len());
    assert!(resumed < RESUME, "{resumed:?}");
    assert!(broker.stop().success());
    broker.start();
    let mut connection = Connection::open(&broker.addr());
    nothing_is_lost(&mut connection, &sender.acked);
    is_found_by_key(&mut connection, "a-0");
}

/// The broker looks at the disk once a second and has a limit in percent too. To have it run into the wall, the disk
/// must be filled right behind a look, which one that lets sends in again has just been.
#[track_caller]
fn fill_to_the_wall(volume: &Volume, sender: &mut Sender) {
    wait::until("the system to say that there is no space", PATIENCE, || {
        volume.fill(0);
        let refused = sender.send_until_refused();
        assert_eq!(refused.code, SERVICE_NOT_AVAILABLE, "{refused:?}");
        let is_wall = refused.remark.unwrap().contains("No space left");
        if !is_wall {
            volume.relieve();
            sender.send_until_taken();
        }
        is_wall
    });
}

#[test]
fn a_disk_without_a_single_block_left_refuses_and_loses_nothing() {
    let volume = Volume::new(48);
    // Small files, so that the next one is needed soon, and nothing kept for it.
    let mut broker =
        broker(&volume).set("mappedFileSizeCommitLog", 128 << 10).set("diskReservedBytes", 0).started();
    let mut sender = Sender::new(&broker, "b");
    // The table of topics is written while there is space: that is what the reserve is for, which is off here.
    (0..200).for_each(|_| assert_eq!(sender.send().code, 0));
    for _ in 0..2 {
        fill_to_the_wall(&volume, &mut sender);
        volume.relieve();
        sender.send_until_taken();
    }
    fill_to_the_wall(&volume, &mut sender);
    all_but_sends_go_on(&mut broker, &sender.acked, false);

    // A crash on a full disk, and a start on it.
    broker.kill();
    broker.start();
    let mut connection = Connection::open(&broker.addr());
    nothing_is_lost(&mut connection, &sender.acked);
    sender.connection = Connection::open(&broker.addr());
    assert_eq!(sender.send_until_refused().code, SERVICE_NOT_AVAILABLE);

    volume.relieve();
    let resumed = sender.send_until_taken();
    eprintln!("{} acknowledged, sends are taken again after {resumed:?}", sender.acked.len());
    assert!(resumed < RESUME, "{resumed:?}");
    broker.stop();
    broker.start();
    let mut connection = Connection::open(&broker.addr());
    nothing_is_lost(&mut connection, &sender.acked);
    for (_, body) in sender.acked.iter().step_by(7) {
        is_found_by_key(&mut connection, body.trim_end_matches('x'));
    }
}

#[test]
fn a_file_system_that_turns_read_only_ends_sends_but_not_the_broker() {
    let volume = Volume::new(64);
    let mut broker = broker(&volume)
        .set("mappedFileSizeCommitLog", 4 * MIB)
        .set("diskReservedBytes", 0)
        .set("flushDiskType", "SYNC_FLUSH")
        .started();
    let mut senders: Vec<_> = (0..3).map(|n| Sender::new(&broker, &format!("c{n}"))).collect();
    senders.iter_mut().for_each(|sender| assert_eq!(sender.send().code, 0));
    let refusals: Vec<Frame> = thread::scope(|scope| {
        let senders: Vec<_> =
            senders.iter_mut().map(|sender| scope.spawn(|| sender.send_until_refused())).collect();
        let file = volume.path().join("store/commitlog/00000000000004194304");
        wait::until("the second log file", PATIENCE, || file.exists());
        volume.break_down();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    for refused in refusals {
        let remark = refused.remark.unwrap();
        assert_eq!(refused.code, SERVICE_NOT_AVAILABLE, "{remark}");
        // "Read-only file system" or, if it was just syncing, "Input/output error".
        assert!(remark.contains("read-only since a write failed") && remark.contains("os error"), "{remark}");
    }
    let acked: BTreeMap<_, _> = senders.iter().flat_map(|sender| sender.acked.clone()).collect();
    eprintln!("{} acknowledged before the file system broke", acked.len());
    all_but_sends_go_on(&mut broker, &acked, false);
    assert_eq!(lines_with(&mut broker, "the store is read-only from now on"), 1);

    broker.kill();
    volume.repair();
    broker.start();
    let mut connection = Connection::open(&broker.addr());
    nothing_is_lost(&mut connection, &acked);
    is_found_by_key(&mut connection, "c0-0");
    assert_eq!(Sender::new(&broker, "d").send().code, 0);
}

/// Needs no volume: what is kept is limited while the broker runs, under consumers that wait and ask.
#[test]
fn old_files_go_under_those_who_read_them() {
    let mut broker = Broker::new(Flavor::Ours, NOBODY)
        .set("mappedFileSizeCommitLog", 128 << 10)
        .set("flushIntervalCommitLog", 20)
        .started();
    let mut sender = Sender::new(&broker, "r");
    (0..80).for_each(|_| assert_eq!(sender.send().code, 0));
    let mut connection = Connection::open(&broker.addr());
    nothing_is_lost(&mut connection, &sender.acked);
    is_found_by_key(&mut connection, "r-0");
    // A consumer that waits at the end of a queue for what comes.
    let end = 80 / i64::from(QUEUES);
    let mut waiting = Connection::open(&broker.addr());
    let parked = waiting.send(PULL_MESSAGE, 0, &pull_fields("0", &end.to_string(), "20000"), b"").unwrap();

    let reply = connection.call(UPDATE_BROKER_CONFIG, &[], b"commitLogMaxBytes=400000\n");
    assert_eq!(reply.code, 0, "{reply:?}");
    let mut min_offset = || -> i64 {
        let reply = connection.call(GET_MIN_OFFSET, &[("topic", TOPIC), ("queueId", "0")], b"");
        reply.ext["offset"].parse().unwrap()
    };
    assert_eq!(min_offset(), 0);
    let min = wait::value("the oldest files to go", PATIENCE, || {
        Connection::open(&broker.addr()).call(DELETE_EXPIRED_COMMITLOG, &[], b"");
        // 400,000 bytes are three whole files and what is being written: at most 28 messages, so 7 of a queue.
        Some(min_offset()).filter(|min| *min >= end - 7)
    });
    let files = fs::read_dir(broker.store_dir().join("commitlog")).unwrap().count();
    assert!(files <= 4, "{files} files");

    let moved = connection.call(PULL_MESSAGE, &pull_fields("0", "0", "0"), b"");
    assert_eq!(
        (moved.code, moved.ext["nextBeginOffset"].as_str()),
        (PULL_OFFSET_MOVED, min.to_string().as_str())
    );
    let kept: BTreeMap<_, _> = pull_all(&mut connection);
    assert!(kept.iter().all(|(place, body)| sender.acked[place] == *body), "what is read is what was sent");
    assert_eq!(kept.keys().filter(|place| place.0 == 0).count() as i64, end - min);
    let gone = connection.call(QUERY_MESSAGE, &key_fields("r-0"), b"");
    assert_ne!(gone.code, 0, "{gone:?}");
    is_found_by_key(&mut connection, "r-79");

    assert_eq!(sender.send().code, 0);
    let found = waiting.receive().unwrap();
    assert_eq!((found.opaque, found.code), (parked, 0), "the one that waited got the next message");

    broker.kill();
    broker.start();
    let mut connection = Connection::open(&broker.addr());
    let reply = connection.call(GET_MIN_OFFSET, &[("topic", TOPIC), ("queueId", "0")], b"");
    assert_eq!(reply.ext["offset"], min.to_string());
    assert_eq!(pull_all(&mut connection).len(), kept.len() + 1);
}
