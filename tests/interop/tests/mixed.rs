//! Our servers and the official ones in one cluster: both name servers know both brokers.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use rmq_interop::{Fact, Java, PATIENCE, bare_keys_quoted, of_kind, texts};
use rmq_testkit::wire::{Connection, Frame};
use rmq_testkit::{Broker, Flavor, NameServer, wait};
use serde_json::Value;

struct Rig {
    ours: NameServer,
    official: NameServer,
    /// Kept for their lives alone.
    _brokers: [Broker; 2],
    java: Java,
}

/// `broker-a` is ours, `broker-b` is Java's, and each registers at our name server and at Java's.
fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| {
        let ours = NameServer::start_new(Flavor::under_test());
        let official = NameServer::start_new(Flavor::Java);
        let both = format!("{};{}", ours.addr(), official.addr());
        let broker =
            |flavor: Flavor, name: &str| Broker::new(flavor, &both).set("brokerName", name).started();
        let brokers = [broker(Flavor::under_test(), "broker-a"), broker(Flavor::Java, "broker-b")];
        for namesrv in [&ours, &official] {
            wait::until("both brokers at each name server", PATIENCE, || {
                let info = Connection::open(&namesrv.addr()).call(GET_BROKER_CLUSTER_INFO, &[], b"");
                let info = String::from_utf8_lossy(&info.body).into_owned();
                brokers.iter().all(|broker| info.contains(&broker.addr()))
            });
        }
        Rig { ours, official, _brokers: brokers, java: Java::start(&[]) }
    })
}

const GET_ROUTEINFO_BY_TOPIC: i32 = 105;
const GET_BROKER_CLUSTER_INFO: i32 = 106;
const GET_ALL_TOPIC_LIST_FROM_NAMESERVER: i32 = 206;
const GET_TOPICS_BY_CLUSTER: i32 = 224;
const GET_SYSTEM_TOPIC_LIST_FROM_NS: i32 = 304;

impl Rig {
    /// A topic on both brokers, created by the official tool.
    fn create(&self, topic: &str) {
        let addr = self.ours.addr();
        let output = self.java.mqadmin(&[
            "updateTopic",
            "-n",
            &addr,
            "-c",
            "DefaultCluster",
            "-t",
            topic,
            "-r",
            "4",
            "-w",
            "4",
        ]);
        assert!(output.contains("success"), "{output}");
        for namesrv in [&self.ours, &self.official] {
            wait::until("the topic on both brokers", PATIENCE, || {
                let route =
                    Connection::open(&namesrv.addr()).call(GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], b"");
                let route = String::from_utf8_lossy(&route.body).into_owned();
                route.contains("broker-a") && route.contains("broker-b")
            });
        }
    }

    /// Both name servers' answers to one request.
    fn ask_both(&self, code: i32, ext: &[(&str, &str)]) -> [Frame; 2] {
        [&self.ours, &self.official].map(|namesrv| Connection::open(&namesrv.addr()).call(code, ext, b""))
    }

    fn send(&self, namesrv: &str, topic: &str, count: usize) -> Vec<Fact> {
        let request =
            self.java.request("send").arg("namesrv", namesrv).arg("topic", topic).arg("count", count);
        let facts = request.run(PATIENCE);
        assert!(of_kind(&facts, "error").is_empty(), "{facts:#?}");
        let sent = of_kind(&facts, "sent");
        assert!(sent.iter().all(|fact| fact.text("status") == "SEND_OK"), "{sent:#?}");
        sent
    }

    fn consume(&self, namesrv: &str, topic: &str, group: &str, count: usize) -> Vec<Fact> {
        let request = self.java.request("push").arg("namesrv", namesrv).arg("topic", topic);
        let push = request.arg("name", group).arg("group", group).begin();
        push.wait("received", count, PATIENCE);
        self.java.request("stop").arg("name", group).run(PATIENCE);
        of_kind(&push.end(PATIENCE), "received")
    }
}

/// An answer's JSON with object members and list items in a fixed order: both servers keep them in hash maps.
fn sorted(frame: &Frame) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(Value::to_string);
            }
            Value::Object(members) => members.values_mut().for_each(sort),
            _ => {}
        }
    }
    let text = String::from_utf8(frame.body.clone()).expect("JSON is UTF-8");
    let mut value =
        serde_json::from_str(&bare_keys_quoted(&text)).unwrap_or_else(|e| panic!("{e} in {text}"));
    sort(&mut value);
    // The list of system topics comes with the address of any broker.
    if let Some(list) = value.as_object_mut().filter(|list| list.contains_key("topicList")) {
        list.remove("brokerAddr");
    }
    value
}

