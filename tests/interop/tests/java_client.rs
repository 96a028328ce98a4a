//! The official Java client, sending and consuming, against the servers under test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::OnceLock;

use rmq_interop::{Fact, Java, Ongoing, PATIENCE, Request, numbers, of_kind, texts};
use rmq_testkit::wire::Connection;
use rmq_testkit::{Cluster, Flavor, wait};

/// One cluster and two client processes for all tests of this file. The second JVM speaks the binary header encoding.
struct Rig {
    cluster: Cluster,
    java: Java,
    binary: Java,
}

fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| Rig {
        cluster: Cluster::start(Flavor::under_test()),
        java: Java::start(&[]),
        binary: Java::start(&["-Drocketmq.serialize.type=ROCKETMQ"]),
    })
}

impl Rig {
    fn request(&self, command: &str, topic: &str) -> Request<'_> {
        self.request_to(&self.java, command, topic)
    }

    fn request_to<'a>(&self, java: &'a Java, command: &str, topic: &str) -> Request<'a> {
        java.request(command).arg("namesrv", self.cluster.namesrv().addr()).arg("topic", topic)
    }

    /// Waits until the name server knows a topic: a consumer that starts before looks again only after 30 s.
    fn await_topic(&self, topic: &str) {
        const GET_ROUTEINFO_BY_TOPIC: i32 = 105;
        let mut namesrv = Connection::open(&self.cluster.namesrv().addr());
        wait::until("the topic to be routed", PATIENCE, || {
            namesrv.call(GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], b"").code == 0
        });
    }

    /// A push consumer in preparation, for a topic that is known by then.
    #[track_caller]
    fn push<'a>(&self, java: &'a Java, topic: &str, name: &str, group: &str) -> Request<'a> {
        self.await_topic(topic);
        self.request_to(java, "push", topic).arg("name", name).arg("group", group)
    }

    /// Stops a push consumer and returns everything that it received.
    #[track_caller]
    fn stop(&self, java: &Java, name: &str, push: &Ongoing<'_>) -> Vec<Fact> {
        java.request("stop").arg("name", name).run(PATIENCE);
        of_kind(&push.end(PATIENCE), "received")
    }

    /// Consumes everything that a topic holds in a fresh group, expecting `count` messages.
    #[track_caller]
    fn consume(&self, topic: &str, count: usize) -> Vec<Fact> {
        let consumer = format!("all-of-{topic}");
        let push = self.push(&self.java, topic, &consumer, &consumer).begin();
        push.wait("received", count, PATIENCE);
        let received = self.stop(&self.java, &consumer, &push);
        assert_eq!(received.len(), count, "more than was sent: {received:#?}");
        received
    }

    /// Committed offset of a group, by queue.
    fn committed(&self, topic: &str, group: &str) -> BTreeMap<i64, i64> {
        let facts = self.request("pull-offset", topic).arg("group", group).run(PATIENCE);
        facts.iter().map(|fact| (fact.number("queue"), fact.number("committed"))).collect()
    }

    /// Maximum offset of each queue that holds anything.
    fn max_offsets(&self, topic: &str) -> BTreeMap<i64, i64> {
        let facts = self.request("offsets", topic).run(PATIENCE);
        let all = facts.iter().map(|fact| (fact.number("queue"), fact.number("max")));
        all.filter(|(_, max)| *max > 0).collect()
    }
}

#[track_caller]
fn all_sent(facts: &[Fact], count: usize) -> Vec<Fact> {
    let sent = of_kind(facts, "sent");
    assert_eq!(sent.len(), count, "{facts:#?}");
    for fact in &sent {
        assert_eq!(fact.text("status"), "SEND_OK");
    }
    sent
}

/// Offsets of each queue must be 0, 1, 2 … without gaps.
#[track_caller]
fn dense(facts: &[Fact]) {
    let mut queues: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for fact in facts {
        let new = queues.entry(fact.number("queue")).or_default().insert(fact.number("offset"));
        assert!(new, "one offset twice: {fact:?}");
    }
    for (queue, offsets) in queues {
        let last = offsets.last().copied().unwrap_or_default();
        assert_eq!(offsets.len() as i64, last + 1, "queue {queue} has gaps: {offsets:?}");
    }
}

