//! The official Go client v2, sending and consuming, against the servers under test.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use rmq_interop::{Fact, Go, PATIENCE, of_kind, texts};
use rmq_testkit::wire::Connection;
use rmq_testkit::{Cluster, Flavor, wait};

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Flavor::under_test()))
}

fn go(command: &str, topic: &str) -> Go {
    Go::command(command).arg("namesrv", cluster().namesrv().addr()).arg("topic", topic)
}

/// Waits until the name server knows a topic: a consumer that starts before looks again only after 30 s.
fn await_topic(topic: &str) {
    const GET_ROUTEINFO_BY_TOPIC: i32 = 105;
    let mut namesrv = Connection::open(&cluster().namesrv().addr());
    wait::until("the topic to be routed", PATIENCE, || {
        namesrv.call(GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], b"").code == 0
    });
}

#[track_caller]
fn consume(topic: &str, count: usize) -> Vec<Fact> {
    await_topic(topic);
    let received =
        of_kind(&go("push", topic).arg("group", topic).arg("expect", count).run(PATIENCE), "received");
    assert_eq!(received.len(), count);
    received
}

#[track_caller]
fn all_sent(facts: &[Fact], count: usize) -> Vec<Fact> {
    let sent = of_kind(facts, "sent");
    assert_eq!(sent.len(), count, "{facts:#?}");
    assert!(sent.iter().all(|fact| fact.text("status") == "SEND_OK"), "{sent:#?}");
    sent
}

#[test]
fn synchronous_sends_arrive_as_they_were_sent() {
    let sent = go("send", "GoSync").arg("count", 20).arg("keys", "k").arg("tags", "A").run(PATIENCE);
    let sent = all_sent(&sent, 20);
    let received = consume("GoSync", 20);
    assert_eq!(texts(&received, "msgId"), texts(&sent, "msgId"));
    assert_eq!(texts(&received, "offsetMsgId"), texts(&sent, "offsetMsgId"));
    for fact in &received {
        let i = fact.text("body").strip_prefix("hello-").unwrap();
        assert_eq!(fact.text("p.KEYS"), format!("k{i}"));
        assert_eq!(fact.text("p.TAGS"), "A");
        assert_eq!(fact.text("p.UNIQ_KEY"), fact.text("msgId"));
        assert_eq!(fact.text("storeHost"), cluster().broker().addr());
    }
}

#[test]
fn asynchronous_sends_are_all_answered() {
    let sent = go("send", "GoAsync").arg("mode", "async").arg("count", 200).run(PATIENCE);
    let sent = all_sent(&sent, 200);
    assert_eq!(texts(&consume("GoAsync", 200), "msgId"), texts(&sent, "msgId"));
}

#[test]
fn oneway_sends_arrive() {
    go("send", "GoOneway").arg("mode", "oneway").arg("count", 20).run(PATIENCE);
    let received = consume("GoOneway", 20);
    assert_eq!(texts(&received, "body").into_iter().collect::<BTreeSet<_>>().len(), 20);
}

#[test]
fn a_batch_is_many_messages_with_ids_of_their_own() {
    let sent = go("send", "GoBatch").arg("mode", "batch").arg("count", 10).arg("keys", "k").run(PATIENCE);
    all_sent(&sent, 1);
    let received = consume("GoBatch", 10);
    // The Go client gives the members of a batch no unique ids.
    for key in ["p.KEYS", "body", "offsetMsgId", "offset"] {
        let different: BTreeSet<_> = texts(&received, key).into_iter().collect();
        assert_eq!(different.len(), 10, "{key} of a batch: {different:?}");
    }
}

#[test]
fn compressed_bodies_arrive_as_they_were() {
    go("send", "GoLarge").arg("count", 3).arg("size", 100_000).run(PATIENCE);
    let received = consume("GoLarge", 3);
    assert_eq!(texts(&received, "length"), ["100000"; 3]);
}

#[test]
fn a_tag_filter_lets_only_its_tags_through_and_the_group_goes_on_where_it_stopped() {
    let topic = "GoTags";
    let round = || {
        go("send", topic).arg("count", 30).arg("tags", "TagA,TagB,TagC").run(PATIENCE);
        await_topic(topic);
        let push = go("push", topic).arg("group", topic).arg("filter", "TagA || TagC").arg("expect", 20);
        let received = of_kind(&push.run(PATIENCE), "received");
        assert!(received.iter().all(|fact| fact.text("p.TAGS") != "TagB"), "{received:#?}");
        texts(&received, "msgId").into_iter().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (first, second) = (round(), round());
    assert_eq!((first.len(), second.len()), (20, 20));
    assert!(first.is_disjoint(&second), "the second run got messages of the first again");
}

#[test]
fn orderly_consumption_keeps_the_order_of_each_queue() {
    let topic = "GoOrderly";
    go("send", topic).arg("count", 40).run(PATIENCE);
    await_topic(topic);
    let push = go("push", topic).arg("group", topic).arg("mode", "orderly").arg("expect", 40);
    let received = of_kind(&push.run(PATIENCE), "received");
    for queue in 0..4 {
        let of_queue: Vec<_> = received.iter().filter(|fact| fact.number("queue") == queue).collect();
        assert!(of_queue.iter().map(|fact| fact.number("offset")).is_sorted(), "{of_queue:#?}");
    }
}

#[test]
fn topics_are_created_listed_and_deleted() {
    let topic = "GoAdmin";
    let broker = cluster().broker().addr();
    let listed = || {
        let facts = go("topics", "").run(PATIENCE);
        facts.iter().any(|fact| fact.text("name") == topic)
    };
    go("create-topic", topic).arg("broker", &broker).run(PATIENCE);
    wait::until("the new topic to be listed", PATIENCE, listed);
    go("delete-topic", topic).arg("broker", &broker).run(PATIENCE);
    wait::until("the deleted topic to be gone", PATIENCE, || !listed());
}
