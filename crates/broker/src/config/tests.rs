use super::*;

fn properties(text: &str) -> Properties {
    Properties::parse(text).unwrap()
}

#[test]
fn keys_are_unique_and_not_also_listed_as_unused() {
    for (at, field) in BrokerConfig::FIELDS.iter().enumerate() {
        assert!(!known::is_javas(field.key), "{} is used", field.key);
        assert!(BrokerConfig::FIELDS[..at].iter().all(|other| other.key != field.key), "{} twice", field.key);
    }
}

#[test]
fn every_default_passes_its_own_check() {
    let mut config = BrokerConfig::default();
    for field in BrokerConfig::FIELDS {
        let text = field.value(&config);
        assert_eq!(field.assign(&mut config, &text), Ok(()), "{}={text}", field.key);
    }
    assert_eq!(config, BrokerConfig::default());
}

#[test]
fn a_file_of_javas_is_read_without_a_false_warning() {
    let file = properties(
        "brokerClusterName = DefaultCluster\nbrokerName = broker-a\nbrokerId = 0\ndeleteWhen = 04\n\
         fileReservedTime = 48\nbrokerRole = ASYNC_MASTER\nflushDiskType = SYNC_FLUSH\nsendMessageThreadPoolNums=4\nbrokerNmae=x\n",
    );
    let mut config = BrokerConfig::default();
    let leftovers = config.read(&file).unwrap();
    assert_eq!(leftovers.unknown, ["brokerNmae"]);
    assert_eq!(leftovers.unused, ["sendMessageThreadPoolNums"]);
    assert_eq!((config.broker_name.as_str(), config.file_reserved_time), ("broker-a", 48));
    assert_eq!(config.flush_disk_type, FlushDiskType::SyncFlush);
    // Not mentioned, so as without a file.
    assert_eq!(config.disk_max_used_space_ratio, 75);
}

#[test]
fn a_wrong_value_names_key_value_and_what_is_allowed() {
    for (line, expected) in [
        (
            "listenPort=70000",
            "configuration key `listenPort` has the value `70000`; allowed is a whole number from 3 to 65535",
        ),
        (
            "listenPort=",
            "configuration key `listenPort` has the value ``; allowed is a whole number from 3 to 65535",
        ),
        ("traceOn=yes", "configuration key `traceOn` has the value `yes`; allowed is true or false"),
        (
            "brokerRole=MASTER",
            "configuration key `brokerRole` has the value `MASTER`; allowed is ASYNC_MASTER, SYNC_MASTER or SLAVE",
        ),
        (
            "maxTransferCountOnMessageInDisk=0",
            "configuration key `maxTransferCountOnMessageInDisk` has the value `0`; allowed is a whole number of at least 1",
        ),
    ] {
        let error = BrokerConfig::default().read(&properties(line)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn what_no_single_row_can_say_is_checked() {
    let mut config = BrokerConfig { broker_name: "a".into(), ..BrokerConfig::default() };
    assert!(config.check().is_ok());
    config.broker_role = BrokerRole::Slave;
    assert!(config.check().unwrap_err().to_string().contains("brokerId"));
    config.broker_id = 1;
    assert!(config.check().is_ok());
    config.broker_name = "../a".into();
    assert!(config.check().unwrap_err().to_string().contains("brokerName"));
    config.broker_name = "a".into();
    config.store_path_commit_log = "/a,/b".into();
    assert!(config.check().unwrap_err().to_string().contains("storePathCommitLog"));
    config.store_path_commit_log.clear();
    config.delete_when = "04;25".into();
    assert!(config.check().unwrap_err().to_string().contains("deleteWhen"));
}

#[test]
fn only_live_keys_change_and_all_or_none() {
    let live = LiveConfig::fixed(BrokerConfig { broker_name: "a".into(), ..BrokerConfig::default() });
    live.update(&properties("autoCreateTopicEnable=false"), 7).unwrap();
    let (config, version) = live.versioned();
    assert!(!config.auto_create_topic_enable);
    assert_eq!((version.counter, version.timestamp), (1, 7));

    let error = live.update(&properties("autoCreateTopicEnable=true\nlistenPort=1000"), 8).unwrap_err();
    assert!(error.to_string().contains("restart"), "{error}");
    assert!(!live.get().auto_create_topic_enable, "nothing of a refused change is taken");
    assert!(
        live.update(&properties("enableLiteEventMode=true"), 8)
            .unwrap_err()
            .to_string()
            .contains("no meaning")
    );
    assert!(live.update(&properties("nonsense=true"), 8).is_err());
}

#[test]
fn a_change_survives_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.conf");
    std::fs::write(&path, "# mine\nbrokerName=a\n").unwrap();
    let file = ConfigFile::new(&path);
    let mut config = BrokerConfig::default();
    config.read(&file.read().unwrap()).unwrap();
    LiveConfig::new(config, Some(file), 0).update(&properties("brokerPermission=4"), 1).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine\nbrokerName=a\nbrokerPermission=4\n");
}

#[test]
fn a_missing_file_is_named() {
    let error = ConfigFile::new("/nowhere/broker.conf").read().unwrap_err().to_string();
    assert!(error.starts_with("configuration file /nowhere/broker.conf: "), "{error}");
}

#[test]
fn the_machine_fills_only_what_is_empty() {
    let machine = Environment {
        home: Some("/home/u".into()),
        namesrv_addr: Some("n:9876".into()),
        hostname: Some("host-1".into()),
        ..Environment::default()
    };
    let mut config = BrokerConfig { namesrv_addr: "given:9876".into(), ..BrokerConfig::default() };
    machine.complete(&mut config);
    assert_eq!(config.namesrv_addr, "given:9876");
    assert_eq!(config.broker_name, "host-1");
    assert_eq!(config.store_path_root_dir, "/home/u/store");
    assert_eq!(config.store_path_commit_log, "/home/u/store/commitlog");
    assert_eq!(config.broker_ip2, config.broker_ip1);
}

#[test]
fn a_host_name_is_told_to_clients_and_resolved_for_records() {
    let mut config =
        BrokerConfig { broker_ip1: "localhost".into(), broker_ip2: "::1".into(), ..BrokerConfig::default() };
    let addresses = Addresses::of(&config).unwrap();
    assert_eq!(addresses.client, "localhost:10911");
    assert!(addresses.is_named());
    assert!(addresses.store_host.ip().is_loopback());
    assert_eq!(addresses.ha, "[::1]:10912");
    config.broker_ip1 = "no-such-host.invalid".into();
    assert!(Addresses::of(&config).unwrap_err().to_string().contains("brokerIP1"));
}