/// An offset message id: IPv4 address, port and physical offset in upper-case hex.
fn offset_id(addr: &str, physical: i64) -> String {
    let (ip, port) = addr.split_once(':').unwrap();
    let mut id = String::new();
    for byte in ip.split('.') {
        write!(id, "{:02X}", byte.parse::<u8>().unwrap()).unwrap();
    }
    write!(id, "{:08X}{physical:016X}", port.parse::<u32>().unwrap()).unwrap();
    id
}

#[test]
fn synchronous_sends_arrive_as_they_were_sent() {
    let rig = rig();
    let topic = "Sync";
    let sent = rig
        .request("send", topic)
        .arg("count", 20)
        .arg("tags", "TagA,TagB")
        .arg("keys", "key-#")
        .arg("flag", 7)
        .arg("p.colour", "grün")
        .run(PATIENCE);
    let sent = all_sent(&sent, 20);
    dense(&sent);
    for fact in &sent {
        assert_eq!(fact.text("broker"), "broker-a");
        assert_eq!(fact.text("region"), "DefaultRegion");
        // 32 digits when the client's host has an IPv4 address, 56 when it has IPv6 only.
        assert!([32, 56].contains(&fact.text("msgId").len()), "{fact:?}");
    }

    let received = rig.consume(topic, 20);
    assert_eq!(texts(&received, "body"), texts(&sent, "body"));
    assert_eq!(texts(&received, "msgId"), texts(&sent, "msgId"));
    assert_eq!(texts(&received, "offsetMsgId"), texts(&sent, "offsetMsgId"));
    for fact in &received {
        let i = fact.text("body").strip_prefix("hello-").unwrap();
        assert_eq!(fact.text("topic"), topic);
        assert_eq!(fact.text("p.UNIQ_KEY"), fact.text("msgId"));
        assert_eq!(fact.text("p.KEYS"), format!("key-{i}"));
        assert_eq!(fact.text("p.colour"), "grün");
        assert_eq!(fact.text("p.WAIT"), "true");
        assert_eq!(fact.text("p.CLUSTER"), "DefaultCluster");
        assert_eq!(fact.text("p.MSG_REGION"), "DefaultRegion");
        assert_eq!(fact.text("p.TRACE_ON"), "true");
        assert_eq!(fact.number("flag"), 7);
        assert_eq!(fact.number("sysFlag"), 0);
        assert_eq!(fact.number("reconsume"), 0);
        assert_eq!(fact.text("storeHost"), rig.cluster.broker().addr());
        assert!(fact.text("bornHost").starts_with("127.0.0.1:"), "{fact:?}");
        assert!(fact.number("storeTime") >= fact.number("bornTime"), "{fact:?}");
        assert_eq!(fact.number("bodyCrc"), fact.number("crc") & 0x7FFF_FFFF);
        assert_eq!(
            fact.text("offsetMsgId"),
            offset_id(&rig.cluster.broker().addr(), fact.number("physical"))
        );
    }
}

#[test]
fn asynchronous_sends_are_all_answered() {
    let rig = rig();
    let sent = rig.request("send", "Async").arg("mode", "async").arg("count", 500).run(PATIENCE);
    let sent = all_sent(&sent, 500);
    dense(&sent);
    let received = rig.consume("Async", 500);
    assert_eq!(texts(&received, "msgId"), texts(&sent, "msgId"));
}

#[test]
fn oneway_sends_arrive() {
    let rig = rig();
    rig.request("send", "Oneway").arg("mode", "oneway").arg("count", 50).run(PATIENCE);
    let received = rig.consume("Oneway", 50);
    let bodies: BTreeSet<_> = texts(&received, "body").into_iter().collect();
    assert_eq!(bodies.len(), 50);
}

#[test]
fn a_batch_is_many_messages_with_ids_of_their_own() {
    let rig = rig();
    let facts = rig
        .request("send", "Batch")
        .arg("mode", "batch")
        .arg("count", 10)
        .arg("keys", "batch-#")
        .arg("tags", "T")
        .run(PATIENCE);
    let batch = &of_kind(&facts, "batch")[0];
    assert_eq!((batch.text("status"), batch.number("ids")), ("SEND_OK", 10));
    let offset_ids = of_kind(&facts, "sent")[0].text("offsetMsgId").to_owned();
    assert_eq!(offset_ids.split(',').collect::<BTreeSet<_>>().len(), 10, "{offset_ids}");

    let received = rig.consume("Batch", 10);
    dense(&received);
    assert_eq!(texts(&received, "queue").iter().collect::<BTreeSet<_>>().len(), 1, "one batch, one queue");
    for key in ["msgId", "p.UNIQ_KEY", "p.KEYS", "body", "offsetMsgId"] {
        let different: BTreeSet<_> = texts(&received, key).into_iter().collect();
        assert_eq!(different.len(), 10, "{key} of a batch: {different:?}");
    }
}

