//! Very many topics: start, register, serve, restart, and be idle. 1,000 topics of 8 queues each, and on demand
//! what users have asked for:
//!
//! ```sh
//! cargo build --release && RMQ_MANY_TOPICS=100000 cargo test --release -p rmq-e2e --test many_topics -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rmq_e2e::PATIENCE;
use rmq_testkit::wire::{Connection, Frame};
use rmq_testkit::{Broker, Cluster, Flavor, NameServer, Process, wait};
use serde_json::{Map, Value, json};

const QUEUES: usize = 8;
const SENDERS: usize = 4;
/// Requests of a sender that wait for their answers.
const WINDOW: usize = 64;
const SEND_MESSAGE: i32 = 10;
const PULL_MESSAGE: i32 = 11;
const GET_MAX_OFFSET: i32 = 30;
const GET_ROUTE: i32 = 105;
/// Of reliability: how long a restart may take, and how much memory the broker may have.
const RESTART: Duration = Duration::from_secs(30);
const MEMORY: u64 = 2 << 30;

fn topic(number: usize) -> String {
    format!("an-application-with-many-topics-{number:06}")
}

/// The broker's table of topics as Java writes it: nobody creates 100,000 topics one by one.
fn write_topics(broker: &Broker, count: usize) {
    let table: Map<String, Value> = (0..count)
        .map(|number| {
            let name = topic(number);
            let row = json!({
                "attributes": {}, "order": false, "perm": 6, "readQueueNums": QUEUES, "topicFilterType": "SINGLE_TAG",
                "topicName": &name, "topicSysFlag": 0, "writeQueueNums": QUEUES,
            });
            (name, row)
        })
        .collect();
    let config = broker.store_dir().join("config");
    fs::create_dir_all(&config).unwrap();
    let version = json!({ "counter": 1, "stateVersion": 0, "timestamp": 1 });
    let text = json!({ "dataVersion": version, "topicConfigTable": table }).to_string();
    fs::write(config.join("topics.json"), text).unwrap();
}

/// One message to each queue of the topics that are this sender's.
fn send_to_all(addr: &str, sender: usize, topics: usize) {
    let mut connection = Connection::open(addr);
    let mut waiting = 0;
    let accept = |connection: &mut Connection| {
        let answer = connection.receive().unwrap();
        assert_eq!((answer.code, answer.ext["queueOffset"].as_str()), (0, "0"), "{answer:?}");
    };
    for number in (sender..topics).step_by(SENDERS) {
        let name = topic(number);
        for queue in 0..QUEUES {
            let queue = queue.to_string();
            let fields = [
                ("producerGroup", "g"),
                ("topic", &name),
                ("defaultTopic", "TBW102"),
                ("defaultTopicQueueNums", "4"),
                ("queueId", &queue),
                ("sysFlag", "0"),
                ("bornTimestamp", "1"),
                ("flag", "0"),
                ("properties", ""),
                ("reconsumeTimes", "0"),
                ("unitMode", "false"),
            ];
            let body = format!("{name}/{queue}");
            connection.send(SEND_MESSAGE, 0, &fields, body.as_bytes()).unwrap();
            waiting += 1;
            if waiting == WINDOW {
                accept(&mut connection);
                waiting -= 1;
            }
        }
    }
    (0..waiting).for_each(|_| accept(&mut connection));
}

fn pull(connection: &mut Connection, topic: &str, queue: usize) -> Frame {
    let queue = queue.to_string();
    let fields = [
        ("consumerGroup", "g"),
        ("topic", topic),
        ("queueId", &queue),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        // The subscription is in the request.
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", "*"),
        ("subVersion", "1"),
        ("expressionType", "TAG"),
    ];
    connection.call(PULL_MESSAGE, &fields, b"")
}

/// Every queue that is looked at has its message, and the offset of the next one is 1.
fn check(addr: &str, topics: usize) {
    let mut connection = Connection::open(addr);
    for number in (0..topics).step_by(topics / 200) {
        let (name, queue) = (topic(number), number % QUEUES);
        let answer = pull(&mut connection, &name, queue);
        assert_eq!(answer.code, 0, "{name}/{queue}: {answer:?}");
        let body = String::from_utf8_lossy(&answer.body);
        assert!(body.contains(&format!("{name}/{queue}")), "{body}");
        let fields = [("topic", &*name), ("queueId", &*queue.to_string())];
        let max = connection.call(GET_MAX_OFFSET, &fields, b"");
        assert_eq!(max.ext["offset"], "1", "{max:?}");
    }
}

fn status(process: &Process, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn open_files(process: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap().count()
}

fn mapped_files(process: &Process) -> BTreeSet<String> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", process.pid())).unwrap();
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.filter(|path| path.contains("consumequeue")).map(str::to_owned).collect()
}

/// Waits until clients find the last topic at the name server.
fn await_route(cluster: &Cluster, topics: usize) {
    let mut namesrv = Connection::open(&cluster.namesrv().addr());
    let (last, addr) = (topic(topics - 1), cluster.broker().addr());
    wait::until("the last topic to have a route", RESTART * 2, || {
        let route = namesrv.call(GET_ROUTE, &[("topic", &last)], b"");
        route.code == 0 && String::from_utf8_lossy(&route.body).contains(&addr)
    });
}

#[test]
fn very_many_topics_are_served() {
    let topics = std::env::var("RMQ_MANY_TOPICS").map_or(1_000, |count| count.parse().unwrap());
    let mut cluster = Cluster::of(NameServer::start_new(Flavor::Ours));
    let broker = Broker::new(Flavor::Ours, &cluster.namesrv().addr());
    write_topics(&broker, topics);
    let started = Instant::now();
    cluster.add(broker);
    await_route(&cluster, topics);
    eprintln!("{topics} topics: ready and registered after {:?}", started.elapsed());

    let addr = cluster.broker().addr();
    let sending = Instant::now();
    thread::scope(|scope| {
        let addr = &addr;
        (0..SENDERS).for_each(|sender| {
            scope.spawn(move || send_to_all(addr, sender, topics));
        });
    });
    eprintln!("{} messages, one to each queue: {:?}", topics * QUEUES, sending.elapsed());
    check(&addr, topics);

    let before = Instant::now();
    // Making 800,000 files takes a file system minutes if it has just deleted as many.
    wait::until("the idle queues to close their files", PATIENCE * 10, || {
        open_files(cluster.broker_mut().process()) < 100
    });
    eprintln!("files are closed after {:?}", before.elapsed());
    assert_eq!(mapped_files(cluster.broker_mut().process()), BTreeSet::new());

    for how in ["stopped", "killed"] {
        let stopping = Instant::now();
        if how == "stopped" {
            cluster.broker_mut().stop();
        } else {
            cluster.broker_mut().kill();
        }
        let stopped = stopping.elapsed();
        let started = Instant::now();
        cluster.broker_mut().start();
        await_route(&cluster, topics);
        let ready = started.elapsed();
        check(&addr, topics);
        let (peak, now) = {
            let process = cluster.broker_mut().process();
            (status(process, "VmHWM"), status(process, "VmRSS"))
        };
        let namesrv = status(cluster.namesrv_mut().process(), "VmRSS");
        let mib = |bytes: u64| bytes >> 20;
        eprintln!(
            "{how} in {stopped:?}, again ready and registered after {ready:?}; broker {} MiB (at most {}), name server {}",
            mib(now),
            mib(peak),
            mib(namesrv),
        );
        assert!(ready < RESTART, "{how}: ready after {ready:?}");
        assert!(peak + namesrv < MEMORY, "{peak} and {namesrv} bytes");
    }
}
