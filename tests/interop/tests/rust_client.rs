//! Our client library against the official servers, and side by side with the official client.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use rmq_client::admin::messages::KeyQuery;
use rmq_client::{
    Admin, Consumed, InstanceOptions, Message, Producer, PullConsumer, PullStatus, PushConsumer,
    ReceivedMessage, SendResult, SendStatus, StartFrom,
};
use rmq_interop::{Fact, Java, PATIENCE, Request, of_kind, texts};
use rmq_testkit::wire::Connection;
use rmq_testkit::{Cluster, Flavor, wait};
use tokio::runtime::Runtime;

/// The official servers, unless RMQ_TEST_TARGET says otherwise, and an official client beside ours.
struct Rig {
    cluster: Cluster,
    java: Java,
    runtime: Runtime,
}

fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| {
        let asked = std::env::var_os("RMQ_TEST_TARGET").is_some();
        Rig {
            cluster: Cluster::start(if asked { Flavor::under_test() } else { Flavor::Java }),
            java: Java::start(&[]),
            runtime: Runtime::new().unwrap(),
        }
    })
}

impl Rig {
    fn options(&self) -> InstanceOptions {
        let mut options = InstanceOptions::new(&self.cluster.namesrv().addr());
        options.request_timeout_ms = 30_000;
        options.route_refresh_ms = 2_000;
        options
    }

    fn producer(&self) -> Producer {
        let start = Producer::builder("rust-producer").options(self.options()).send_timeout(PATIENCE).start();
        self.runtime.block_on(start).unwrap()
    }

    /// Sends each message and expects SEND_OK.
    fn send(&self, messages: impl IntoIterator<Item = Message>) -> Vec<SendResult> {
        let producer = self.producer();
        let sent = self.runtime.block_on(async {
            let mut sent = Vec::new();
            for message in messages {
                sent.push(producer.send(message).await.unwrap());
            }
            producer.shutdown().await;
            sent
        });
        assert!(sent.iter().all(|result| result.status == SendStatus::Ok), "{sent:?}");
        sent
    }

    /// A consumer of ours that keeps what it gets.
    fn consumer(
        &self,
        topic: &str,
        tags: &str,
        group: &str,
    ) -> (PushConsumer, Arc<Mutex<Vec<ReceivedMessage>>>) {
        self.await_topic(topic);
        let received: Arc<Mutex<Vec<ReceivedMessage>>> = Arc::default();
        let keep = Arc::clone(&received);
        let start = PushConsumer::builder(group)
            .options(self.options())
            .subscribe(topic, tags)
            .start_from(StartFrom::First)
            .start(move |messages: Vec<ReceivedMessage>| {
                keep.lock().unwrap().extend(messages);
                async { Consumed::Success }
            });
        (self.runtime.block_on(start).unwrap(), received)
    }

    /// Consumes `count` messages with our client in a fresh group.
    #[track_caller]
    fn consume(&self, topic: &str, tags: &str, count: usize) -> Vec<ReceivedMessage> {
        let (consumer, received) = self.consumer(topic, tags, &format!("rust-{topic}"));
        wait::until("the messages", PATIENCE, || received.lock().unwrap().len() >= count);
        self.runtime.block_on(consumer.shutdown());
        let received = std::mem::take(&mut *received.lock().unwrap());
        assert_eq!(received.len(), count, "more than was sent");
        received
    }

    fn await_topic(&self, topic: &str) {
        const GET_ROUTEINFO_BY_TOPIC: i32 = 105;
        let mut namesrv = Connection::open(&self.cluster.namesrv().addr());
        wait::until("the topic to be routed", PATIENCE, || {
            namesrv.call(GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], b"").code == 0
        });
    }

    fn official(&self, command: &str, topic: &str) -> Request<'_> {
        self.java.request(command).arg("namesrv", self.cluster.namesrv().addr()).arg("topic", topic)
    }

    /// Consumes `count` messages with the official client in a fresh group.
    fn consume_officially(&self, topic: &str, count: usize) -> Vec<Fact> {
        self.await_topic(topic);
        let name = format!("java-{topic}");
        let push = self.official("push", topic).arg("name", &name).arg("group", &name).begin();
        push.wait("received", count, PATIENCE);
        self.java.request("stop").arg("name", &name).run(PATIENCE);
        of_kind(&push.end(PATIENCE), "received")
    }
}

fn message(topic: &str, i: usize) -> Message {
    Message::new(topic, format!("hello-{i}")).tag(["TagA", "TagB", "TagC"][i % 3]).key(format!("key-{i}"))
}

fn ids(received: &[ReceivedMessage]) -> BTreeSet<String> {
    received.iter().map(|message| message.property("UNIQ_KEY").unwrap_or_default().to_owned()).collect()
}

fn sent_ids(sent: &[SendResult]) -> BTreeSet<String> {
    sent.iter().flat_map(|result| result.msg_id.split(',').map(str::to_owned)).collect()
}

