//! The messaging rooms over a real store in a temporary directory, for unit tests.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use rmq_proto::{body::TopicConfig, header::send::SendRequest, message::Message};
use rmq_remoting::Peer;
use rmq_store::{DelayLevels, FlushMode, NoFilter, ReadLimits, Store, StoreConfig};
use tempfile::TempDir;

use crate::{
    clients::{consumers::Consumers, queue_locks::QueueLocks},
    config::{Addresses, BrokerConfig, LiveConfig},
    consume::ReadGate,
    counters::Counters,
    delay::levels::{Bells, Levels, LevelsParts},
    hold::pulls::Pulls,
    meta::{Groups, Offsets, Topics},
    produce::{WriteGate, WriteGateParts},
    retry::Retry,
};

/// All rooms of the data path.
#[derive(Debug)]
pub(crate) struct Rooms {
    pub(crate) config: Arc<LiveConfig>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) offsets: Arc<Offsets>,
    pub(crate) consumers: Arc<Consumers>,
    pub(crate) queue_locks: Arc<QueueLocks>,
    pub(crate) store: Arc<Store>,
    pub(crate) pulls: Arc<Pulls>,
    pub(crate) write: Arc<WriteGate>,
    pub(crate) read: Arc<ReadGate>,
    pub(crate) retry: Arc<Retry>,
    pub(crate) levels: Arc<Levels>,
    pub(crate) directory: TempDir,
}

/// Java's defaults, without waiting for name servers.
pub(crate) fn config() -> BrokerConfig {
    BrokerConfig {
        broker_name: "broker-a".to_owned(),
        broker_ip1: "127.0.0.1".to_owned(),
        ..BrokerConfig::default()
    }
}

impl Rooms {
    /// Rooms with Java's defaults.
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    /// Rooms with a configuration.
    pub(crate) fn with(config: BrokerConfig) -> Self {
        Self::reopen(config, tempfile::tempdir().unwrap())
    }

    /// Rooms over what is in a directory.
    pub(crate) fn reopen(config: BrokerConfig, directory: TempDir) -> Self {
        let delays = DelayLevels::parse(&config.message_delay_level).unwrap();
        let config = Arc::new(LiveConfig::fixed(config));
        let addresses = Arc::new(Addresses::of(&config.get()).unwrap());
        let meta = directory.path().join("config");
        std::fs::create_dir_all(&meta).unwrap();
        let pulls = Arc::new(Pulls::new(100, 10));
        let bells = Arc::new(Bells::new(&delays));
        let store = store(directory.path(), &delays, &pulls, &bells);
        let topics = Arc::new(Topics::open(&meta, config.clone()).unwrap());
        let groups = Arc::new(Groups::open(&meta, config.clone()).unwrap());
        let offsets = Arc::new(Offsets::open(&meta, config.clone()).unwrap());
        let consumers = Arc::new(Consumers::new(config.clone()));
        let counters = Arc::new(Counters::new(&config.get().broker_cluster_name));
        let queue_locks = Arc::new(QueueLocks::new());
        let write = Arc::new(WriteGate::new(WriteGateParts {
            config: config.clone(),
            addresses: addresses.clone(),
            topics: topics.clone(),
            groups: groups.clone(),
            store: store.clone(),
            queue_locks: queue_locks.clone(),
            counters: counters.clone(),
        }));
        let read = Arc::new(ReadGate {
            config: config.clone(),
            topics: topics.clone(),
            groups: groups.clone(),
            offsets: offsets.clone(),
            consumers: consumers.clone(),
            store: store.clone(),
            counters: counters.clone(),
        });
        let retry = Arc::new(Retry {
            config: config.clone(),
            topics: topics.clone(),
            groups: groups.clone(),
            store: store.clone(),
            gate: write.clone(),
            counters,
        });
        let clock = rmq_store::Clock::default();
        let parts = LevelsParts { gate: write.clone(), store: store.clone(), delays, bells, clock };
        let levels = Arc::new(Levels::open(&meta, parts).unwrap());
        Self {
            config,
            topics,
            groups,
            offsets,
            consumers,
            queue_locks,
            store,
            pulls,
            write,
            read,
            retry,
            levels,
            directory,
        }
    }

    /// Adds a topic that may be read and written.
    pub(crate) fn topic(&self, name: &str, queues: i32) {
        self.topics.update(TopicConfig::new(name, queues, queues, 6)).unwrap();
    }

    /// All messages of a queue.
    pub(crate) fn messages(&self, topic: &str, queue_id: i32) -> Vec<Message> {
        let read = self.store.read(topic, queue_id, 0, ReadLimits::messages(100), &NoFilter);
        read.records.iter().map(|record| Message::decode(record).unwrap()).collect()
    }
}

fn store(directory: &Path, delays: &DelayLevels, pulls: &Arc<Pulls>, bells: &Arc<Bells>) -> Arc<Store> {
    let config = StoreConfig {
        mapped_file_size_commit_log: 16 * 1024 * 1024,
        mapped_file_size_consume_queue: 6_000,
        index_slots: 1_000,
        index_entries: 4_000,
        flush: FlushMode::Async { interval_ms: 10 },
        delay_levels: delays.clone(),
        ..StoreConfig::new(directory)
    };
    let (pulls, bells) = (pulls.clone(), bells.clone());
    let arrived = move |arrival: &rmq_store::Arrival<'_>| {
        pulls.arrived(arrival);
        bells.arrived(arrival);
    };
    Store::open(config, Box::new(arrived)).unwrap()
}

/// A client's connection without a socket.
pub(crate) fn peer() -> Arc<Peer> {
    Peer::unconnected(client_addr())
}

/// Where the test's client is.
pub(crate) fn client_addr() -> SocketAddr {
    static ADDR: OnceLock<SocketAddr> = OnceLock::new();
    *ADDR.get_or_init(|| SocketAddr::from(([10, 0, 0, 1], 50_000)))
}

/// A send as a Java producer makes it.
pub(crate) fn send_request(topic: &str, properties: &[(&str, &str)]) -> SendRequest {
    let properties: rmq_proto::message::Properties = properties.iter().copied().collect();
    SendRequest {
        producer_group: "producers".to_owned(),
        topic: topic.to_owned(),
        default_topic: "TBW102".to_owned(),
        default_topic_queue_nums: 4,
        born_timestamp: 1_700_000_000_000,
        properties: Some(properties.encode()),
        ..SendRequest::default()
    }
}
