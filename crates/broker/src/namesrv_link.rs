//! How the name servers learn of this broker: a persistent connection to each, and one task each.
//!
//! A task registers everything at start, each period, and when its connection was lost; between, it tells only the
//! topics that changed. A name server that is down or slow delays no other one. Java registers with all of them from
//! one timer, and notices a restarted name server only at the next period.

mod statement;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rmq_proto::body::{DataVersion, KvTable};
use rmq_proto::code::{RequestCode, ResponseCode};
use rmq_proto::command::Command;
use rmq_proto::fastjson;
use rmq_proto::header::register::{BrokerIdentity, DataVersionAnswer, RegisterBroker, RegisterBrokerAnswer};
use rmq_remoting::Client;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::config::{Addresses, BrokerConfig, LiveConfig};
use crate::limits::ANNOUNCE_WAIT;
use crate::meta::topics::{News, Topics};
use statement::{Manner, Statement};

/// First wait after a failure; doubled with each up to the register period.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// All name servers together get this long to hear that the broker goes.
const GOODBYE_WAIT: Duration = Duration::from_millis(500);

/// Where a slave's master is, as a name server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// `host:port` of the master.
    pub address: String,
    /// `host:port` of its replication port.
    pub ha_address: String,
}

/// The connections to all name servers.
#[derive(Debug)]
pub struct NamesrvLinks {
    shared: Arc<Shared>,
    tasks: Mutex<BTreeMap<String, JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<LiveConfig>,
    addresses: Arc<Addresses>,
    topics: Arc<Topics>,
    client: Client,
    /// By address, what each name server knows. Taken while nothing else is.
    states: Mutex<BTreeMap<String, State>>,
    master: Mutex<Option<Master>>,
    /// The registration of all topics, as it was encoded last.
    whole: tokio::sync::Mutex<Option<((DataVersion, Manner), Statement)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    tried: bool,
    up: bool,
    /// Number of the last change of the topics that it knows.
    told: u64,
}

impl NamesrvLinks {
    /// No connection yet.
    pub fn new(
        config: Arc<LiveConfig>,
        addresses: Arc<Addresses>,
        topics: Arc<Topics>,
        client: Client,
    ) -> Self {
        let (states, master, whole) = Default::default();
        let shared = Shared { config, addresses, topics, client, states, master, whole };
        Self { shared: Arc::new(shared), tasks: Mutex::default() }
    }

    /// Connects to the name servers that the configuration lists now, and lets go of others.
    pub fn follow_config(&self) {
        let wanted = name_servers(&self.shared.config.get());
        let mut tasks = self.tasks.lock();
        tasks.retain(|address, task| {
            let keep = wanted.contains(address);
            if !keep {
                task.abort();
                self.shared.forget(address);
            }
            keep
        });
        for address in wanted {
            tasks.entry(address.clone()).or_insert_with(|| {
                self.shared.states.lock().insert(address.clone(), State::default());
                tokio::spawn(self.shared.clone().serve(address))
            });
        }
    }

    /// Waits until each name server was tried once, a moment at most.
    pub async fn first_round(&self) {
        let all_tried = async {
            while self.shared.states.lock().values().any(|state| !state.tried) {
                sleep(Duration::from_millis(2)).await;
            }
        };
        // A name server that does not answer must not keep the broker from serving.
        let _ = timeout(ANNOUNCE_WAIT, all_tried).await;
    }

    /// Where the master of this slave is, if a name server knows it.
    pub fn master(&self) -> Option<Master> {
        self.shared.master.lock().clone()
    }

    /// Says goodbye to all name servers.
    pub async fn close(&self) {
        for task in std::mem::take(&mut *self.tasks.lock()).into_values() {
            task.abort();
        }
        let up: Vec<_> = self
            .shared
            .states
            .lock()
            .iter()
            .filter(|(_, state)| state.up)
            .map(|(address, _)| address.clone())
            .collect();
        let goodbyes = futures::future::join_all(up.iter().map(|address| self.shared.unregister(address)));
        let _ = timeout(GOODBYE_WAIT, goodbyes).await;
        self.shared.client.shutdown();
    }
}