#[test]
fn the_official_client_receives_what_ours_sends() {
    let rig = rig();
    let topic = "RustToJava";
    let sent = rig.send((0..20).map(|i| message(topic, i).property("colour", "grün").flag(7)));
    let received = rig.consume_officially(topic, 20);
    assert_eq!(
        texts(&received, "msgId").into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
        sent_ids(&sent)
    );
    for fact in &received {
        let i: usize = fact.text("body").strip_prefix("hello-").unwrap().parse().unwrap();
        assert_eq!(fact.text("p.KEYS"), format!("key-{i}"));
        assert_eq!(fact.text("p.TAGS"), ["TagA", "TagB", "TagC"][i % 3]);
        assert_eq!(fact.text("p.colour"), "grün");
        assert_eq!(fact.number("flag"), 7);
        assert!(sent.iter().any(|result| result.offset_msg_id == fact.text("offsetMsgId")));
    }
}

#[test]
fn ours_receives_what_the_official_client_sends() {
    let rig = rig();
    let topic = "JavaToRust";
    let request = rig.official("send", topic).arg("count", 20).arg("keys", "key-#").arg("tags", "TagA,TagB");
    let sent = of_kind(&request.arg("p.colour", "grün").run(PATIENCE), "sent");
    let received = rig.consume(topic, "*", 20);
    assert_eq!(ids(&received), texts(&sent, "msgId").into_iter().map(str::to_owned).collect());
    for message in &received {
        let body = String::from_utf8_lossy(&message.body);
        assert_eq!(message.property("colour"), Some("grün"));
        assert_eq!(message.property("KEYS"), Some(format!("key-{}", &body[6..]).as_str()));
        assert!(sent.iter().any(|fact| fact.text("offsetMsgId") == message.offset_msg_id()));
    }
}

#[test]
fn a_batch_and_oneway_sends_arrive() {
    let rig = rig();
    let producer = rig.producer();
    let (batch, oneway) = ("RustBatch", "RustOneway");
    let sent = rig.runtime.block_on(async {
        for i in 0..10 {
            producer.send_oneway(message(oneway, i)).await.unwrap();
        }
        producer.send_batch((0..10).map(|i| message(batch, i)).collect()).await.unwrap()
    });
    let received = rig.consume_officially(batch, 10);
    let ids: BTreeSet<String> = texts(&received, "msgId").into_iter().map(str::to_owned).collect();
    assert_eq!(ids, sent_ids(&[sent]));
    assert_eq!(rig.consume_officially(oneway, 10).len(), 10);
    rig.runtime.block_on(producer.shutdown());
}

#[test]
fn compressed_bodies_pass_both_ways() {
    let rig = rig();
    let body: String = (0..20_000).map(|i| char::from(b'a' + (i * i % 26) as u8)).collect();
    rig.send([Message::new("RustZlib", body.clone())]);
    assert_eq!(rig.consume_officially("RustZlib", 1)[0].number("length"), 20_000);
    let received = rig.consume("RustZlib", "*", 1);
    assert_eq!(received[0].body, body.as_bytes());

    let sent = rig.official("send", "JavaZlib").arg("size", 50_000).run(PATIENCE);
    assert_eq!(of_kind(&sent, "sent").len(), 1);
    assert_eq!(rig.consume("JavaZlib", "*", 1)[0].body.len(), 50_000);
}

#[test]
fn a_tag_filter_lets_only_its_tags_through() {
    let rig = rig();
    let topic = "RustTags";
    rig.send((0..30).map(|i| message(topic, i)));
    let received = rig.consume(topic, "TagA || TagC", 20);
    assert!(received.iter().all(|message| message.tags() != Some("TagB")));
}

#[test]
fn both_clients_choose_the_same_queue_for_a_key() {
    let rig = rig();
    let topic = "RustKeys";
    let keys = ["red", "green", "blue", "black", "größer", "a-rather-long-key-with-1234567890"];
    let request = rig.official("send", topic).arg("mode", "selected").arg("keys", keys.join(","));
    let officially = of_kind(&request.arg("count", keys.len()).run(PATIENCE), "sent");
    rig.await_topic(topic);
    let producer = rig.producer();
    for (key, fact) in keys.iter().zip(&officially) {
        let sent =
            rig.runtime.block_on(producer.send_by_key(Message::new(topic, "x").key(key), key)).unwrap();
        assert_eq!(i64::from(sent.queue.queue_id), fact.number("queue"), "{key}");
    }
    rig.runtime.block_on(producer.shutdown());
}

