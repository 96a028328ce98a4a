use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;

use rmq_proto::body::{BrokerRegistration, TopicConfig, registration};
use rmq_proto::header::Header;
use rmq_proto::topic::perm;
use rmq_remoting::{ClientOptions, NoService, Peer, Server, ServerOptions, Service};

use super::*;

/// A name server that notes what it is told.
#[derive(Debug, Default)]
struct Recorder {
    asked: Mutex<Vec<Command>>,
    refuses_single_topics: bool,
    orders: Vec<String>,
}

impl Service for Recorder {
    async fn call(&self, _peer: &Arc<Peer>, request: Command) -> Option<Command> {
        let single =
            request.request_code() == RequestCode::REGISTER_BROKER && registered(&request).len() == 1;
        self.asked.lock().push(request);
        if single && self.refuses_single_topics {
            return Some(Command::failure(ResponseCode::SYSTEM_ERROR, "register broker failed"));
        }
        let mut answer = Command::success();
        answer.ext.insert("masterAddr", "10.0.0.9:10911");
        answer.ext.insert("haServerAddr", "10.0.0.9:10912");
        if !self.orders.is_empty() {
            let table = self.orders.iter().map(|topic| (topic.clone(), "a:1".into())).collect();
            answer = answer.with_body(fastjson::to_vec(&KvTable { table }).unwrap());
        }
        Some(answer)
    }
}

impl Recorder {
    fn start(self: &Arc<Self>, at: SocketAddr) -> Server {
        Server::bind(&[at], ServerOptions::default(), self.clone()).unwrap()
    }

    fn codes(&self) -> Vec<RequestCode> {
        self.asked.lock().iter().map(Command::request_code).collect()
    }

    fn last(&self) -> Command {
        self.asked.lock().last().cloned().unwrap()
    }

    async fn asked(&self, times: usize) {
        until(|| self.asked.lock().len() >= times).await;
    }
}

fn registered(request: &Command) -> BTreeMap<String, TopicConfig> {
    let header: RegisterBroker = request.header().unwrap();
    let body = request.body.bytes();
    assert_eq!(header.body_crc32, Some(registration::body_crc32(&body)));
    let body = BrokerRegistration::decode(&body, header.compressed, request.version).unwrap();
    body.topic_config_serialize_wrapper.topic_config_table
}

async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("the condition never came true");
}

fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

struct Room {
    _dir: tempfile::TempDir,
    config: Arc<LiveConfig>,
    topics: Arc<Topics>,
    links: NamesrvLinks,
}

fn room(name_servers: &[SocketAddr], change: impl FnOnce(&mut BrokerConfig)) -> Room {
    let dir = tempfile::tempdir().unwrap();
    let namesrv_addr = name_servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
    let mut config = BrokerConfig {
        broker_name: "broker-a".into(),
        broker_ip1: "10.0.0.1".into(),
        broker_ip2: "10.0.0.1".into(),
        namesrv_addr,
        ..BrokerConfig::default()
    };
    change(&mut config);
    let addresses = Arc::new(Addresses::of(&config).unwrap());
    let config = Arc::new(LiveConfig::fixed(config));
    let topics = open_topics(dir.path(), &config);
    let client = Client::new(ClientOptions::default(), Arc::new(NoService));
    let links = NamesrvLinks::new(config.clone(), addresses, topics.clone(), client);
    links.follow_config();
    Room { _dir: dir, config, topics, links }
}

fn open_topics(dir: &Path, config: &Arc<LiveConfig>) -> Arc<Topics> {
    Arc::new(Topics::open(dir, config.clone()).unwrap())
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.expect("it took too long")
}

#[tokio::test]
async fn everything_is_told_to_all_and_only_changes_later() {
    let recorders = [Arc::new(Recorder::default()), Arc::new(Recorder::default())];
    let servers = [recorders[0].start(anywhere()), recorders[1].start(anywhere())];
    let room = room(&[servers[0].local_addr(), servers[1].local_addr()], |_| {});
    soon(room.links.first_round()).await;
    for recorder in &recorders {
        let first = recorder.last();
        let header: RegisterBroker = first.header().unwrap();
        assert_eq!(
            (header.broker_addr.as_str(), header.ha_server_addr.as_str()),
            ("10.0.0.1:10911", "10.0.0.1:10912")
        );
        assert_eq!(registered(&first).len(), room.topics.len());
    }
    room.topics.update(TopicConfig::new("orders", 1, 1, 6)).unwrap();
    soon(room.topics.settle()).await;
    for recorder in &recorders {
        assert_eq!(registered(&recorder.last()).into_keys().collect::<Vec<_>>(), ["orders"]);
    }
    let master = Master { address: "10.0.0.9:10911".into(), ha_address: "10.0.0.9:10912".into() };
    assert_eq!(room.links.master(), Some(master));
    soon(room.links.close()).await;
    for recorder in &recorders {
        let bye = recorder.last();
        assert_eq!(bye.request_code(), RequestCode::UNREGISTER_BROKER);
        assert_eq!(BrokerIdentity::decode(&bye.ext).unwrap().broker_name, "broker-a");
    }
}