#[test]
fn a_tag_filter_lets_only_its_tags_through() {
    let rig = rig();
    let topic = "Tags";
    rig.request("send", topic).arg("count", 30).arg("tags", "TagA,TagB,TagC").run(PATIENCE);

    let push = rig.push(&rig.java, topic, "tags", "tags").arg("filter", "TagA || TagC").begin();
    push.wait("received", 20, PATIENCE);
    let received = rig.stop(&rig.java, "tags", &push);
    assert_eq!(received.len(), 20);
    assert!(received.iter().all(|fact| fact.text("p.TAGS") != "TagB"));
}

#[test]
fn orderly_consumption_keeps_the_order_of_each_key() {
    let rig = rig();
    let topic = "Orderly";
    let sent = rig
        .request("send", topic)
        .arg("mode", "selected")
        .arg("count", 40)
        .arg("keys", "red,green,blue,black")
        .run(PATIENCE);
    all_sent(&sent, 40);

    // Each message is refused once: the queue must wait for it, not go on with the next.
    let push = rig
        .push(&rig.java, topic, "orderly", "orderly")
        .arg("mode", "orderly")
        .arg("batch", 16)
        .arg("refuse", "once")
        .begin();
    push.wait("received", 40, PATIENCE);
    let received = rig.stop(&rig.java, "orderly", &push);
    for key in ["red", "green", "blue", "black"] {
        let of_key: Vec<_> = received.iter().filter(|fact| fact.text("p.KEYS") == key).cloned().collect();
        assert_eq!(of_key.len(), 10);
        assert!(numbers(&of_key, "offset").is_sorted(), "{key}: {of_key:#?}");
    }
}

#[test]
fn a_refused_message_comes_again_later() {
    let rig = rig();
    let topic = "Refused";
    rig.request("send", topic).arg("count", 2).arg("keys", "again-#").run(PATIENCE);
    let push = rig.push(&rig.java, topic, "refused", "refused").arg("refuse", "once").begin();
    let refused = push.wait("refused", 2, PATIENCE);
    let received = push.wait("received", 2, PATIENCE);
    rig.stop(&rig.java, "refused", &push);
    assert_eq!(texts(&received, "msgId"), texts(&refused, "msgId"));
    for fact in &received {
        assert_eq!(fact.text("topic"), topic, "the consumer sees the topic that it subscribed to");
        assert_eq!(fact.number("reconsume"), 1);
        assert_eq!(fact.text("p.RETRY_TOPIC"), topic);
        assert!(fact.text("p.KEYS").starts_with("again-"));
        // The first of the delays between attempts is level 3: 10 s.
        let first = refused.iter().find(|first| first.text("msgId") == fact.text("msgId")).unwrap();
        assert!(fact.number("storeTime") - first.number("storeTime") >= 9_000, "{fact:?}");
        assert_eq!(fact.text("p.ORIGIN_MESSAGE_ID"), first.text("offsetMsgId"));
    }
}

#[test]
fn a_message_with_a_delay_level_comes_after_its_delay() {
    let rig = rig();
    let topic = "Delayed";
    rig.request("send", topic).arg("count", 1).arg("body", "now").run(PATIENCE);
    // Level 2 is 5 s.
    let sent =
        rig.request("send", topic).arg("count", 2).arg("body", "later").arg("delay-level", 2).run(PATIENCE);
    let sent = all_sent(&sent, 2);
    let push = rig.push(&rig.java, topic, "delayed", "delayed").begin();
    push.wait("received", 3, PATIENCE);
    let received = rig.stop(&rig.java, "delayed", &push);
    let later: Vec<_> = received.into_iter().filter(|fact| fact.text("body").starts_with("later")).collect();
    assert_eq!(texts(&later, "msgId"), texts(&sent, "msgId"));
    for fact in later {
        assert_eq!(fact.text("p.DELAY"), "2", "Java keeps the level on the delivered message");
        assert_eq!(fact.text("p.REAL_TOPIC"), topic);
        let waited = fact.number("storeTime") - fact.number("bornTime");
        assert!((4_900..15_000).contains(&waited), "stored again after {waited} ms");
    }
}