#[test]
fn a_group_of_both_clients_shares_the_queues() {
    let rig = rig();
    let topic = "RustShared";
    rig.send((0..4).map(|i| message(topic, i)));
    let (ours, received) = rig.consumer(topic, "*", "shared");
    // Beside the topic's it holds the queue of the group's retry topic.
    let our_queues = || -> BTreeSet<i64> {
        let of_topic = ours.queues().into_iter().filter(|queue| queue.topic == topic);
        of_topic.map(|queue| i64::from(queue.queue_id)).collect()
    };
    wait::until("our lone consumer to hold all queues", PATIENCE, || our_queues().len() == 4);

    let official = rig.official("push", topic).arg("name", "shared").arg("group", "shared").begin();
    official.wait("started", 1, PATIENCE);
    let official_queues = || -> BTreeSet<i64> {
        let facts = rig.official("assigned", topic).arg("name", "shared").run(PATIENCE);
        facts.iter().map(|fact| fact.number("queue")).collect()
    };
    wait::until("each to hold two queues, none both", PATIENCE, || {
        let (mine, theirs) = (our_queues(), official_queues());
        mine.len() == 2 && theirs.len() == 2 && mine.is_disjoint(&theirs)
    });

    received.lock().unwrap().clear();
    let before = official.facts("received").len();
    rig.send((0..40).map(|i| message(topic, i)));
    wait::until("all messages at either consumer", PATIENCE, || {
        received.lock().unwrap().len() + official.facts("received").len() - before >= 40
    });
    assert!(!received.lock().unwrap().is_empty());

    rig.java.request("stop").arg("name", "shared").run(PATIENCE);
    official.end(PATIENCE);
    wait::until("our consumer to take over", PATIENCE, || our_queues().len() == 4);
    rig.runtime.block_on(ours.shutdown());
}

#[test]
fn offsets_of_a_group_pass_from_client_to_client() {
    let rig = rig();
    let topic = "RustOffsets";
    rig.send((0..12).map(|i| message(topic, i)));
    let (consumer, received) = rig.consumer(topic, "*", "passed-on");
    wait::until("the messages", PATIENCE, || received.lock().unwrap().len() >= 12);
    rig.runtime.block_on(consumer.shutdown());

    rig.send((100..112).map(|i| message(topic, i)));
    let official = rig.official("push", topic).arg("name", "passed-on").arg("group", "passed-on").begin();
    official.wait("received", 12, PATIENCE);
    rig.java.request("stop").arg("name", "passed-on").run(PATIENCE);
    let bodies = of_kind(&official.end(PATIENCE), "received");
    assert_eq!(bodies.len(), 12, "only the second dozen");
    assert!(bodies.iter().all(|fact| fact.text("body").starts_with("hello-1")), "{bodies:#?}");
}

#[test]
fn a_pull_consumer_reads_every_queue_to_its_end() {
    let rig = rig();
    let topic = "RustPull";
    let sent = rig.send((0..40).map(|i| message(topic, i)));
    rig.await_topic(topic);
    let read = rig.runtime.block_on(async {
        let consumer = PullConsumer::builder("rust-pull").options(rig.options()).start().await.unwrap();
        let mut read = Vec::new();
        for queue in consumer.queues(topic).await.unwrap() {
            let end = consumer.max_offset(&queue).await.unwrap();
            let mut offset = consumer.min_offset(&queue).await.unwrap();
            while offset < end {
                let pulled = consumer.pull(&queue, "*", offset, 32).await.unwrap();
                assert_eq!(pulled.status, PullStatus::Found);
                offset = pulled.next_offset;
                read.extend(pulled.messages);
            }
            let beyond = consumer.pull(&queue, "*", end + 10, 32).await.unwrap();
            assert_eq!((beyond.status, beyond.next_offset), (PullStatus::OffsetIllegal, end));
            consumer.commit(&queue, end).await.unwrap();
            assert_eq!(consumer.committed(&queue).await.unwrap(), Some(end));
        }
        consumer.shutdown().await;
        read
    });
    assert_eq!(ids(&read), sent_ids(&sent));
}

#[test]
fn admin_calls_are_answered() {
    let rig = rig();
    let topic = "RustAdmin";
    let sent = rig.send((0..8).map(|i| message(topic, i)));
    let broker = rig.cluster.broker().addr();
    let admin = Admin::connect(&rig.cluster.namesrv().addr());
    let run = |what: &str, probe: &dyn Fn() -> bool| wait::until(what, PATIENCE, probe);

    run("the topic in the list", &|| {
        let list = rig.runtime.block_on(admin.topic_list()).unwrap();
        list.topic_list.iter().any(|name| *name == topic)
    });
    run("all messages in the statistics", &|| {
        let stats = rig.runtime.block_on(admin.topic_stats(&broker, topic)).unwrap();
        stats.offset_table.values().map(|offsets| offsets.max_offset - offsets.min_offset).sum::<i64>() == 8
    });
    run("a message by key", &|| {
        let found = rig.runtime.block_on(admin.messages_by_key(&KeyQuery::new(topic, "key-3")));
        found.is_ok_and(|found| found.len() == 1 && found[0].body == "hello-3".as_bytes())
    });
    run("a message by either id", &|| {
        [&sent[3].msg_id, &sent[3].offset_msg_id].into_iter().all(|id| {
            let found = rig.runtime.block_on(admin.message(topic, id, None));
            found.is_ok_and(|found| found.is_some_and(|message| message.body == "hello-3".as_bytes()))
        })
    });
    let info = rig.runtime.block_on(admin.cluster_info()).unwrap();
    assert!(info.broker_addr_table.contains_key("broker-a"), "{info:?}");
    let config = rig.runtime.block_on(admin.broker_config(&broker)).unwrap();
    assert_eq!(config.get("fileReservedTime"), Some("72"));
    rig.runtime.block_on(admin.broker_runtime(&broker)).unwrap();
    admin.shutdown();
}
