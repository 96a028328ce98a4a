//! Start, config, signals, ports and end of the daemons.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rmq_e2e::PATIENCE;
use rmq_testkit::wire::Connection;
use rmq_testkit::{Broker, Cluster, Flavor, NameServer, PortBlock, Process, binary, temp_dir, wait};

const OURS: Flavor = Flavor::Ours;

fn port_of(addr: &str) -> &str {
    addr.rsplit(':').next().unwrap()
}

#[test]
fn boot_lines_are_javas_word_for_word() {
    let mut cluster = Cluster::start(OURS);
    let (namesrv, broker) = (cluster.namesrv().addr(), cluster.broker().addr());
    let line =
        format!("The Name Server boot success. serializeType=JSON, address 0.0.0.0:{}", port_of(&namesrv));
    let log = cluster.namesrv_mut().process().log();
    assert!(log.lines().any(|printed| printed == line), "no {line:?} in {log}");

    let line = format!(
        "The broker[broker-a, {broker}] boot success. serializeType=JSON and name server is {namesrv}"
    );
    let log = cluster.broker_mut().process().log();
    assert!(log.lines().any(|printed| printed == line), "no {line:?} in {log}");
    cluster.broker_mut().process().wait_line(&format!("clients will dial {broker}"), PATIENCE);
}

#[test]
fn a_broker_serves_on_its_main_and_its_fast_port() {
    let cluster = Cluster::start(OURS);
    let broker = cluster.broker();
    for addr in [broker.addr(), broker.fast_addr()] {
        // GET_BROKER_RUNTIME_INFO
        let reply = Connection::open(&addr).call(28, &[], b"");
        assert!(reply.is_response(), "{addr}: {reply:?}");
    }
}

#[test]
fn sigterm_and_sigint_end_with_code_0_quickly() {
    for signal in ["TERM", "INT"] {
        let mut cluster = Cluster::start(OURS);
        // A client that stays connected must not hold up the end.
        let broker_client = Connection::open(&cluster.broker().addr());
        let namesrv_client = Connection::open(&cluster.namesrv().addr());
        for daemon in ["broker", "namesrv"] {
            let process = match daemon {
                "broker" => cluster.broker_mut().process(),
                _ => cluster.namesrv_mut().process(),
            };
            let asked = Instant::now();
            let pid = process.pid().to_string();
            assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
            let status = process.wait_exit(PATIENCE);
            assert_eq!(status.code(), Some(0), "SIG{signal} to the {daemon}: {status}");
            assert!(asked.elapsed() < Duration::from_secs(3), "{daemon} took {:?}", asked.elapsed());
        }
        drop((broker_client, namesrv_client));
    }
}

#[test]
fn a_stopped_broker_is_gone_from_the_name_server_and_its_port_is_free_at_once() {
    let mut cluster = Cluster::start(OURS);
    let addr = cluster.broker().addr();
    cluster.broker_mut().stop();
    let cluster_info = Connection::open(&cluster.namesrv().addr()).call(106, &[], b"");
    let text = String::from_utf8_lossy(&cluster_info.body).into_owned();
    assert!(!text.contains(&addr), "{text}");
    cluster.broker_mut().start();
    cluster.await_registered(0);
}

#[test]
fn a_killed_broker_starts_again_on_its_store() {
    let mut cluster = Cluster::start(OURS);
    for _ in 0..3 {
        cluster.broker_mut().kill();
        assert!(cluster.broker().store_dir().join("abort").exists(), "the mark of an unclean end");
        cluster.broker_mut().start();
        cluster.await_registered(0);
    }
    cluster.broker_mut().stop();
    assert!(!cluster.broker().store_dir().join("abort").exists(), "a clean end leaves no mark");
}

/// A start that must fail: not with a panic, and with a sentence that names the culprits.
#[track_caller]
fn fails_naming(mut process: Process, culprits: &[&str]) {
    let status = process.wait_exit(PATIENCE);
    let log = process.log();
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {log}");
    assert!(!log.contains("panicked"), "{log}");
    for culprit in culprits {
        assert!(log.contains(culprit), "{culprit:?} is not in: {log}");
    }
}

const NOBODY: &str = "127.0.0.1:1";

#[test]
fn a_wrong_value_stops_the_start_with_key_value_and_what_is_allowed() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("listenPort", "eleven", &[]),
        ("flushDiskType", "SOMETIMES", &["ASYNC_FLUSH", "SYNC_FLUSH"]),
        ("brokerRole", "KING", &["ASYNC_MASTER", "SYNC_MASTER", "SLAVE"]),
        ("autoCreateTopicEnable", "maybe", &["true", "false"]),
        ("mappedFileSizeCommitLog", "-5", &[]),
        ("maxMessageSize", "99999999999999", &[]),
    ];
    for (key, value, allowed) in cases {
        let broker = Broker::new(OURS, NOBODY).set(key, value);
        fails_naming(broker.launch(), &[&[key, value], allowed].concat());
    }
    let namesrv = NameServer::new(OURS).set("listenPort", "70000");
    fails_naming(namesrv.launch(), &["listenPort", "70000"]);
}