#[test]
fn a_broadcasting_consumer_gets_everything_beside_others() {
    let rig = rig();
    let topic = "Broadcast";
    rig.request("send", topic).arg("count", 8).run(PATIENCE);
    let begin =
        |name: &str| rig.push(&rig.java, topic, name, "broadcast").arg("model", "broadcasting").begin();
    let (one, two) = (begin("broadcast-1"), begin("broadcast-2"));
    for (push, name) in [(&one, "broadcast-1"), (&two, "broadcast-2")] {
        push.wait("started", 1, PATIENCE);
        wait::until("both consumers to hold all queues", PATIENCE, || {
            let held = rig.request("assigned", topic).arg("name", name).run(PATIENCE);
            held.len() == 4
        });
    }
    let seen = |push: &Ongoing<'_>, body: &str| {
        push.facts("received").iter().any(|fact| fact.text("body").starts_with(body))
    };
    rig.request("send", topic).arg("body", "late").run(PATIENCE);
    wait::until("both to receive the late message", PATIENCE, || seen(&one, "late") && seen(&two, "late"));
    rig.stop(&rig.java, "broadcast-1", &one);
    rig.stop(&rig.java, "broadcast-2", &two);
}

#[test]
fn a_pull_tells_where_it_stands() {
    let rig = rig();
    let topic = "Pull";
    let sent = rig.request("send", topic).arg("mode", "queue").arg("count", 0).run(PATIENCE);
    assert!(sent.is_empty());
    // Sends to a chosen queue do not create the topic: an ordinary one does.
    rig.request("send", topic).arg("count", 4).arg("tags", "First").run(PATIENCE);
    rig.request("send", topic)
        .arg("mode", "queue")
        .arg("queue", 1)
        .arg("count", 40)
        .arg("tags", "T")
        .run(PATIENCE);

    let pull = |offset: i64, filter: &str, max: i64| {
        let request = rig.request("pull", topic).arg("group", "pull").arg("queue", 1).arg("offset", offset);
        let facts = request.arg("filter", filter).arg("max", max).run(PATIENCE);
        let received = of_kind(&facts, "received").len();
        let answer = of_kind(&facts, "pulled").remove(0);
        let status = answer.text("status").to_owned();
        (status, received, answer.number("next"), answer.number("min"), answer.number("max"))
    };
    let end = rig.max_offsets(topic)[&1];
    assert!((40..=44).contains(&end));
    assert_eq!(pull(0, "*", 32), ("FOUND".into(), 32, 32, 0, end));
    assert_eq!(pull(end - 3, "T", 32), ("FOUND".into(), 3, end, 0, end));
    assert_eq!(pull(0, "Absent", 32), ("NO_MATCHED_MSG".into(), 0, end, 0, end));
    assert_eq!(pull(end, "*", 32), ("NO_NEW_MSG".into(), 0, end, 0, end));
    assert_eq!(pull(end + 10, "*", 32), ("OFFSET_ILLEGAL".into(), 0, end, 0, end));

    let all = rig.request("pull", topic).arg("group", "pull").run(PATIENCE);
    assert_eq!(of_kind(&all, "received").len(), 44);
}

#[test]
fn a_parked_pull_is_woken_by_an_arrival() {
    let rig = rig();
    let topic = "Parked";
    rig.request("send", topic).arg("count", 4).run(PATIENCE);
    let end = rig.max_offsets(topic).get(&0).copied().unwrap_or_default();
    let parked = rig
        .request("pull", topic)
        .arg("group", "parked")
        .arg("queue", 0)
        .arg("offset", end)
        .arg("block", true)
        .begin();
    rig.request("send", topic).arg("mode", "queue").arg("queue", 0).arg("body", "wake").run(PATIENCE);
    // The official pull consumer lets the broker hold it for 20 s.
    let started = std::time::Instant::now();
    let facts = parked.end(PATIENCE);
    assert_eq!(of_kind(&facts, "received")[0].text("body"), "wake-0");
    assert!(started.elapsed().as_secs() < 10, "held although a message was there");
}

