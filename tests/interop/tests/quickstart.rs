//! The quickstart of the official guide, its own two programs unchanged, against the servers under test.

use std::collections::BTreeSet;
use std::process::Command;

use rmq_interop::PATIENCE;
use rmq_testkit::{Cluster, Flavor, Process, jvm, temp_dir, wait};

/// The text between `start` and the next of `,` `]` `}`.
fn after<'a>(line: &'a str, start: &str) -> &'a str {
    let (_, rest) = line.split_once(start).unwrap_or_else(|| panic!("no {start:?} in {line}"));
    rest.split([',', ']', '}']).next().unwrap_or_default()
}

#[test]
fn the_consumer_receives_exactly_the_thousand_messages_of_the_producer() {
    let cluster = Cluster::start(Flavor::under_test());
    let home = temp_dir("quickstart");
    let example = |name: &str| -> Command {
        let mut command = jvm(home.path());
        command.arg("-Xmx256m").arg(format!("org.apache.rocketmq.example.quickstart.{name}"));
        command.env("NAMESRV_ADDR", cluster.namesrv().addr());
        command
    };

    let mut producer = Process::spawn("quickstart Producer", example("Producer"));
    let status = producer.wait_exit(2 * PATIENCE);
    let log = producer.log();
    let sent: Vec<_> = log.lines().filter(|line| line.contains("SEND_OK")).collect();
    assert!(status.success(), "{status}");
    assert_eq!(sent.len(), 1000);
    let sent: BTreeSet<_> = sent.iter().map(|line| after(line, "msgId=")).collect();
    assert_eq!(sent.len(), 1000, "each with an id of its own");

    let consumer = Process::spawn("quickstart Consumer", example("Consumer"));
    let received = || -> Vec<String> {
        let log = consumer.log();
        let lines = log.lines().filter(|line| line.contains("Receive New Messages"));
        lines.map(|line| after(line, "UNIQ_KEY=").to_owned()).collect()
    };
    wait::until("1000 messages", PATIENCE, || received().len() >= 1000);
    let received = received();
    assert_eq!(received.len(), 1000, "each once");
    assert_eq!(received.iter().map(String::as_str).collect::<BTreeSet<_>>(), sent);
}
