//! What brokers and clients see over a socket, in bytes that were compared with Java's name server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rmq_namesrv::{Config, Namesrv};
use rmq_proto::body::{BrokerRegistration, DataVersion, TopicConfig, TopicConfigs, body_crc32};
use rmq_proto::code::{RequestCode, ResponseCode};
use rmq_proto::command::Command;
use rmq_proto::header::register::{BrokerIdentity, MinBrokerIdChange, RegisterBroker, RegisterBrokerAnswer};
use rmq_remoting::{Client, ClientOptions, NoService, Peer, Server, ServerOptions, Service};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    namesrv: Namesrv,
    _home: tempfile::TempDir,
}

impl Rig {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut config = Config::at_home(Path::new(home.path()));
        config.bind_address = "127.0.0.1".into();
        config.listen_port = 0;
        change(&mut config);
        Self { namesrv: Namesrv::start(config).await.unwrap(), _home: home }
    }

    /// A connection of its own.
    fn connect(&self) -> Connection {
        let client = Client::new(ClientOptions::default(), Arc::new(NoService));
        Connection { client, addr: self.namesrv.local_addr().to_string() }
    }
}

struct Connection {
    client: Client,
    addr: String,
}

impl Connection {
    async fn call(&self, request: Command) -> Command {
        self.client.invoke(&self.addr, request, PATIENCE).await.unwrap()
    }

    async fn ask(&self, code: RequestCode, ext: &[(&str, &str)]) -> Command {
        let mut request = Command::request(code);
        ext.iter().for_each(|(key, value)| request.ext.insert(key, value));
        self.call(request).await
    }

    async fn body(&self, code: RequestCode, ext: &[(&str, &str)]) -> String {
        let answer = self.ask(code, ext).await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{answer:?}");
        String::from_utf8(answer.body.bytes().to_vec()).unwrap()
    }

    async fn route(&self, topic: &str, version: i32) -> Command {
        let mut request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC);
        request.version = version;
        request.ext.insert("topic", topic);
        self.call(request).await
    }

    async fn register(&self, broker: &Broker) -> Command {
        self.call(broker.registration()).await
    }

    fn close(&self) {
        self.client.shutdown();
    }
}

#[derive(Clone)]
struct Broker {
    header: RegisterBroker,
    topics: Vec<String>,
    counter: i64,
}

fn broker(name: &str, id: i64, addr: &str) -> Broker {
    let header = RegisterBroker {
        broker_name: name.into(),
        broker_addr: addr.into(),
        cluster_name: "C1".into(),
        ha_server_addr: "10.0.0.9:10912".into(),
        broker_id: id,
        ..RegisterBroker::default()
    };
    Broker { header, topics: vec!["TBW102".into(), "T1".into()], counter: 1 }
}

impl Broker {
    fn registration(&self) -> Command {
        let table =
            self.topics.iter().map(|topic| (topic.clone(), TopicConfig::new(topic, 4, 4, 6))).collect();
        let data_version = DataVersion { counter: self.counter, state_version: 0, timestamp: 1 };
        let topics = TopicConfigs { topic_config_table: table, data_version, ..TopicConfigs::default() };
        let body = BrokerRegistration { topic_config_serialize_wrapper: topics, ..Default::default() };
        let bytes = body.encode(self.header.compressed).unwrap();
        let mut header = self.header.clone();
        header.body_crc32.get_or_insert_with(|| body_crc32(&bytes));
        Command::request(RequestCode::REGISTER_BROKER).with_header(&header).with_body(bytes)
    }
}