#[test]
fn stored_offsets_of_a_pull_group_come_back() {
    let rig = rig();
    let topic = "PullOffset";
    rig.request("send", topic).arg("count", 8).run(PATIENCE);
    let before = rig.committed(topic, "pull-offset");
    assert!(before.values().all(|offset| *offset <= 0), "{before:?}");
    rig.request("pull-offset", topic).arg("group", "pull-offset").arg("set", 1).run(PATIENCE);
    wait::until("all queues to be at offset 1", PATIENCE, || {
        rig.committed(topic, "pull-offset").values().all(|offset| *offset == 1)
    });
}

#[test]
fn a_lite_pull_consumer_subscribes_assigns_and_seeks() {
    let rig = rig();
    let topic = "LitePull";
    let sent = rig.request("send", topic).arg("count", 40).run(PATIENCE);
    let sent = all_sent(&sent, 40);

    let lite = |group: &str| rig.request("lite-pull", topic).arg("group", group);
    let subscribed = lite("lite-subscribe").arg("expect", 40).run(PATIENCE);
    assert_eq!(texts(&of_kind(&subscribed, "received"), "msgId"), texts(&sent, "msgId"));
    let committed: i64 = numbers(&of_kind(&subscribed, "committed"), "offset").iter().sum();
    assert_eq!(committed, 40);

    let from_begin = lite("lite-assign").arg("mode", "assign").arg("expect", 40).run(PATIENCE);
    assert_eq!(of_kind(&from_begin, "received").len(), 40);
    let from_two = lite("lite-seek").arg("mode", "assign").arg("seek", 2);
    let queues = rig.max_offsets(topic);
    let rest: i64 = queues.values().map(|max| max - 2).sum();
    let from_two = from_two.arg("expect", rest).run(PATIENCE);
    assert_eq!(of_kind(&from_two, "received").len() as i64, rest);
    assert!(numbers(&of_kind(&from_two, "received"), "offset").iter().all(|offset| *offset >= 2));
}

#[test]
fn messages_are_found_by_id_and_key() {
    let rig = rig();
    let topic = "Lookup";
    let sent = rig.request("send", topic).arg("count", 12).arg("keys", "order-#,shared").run(PATIENCE);
    let sent = all_sent(&sent, 12);
    let third = &sent[2];

    for id in ["offsetMsgId", "msgId"] {
        // The index is written behind the append.
        let found = wait::value("the message to be found by id", PATIENCE, || {
            let facts = rig.request("view", topic).arg("id", third.text(id)).begin();
            facts.wait(".ok", 1, PATIENCE);
            facts.facts("message").pop()
        });
        assert_eq!(found.text("body"), third.text("body"), "by {id}");
        assert_eq!(found.text("p.UNIQ_KEY"), third.text("msgId"));
    }

    let query = |key: &str| rig.request("query", topic).arg("key", key);
    let found = query("order-2").run(PATIENCE);
    assert_eq!(texts(&found, "msgId"), [third.text("msgId")]);
    let shared = query("shared").run(PATIENCE);
    assert_eq!(shared.len(), 6);
    assert_eq!(query("shared").arg("max", 4).run(PATIENCE).len(), 4);

    let none = query("never-sent").run_to_failure(PATIENCE);
    assert_eq!(none.number("code"), 208, "{none:?}");
    let wrong = offset_id(&rig.cluster.broker().addr(), 1 << 40);
    let wrong = rig.request("view", topic).arg("id", wrong).run_to_failure(PATIENCE);
    assert!(wrong.get("code").is_some(), "{wrong:?}");
}

