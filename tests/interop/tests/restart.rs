//! Official clients that stay while the servers under test go and come back.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use rmq_interop::{Fact, Java, Ongoing, PATIENCE, Request, of_kind, texts};
use rmq_testkit::{Broker, Cluster, Flavor, NameServer, wait};

fn java() -> &'static Java {
    static JAVA: OnceLock<Java> = OnceLock::new();
    JAVA.get_or_init(|| Java::start(&["-Drocketmq.client.rebalance.waitInterval=2000"]))
}

/// A cluster whose broker looks for its name server every 10 s, the least that Java allows.
fn cluster() -> Cluster {
    let flavor = Flavor::under_test();
    let mut cluster = Cluster::of(NameServer::start_new(flavor));
    let namesrv = cluster.namesrv().addr();
    cluster.add(Broker::new(flavor, &namesrv).set("registerNameServerPeriod", 10_000));
    cluster
}

fn request(cluster: &Cluster, command: &str, topic: &str) -> Request<'static> {
    java().request(command).arg("namesrv", cluster.namesrv().addr()).arg("topic", topic)
}

/// Sends through a producer that lives as long as the test, and returns the ids of what was acknowledged.
fn send(cluster: &Cluster, topic: &str, body: &str, count: usize) -> BTreeSet<String> {
    let request = request(cluster, "send", topic).arg("keep", topic).arg("body", body);
    let sent = of_kind(&request.arg("count", count).run(PATIENCE), "sent");
    sent.iter().map(|fact| fact.text("msgId").to_owned()).collect()
}

fn ids(facts: &[Fact]) -> BTreeSet<String> {
    texts(facts, "msgId").into_iter().map(str::to_owned).collect()
}

fn stop(push: &Ongoing<'_>, name: &str) -> Vec<Fact> {
    java().request("stop").arg("name", name).run(PATIENCE);
    of_kind(&push.end(PATIENCE), "received")
}

/// A producer and a consumer that stay connected, and a group whose consumer left, meet the broker again.
#[track_caller]
fn survives(topic: &str, down: impl Fn(&mut Broker)) {
    let mut cluster = cluster();
    let mut sent = send(&cluster, topic, "before", 40);
    let group = |name: &str| format!("{topic}-{name}");
    let consumer = |name: &str| {
        request(&cluster, "push", topic).arg("name", group(name)).arg("group", group(name)).begin()
    };

    let gone = consumer("gone");
    gone.wait("received", 40, PATIENCE);
    stop(&gone, &group("gone"));
    let stays = consumer("stays");
    stays.wait("received", 40, PATIENCE);

    down(cluster.broker_mut());
    cluster.broker_mut().start();
    cluster.await_registered(0);
    sent.extend(wait::value("the producer to find the broker again", PATIENCE, || {
        let ids = send(&cluster, topic, "probe", 1);
        (!ids.is_empty()).then_some(ids)
    }));
    sent.extend(send(&cluster, topic, "after", 39));
    assert!(sent.len() >= 80);

    wait::until("the waiting consumer to have everything", PATIENCE, || {
        ids(&stays.facts("received")).is_superset(&sent)
    });
    stop(&stays, &group("stays"));

    let back =
        request(&cluster, "push", topic).arg("name", group("back")).arg("group", group("gone")).begin();
    wait::until("the late messages at the group that was away", PATIENCE, || {
        let received = back.facts("received");
        received.iter().filter(|fact| fact.text("body").starts_with("after")).count() >= 39
    });
    let received = stop(&back, &group("back"));
    let again: Vec<_> = received.iter().filter(|fact| fact.text("body").starts_with("before")).collect();
    assert!(again.is_empty(), "the group's offsets went back: {again:#?}");

    // Nothing that was acknowledged is lost, for a group that reads from the start.
    let fresh = request(&cluster, "push", topic).arg("name", group("new")).arg("group", group("new")).begin();
    wait::until("everything at a new group", PATIENCE, || ids(&fresh.facts("received")).is_superset(&sent));
    stop(&fresh, &group("new"));
    java().request("close-producer").arg("name", topic).run(PATIENCE);
}

#[test]
fn a_broker_comes_back_after_sigterm() {
    survives("Restarted", |broker| {
        broker.stop();
    });
}

#[test]
fn a_broker_comes_back_after_kill_9() {
    survives("Killed", |broker| {
        // Java writes consumer offsets every 5 s; the group's must have reached the file.
        let file = broker.store_dir().join("config/consumerOffset.json");
        wait::until("the group's offsets on disk", PATIENCE, || {
            std::fs::read_to_string(&file).is_ok_and(|text| text.contains("Killed@Killed-gone"))
        });
        broker.kill();
    });
}

#[test]
fn a_name_server_may_be_away_for_a_while() {
    let mut cluster = cluster();
    let topic = "NamesrvGone";
    assert_eq!(send(&cluster, topic, "before", 4).len(), 4);
    let push = request(&cluster, "push", topic).arg("name", topic).arg("group", topic).begin();
    push.wait("received", 4, PATIENCE);

    cluster.namesrv_mut().kill();
    assert_eq!(send(&cluster, topic, "without", 4).len(), 4, "connected clients keep working");
    push.wait("received", 8, PATIENCE);

    cluster.namesrv_mut().start();
    cluster.await_registered(0);
    assert_eq!(send(&cluster, topic, "after", 4).len(), 4);
    push.wait("received", 12, PATIENCE);
    let late = request(&cluster, "send", "NewTopic").arg("count", 4).run(PATIENCE);
    assert_eq!(of_kind(&late, "sent").len(), 4, "new topics work again: {late:#?}");
    stop(&push, topic);
    java().request("close-producer").arg("name", topic).run(PATIENCE);
}
