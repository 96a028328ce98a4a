//! The name server as a process: how it starts, what it says when it cannot, how it stops.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rmq_testkit::{Flavor, NameServer, Process, binary, temp_dir};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `mqnamesrv` to its end and returns its exit code and all it said.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary("mqnamesrv"));
    command.args(args).env("HOME", "/home/mq").env_remove("ROCKETMQ_HOME");
    let mut process = Process::spawn("mqnamesrv", command);
    let status = process.wait_exit(PATIENCE);
    (status.code(), process.log())
}

#[test]
fn it_says_javas_boot_line_and_stops_quickly() {
    let mut namesrv = NameServer::start_new(Flavor::Ours);
    let port = namesrv.addr().rsplit(':').next().unwrap_or_default().to_owned();
    let log = namesrv.process().log();
    let boot = format!("The Name Server boot success. serializeType=JSON, address 0.0.0.0:{port}");
    assert!(log.lines().any(|line| line == boot), "{log}");
    let loaded = format!("load config properties file OK, {}", namesrv.config_file().display());
    assert!(log.lines().any(|line| line == loaded), "{log}");
    let start = Instant::now();
    assert_eq!(namesrv.stop().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

#[test]
fn it_prints_its_configuration() {
    let (code, log) = run(&["-n", "ignored:9876", "-p"]);
    assert_eq!(code, Some(0));
    for line in ["listenPort=9876", "kvConfigPath=/home/mq/namesrv/kvConfig.json", "orderMessageEnable=false"]
    {
        assert!(log.lines().any(|printed| printed == line), "{line} is missing:\n{log}");
    }
    let (code, log) = run(&["-h"]);
    assert_eq!(code, Some(0));
    assert!(log.contains("--configFile") && log.contains("--printConfigItem"), "{log}");
}

#[test]
fn a_mistake_in_the_file_is_named() {
    let dir = temp_dir("namesrv-conf");
    let file = dir.path().join("namesrv.conf");
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        run(&["-c", file.to_str().unwrap(), "-p"])
    };
    let (code, log) = with("enableTopicList=on\n");
    assert_eq!(code, Some(1));
    assert!(log.contains("enableTopicList=on is not allowed") && log.contains("true or false"), "{log}");
    let (code, log) = with("enabelTopicList=false\n");
    assert_eq!(code, Some(0), "an unknown key does not stop the start");
    assert_eq!(log.matches("unknown configuration key enabelTopicList").count(), 1, "{log}");
    let (code, log) = run(&["-c", "/no/such/file"]);
    assert_eq!(code, Some(1));
    assert_eq!(log.matches("/no/such/file").count(), 1, "{log}");
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let holder = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let namesrv = NameServer::new(Flavor::Ours).set("listenPort", port);
    let mut process = namesrv.launch();
    assert_eq!(process.wait_exit(PATIENCE).code(), Some(1));
    let log = process.log();
    assert!(log.contains(&format!("0.0.0.0:{port}")) && log.contains("listenPort"), "{log}");
}