#[tokio::test]
async fn one_that_is_away_delays_nobody_and_is_found_when_it_comes() {
    let recorders = [Arc::new(Recorder::default()), Arc::new(Recorder::default())];
    let here = recorders[0].start(anywhere());
    // A port that nobody listens on any more.
    let away = recorders[1].start(anywhere());
    let address = away.local_addr();
    drop(away);
    let room = room(&[here.local_addr(), address], |_| {});
    soon(room.links.first_round()).await;
    room.topics.update(TopicConfig::new("orders", 1, 1, 6)).unwrap();
    let began = std::time::Instant::now();
    soon(room.topics.settle()).await;
    assert!(began.elapsed() < ANNOUNCE_WAIT, "a creator waited for a name server that is away");
    assert_eq!(registered(&recorders[0].last()).len(), 1);

    let _back = recorders[1].start(address);
    recorders[1].asked(1).await;
    assert!(registered(&recorders[1].last()).contains_key("orders"));
}

#[tokio::test]
async fn a_name_server_that_restarted_is_told_everything_at_once() {
    let recorder = Arc::new(Recorder::default());
    let server = recorder.start(anywhere());
    let address = server.local_addr();
    let room = room(&[address], |_| {});
    soon(room.links.first_round()).await;
    server.shutdown(Duration::ZERO).await;
    drop(server);
    let _again = recorder.start(address);
    recorder.asked(2).await;
    assert_eq!(registered(&recorder.last()).len(), room.topics.len());
}

#[tokio::test]
async fn a_name_server_that_forgot_us_gets_the_whole_after_refusing_a_part() {
    let recorder = Arc::new(Recorder { refuses_single_topics: true, ..Recorder::default() });
    let server = recorder.start(anywhere());
    let room = room(&[server.local_addr()], |_| {});
    soon(room.links.first_round()).await;
    room.topics.update(TopicConfig::new("orders", 1, 1, 6)).unwrap();
    soon(room.topics.settle()).await;
    assert_eq!(recorder.codes(), [RequestCode::REGISTER_BROKER; 3]);
    assert_eq!(registered(&recorder.last()).len(), room.topics.len());
}

#[tokio::test]
async fn without_force_the_version_is_asked_first() {
    let recorder = Arc::new(Recorder::default());
    let server = recorder.start(anywhere());
    let room = room(&[server.local_addr()], |config| config.force_register = false);
    soon(room.links.first_round()).await;
    // The recorder does not say whether anything changed: then it is told.
    assert_eq!(recorder.codes(), [RequestCode::QUERY_DATA_VERSION, RequestCode::REGISTER_BROKER]);
}

#[tokio::test]
async fn the_brokers_permission_and_compression_are_heeded() {
    let recorder = Arc::new(Recorder { orders: vec!["orders".into()], ..Recorder::default() });
    let server = recorder.start(anywhere());
    let room = room(&[server.local_addr()], |config| {
        config.broker_permission = perm::READ;
        config.compressed_register = true;
    });
    room.topics.update(TopicConfig::new("orders", 1, 1, 6)).unwrap();
    soon(room.links.first_round()).await;
    let first = recorder.last();
    assert!(first.header::<RegisterBroker>().unwrap().compressed);
    let told = registered(&first);
    assert_eq!((told["TBW102"].perm, told["rmq_sys_SYNC_BROKER_MEMBER_broker-a"].perm), (perm::READ, 0));
    assert!(room.topics.is_order("orders"), "the answer's list marks ordered topics");
    assert_eq!(room.topics.get("orders").unwrap().perm, 6, "only what is told is masked");
}

#[tokio::test]
async fn a_changed_list_is_followed() {
    let recorders = [Arc::new(Recorder::default()), Arc::new(Recorder::default())];
    let servers = [recorders[0].start(anywhere()), recorders[1].start(anywhere())];
    let room = room(&[servers[0].local_addr()], |_| {});
    soon(room.links.first_round()).await;
    let mut change = rmq_proto::properties_file::Properties::default();
    change.set("namesrvAddr", servers[1].local_addr().to_string());
    room.config.update(&change, 1).unwrap();
    room.links.follow_config();
    recorders[1].asked(1).await;
    until(|| servers[0].connections() == 0).await;
    room.topics.update(TopicConfig::new("orders", 1, 1, 6)).unwrap();
    soon(room.topics.settle()).await;
    assert_eq!((recorders[0].asked.lock().len(), recorders[1].asked.lock().len()), (1, 2));
}
