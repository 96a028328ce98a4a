use rmq_proto::body::TopicFilterType;

use super::*;

fn open(dir: &tempfile::TempDir, config: BrokerConfig) -> Arc<Topics> {
    let config = BrokerConfig { broker_name: "broker-a".into(), ..config };
    Arc::new(Topics::open(dir.path(), Arc::new(LiveConfig::fixed(config))).unwrap())
}

fn client() -> SocketAddr {
    ([10, 0, 0, 1], 5000).into()
}

#[test]
fn a_new_broker_has_javas_system_topics() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(&dir, BrokerConfig::default());
    let shown: Vec<_> = topics
        .snapshot()
        .topic_config_table
        .values()
        .map(|topic| {
            format!(
                "{} {} {} {}",
                topic.topic_name, topic.read_queue_nums, topic.write_queue_nums, topic.perm
            )
        })
        .collect();
    // As the Java 5.5.0 broker answers to code 21 on an empty store.
    assert_eq!(
        shown,
        [
            "BenchmarkTest 1024 1024 6",
            "DefaultCluster 16 16 7",
            "DefaultCluster_REPLY_TOPIC 1 1 6",
            "OFFSET_MOVED_EVENT 1 1 6",
            "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC 1 1 6",
            "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC 1 1 6",
            "RMQ_SYS_TRANS_HALF_TOPIC 1 1 6",
            "RMQ_SYS_TRANS_OP_HALF_TOPIC 1 1 6",
            "SCHEDULE_TOPIC_XXXX 18 18 6",
            "SELF_TEST_TOPIC 1 1 6",
            "TBW102 8 8 7",
            "broker-a 1 1 7",
            "rmq_sys_REVIVE_LOG_DefaultCluster 8 8 6",
            "rmq_sys_SYNC_BROKER_MEMBER_broker-a 1 1 1",
            "rmq_sys_wheel_timer 1 1 6",
        ]
    );
    // And to code 305: also those that are not configured.
    assert_eq!(topics.system_names().len(), 18);
    assert!(topics.system_names().contains("RMQ_SYS_TRACE_TOPIC") && topics.is_system("rmq_sys_anything"));
}

#[test]
fn the_file_is_javas() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(&dir, BrokerConfig { timer_wheel_enable: false, ..BrokerConfig::default() });
    for name in topics.snapshot().topic_config_table.keys() {
        topics.remove(name);
    }
    topics.update(TopicConfig::new("g1", 2, 2, 6)).unwrap();
    topics.save_now().unwrap();
    let text = std::fs::read_to_string(dir.path().join("topics.json")).unwrap();
    let version = topics.version();
    let expected = format!(
        "{{\n\t\"dataVersion\":{{\n\t\t\"counter\":{},\n\t\t\"stateVersion\":0,\n\t\t\"timestamp\":{}\n\t}},\n\
         \t\"topicConfigTable\":{{\n\t\t\"g1\":{{\n\t\t\t\"attributes\":{{}},\n\t\t\t\"order\":false,\n\t\t\t\"perm\":6,\n\
         \t\t\t\"readQueueNums\":2,\n\t\t\t\"topicFilterType\":\"SINGLE_TAG\",\n\t\t\t\"topicName\":\"g1\",\n\
         \t\t\t\"topicSysFlag\":0,\n\t\t\t\"writeQueueNums\":2\n\t\t}}\n\t}}\n}}",
        version.counter, version.timestamp
    );
    assert_eq!(text, expected);
}

#[tokio::test]
async fn a_topic_is_created_after_its_example() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(&dir, BrokerConfig::default());
    let created = topics.create_on_send("orders", "TBW102", 4, 0, client()).await.unwrap();
    assert_eq!((created.read_queue_nums, created.write_queue_nums, created.perm), (4, 4, 6));
    let many = topics.create_on_send("many", "TBW102", 99, 1, client()).await.unwrap();
    assert_eq!((many.write_queue_nums, many.topic_sys_flag), (8, 1));
    assert_eq!(topics.create_on_send("none", "TBW102", -1, 0, client()).await.unwrap().write_queue_nums, 0);
    // `orders` itself is no example: it lacks the inherit bit.
    assert!(topics.create_on_send("other", "orders", 4, 0, client()).await.is_none());
    assert!(topics.create_on_send("other", "nowhere", 4, 0, client()).await.is_none());
    assert_eq!(topics.version().counter, 3);

    let again = open(&dir, BrokerConfig::default());
    assert_eq!(again.get("orders"), Some(created), "a created topic is on disk before the send goes on");
    assert_eq!(again.version(), topics.version());
}

