//! The broker as a whole: owns all rooms, starts them in order and stops them in the opposite one. Nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rmq_remoting::{Client, ClientOptions, Limits, NoService, Server, ServerOptions};
use rmq_store::{Clock, DelayLevels, FlushMode, Store, StoreConfig};
use tracing::{error, info};

use crate::clients::consumers::Consumers;
use crate::clients::producers::Producers;
use crate::clients::queue_locks::QueueLocks;
use crate::config::{Addresses, BrokerConfig, ConfigError, ConfigFile, FlushDiskType, LiveConfig};
use crate::consume::ReadGate;
use crate::counters::Counters;
use crate::delay::levels::{Bells, Levels, LevelsParts};
use crate::dispatch::{Dispatch, Handlers};
use crate::error::BrokerError;
use crate::handler::client::ClientHandler;
use crate::handler::config::ConfigHandler;
use crate::handler::connection::ConnectionHandler;
use crate::handler::delay::DelayHandler;
use crate::handler::group::GroupHandler;
use crate::handler::lock::LockHandler;
use crate::handler::offset::OffsetHandler;
use crate::handler::progress::ProgressHandler;
use crate::handler::pull::PullHandler;
use crate::handler::query::QueryHandler;
use crate::handler::runtime::RuntimeHandler;
use crate::handler::send::SendHandler;
use crate::handler::topic::TopicHandler;
use crate::hold::pulls::Pulls;
use crate::jobs::{Jobs, Rooms};
use crate::limits::{MAX_PARKED_PULLS, MAX_PARKED_PULLS_PER_QUEUE};
use crate::meta::{Groups, Offsets, Saved, Topics, now_ms};
use crate::namesrv_link::NamesrvLinks;
use crate::produce::{WriteGate, WriteGateParts};
use crate::retry::Retry;

/// How long requests in flight may take once the broker was told to stop.
const DRAIN: Duration = Duration::from_millis(800);

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    addresses: Arc<Addresses>,
    server: Server,
    links: Arc<NamesrvLinks>,
    pulls: Arc<Pulls>,
    rooms: Rooms,
    jobs: Jobs,
}

impl Broker {
    /// Opens the store, listens, and registers. `config` must be complete (see [`crate::config::Environment`]);
    /// changes of it are written back to `file`. Call it inside a tokio runtime.
    pub async fn start(config: BrokerConfig, file: Option<ConfigFile>) -> Result<Self, BrokerError> {
        config.check()?;
        let addresses = Arc::new(Addresses::of(&config)?);
        let config = Arc::new(LiveConfig::new(config, file, now_ms()));
        let pulls = Arc::new(Pulls::new(MAX_PARKED_PULLS, MAX_PARKED_PULLS_PER_QUEUE));
        let delays = delay_levels(&config.get())?;
        let bells = Arc::new(Bells::new(&delays));
        let clock = Clock::default();
        // The store takes the lock on its directory: nothing there is touched before.
        let store = open_store(&config.get(), &delays, &clock, pulls.clone(), bells.clone()).await?;
        let opened = Opened { config, addresses, pulls, store: store.clone(), delays, bells, clock };
        let started = opened.start().await;
        if started.is_err() {
            // Or the next start would take it for the traces of a crash.
            store.close();
        }
        started
    }

    /// Where others find this broker.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Says goodbye to the name servers, finishes what is in flight, and closes the store.
    pub async fn stop(self) {
        self.links.close().await;
        self.rooms.levels.stop();
        // Held pulls would otherwise be waited for.
        self.pulls.wake_all();
        self.server.shutdown(DRAIN).await;
        drop(self.jobs);
        let rooms = self.rooms;
        if tokio::task::spawn_blocking(move || close(&rooms)).await.is_err() {
            error!("the broker was not closed cleanly");
        }
        info!("stopped");
    }
}

fn close(rooms: &Rooms) {
    rooms.store.close();
    let saved =
        [rooms.levels.save(), rooms.offsets.save_now(), rooms.topics.save_now(), rooms.groups.save_now()];
    for result in saved {
        if let Err(error) = result {
            error!("not saved: {error}");
        }
    }
}

/// What is there once the store is open.
struct Opened {
    config: Arc<LiveConfig>,
    addresses: Arc<Addresses>,
    pulls: Arc<Pulls>,
    store: Arc<Store>,
    delays: DelayLevels,
    bells: Arc<Bells>,
    clock: Clock,
}