/// Asks until the answer is as wanted: brokers that lost their connection go soon, not at once.
async fn until(connection: &Connection, topic: &str, wanted: ResponseCode) {
    let ask = async {
        while connection.route(topic, 513).await.response_code() != wanted {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ask).await.expect("the route never became as wanted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_registers_and_its_topics_have_routes() {
    let rig = Rig::start(|_| ()).await;
    let (asker, its) = (rig.connect(), rig.connect());
    let unknown = asker.route("T1", 513).await;
    assert_eq!(unknown.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    assert_eq!(
        unknown.remark.as_deref(),
        Some(
            "No topic route info in name server for the topic: T1\n\
             See https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
        )
    );
    for compressed in [false, true] {
        let mut broker = broker("brokerA", 0, "10.0.0.1:10911");
        broker.header.compressed = compressed;
        let answer = its.register(&broker).await;
        assert_eq!((answer.response_code(), answer.remark), (ResponseCode::SUCCESS, None));
        let queues = r#""queueDatas":[{"brokerName":"brokerA","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#;
        for (version, key) in [(513, "\"0\""), (401, "\"0\""), (400, "0")] {
            let body = asker.route("T1", version).await.body.bytes();
            let wanted = format!(
                r#"{{"brokerDatas":[{{"brokerAddrs":{{{key}:"10.0.0.1:10911"}},"brokerName":"brokerA","cluster":"C1","enableActingMaster":false}}],"filterServerTable":{{}},{queues}"#
            );
            assert_eq!(String::from_utf8_lossy(&body), wanted, "version {version}");
        }
    }
    assert_eq!(
        asker.body(RequestCode::GET_BROKER_CLUSTER_INFO, &[]).await,
        r#"{"brokerAddrTable":{"brokerA":{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"brokerA","cluster":"C1","enableActingMaster":false}},"clusterAddrTable":{"C1":["brokerA"]}}"#
    );
    assert_eq!(
        asker.body(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[]).await,
        r#"{"topicList":["T1","TBW102"]}"#
    );
    assert_eq!(
        asker.body(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS, &[]).await,
        r#"{"brokerAddr":"10.0.0.1:10911","topicList":["C1","brokerA"]}"#
    );
    let group = [("clusterName", "C1"), ("brokerName", "brokerA")];
    assert_eq!(
        asker.body(RequestCode::GET_BROKER_MEMBER_GROUP, &group).await,
        r#"{"brokerMemberGroup":{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"brokerA","cluster":"C1"}}"#
    );
    rig.namesrv.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_registration_is_said() {
    let rig = Rig::start(|_| ()).await;
    let connection = rig.connect();
    let good = broker("brokerA", 0, "10.0.0.1:10911");
    let mut damaged = good.clone();
    damaged.header.body_crc32 = Some(12345);
    let mut lone = good.clone();
    lone.topics.truncate(1);
    let garbled = good.registration().with_body("{xx".to_owned());
    let mut unchecked = garbled;
    unchecked.ext.remove("bodyCrc32");
    let mut nameless = good.registration();
    nameless.ext.remove("brokerId");
    for (request, remark) in [
        (damaged.registration(), "crc32 not match"),
        (lone.registration(), "register broker failed"),
        (unchecked, "Failed to decode RegisterBrokerBody"),
        (nameless, "brokerId"),
    ] {
        let answer = connection.call(request).await;
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
        assert!(answer.remark.as_deref().unwrap_or_default().contains(remark), "{answer:?}");
    }
    let empty = connection.body(RequestCode::GET_BROKER_CLUSTER_INFO, &[]).await;
    assert_eq!(empty, r#"{"brokerAddrTable":{},"clusterAddrTable":{}}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_goes_with_its_connection() {
    let rig = Rig::start(|_| ()).await;
    let (asker, first, second) = (rig.connect(), rig.connect(), rig.connect());
    let broker = broker("brokerA", 0, "10.0.0.1:10911");
    first.register(&broker).await;
    first.close();
    until(&asker, "T1", ResponseCode::TOPIC_NOT_EXIST).await;

    let first = rig.connect();
    first.register(&broker).await;
    second.register(&broker).await;
    first.close();
    let other = rig.connect();
    other.register(&self::broker("brokerB", 0, "10.0.0.2:10911")).await;
    other.close();
    let members = || asker.body(RequestCode::GET_BROKER_CLUSTER_INFO, &[]);
    timeout(PATIENCE, async { while members().await.contains("brokerB") {} }).await.unwrap();
    assert!(members().await.contains("brokerA"), "it had come back on another connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_broker_is_removed_and_its_connection_closed() {
    let rig = Rig::start(|config| config.scan_not_active_broker_interval = 100).await;
    let (asker, its) = (rig.connect(), rig.connect());
    let mut broker = broker("brokerA", 0, "10.0.0.1:10911");
    broker.header.heartbeat_timeout_millis = Some(300);
    its.register(&broker).await;
    let peer = its.client.connected(&its.addr).unwrap();
    timeout(PATIENCE, peer.closed()).await.expect("the connection was left open");
    until(&asker, "T1", ResponseCode::TOPIC_NOT_EXIST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_asks_whether_its_topics_are_known_and_unregisters() {
    let rig = Rig::start(|_| ()).await;
    let connection = rig.connect();
    let broker = broker("brokerA", 0, "10.0.0.1:10911");
    let identity = BrokerIdentity {
        broker_name: "brokerA".into(),
        broker_addr: "10.0.0.1:10911".into(),
        cluster_name: "C1".into(),
        broker_id: 0,
    };
    let query = |version: &str| {
        Command::request(RequestCode::QUERY_DATA_VERSION).with_header(&identity).with_body(version.to_owned())
    };
    let known = r#"{"counter":1,"stateVersion":0,"timestamp":1}"#;
    for (registered, version, changed, body) in [
        (false, known, "true", ""),
        (true, known, "false", known),
        (true, r#"{"counter":2,"stateVersion":0,"timestamp":1}"#, "true", known),
        (true, "", "true", known),
    ] {
        if registered {
            connection.register(&broker).await;
        }
        let answer = connection.call(query(version)).await;
        assert_eq!(answer.ext.get("changed"), Some(changed));
        assert_eq!(answer.body.bytes(), body);
    }
    let unregister = Command::request(RequestCode::UNREGISTER_BROKER).with_header(&identity);
    assert_eq!(connection.call(unregister).await.response_code(), ResponseCode::SUCCESS);
    assert_eq!(connection.route("T1", 513).await.response_code(), ResponseCode::TOPIC_NOT_EXIST);
}

#[tokio::test(flavor = "multi_thread")]
async fn ordered_topics_are_told_to_brokers_and_clients() {
    let rig = Rig::start(|config| config.order_message_enable = true).await;
    let connection = rig.connect();
    let order = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T1"), ("value", "brokerA:4")];
    connection.ask(RequestCode::PUT_KV_CONFIG, &order).await;
    let answer = connection.register(&broker("brokerA", 0, "10.0.0.1:10911")).await;
    assert_eq!(answer.body.bytes(), r#"{"table":{"T1":"brokerA:4"}}"#);
    let body = connection.route("T1", 513).await.body.bytes();
    assert!(String::from_utf8_lossy(&body).contains(r#""orderTopicConf":"brokerA:4","#));
    let missing = connection.ask(RequestCode::GET_KV_CONFIG, &[("namespace", "NS"), ("key", "k")]).await;
    assert_eq!(missing.response_code(), ResponseCode::QUERY_NOT_FOUND);
    assert_eq!(missing.remark.as_deref(), Some("No config item, Namespace: NS Key: k"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_sees_its_own_brokers_and_those_without_master() {
    let rig = Rig::start(|_| ()).await;
    let connection = rig.connect();
    for (name, id, zone, acting) in [("a", 0, "z1", None), ("b", 0, "z2", None), ("c", 1, "z2", Some(true))] {
        let mut broker = broker(name, id, &format!("10.0.0.1:{name}"));
        broker.header.enable_acting_master = acting;
        let mut registration = broker.registration();
        registration.ext.insert("__ZONE_NAME", zone);
        connection.call(registration).await;
    }
    let ask = |mode: &'static str, zone: &'static str| {
        let ext = [("topic", "T1"), ("__ZONE_MODE", mode), ("__ZONE_NAME", zone)];
        let connection = &connection;
        async move { connection.body(RequestCode::GET_ROUTEINFO_BY_TOPIC, &ext).await }
    };
    let mine = ask("true", "Z1").await;
    assert!(mine.contains(r#"{0:"10.0.0.1:a"}"#) && !mine.contains("10.0.0.1:b"), "{mine}");
    assert!(mine.contains(r#"{1:"10.0.0.1:c"}"#) && !mine.contains(r#""brokerName":"b""#), "{mine}");
    let all = ask("false", "z1").await;
    assert!(all.contains(r#"{"0":"10.0.0.1:b"}"#), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_can_be_switched_off_while_running() {
    let rig = Rig::start(|_| ()).await;
    let connection = rig.connect();
    let update = Command::request(RequestCode::UPDATE_NAMESRV_CONFIG)
        .with_body("enableTopicList=false\nenableAllTopicList=false\n".to_owned());
    assert_eq!(connection.call(update).await.response_code(), ResponseCode::SUCCESS);
    for code in [
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
        RequestCode::GET_TOPICS_BY_CLUSTER,
        RequestCode::GET_UNIT_TOPIC_LIST,
    ] {
        let answer = connection.ask(code, &[("cluster", "C1")]).await;
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
        assert_eq!(answer.remark.as_deref(), Some("disable"));
    }
    let shown = connection.body(RequestCode::GET_NAMESRV_CONFIG, &[]).await;
    assert!(shown.contains("\nenableTopicList=false\n"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_wait_after_the_start_if_so_configured() {
    let rig = Rig::start(|config| {
        config.need_wait_for_service = true;
        config.wait_seconds_for_service = 1;
    })
    .await;
    let connection = rig.connect();
    let early = connection.route("T1", 513).await;
    assert_eq!(early.remark.as_deref(), Some("name server not ready"));
    until(&connection, "T1", ResponseCode::TOPIC_NOT_EXIST).await;
}

/// A broker's own port, where notices arrive.
struct Notices(mpsc::UnboundedSender<Command>);

impl Service for Notices {
    async fn call(&self, _peer: &Arc<Peer>, request: Command) -> Option<Command> {
        let _ = self.0.send(request);
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_told_who_is_first() {
    let rig = Rig::start(|config| config.notify_min_broker_id_changed = true).await;
    let (sender, mut notices) = mpsc::unbounded_channel();
    let any_port = ([127, 0, 0, 1], 0).into();
    let slave_port = Server::bind(&[any_port], ServerOptions::default(), Arc::new(Notices(sender))).unwrap();
    let slave_addr = slave_port.local_addr().to_string();
    let member = |id, addr: &str| {
        let mut broker = broker("brokerA", id, addr);
        broker.header.enable_acting_master = Some(true);
        broker
    };
    let (slave, master) = (rig.connect(), rig.connect());
    slave.register(&member(1, &slave_addr)).await;
    let answer = master.register(&member(0, "127.0.0.1:1")).await;
    assert_eq!(answer.header(), Ok(RegisterBrokerAnswer::default()));

    let mut next = async || -> MinBrokerIdChange {
        let notice = timeout(PATIENCE, notices.recv()).await.unwrap().unwrap();
        assert_eq!(notice.request_code(), RequestCode::NOTIFY_MIN_BROKER_ID_CHANGE);
        assert!(notice.is_oneway());
        notice.header().unwrap()
    };
    let came = MinBrokerIdChange {
        min_broker_id: Some(0),
        min_broker_addr: Some("127.0.0.1:1".into()),
        ha_broker_addr: Some("10.0.0.9:10912".into()),
        ..MinBrokerIdChange::default()
    };
    assert_eq!(next().await, came);
    master.close();
    let went = MinBrokerIdChange {
        min_broker_id: Some(1),
        min_broker_addr: Some(slave_addr),
        offline_broker_addr: Some("127.0.0.1:1".into()),
        ..MinBrokerIdChange::default()
    };
    assert_eq!(next().await, went);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_topics_fit_into_one_registration() {
    let rig = Rig::start(|_| ()).await;
    let connection = rig.connect();
    let mut broker = broker("brokerA", 0, "10.0.0.1:10911");
    broker.header.compressed = true;
    broker.topics = (0..100_000).map(|n| format!("some-topic-with-a-usual-name-{n:06}")).collect();
    let answer = connection.register(&broker).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{answer:?}");
    let route = connection.route(&broker.topics[99_999], 513).await;
    assert_eq!(route.response_code(), ResponseCode::SUCCESS);
}