#[test]
fn offsets_are_found_by_time() {
    let rig = rig();
    let topic = "Times";
    rig.request("send", topic).arg("count", 4).run(PATIENCE);
    rig.request("send", topic).arg("mode", "queue").arg("queue", 0).arg("count", 10).run(PATIENCE);
    let stored = rig.request("pull", topic).arg("group", "times").arg("queue", 0).run(PATIENCE);
    let times = numbers(&of_kind(&stored, "received"), "storeTime");
    let end = times.len() as i64;

    let early = times[0] - 100_000;
    let late = times[times.len() - 1] + 100_000;
    let asked: Vec<_> = times.iter().chain(&[0, early, late]).map(i64::to_string).collect();
    let facts = rig.request("offsets", topic).arg("times", asked.join(",")).run(PATIENCE);
    let of_queue = |kind: &str| -> Vec<Fact> {
        of_kind(&facts, kind).into_iter().filter(|fact| fact.number("queue") == 0).collect()
    };
    let queue = &of_queue("queue")[0];
    assert_eq!((queue.number("min"), queue.number("max")), (0, end));
    assert_eq!(queue.number("earliest"), times[0]);

    for found in of_queue("time") {
        let time = found.number("time");
        // Java: the lower boundary is the first message at or after the time, else one past the end; the upper boundary
        // is the last message at or before it, else the first.
        let first = times.iter().position(|other| *other >= time).map_or(end, |i| i as i64);
        let last = times.iter().rposition(|other| *other <= time).unwrap_or_default() as i64;
        assert_eq!(found.number("lower"), first, "{found:?} of {times:?}");
        assert_eq!(found.number("upper"), last, "{found:?} of {times:?}");
        assert_eq!(found.number("search"), first, "{found:?} of {times:?}");
    }
}

#[test]
fn a_consumer_goes_on_where_its_group_stopped() {
    let rig = rig();
    let topic = "Resume";
    rig.request("send", topic).arg("count", 10).arg("body", "early").run(PATIENCE);
    let round = |name: &str, count: usize| {
        let push = rig.push(&rig.java, topic, name, "resume").begin();
        push.wait("received", count, PATIENCE);
        rig.stop(&rig.java, name, &push)
    };
    assert_eq!(round("resume-1", 10).len(), 10);
    assert_eq!(rig.committed(topic, "resume"), rig.max_offsets(topic), "a stopping consumer commits");

    rig.request("send", topic).arg("count", 10).arg("body", "late").run(PATIENCE);
    let again = round("resume-2", 10);
    assert_eq!(again.len(), 10);
    assert!(again.iter().all(|fact| fact.text("body").starts_with("late")), "{again:#?}");
}

#[test]
fn a_new_group_may_start_at_the_end() {
    let rig = rig();
    let topic = "FromLast";
    rig.request("send", topic).arg("count", 4).arg("body", "early").run(PATIENCE);
    // Once a group is known on the broker, its unknown queues start at the end instead of 0 for a young topic.
    let push = rig
        .request("push", topic)
        .arg("name", "from-last")
        .arg("group", "from-last")
        .arg("from", "last")
        .begin();
    push.wait("started", 1, PATIENCE);
    wait::until("the consumer to hold all queues", PATIENCE, || {
        rig.request("assigned", topic).arg("name", "from-last").run(PATIENCE).len() == 4
    });
    rig.request("send", topic).arg("count", 4).arg("body", "late").run(PATIENCE);
    wait::until("the late messages", PATIENCE, || {
        push.facts("received").iter().filter(|fact| fact.text("body").starts_with("late")).count() == 4
    });
    rig.stop(&rig.java, "from-last", &push);
}

#[test]
fn large_bodies_up_to_the_limit_pass_and_larger_are_refused_with_a_reason() {
    let rig = rig();
    let topic = "Large";
    let send = |size: usize| {
        let request =
            rig.request("send", topic).arg("size", size).arg("max-size", 32 << 20).arg("retries", 0);
        request.arg("compress-over", 64 << 20).arg("body", size).run(PATIENCE)
    };
    let mut sent = Vec::new();
    for size in [1 << 20, 4 << 20] {
        sent.extend(all_sent(&send(size), 1));
    }
    for size in [(4 << 20) + 1, 8 << 20] {
        let refused = of_kind(&send(size), "error");
        assert_eq!(refused.len(), 1, "a body of {size} bytes");
        assert_eq!(refused[0].number("code"), 13, "MESSAGE_ILLEGAL for {size} bytes: {refused:?}");
    }
    let received = rig.consume(topic, 2);
    assert_eq!(texts(&received, "crc"), texts(&sent, "crc"));
    assert_eq!(texts(&received, "length"), ["1048576", "4194304"]);
}

