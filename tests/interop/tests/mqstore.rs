//! `mqstore` on stores that real brokers have written: the official one's as well as ours.

use std::process::{Command, Output};
use std::sync::OnceLock;

use rmq_interop::{Java, PATIENCE, of_kind};
use rmq_testkit::{Broker, Cluster, Flavor, NameServer, binary};
use serde_json::Value;

fn java() -> &'static Java {
    static JAVA: OnceLock<Java> = OnceLock::new();
    JAVA.get_or_init(|| Java::start(&[]))
}

/// A cluster whose broker has log files so small that they roll.
fn cluster(flavor: Flavor) -> Cluster {
    let mut cluster = Cluster::of(NameServer::start_new(flavor));
    let namesrv = cluster.namesrv().addr();
    cluster.add(Broker::new(flavor, &namesrv).set("mappedFileSizeCommitLog", 1 << 20));
    cluster
}

/// Sends messages of many kinds; returns how many were acknowledged.
fn fill(cluster: &Cluster, topic: &str) -> usize {
    let send = |mode: &str, count: usize| {
        let request = java().request("send").arg("namesrv", cluster.namesrv().addr()).arg("topic", topic);
        request.arg("mode", mode).arg("count", count).arg("tags", "TagA,标签").arg("keys", "k#")
    };
    let mut sent = 0;
    for request in [
        send("sync", 200),
        send("sync", 20).arg("size", 100_000).arg("compress-over", 10_000_000),
        send("sync", 10).arg("size", 50_000),
        send("sync", 10).arg("delay-level", 2),
        send("selected", 20).arg("p.colour", "blue"),
    ] {
        sent += of_kind(&request.run(PATIENCE), "sent").len();
    }
    assert_eq!(of_kind(&send("batch", 30).run(PATIENCE), "batch").len(), 1);
    sent + 30
}

fn mqstore(broker: &Broker, words: &[&str]) -> Output {
    let mut command = Command::new(binary("mqstore"));
    command.arg(words[0]).arg(broker.store_dir()).args(&words[1..]);
    command.output().expect("mqstore can be run")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("mqstore prints JSON")).collect()
}

/// Runs a check with and without the config file; returns the findings of the first.
#[track_caller]
fn findings(broker: &Broker) -> Vec<Value> {
    let config = broker.config_file().display().to_string();
    let configured = mqstore(broker, &["check", "--json", "-c", &config]);
    let found = mqstore(broker, &["check", "--json"]);
    for output in [&configured, &found] {
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(configured.stdout, found.stdout, "the sizes are found from the files");
    lines(&configured).into_iter().filter(|line| line["type"] == "finding").collect()
}

fn check(flavor: Flavor, topic: &str) {
    let mut cluster = cluster(flavor);
    let sent = fill(&cluster, topic);
    cluster.broker_mut().stop();
    let broker = cluster.broker();
    assert_eq!(findings(broker), Vec::<Value>::new(), "a store that was closed has no findings");

    let dumped = lines(&mqstore(broker, &["dump", "log", "--json"]));
    let is_ours = |line: &&Value| line["properties"]["REAL_TOPIC"] == topic || line["topic"] == topic;
    let records: Vec<_> = dumped.iter().filter(is_ours).collect();
    assert!(records.iter().all(|record| record["crc_ok"] == true));
    // Those of the delay level are there once more if they were delivered meanwhile.
    assert!((sent..=sent + 10).contains(&records.len()), "{} of {sent}", records.len());
    assert!(dumped.iter().any(|line| line["type"] == "blank"), "the log has rolled");
    let by_key = mqstore(broker, &["dump", "log", "--topic", topic, "--key", "k17", "--json"]);
    assert!(!lines(&by_key).is_empty());

    // Killed: nothing but what the next start puts right; and the repaired store serves again.
    cluster.broker_mut().start();
    cluster.await_registered(0);
    fill(&cluster, topic);
    cluster.broker_mut().kill();
    let left = findings(cluster.broker());
    assert!(left.iter().all(|finding| finding["severity"] != "damage"), "{left:#?}");
    let config = cluster.broker().config_file().display().to_string();
    let repaired = mqstore(cluster.broker(), &["repair", "-c", &config]);
    assert_eq!(repaired.status.code(), Some(0), "{}", String::from_utf8_lossy(&repaired.stdout));
    assert_eq!(findings(cluster.broker()), Vec::<Value>::new());
    cluster.broker_mut().start();
    cluster.await_registered(0);
    fill(&cluster, topic);
    cluster.broker_mut().stop();
    assert_eq!(findings(cluster.broker()), Vec::<Value>::new());
}

#[test]
fn a_store_of_the_official_broker_is_sound() {
    check(Flavor::Java, "MqstoreJava");
}

#[test]
fn a_store_of_ours_is_sound() {
    check(Flavor::Ours, "MqstoreOurs");
}

#[test]
fn a_running_broker_keeps_it_out() {
    for flavor in [Flavor::Java, Flavor::Ours] {
        let cluster = cluster(flavor);
        for command in ["dump", "check", "repair"] {
            let output = mqstore(cluster.broker(), &[command]);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{flavor:?} {command}: {error}");
            assert!(error.contains(&cluster.broker().store_dir().display().to_string()), "{error}");
        }
    }
}