#[test]
fn an_unknown_key_is_warned_of_by_name() {
    let mut broker = Broker::new(OURS, NOBODY).set("flushDiskTpye", "SYNC_FLUSH").started();
    assert!(broker.process().log().contains("flushDiskTpye"));
    let mut namesrv = NameServer::new(OURS).set("listenProt", "1").started();
    assert!(namesrv.process().log().contains("listenProt"));
}

#[test]
fn a_missing_config_file_is_named() {
    for name in ["mqnamesrv", "mqbroker"] {
        let mut command = Command::new(binary(name));
        command.args(["-c", "/does/not/exist.conf"]);
        fails_naming(Process::spawn(name, command), &["/does/not/exist.conf"]);
    }
}

#[test]
fn a_taken_port_is_named() {
    let ports = PortBlock::lease();
    let taken = TcpListener::bind(("0.0.0.0", ports.port(5))).unwrap();
    let port = ports.port(5).to_string();
    let namesrv = NameServer::new(OURS).set("listenPort", &port);
    fails_naming(namesrv.launch(), &[&port]);
    let broker = Broker::new(OURS, NOBODY).set("listenPort", &port);
    fails_naming(broker.launch(), &[&port]);
    drop(taken);
}

#[test]
fn a_store_belongs_to_one_broker_at_a_time() {
    let first = Broker::start_new(OURS, NOBODY);
    let store = first.store_dir();
    let second = Broker::new(OURS, NOBODY).set("storePathRootDir", store.display());
    fails_naming(second.launch(), &[&store.display().to_string()]);
}

#[test]
fn help_and_the_printed_config_end_with_code_0() {
    for (name, option, expected) in [
        ("mqnamesrv", "-h", "-c"),
        ("mqbroker", "-h", "-c"),
        ("mqnamesrv", "-p", "listenPort=9876"),
        ("mqbroker", "-p", "fileReservedTime=72"),
    ] {
        let home = temp_dir("home");
        let mut command = Command::new(binary(name));
        command.arg(option).env("HOME", home.path());
        let mut process = Process::spawn(name, command);
        let status = process.wait_exit(PATIENCE);
        assert!(status.success(), "{name} {option}: {status}");
        assert!(process.log().contains(expected), "{name} {option} without {expected}: {}", process.log());
    }
}

#[test]
fn a_broker_without_a_name_server_serves_and_registers_when_there_is_one() {
    let namesrv = NameServer::new(OURS);
    let addr = namesrv.addr();
    let broker = Broker::new(OURS, &addr).set("registerNameServerPeriod", 10_000).started();
    assert!(Connection::open(&broker.addr()).call(28, &[], b"").is_response());

    let namesrv = namesrv.started();
    let mut connection = Connection::open(&namesrv.addr());
    wait::until("the broker to register", PATIENCE, || {
        String::from_utf8_lossy(&connection.call(106, &[], b"").body).contains(&broker.addr())
    });
}

#[test]
fn idle_daemons_are_small_and_start_at_once() {
    let started = Instant::now();
    let mut namesrv = NameServer::start_new(OURS);
    let mut broker = Broker::start_new(OURS, &namesrv.addr());
    let serving = started.elapsed();

    let resident = namesrv.process().resident_bytes() + broker.process().resident_bytes();
    eprintln!("both serve after {serving:?}, resident {} KiB", resident / 1024);
    // An unoptimised build is larger and slower: there only gross mistakes are caught.
    let (memory, time) = if cfg!(debug_assertions) {
        (64 << 20, Duration::from_secs(10))
    } else {
        (20 << 20, Duration::from_millis(200))
    };
    assert!(resident < memory, "{} KiB resident", resident / 1024);
    assert!(serving < time, "serving after {serving:?}");
}

#[test]
fn ordinary_requests_are_not_logged() {
    let mut cluster = Cluster::start(OURS);
    let mut connection = Connection::open(&cluster.broker().addr());
    let before = cluster.broker_mut().process().log().lines().count();
    for i in 0..200 {
        let topic = [("producerGroup", "g"), ("topic", "Quiet"), ("defaultTopic", "TBW102")];
        let numbers = [
            ("defaultTopicQueueNums", "4"),
            ("queueId", "0"),
            ("sysFlag", "0"),
            ("bornTimestamp", "1"),
            ("flag", "0"),
        ];
        let fields =
            [&topic[..], &numbers[..], &[("properties", ""), ("reconsumeTimes", "0"), ("unitMode", "false")]]
                .concat();
        let reply = connection.call(10, &fields, format!("body-{i}").as_bytes());
        assert_eq!(reply.code, 0, "{reply:?}");
    }
    let added = cluster.broker_mut().process().log().lines().count() - before;
    assert!(added < 20, "{added} lines for 200 sends");
}
