//! The whole broker over the wire. Expected answers are those of the Java 5.5.0 broker to the same requests.

use std::net::TcpListener;

use rmq_proto::code::{RequestCode, ResponseCode};
use rmq_proto::command::{Command, ExtFields};
use rmq_proto::message::record::RecordView;

use super::*;

struct Room {
    dir: tempfile::TempDir,
    broker: Broker,
    client: Client,
    address: String,
}

/// A port that is free together with the one two below it.
fn free_port() -> u16 {
    loop {
        let main = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = main.local_addr().unwrap().port();
        if port > 1026 && TcpListener::bind(("127.0.0.1", port - 2)).is_ok() {
            return port;
        }
    }
}

fn config(dir: &tempfile::TempDir, port: u16) -> BrokerConfig {
    let root = dir.path().join("store");
    BrokerConfig {
        broker_name: "BR".into(),
        broker_ip1: "127.0.0.1".into(),
        broker_ip2: "127.0.0.1".into(),
        bind_address: "127.0.0.1".into(),
        listen_port: port.into(),
        store_path_commit_log: root.join("commitlog").to_str().unwrap().into(),
        store_path_root_dir: root.to_str().unwrap().into(),
        mapped_file_size_commit_log: 1024 * 1024,
        mapped_file_size_consume_queue: 2000,
        max_hash_slot_num: 100,
        max_index_num: 400,
        ..BrokerConfig::default()
    }
}

async fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    // Another test may take the port between the look and the use.
    for _ in 0..20 {
        let port = free_port();
        if let Ok(broker) = Broker::start(config(&dir, port), None).await {
            let client = Client::new(ClientOptions::default(), Arc::new(NoService));
            return Room { dir, broker, client, address: format!("127.0.0.1:{port}") };
        }
    }
    panic!("no free port");
}

impl Room {
    async fn ask(&self, code: RequestCode, ext: &[(&str, &str)], body: &str) -> Command {
        let mut request = Command::request(code).with_body(body.to_owned());
        request.ext = ext.iter().copied().collect::<ExtFields>();
        self.client.invoke(&self.address, request, Duration::from_secs(20)).await.unwrap()
    }

    /// Code, remark and body of the answer.
    async fn asked(&self, code: RequestCode, ext: &[(&str, &str)], body: &str) -> (i32, String, String) {
        let answer = self.ask(code, ext, body).await;
        let body = String::from_utf8_lossy(&answer.body.bytes()).into_owned();
        (answer.code, answer.remark.unwrap_or_default(), body)
    }

    async fn create(&self, topic: &str) {
        let answer = self.ask(RequestCode::UPDATE_AND_CREATE_TOPIC, &creation(topic, ""), "").await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{answer:?}");
    }

    async fn send(&self, topic: &str, queue_id: &str) {
        let ext = [
            ("a", "pg"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", queue_id),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", "TAGS\u{1}TagA\u{2}"),
        ];
        let answer = self.ask(RequestCode::SEND_MESSAGE_V2, &ext, "hello").await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{answer:?}");
    }
}

fn creation<'a>(topic: &'a str, attributes: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "2"),
        ("writeQueueNums", "2"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
        ("attributes", attributes),
    ]
}

fn succeeded(body: &str) -> (i32, String, String) {
    (0, String::new(), body.into())
}