impl Opened {
    async fn start(self) -> Result<Broker, BrokerError> {
        let (config, addresses, pulls) = (self.config.clone(), self.addresses.clone(), self.pulls.clone());
        let (rooms, gate) = self.rooms()?;
        let client = Client::new(client_options(&config.get()), Arc::new(NoService));
        let links =
            Arc::new(NamesrvLinks::new(config.clone(), addresses.clone(), rooms.topics.clone(), client));
        let handlers = handlers(&rooms, &addresses, &gate, &pulls, &links);
        let dispatch = Dispatch::new(handlers, rooms.producers.clone(), rooms.consumers.clone());
        let server = listen(&config.get(), Arc::new(dispatch)).await?;
        if !config.get().is_slave() {
            rooms.levels.start();
        }
        let jobs = Jobs::start(&rooms);
        links.follow_config();
        links.first_round().await;
        Ok(Broker { addresses, server, links, pulls, rooms, jobs })
    }

    fn rooms(self) -> Result<(Rooms, Arc<WriteGate>), BrokerError> {
        let Self { config, addresses, store, delays, bells, clock, .. } = self;
        let directory = PathBuf::from(&config.get().store_path_root_dir).join("config");
        let topics = Arc::new(Topics::open(&directory, config.clone())?);
        let groups = Arc::new(Groups::open(&directory, config.clone())?);
        let offsets = Arc::new(Offsets::open(&directory, config.clone())?);
        let counters = Arc::new(Counters::new(&config.get().broker_cluster_name));
        let queue_locks = Arc::new(QueueLocks::new());
        let gate = Arc::new(WriteGate::new(WriteGateParts {
            config: config.clone(),
            addresses,
            topics: topics.clone(),
            groups: groups.clone(),
            store: store.clone(),
            queue_locks: queue_locks.clone(),
            counters: counters.clone(),
        }));
        let parts = LevelsParts { gate: gate.clone(), store: store.clone(), delays, bells, clock };
        let levels = Arc::new(Levels::open(&directory, parts)?);
        let producers = Arc::new(Producers::new());
        let consumers = Arc::new(Consumers::new(config.clone()));
        let rooms = Rooms {
            config,
            topics,
            groups,
            offsets,
            producers,
            consumers,
            queue_locks,
            counters,
            levels,
            store,
        };
        Ok((rooms, gate))
    }
}

fn delay_levels(config: &BrokerConfig) -> Result<DelayLevels, BrokerError> {
    DelayLevels::parse(&config.message_delay_level).map_err(|error| {
        BrokerError::Config(ConfigError::Value {
            key: "messageDelayLevel".into(),
            value: config.message_delay_level.clone(),
            allowed: format!("a list as `1s 5s 1m 2h` ({error})"),
        })
    })
}

async fn open_store(
    config: &BrokerConfig,
    delays: &DelayLevels,
    clock: &Clock,
    pulls: Arc<Pulls>,
    bells: Arc<Bells>,
) -> Result<Arc<Store>, BrokerError> {
    let failed = |reason: String| BrokerError::Store { dir: config.store_path_root_dir.clone(), reason };
    let wanted = store_config(config, delays, clock);
    let open = move || {
        Store::open(
            wanted,
            Box::new(move |arrival| {
                pulls.arrived(arrival);
                bells.arrived(arrival);
            }),
        )
    };
    let opened = tokio::task::spawn_blocking(open).await.map_err(|error| failed(error.to_string()))?;
    opened.map_err(|error| failed(error.to_string()))
}

/// The table of the configuration has checked that no number is negative.
fn store_config(config: &BrokerConfig, delays: &DelayLevels, clock: &Clock) -> StoreConfig {
    StoreConfig {
        commit_log_dir: Some(PathBuf::from(&config.store_path_commit_log)),
        mapped_file_size_commit_log: config.mapped_file_size_commit_log as u64,
        mapped_file_size_consume_queue: config.mapped_file_size_consume_queue as u64,
        flush: match config.flush_disk_type {
            FlushDiskType::SyncFlush => FlushMode::Sync,
            FlushDiskType::AsyncFlush => {
                FlushMode::Async { interval_ms: config.flush_interval_commit_log as u64 }
            }
        },
        flush_least_pages: config.flush_commit_log_least_pages as u64,
        flush_thorough_interval_ms: config.flush_commit_log_thorough_interval as u64,
        queue_flush_interval_ms: config.flush_interval_consume_queue as u64,
        checkpoint_interval_ms: config.flush_consume_queue_thorough_interval as u64,
        max_message_size: config.max_message_size as usize,
        retention: config.retention(),
        index_enable: config.message_index_enable,
        index_slots: config.max_hash_slot_num as u32,
        index_entries: config.max_index_num as u32,
        query_max_records: config.max_msgs_num_batch as usize,
        check_crc_on_recover: config.check_crc_on_recover,
        append_whole_crc: config.enabled_append_prop_crc,
        check_whole_crc: config.force_verify_prop_crc,
        light_queues: config.enable_lmq && config.enable_multi_dispatch,
        max_read_bytes_in_memory: config.max_transfer_bytes_on_message_in_memory as usize,
        max_read_count_in_memory: config.max_transfer_count_on_message_in_memory as usize,
        max_read_bytes_on_disk: config.max_transfer_bytes_on_message_in_disk as usize,
        max_read_count_on_disk: config.max_transfer_count_on_message_in_disk as usize,
        memory_percent: config.access_message_in_memory_max_ratio as u8,
        max_filter_bytes: config.max_filter_message_size as usize,
        delay_levels: delays.clone(),
        clock: clock.clone(),
        ..StoreConfig::new(&config.store_path_root_dir)
    }
}