fn name_servers(config: &BrokerConfig) -> Vec<String> {
    let mut found: Vec<_> = config
        .namesrv_addr
        .split(';')
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Java: registerNameServerPeriod, kept within 10 and 60 seconds.
fn period(config: &BrokerConfig) -> Duration {
    Duration::from_millis(config.register_name_server_period.clamp(10_000, 60_000) as u64)
}

impl Shared {
    /// The life of one connection.
    async fn serve(self: Arc<Self>, address: String) {
        let mut changes = self.topics.changes();
        let mut retry = FIRST_RETRY;
        let mut everything = true;
        loop {
            let reached = self.tell(&address, everything).await;
            let period = period(&self.config.get());
            let pause = if reached { period } else { retry };
            retry = if reached { FIRST_RETRY } else { (retry * 2).min(period) };
            let lost = async {
                match self.client.connected(&address).filter(|_| reached) {
                    Some(connection) => connection.closed().await,
                    None => std::future::pending().await,
                }
            };
            let pause = sleep(pause);
            tokio::pin!(pause, lost);
            everything = loop {
                tokio::select! {
                    () = &mut pause => break true,
                    () = &mut lost => {
                        self.lost(&address);
                        break true;
                    }
                    Ok(()) = changes.changed() => {
                        if reached {
                            break false;
                        }
                        // Creators of topics must not wait for a name server that is away.
                        self.report(&address, |_| {});
                    }
                }
            };
        }
    }

    /// Tells everything, or what is new; true if the name server took it.
    async fn tell(&self, address: &str, everything: bool) -> bool {
        let told = self.states.lock().get(address).map_or(0, |state| state.told);
        let news = self.topics.news_since(if everything { 0 } else { told });
        let done = match &news {
            News { names: Some(names), .. } if !everything => match names.is_empty() {
                true => Ok(()),
                false => match self.register_some(address, names).await {
                    // A name server that forgot this broker takes no single topic: it wants to know all.
                    Err(Failure::Refused(_)) => self.register_all(address).await,
                    done => done,
                },
            },
            _ => self.register_all(address).await,
        };
        match done {
            Ok(()) => self.reached(address, news.change),
            Err(failure) => self.failed(address, &failure),
        }
    }

    async fn register_all(&self, address: &str) -> Result<(), Failure> {
        let (version, statement) = self.whole().await?;
        if !self.config.get().force_register && !self.is_outdated(address, &version).await? {
            return Ok(());
        }
        self.register(address, statement).await
    }

    /// QUERY_DATA_VERSION: does the name server know less than this? It also counts as a sign of life.
    async fn is_outdated(&self, address: &str, version: &DataVersion) -> Result<bool, Failure> {
        let ask = Command::request(RequestCode::QUERY_DATA_VERSION)
            .with_header(&self.identity())
            .with_body(fastjson::to_vec(version).map_err(Failure::refused)?);
        let answer = self.invoke(address, ask).await?;
        Ok(answer.header::<DataVersionAnswer>().map_or(true, |answer| answer.changed))
    }

    async fn register_some(&self, address: &str, names: &BTreeSet<String>) -> Result<(), Failure> {
        let statement = Statement::of(self.topics.select(names), self.manner()).map_err(Failure::refused)?;
        self.register(address, statement).await
    }

    async fn register(&self, address: &str, statement: Statement) -> Result<(), Failure> {
        let answer = self.invoke(address, self.registration(statement)).await?;
        if let Ok(RegisterBrokerAnswer { master_addr: Some(master), ha_server_addr }) = answer.header() {
            *self.master.lock() =
                Some(Master { address: master, ha_address: ha_server_addr.unwrap_or_default() });
        }
        let body = answer.body.bytes();
        if !body.is_empty() {
            match fastjson::from_slice::<KvTable>(&body) {
                Ok(ordered) => self.topics.mark_ordered(ordered.table.keys()),
                Err(error) => warn!("name server {address} answered a table that can't be read: {error}"),
            }
        }
        Ok(())
    }

    /// All topics, encoded once per version of the table, whatever the number of name servers and periods.
    async fn whole(&self) -> Result<(DataVersion, Statement), Failure> {
        let mut known = self.whole.lock().await;
        let key = (self.topics.version(), self.manner());
        if let Some((of, statement)) = known.as_ref()
            && *of == key
        {
            return Ok((key.0, statement.clone()));
        }
        let (topics, manner) = (self.topics.clone(), key.1);
        let encode = move || {
            let snapshot = topics.snapshot();
            let version = snapshot.data_version;
            Statement::of(snapshot, manner).map(|statement| (version, statement))
        };
        let encoded = tokio::task::spawn_blocking(encode).await.map_err(Failure::refused)?;
        let (version, statement) = encoded.map_err(Failure::refused)?;
        *known = Some(((version, manner), statement.clone()));
        Ok((version, statement))
    }

    fn manner(&self) -> Manner {
        let config = self.config.get();
        Manner { permission: config.broker_permission, compressed: config.compressed_register }
    }

    fn registration(&self, statement: Statement) -> Command {
        let identity = self.identity();
        let header = RegisterBroker {
            broker_name: identity.broker_name,
            broker_addr: identity.broker_addr,
            cluster_name: identity.cluster_name,
            broker_id: identity.broker_id,
            ha_server_addr: self.addresses.ha.clone(),
            heartbeat_timeout_millis: None,
            enable_acting_master: Some(false),
            compressed: statement.compressed,
            body_crc32: Some(statement.crc),
        };
        Command::request(RequestCode::REGISTER_BROKER).with_header(&header).with_body(statement.bytes)
    }

    async fn unregister(&self, address: &str) {
        let ask = Command::request(RequestCode::UNREGISTER_BROKER).with_header(&self.identity());
        match self.invoke(address, ask).await {
            Ok(_) => info!("unregistered from name server {address}"),
            Err(failure) => warn!("name server {address} was not told that the broker stops: {failure}"),
        }
    }

    fn identity(&self) -> BrokerIdentity {
        let config = self.config.get();
        BrokerIdentity {
            broker_name: config.broker_name.clone(),
            broker_addr: self.addresses.client.clone(),
            cluster_name: config.broker_cluster_name.clone(),
            broker_id: config.broker_id,
        }
    }

    async fn invoke(&self, address: &str, ask: Command) -> Result<Command, Failure> {
        let wait = Duration::from_millis(self.config.get().register_broker_timeout_mills as u64);
        let answer = self
            .client
            .invoke(address, ask, wait)
            .await
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        match answer.response_code() {
            ResponseCode::SUCCESS => Ok(answer),
            code => Err(Failure::Refused(format!("{code} {}", answer.remark.unwrap_or_default()))),
        }
    }

    fn reached(&self, address: &str, change: u64) -> bool {
        let was_up = self.report(address, |state| {
            let told = state.told.max(change);
            *state = State { tried: true, up: true, told };
        });
        match was_up {
            false => info!("registered with name server {address} as {}", self.addresses.client),
            true => debug!("registered again with name server {address}"),
        }
        true
    }

    /// Says once that a name server went away, and not again with each vain try.
    fn failed(&self, address: &str, failure: &Failure) -> bool {
        let first_try = self.states.lock().get(address).is_none_or(|state| !state.tried);
        let was_up = self.report(address, |state| *state = State { tried: true, up: false, told: 0 });
        match first_try || was_up {
            true => warn!("not registered with name server {address}, trying again: {failure}"),
            false => debug!("still not registered with name server {address}: {failure}"),
        }
        false
    }

    fn lost(&self, address: &str) {
        self.report(address, |state| state.up = false);
        warn!("the connection to name server {address} was lost");
    }

    fn forget(&self, address: &str) {
        self.states.lock().remove(address);
        self.client.close(address);
        info!("name server {address} is no longer listed");
    }

    /// Changes what is known of a name server, and tells the topics how far all reachable ones are.
    /// Returns whether this one was reachable before.
    fn report(&self, address: &str, change: impl FnOnce(&mut State)) -> bool {
        let mut states = self.states.lock();
        let state = states.entry(address.to_owned()).or_default();
        let was_up = state.up;
        change(state);
        // One that was not tried yet is waited for.
        let awaited = states.values().filter(|state| state.up || !state.tried).map(|state| state.told).min();
        let known = awaited.unwrap_or_else(|| *self.topics.changes().borrow());
        drop(states);
        self.topics.announced(known);
        was_up
    }
}

/// Why a name server did not take a registration.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Unreachable(String),
    #[error("it answered {0}")]
    Refused(String),
}

impl Failure {
    fn refused(reason: impl ToString) -> Self {
        Self::Refused(reason.to_string())
    }
}

#[cfg(test)]
mod tests;