fn refused(code: i32, remark: &str) -> (i32, String, String) {
    (code, remark.into(), String::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_administered_as_in_java() {
    use RequestCode as Code;
    let room = room().await;
    let create = async |topic, attributes| {
        room.asked(Code::UPDATE_AND_CREATE_TOPIC, &creation(topic, attributes), "").await
    };
    assert_eq!(create("g1", "+message.type=FIFO").await, succeeded(""));
    assert_eq!(create("g1", "+foo=1").await, refused(1, "unsupported key: foo"));
    assert_eq!(
        create("g1", "+queue.type=BatchCQ").await,
        refused(1, "attempt to update an unchangeable attribute. key: queue.type")
    );
    assert_eq!(create("g1", "-message.type").await, succeeded(""));
    assert_eq!(
        create("g1", "-message.type").await,
        refused(1, "attempt to delete a nonexistent key: message.type")
    );
    let illegal = "The specified topic: a b, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$";
    assert_eq!(create("a b", "").await, refused(29, illegal));
    assert_eq!(create("TBW102", "").await, refused(29, "The topic[TBW102] is conflict with system topic."));
    assert_eq!(
        create("g1", "+message.type=MIXED").await,
        refused(29, "MIXED message type is not supported.")
    );

    let one = "{\"attributes\":{},\"order\":false,\"perm\":6,\"readQueueNums\":2,\"topicFilterType\":\"SINGLE_TAG\",\
               \"topicName\":\"g1\",\"topicSysFlag\":0,\"writeQueueNums\":2}";
    assert_eq!(room.asked(Code::GET_TOPIC_CONFIG, &[("topic", "g1")], "").await, succeeded(one));
    assert_eq!(
        room.asked(Code::GET_TOPIC_CONFIG, &[("topic", "nope")], "").await,
        refused(17, "No topic in this broker. topic: nope")
    );
    let list =
        "{\"topicConfigList\":[{\"topicName\":\"l1\",\"readQueueNums\":1,\"writeQueueNums\":1,\"perm\":6}]}";
    assert_eq!(room.asked(Code::UPDATE_AND_CREATE_TOPIC_LIST, &[], list).await, succeeded(""));
    let page = room.ask(Code::GET_ALL_TOPIC_CONFIG, &[("topicSeq", "0"), ("maxTopicNum", "1")], "").await;
    assert_eq!(page.ext.get("totalTopicNum"), Some("17"));
    let page = String::from_utf8(page.body.bytes().to_vec()).unwrap();
    assert!(page.contains("\"topicConfigTable\":{\"BR\":{") && !page.contains("BenchmarkTest"), "{page}");
    assert!(page.ends_with("\"topicQueueMappingDetailMap\":{},\"topicQueueMappingInfoMap\":{}}"), "{page}");
    assert_eq!(
        room.asked(Code::GET_TOPIC_STATS_INFO, &[("topic", "l1")], "").await,
        succeeded(
            "{\"offsetTable\":{{\"brokerName\":\"BR\",\"queueId\":0,\"topic\":\"l1\"}:\
             {\"lastUpdateTimestamp\":0,\"maxOffset\":0,\"minOffset\":0}},\"topicPutTps\":0.0}"
        )
    );
    assert_eq!(
        room.asked(Code::GET_TOPIC_STATS_INFO, &[("topic", "x")], "").await,
        refused(17, "topic[x] not exist")
    );
    assert_eq!(
        room.asked(Code::QUERY_TOPIC_CONSUME_BY_WHO, &[("topic", "g1")], "").await,
        succeeded("{\"groupList\":[]}")
    );

    assert_eq!(room.asked(Code::DELETE_TOPIC_IN_BROKER, &[("topic", "l1")], "").await, succeeded(""));
    assert_eq!(room.asked(Code::GET_TOPIC_CONFIG, &[("topic", "l1")], "").await.0, 17);
    assert_eq!(
        room.asked(Code::DELETE_TOPIC_IN_BROKER, &[("topic", " ")], "").await,
        refused(29, "The specified topic is blank.")
    );
    assert_eq!(room.asked(Code(4711), &[], "").await, refused(3, " request type 4711 not supported"));
    room.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_administered_as_in_java() {
    use RequestCode as Code;
    let room = room().await;
    let group = "{\"groupName\":\"grp1\",\"retryMaxTimes\":5,\"attributes\":{\"+priority.factor\":\"50\"}}";
    assert_eq!(room.asked(Code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], group).await, succeeded(""));
    let shown = "{\"attributes\":{\"priority.factor\":\"50\"},\"brokerId\":0,\"consumeBroadcastEnable\":true,\
                 \"consumeEnable\":true,\"consumeFromMinEnable\":true,\"consumeMessageOrderly\":false,\
                 \"consumeTimeoutMinute\":15,\"groupName\":\"grp1\",\"groupRetryPolicy\":{\"type\":\"CUSTOMIZED\"},\
                 \"groupSysFlag\":0,\"notifyConsumerIdsChangedEnable\":true,\"retryMaxTimes\":5,\"retryQueueNums\":1,\
                 \"whichBrokerWhenConsumeSlowly\":1}";
    assert_eq!(
        room.asked(Code::GET_SUBSCRIPTIONGROUP_CONFIG, &[("group", "grp1")], "").await,
        succeeded(shown)
    );
    assert_eq!(
        room.asked(Code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], "{\"groupName\":\"a b\"}").await.0,
        29
    );
    let page = room
        .ask(Code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &[("groupSeq", "0"), ("maxGroupNum", "1")], "")
        .await;
    assert_eq!(page.ext.get("totalGroupNum"), Some("9"));
    assert_eq!(
        room.asked(
            Code::UPDATE_AND_GET_GROUP_FORBIDDEN,
            &[("group", "grp1"), ("topic", "g1"), ("readable", "false")],
            ""
        )
        .await,
        succeeded("{\"group\":\"grp1\",\"readable\":false,\"topic\":\"g1\"}")
    );
    for (code, ext, expected) in [
        (
            Code::GET_CONSUMER_CONNECTION_LIST,
            [("consumerGroup", "grp1"), ("", "")],
            refused(206, "the consumer group[grp1] not online"),
        ),
        (
            Code::GET_PRODUCER_CONNECTION_LIST,
            [("producerGroup", "grp1"), ("", "")],
            refused(1, "the producer group[grp1] not exist"),
        ),
        (
            Code::GET_CONSUMER_RUNNING_INFO,
            [("consumerGroup", "grp1"), ("clientId", "x")],
            refused(1, "The Consumer <grp1> <x> not online"),
        ),
        (
            Code::INVOKE_BROKER_TO_GET_CONSUMER_STATUS,
            [("topic", "g1"), ("group", "grp1")],
            refused(1, "No Any Consumer online in the consumer group: [grp1]"),
        ),
        (
            Code::QUERY_SUBSCRIPTION_BY_CONSUMER,
            [("group", "grp1"), ("topic", "g1")],
            succeeded("{\"group\":\"grp1\",\"topic\":\"g1\"}"),
        ),
    ] {
        assert_eq!(room.asked(code, &ext, "").await, expected, "{code}");
    }
    assert_eq!(room.asked(Code::DELETE_SUBSCRIPTIONGROUP, &[("groupName", "grp1")], "").await, succeeded(""));
    assert!(!room.broker.rooms.groups.contains("grp1"));
    room.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_shown_and_moved_as_in_java() {
    use RequestCode as Code;
    let room = room().await;
    room.create("g1").await;
    assert_eq!(
        room.asked(Code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[], "{\"groupName\":\"grp1\"}").await,
        succeeded("")
    );
    for _ in 0..3 {
        room.send("g1", "0").await;
    }
    let commit = [("consumerGroup", "grp1"), ("topic", "g1"), ("queueId", "0"), ("commitOffset", "2")];
    assert_eq!(room.asked(Code::UPDATE_CONSUMER_OFFSET, &commit, "").await, succeeded(""));
    let (_, _, stats) = room.asked(Code::GET_CONSUME_STATS, &[("consumerGroup", "grp1")], "").await;
    assert!(
        stats.contains("\"queueId\":0,\"topic\":\"g1\"}:{\"brokerOffset\":3,\"consumerOffset\":2,"),
        "{stats}"
    );
    let (_, _, all) = room.asked(Code::GET_BROKER_CONSUME_STATS, &[("isOrder", "false")], "").await;
    assert!(all.ends_with("\"totalDiff\":1,\"totalInflightDiff\":-2}"), "{all}");
    assert_eq!(
        room.asked(Code::QUERY_TOPICS_BY_CONSUMER, &[("group", "grp1")], "").await,
        succeeded(&format!("{{\"brokerAddr\":\"{}\",\"topicList\":[\"g1\"]}}", room.address))
    );
    let (_, _, spans) =
        room.asked(Code::QUERY_CONSUME_TIME_SPAN, &[("topic", "g1"), ("group", "grp1")], "").await;
    assert!(spans.contains("\"maxTimeStampStr\":\"") && spans.contains("\"delayTime\":"), "{spans}");
    assert_eq!(
        room.asked(Code::QUERY_CORRECTION_OFFSET, &[("topic", "g1"), ("compareGroup", "grp1")], "").await,
        succeeded("{\"correctionOffsets\":{0:2}}")
    );

    let copy = [("srcGroup", "grp1"), ("destGroup", "grp2"), ("topic", "g1")];
    assert_eq!(room.asked(Code::CLONE_GROUP_OFFSET, &copy, "").await, succeeded(""));
    assert_eq!(room.broker.rooms.offsets.query("grp2", "g1", 0), Some(2));

    let reset = async |group: &str, queue: &str, offset: &str, time: &str| {
        let ext = [
            ("topic", "g1"),
            ("group", group),
            ("queueId", queue),
            ("offset", offset),
            ("timestamp", time),
            ("isForce", "true"),
        ];
        room.asked(Code::INVOKE_BROKER_TO_RESET_OFFSET, &ext, "").await
    };
    assert_eq!(reset("nogrp", "-1", "-1", "0").await, refused(26, "Group nogrp does not exist"));
    assert_eq!(
        reset("grp1", "0", "9", "0").await,
        refused(1, "Target offset 9 not in consume queue range [0-3]")
    );
    let queue = |id| format!("{{\"brokerName\":\"BR\",\"queueId\":{id},\"topic\":\"g1\"}}");
    assert_eq!(
        reset("grp1", "0", "1", "0").await,
        succeeded(&format!("{{\"offsetTable\":{{{}:1}}}}", queue(0)))
    );
    assert!(room.broker.rooms.offsets.has_reset("grp1", "g1", 0));
    assert_eq!(
        reset("grp1", "-1", "-1", "-1").await,
        succeeded(&format!("{{\"offsetTable\":{{{}:3,{}:0}}}}", queue(0), queue(1)))
    );

    let look = [("topic", "g1"), ("queueId", "0"), ("index", "1"), ("count", "1")];
    let (code, _, entries) = room.asked(Code::QUERY_CONSUME_QUEUE, &look, "").await;
    assert_eq!(code, 0);
    assert!(entries.contains("\"tagsCode\":2598919}]"), "{entries}");
    let (_, _, offsets) = room.asked(Code::GET_ALL_CONSUMER_OFFSET, &[], "").await;
    assert!(
        offsets.contains(
            "\"groupTopicMap\":{\"grp1\":[\"g1\"],\"grp2\":[\"g1\"]},\"offsetTable\":{\"g1@grp1\":{0:3,1:0},"
        ),
        "{offsets}"
    );
    room.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_shown_and_changed_as_in_java() {
    use RequestCode as Code;
    let room = room().await;
    let change = async |body: &str| room.asked(Code::UPDATE_BROKER_CONFIG, &[], body).await;
    assert_eq!(change("configBlackList=x\n").await, refused(16, "Can not update config in black list."));
    assert_eq!(change("autoCreateTopicEnable=false\n").await, succeeded(""));
    assert_eq!(change("traceOn=maybe\n").await.0, 29);
    let shown = room.ask(Code::GET_BROKER_CONFIG, &[], "").await;
    assert!(
        shown.ext.get("version").unwrap().starts_with("{\"counter\":1,\"stateVersion\":0,\"timestamp\":")
    );
    let lines = String::from_utf8(shown.body.bytes().to_vec()).unwrap();
    assert!(lines.contains("\nautoCreateTopicEnable=false\n"), "{lines}");
    assert!(lines.lines().is_sorted());

    let (_, _, info) = room.asked(Code::GET_BROKER_RUNTIME_INFO, &[], "").await;
    // What clusterList and brokerStatus of the official tools print.
    for key in [
        "brokerVersionDesc\":\"V5_5_0",
        "putTps",
        "getTransferredTps",
        "msgPutTotalYesterdayMorning",
        "msgPutTotalTodayMorning",
        "msgPutTotalTodayNow",
        "msgGetTotalTodayNow",
        "sendThreadPoolQueueSize",
        "sendThreadPoolQueueCapacity",
        "sendThreadPoolQueueHeadWaitTimeMills",
        "EndTransactionThreadPoolQueueCapacity",
        "pageCacheLockTimeMills\":\"0",
        "earliestMessageTimeStamp\":\"-1",
        "commitLogDiskRatio\":\"0.",
        "commitLogDirCapacity\":\"Total : ",
        "timerCongestNum\":\"0",
        "brokerActive\":\"true",
        "bootTimestamp",
        "runtime\":\"[ 0 days, 0 hours, 0 minutes, ",
    ] {
        assert!(info.contains(&format!("\"{key}")), "{key} is not in {info}");
    }
    assert_eq!(
        room.asked(Code::VIEW_BROKER_STATS_DATA, &[("statsName", "TOPIC_PUT_NUMS"), ("statsKey", "no")], "")
            .await,
        refused(1, "The stats <TOPIC_PUT_NUMS> <no> not exist")
    );
    room.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_changes_while_the_broker_runs() {
    use RequestCode as Code;
    let room = room().await;
    room.create("T").await;
    room.send("T", "0").await;
    let change = async |body: &str| room.asked(Code::UPDATE_BROKER_CONFIG, &[], body).await;
    let all = "deleteWhen=04;16\nfileReservedTime=1\ndiskMaxUsedSpaceRatio=80\ndeleteFileBatchMax=3\n\
               diskSpaceCleanForciblyRatio=84\ndiskSpaceWarningLevelRatio=89\ncleanFileForciblyEnable=false\n\
               commitLogMaxBytes=1000000\ndiskReservedBytes=4000000000000000000\n";
    assert_eq!(change(all).await, succeeded(""));
    let shown = room.asked(Code::GET_BROKER_CONFIG, &[], "").await.2;
    assert!(all.lines().all(|line| shown.lines().any(|shown| shown == line)), "{shown}");
    assert_eq!(change("diskReservedBytes=-1\n").await.0, 29);

    let ext = [
        ("a", "pg"),
        ("b", "T"),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1"),
        ("h", "0"),
    ];
    let (code, remark, _) = room.asked(Code::SEND_MESSAGE_V2, &ext, "x").await;
    assert_eq!(code, ResponseCode::SERVICE_NOT_AVAILABLE.0);
    assert!(remark.contains("diskReservedBytes keeps 4000000000000000000"), "{remark}");
    let info = room.asked(Code::GET_BROKER_RUNTIME_INFO, &[], "").await.2;
    assert!(info.contains("\"sendsRefused\":\"the disk of the store is full"), "{info}");

    assert_eq!(change("diskReservedBytes=0\n").await, succeeded(""));
    room.send("T", "0").await;
    let info = room.asked(Code::GET_BROKER_RUNTIME_INFO, &[], "").await.2;
    assert!(!info.contains("sendsRefused"), "{info}");
    room.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_is_there_after_a_restart() {
    let room = room().await;
    room.create("g1").await;
    room.send("g1", "1").await;
    room.broker.rooms.offsets.commit(&"test", "grp1", "g1", 1, 1);
    let Room { dir, broker, .. } = room;
    let port = broker.addresses().store_host.port();
    broker.stop().await;
    assert!(!dir.path().join("store/abort").exists(), "closed cleanly");

    let again = Broker::start(config(&dir, port), None).await.unwrap();
    assert_eq!(again.rooms.offsets.query("grp1", "g1", 1), Some(1));
    assert_eq!(again.rooms.store.queue_range("g1", 1), (0, 1));
    let record = again.rooms.store.record_at(0).unwrap();
    let record = RecordView::parse(&record).unwrap();
    assert_eq!(record.body(), b"hello");
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named_and_the_store_left_clean() {
    let room = room().await;
    let port = room.broker.addresses().store_host.port();
    let other = tempfile::tempdir().unwrap();
    let error = Broker::start(config(&other, port), None).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("127.0.0.1:{port} (listenPort)")) && error.contains("`listenPort`"),
        "{error}"
    );
    let error = Broker::start(config(&other, port + 2), None).await.unwrap_err().to_string();
    assert!(error.contains("two below listenPort"), "{error}");
    assert!(!other.path().join("store/abort").exists());
    room.broker.stop().await;
}