#[tokio::test]
async fn without_auto_creation_a_listed_example_does_not_help() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir, BrokerConfig::default()).create_on_send("x", "TBW102", 1, 0, client()).await.unwrap();
    let topics = open(&dir, BrokerConfig { auto_create_topic_enable: false, ..BrokerConfig::default() });
    assert!(topics.contains("TBW102"), "the file holds it");
    assert!(topics.create_on_send("orders", "TBW102", 4, 0, client()).await.is_none());
    assert!(topics.create_on_send("x", "TBW102", 4, 0, client()).await.is_some());
}

#[tokio::test]
async fn a_retry_topic_follows_the_order_of_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(&dir, BrokerConfig::default());
    let created = topics.ensure_retry_topic("g", 1, false, 2).await;
    assert_eq!((created.topic_name.as_str(), created.perm, created.topic_sys_flag), ("%RETRY%g", 6, 2));
    let counter = topics.version().counter;
    topics.ensure_retry_topic("g", 1, false, 2).await;
    assert_eq!(topics.version().counter, counter, "nothing changed");
    assert!(topics.ensure_retry_topic("g", 1, true, 2).await.order);
    assert!(topics.is_order("%RETRY%g"));
}

#[test]
fn an_update_without_a_change_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(&dir, BrokerConfig::default());
    let wanted =
        || TopicConfig { topic_filter_type: TopicFilterType::MultiTag, ..TopicConfig::new("t", 2, 4, 6) };
    assert_eq!(topics.update(wanted()), Ok(true));
    assert_eq!(topics.update(wanted()), Ok(false));
    let changes = attribute_changes("+message.type=FIFO").unwrap();
    assert_eq!(topics.update(TopicConfig { attributes: changes, ..wanted() }), Ok(true));
    assert_eq!(topics.get("t").unwrap().attributes["message.type"], "FIFO");
    assert_eq!(topics.version().counter, 2);
}

#[test]
fn news_are_the_topics_that_changed_or_everything() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(&dir, BrokerConfig::default());
    let names = |told| topics.news_since(told).names.map(|names| names.into_iter().collect::<Vec<_>>());
    assert_eq!(names(0), Some(vec![]));
    for name in ["a", "b", "a"] {
        let queues = topics.get(name).map_or(1, |topic| topic.read_queue_nums + 1);
        topics.update(TopicConfig::new(name, queues, queues, 6)).unwrap();
    }
    assert_eq!(names(0), Some(vec!["a".into(), "b".into()]));
    assert_eq!(names(2), Some(vec!["a".into()]));
    topics.announce_all();
    assert_eq!(topics.news_since(2), News { change: 4, names: None });
    for number in 0..MAX_ANNOUNCED_TOPICS + 1 {
        topics.update(TopicConfig::new(format!("t{number}"), 1, 1, 6)).unwrap();
    }
    assert_eq!(names(4), None, "too many to tell one by one");
    assert_eq!(names(5).map(|names| names.len()), Some(MAX_ANNOUNCED_TOPICS));
}

#[tokio::test]
async fn a_creator_waits_until_the_name_servers_know() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(&dir, BrokerConfig::default());
    let mut changes = topics.changes();
    let creator = topics.clone();
    let creating =
        tokio::spawn(async move { creator.create_on_send("orders", "TBW102", 4, 0, client()).await });
    changes.changed().await.unwrap();
    assert!(topics.contains("orders") && !creating.is_finished());
    topics.announced(topics.news_since(0).change);
    assert!(creating.await.unwrap().is_some());
}

#[test]
fn the_name_servers_list_marks_ordered_topics() {
    let dir = tempfile::tempdir().unwrap();
    let topics = open(&dir, BrokerConfig::default());
    topics.update(TopicConfig::new("t", 1, 1, 6)).unwrap();
    topics.mark_ordered([String::from("t"), String::from("nowhere")].iter());
    assert!(topics.is_order("t"));
    assert_eq!(topics.version().counter, 2);
    topics.mark_ordered([String::from("t")].iter());
    assert_eq!(topics.version().counter, 2);
}