fn handlers(
    rooms: &Rooms,
    addresses: &Arc<Addresses>,
    gate: &Arc<WriteGate>,
    pulls: &Arc<Pulls>,
    links: &Arc<NamesrvLinks>,
) -> Handlers {
    let Rooms { config, topics, groups, offsets, producers, consumers, queue_locks, counters, levels, store } =
        rooms.clone();
    let read_gate = Arc::new(ReadGate {
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
        gate: gate.clone(),
        counters: counters.clone(),
    });
    Handlers {
        send: SendHandler::new(gate.clone(), retry),
        pull: PullHandler::new(read_gate, pulls.clone()),
        query: QueryHandler { config: config.clone(), store: store.clone() },
        offset: OffsetHandler {
            config: config.clone(),
            topics: topics.clone(),
            groups: groups.clone(),
            offsets: offsets.clone(),
            store: store.clone(),
        },
        client: ClientHandler {
            config: config.clone(),
            topics: topics.clone(),
            groups: groups.clone(),
            producers: producers.clone(),
            consumers: consumers.clone(),
        },
        lock: LockHandler { queue_locks },
        delay: DelayHandler { levels: levels.clone() },
        topic: TopicHandler {
            config: config.clone(),
            topics: topics.clone(),
            offsets: offsets.clone(),
            consumers: consumers.clone(),
            counters: counters.clone(),
            store: store.clone(),
        },
        group: GroupHandler {
            config: config.clone(),
            groups: groups.clone(),
            offsets: offsets.clone(),
            counters: counters.clone(),
        },
        config: ConfigHandler {
            config: config.clone(),
            topics: topics.clone(),
            namesrv_links: links.clone(),
            store: store.clone(),
        },
        runtime: RuntimeHandler {
            config: config.clone(),
            topics: topics.clone(),
            consumers: consumers.clone(),
            counters: counters.clone(),
            store: store.clone(),
            levels,
            started_ms: now_ms(),
        },
        progress: ProgressHandler {
            config: config.clone(),
            addresses: addresses.clone(),
            topics: topics.clone(),
            groups: groups.clone(),
            offsets,
            consumers: consumers.clone(),
            counters,
            store: store.clone(),
        },
        connection: ConnectionHandler { config, topics, groups, producers, consumers, store },
    }
}

fn client_options(config: &BrokerConfig) -> ClientOptions {
    let limits = Limits {
        connect_timeout: Duration::from_millis(config.connect_timeout_millis as u64),
        ..Limits::default()
    };
    ClientOptions { limits, ..ClientOptions::default() }
}

/// Listens on the main port and, for old clients, on the fast one two below it.
async fn listen(config: &BrokerConfig, dispatch: Arc<Dispatch>) -> Result<Server, BrokerError> {
    let port = config.listen_port as u16;
    let not_listening = |address: String, reason: String, key| BrokerError::Listen { address, reason, key };
    let mut found = tokio::net::lookup_host((config.bind_address.as_str(), port))
        .await
        .map_err(|error| not_listening(config.bind_address.clone(), error.to_string(), "bindAddress"))?;
    let main = found.next().ok_or_else(|| {
        not_listening(config.bind_address.clone(), "it has no address".into(), "bindAddress")
    })?;
    let fast = SocketAddr::new(main.ip(), port - 2);
    let limits = Limits {
        idle_timeout: Duration::from_secs(config.server_channel_max_idle_time_seconds as u64),
        ..Limits::default()
    };
    Server::bind(&[main, fast], ServerOptions { limits }, dispatch).map_err(|error| {
        let what =
            if error.addr == fast { "the port for old clients, two below listenPort" } else { "listenPort" };
        not_listening(format!("{} ({what})", error.addr), error.source.to_string(), "listenPort")
    })
}

#[cfg(test)]
mod tests;