#[test]
fn compressed_bodies_arrive_as_they_were() {
    let rig = rig();
    let topic = "Compressed";
    let mut sent = Vec::new();
    // Bits 8 to 10 of the system flag name the compression; bit 0, which says that there is any, is cleared by the
    // client when it has undone it.
    for (kind, flag) in [("LZ4", 0x100), ("ZSTD", 0x200), ("ZLIB", 0x300)] {
        let request = rig.request("send", topic).arg("size", 50_000).arg("body", kind).arg("keys", flag);
        sent.extend(all_sent(&request.arg("compress-type", kind).run(PATIENCE), 1));
    }
    let received = rig.consume(topic, 3);
    assert_eq!(texts(&received, "crc"), texts(&sent, "crc"));
    for fact in received {
        assert_eq!(fact.text("sysFlag"), fact.text("p.KEYS"), "{fact:?}");
        assert_eq!(fact.number("length"), 50_000);
    }
}

#[test]
fn the_binary_header_encoding_serves_as_well() {
    let rig = rig();
    let topic = "Binary";
    let sent = rig.request_to(&rig.binary, "send", topic).arg("count", 10).arg("keys", "bin-#").run(PATIENCE);
    let sent = all_sent(&sent, 10);
    let push =
        rig.request_to(&rig.binary, "push", topic).arg("name", "binary").arg("group", "binary").begin();
    let received = push.wait("received", 10, PATIENCE);
    rig.binary.request("stop").arg("name", "binary").run(PATIENCE);
    push.end(PATIENCE);
    assert_eq!(texts(&received, "msgId"), texts(&sent, "msgId"));
    let found = wait::value("a message by key", PATIENCE, || {
        let query = rig.request_to(&rig.binary, "query", topic).arg("key", "bin-3").begin();
        wait::until("an answer", PATIENCE, || {
            !(query.facts(".ok").is_empty() && query.facts(".fail").is_empty())
        });
        query.facts("message").pop()
    });
    assert_eq!(found.text("body"), "hello-3");
}

#[test]
fn two_consumers_share_the_queues_and_one_takes_over_from_the_other() {
    let rig = rig();
    let topic = "Rebalance";
    rig.request("send", topic).arg("queues", 4).arg("count", 4).run(PATIENCE);
    let assigned = |java: &Java, name: &str| -> BTreeSet<i64> {
        let facts = rig.request_to(java, "assigned", topic).arg("name", name).run(PATIENCE);
        facts.iter().map(|fact| fact.number("queue")).collect()
    };
    let all: BTreeSet<i64> = (0..4).collect();

    let first = rig.push(&rig.java, topic, "first", "rebalance").begin();
    first.wait("started", 1, PATIENCE);
    wait::equal("the lone consumer to hold all queues", &all, PATIENCE, || assigned(&rig.java, "first"));

    // The broker tells the first consumer of the second (code 40): far sooner than the 20 s of its own timer.
    let second =
        rig.request_to(&rig.binary, "push", topic).arg("name", "second").arg("group", "rebalance").begin();
    second.wait("started", 1, PATIENCE);
    let joined = std::time::Instant::now();
    wait::until("each to hold two queues, none both", PATIENCE, || {
        let (one, two) = (assigned(&rig.java, "first"), assigned(&rig.binary, "second"));
        one.len() == 2 && two.len() == 2 && one.is_disjoint(&two)
    });
    eprintln!("joined {:?}", joined.elapsed());
    assert!(joined.elapsed().as_secs() < 15, "took {:?}: was the change notified?", joined.elapsed());

    let sent = rig.request("send", topic).arg("count", 40).arg("body", "shared").run(PATIENCE);
    let sent = all_sent(&sent, 40);
    let shared = |push: &Ongoing<'_>| -> Vec<Fact> {
        let received = push.facts("received");
        received.into_iter().filter(|fact| fact.text("body").starts_with("shared")).collect()
    };
    wait::until("all messages at either consumer", PATIENCE, || {
        shared(&first).len() + shared(&second).len() >= 40
    });
    let (one, two) = (shared(&first), shared(&second));
    assert!(!one.is_empty() && !two.is_empty());
    let both: Vec<Fact> = one.into_iter().chain(two).collect();
    assert_eq!(texts(&both, "msgId"), texts(&sent, "msgId"), "each message once");

    rig.stop(&rig.binary, "second", &second);
    let left = std::time::Instant::now();
    wait::equal("the first consumer to take over", &all, PATIENCE, || assigned(&rig.java, "first"));
    eprintln!("left {:?}", left.elapsed());
    assert!(left.elapsed().as_secs() < 15, "took {:?}: was the change notified?", left.elapsed());
    rig.stop(&rig.java, "first", &first);
}