#[test]
fn both_name_servers_give_the_same_answers() {
    let rig = rig();
    let topic = "SameAnswers";
    rig.create(topic);
    let standard = [("topic", topic), ("acceptStandardJsonOnly", "true")];
    let cluster = [("cluster", "DefaultCluster")];
    let requests: [(i32, &[(&str, &str)]); 7] = [
        (GET_ROUTEINFO_BY_TOPIC, &standard[..1]),
        (GET_ROUTEINFO_BY_TOPIC, &standard),
        (GET_ROUTEINFO_BY_TOPIC, &[("topic", "TBW102")]),
        (GET_BROKER_CLUSTER_INFO, &[]),
        (GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[]),
        (GET_TOPICS_BY_CLUSTER, &cluster),
        (GET_SYSTEM_TOPIC_LIST_FROM_NS, &[]),
    ];
    for (code, ext) in requests {
        // A topic of a test beside this one may have arrived at one name server only: ask until they agree.
        wait::value(&format!("equal answers to {code} {ext:?}"), PATIENCE, || {
            let [ours, official] = rig.ask_both(code, ext);
            assert_eq!((ours.code, official.code), (0, 0), "{ours:?}\n{official:?}");
            let (ours_sorted, official_sorted) = (sorted(&ours), sorted(&official));
            if ours_sorted != official_sorted {
                eprintln!("request {code} {ext:?}\n  ours: {ours_sorted}\n  java: {official_sorted}");
            }
            let bare = |frame: &Frame| String::from_utf8_lossy(&frame.body).contains("{0:");
            assert_eq!(bare(&ours), bare(&official), "bare integer keys of {code} {ext:?}");
            (ours_sorted == official_sorted).then_some(())
        });
    }
}

#[test]
fn both_name_servers_refuse_alike() {
    let rig = rig();
    let requests: [(i32, &[(&str, &str)]); 4] = [
        (GET_ROUTEINFO_BY_TOPIC, &[("topic", "NoSuchTopic")]),
        // GET_KV_CONFIG without such a key.
        (101, &[("namespace", "none"), ("key", "none")]),
        // WIPE_WRITE_PERM_OF_BROKER of nobody.
        (205, &[("brokerName", "nobody")]),
        (9999, &[]),
    ];
    for (code, ext) in requests {
        let [ours, official] = rig.ask_both(code, ext);
        assert_eq!(ours.code, official.code, "request {code}: {ours:?}\n{official:?}");
        assert_eq!(ours.remark, official.remark, "request {code}");
        assert_eq!(ours.ext, official.ext, "request {code}");
    }
}

/// The official client, introduced by one name server, sends to both brokers and consumes from both.
#[track_caller]
fn clients_reach_both_brokers(namesrv: &NameServer, topic: &str) {
    let rig = rig();
    rig.create(topic);
    let sent = rig.send(&namesrv.addr(), topic, 64);
    assert_eq!(sent.len(), 64);
    let brokers: BTreeSet<_> = texts(&sent, "broker").into_iter().collect();
    assert_eq!(brokers, BTreeSet::from(["broker-a", "broker-b"]));

    let received = rig.consume(&namesrv.addr(), topic, topic, 64);
    assert_eq!(texts(&received, "offsetMsgId"), texts(&sent, "offsetMsgId"));
    assert_eq!(texts(&received, "msgId"), texts(&sent, "msgId"));
}

#[test]
fn clients_of_our_name_server_reach_both_brokers() {
    clients_reach_both_brokers(&rig().ours, "ThroughOurs");
}

#[test]
fn clients_of_the_official_name_server_reach_both_brokers() {
    clients_reach_both_brokers(&rig().official, "ThroughJava");
}

#[test]
fn topics_are_auto_created_through_either_name_server() {
    let rig = rig();
    for (namesrv, topic) in [(&rig.ours, "AutoOurs"), (&rig.official, "AutoJava")] {
        let sent = rig.send(&namesrv.addr(), topic, 32);
        assert_eq!(sent.len(), 32);
        // A consumer would find the queues of a broker that has told the name server already, and later the others.
        let brokers: BTreeSet<_> = texts(&sent, "broker").into_iter().collect();
        wait::until("the brokers in the route", PATIENCE, || {
            let route =
                Connection::open(&namesrv.addr()).call(GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], b"");
            let route = String::from_utf8_lossy(&route.body).into_owned();
            brokers.iter().all(|broker| route.contains(broker))
        });
        let received = rig.consume(&namesrv.addr(), topic, topic, 32);
        assert_eq!(texts(&received, "msgId"), texts(&sent, "msgId"));
    }
}
