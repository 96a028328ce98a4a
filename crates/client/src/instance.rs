//! What the producers and consumers of one client id share: connections, routes and heartbeats.
//!
//! Producers and consumers make an instance of their own unless they are given one. Sharing one saves
//! connections; the groups in it must differ.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::{Mutex, RwLock};
use rmq_proto::{command::Command, message::UniqueIds, topic};
use rmq_remoting::{Client, ClientOptions};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::task::JoinHandle;

use crate::{
    callback::Callback,
    error::{Error, Result},
    exchange,
    heartbeat::{self, Member},
    name_servers::NameServers,
    route::Route,
};

/// How an instance is set up.
#[derive(Debug, Clone)]
pub struct InstanceOptions {
    /// `host:port` of each name server.
    pub name_servers: Vec<String>,
    /// Tells instances on one machine apart. By default made of the process id and the time.
    pub instance_name: Option<String>,
    /// The address that names this machine in client ids and message ids. By default found out.
    pub client_ip: Option<IpAddr>,
    /// Longest wait for an answer to anything but a send or a pull, milliseconds.
    pub request_timeout_ms: u64,
    /// Time between two heartbeats to every broker, milliseconds. Brokers forget a client after 120 s.
    pub heartbeat_interval_ms: u64,
    /// Time between two looks at every used topic's route, milliseconds.
    pub route_refresh_ms: u64,
}

impl InstanceOptions {
    /// Name servers separated by `;`, for example `10.0.0.1:9876;10.0.0.2:9876`.
    pub fn new(name_servers: &str) -> Self {
        let name_servers =
            name_servers.split([';', ',']).map(str::trim).filter(|address| !address.is_empty());
        Self {
            name_servers: name_servers.map(str::to_owned).collect(),
            instance_name: None,
            client_ip: None,
            request_timeout_ms: 3_000,
            heartbeat_interval_ms: 30_000,
            route_refresh_ms: 30_000,
        }
    }

    /// Takes the name servers from the environment variable `NAMESRV_ADDR`.
    pub fn from_env() -> Result<Self> {
        match std::env::var("NAMESRV_ADDR") {
            Ok(name_servers) if !name_servers.trim().is_empty() => Ok(Self::new(&name_servers)),
            _ => Err(Error::NoNameServer),
        }
    }
}

/// A client as brokers see it: one client id, one connection to each server.
#[derive(Clone, Debug)]
pub struct Instance(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    options: InstanceOptions,
    client_id: String,
    unique_ids: UniqueIds,
    remoting: Client,
    name_servers: NameServers,
    routes: RwLock<HashMap<String, Arc<Route>>>,
    brokers: RwLock<HashMap<String, BTreeMap<i64, String>>>,
    /// Only one task asks for a route that is not known yet; the others wait for what it finds.
    asking: AsyncMutex<()>,
    pub(crate) members: Mutex<Members>,
    /// Wakes the heartbeat early: a new broker is known, or a connection was lost.
    pub(crate) beat: Arc<Notify>,
    background: Mutex<Option<JoinHandle<()>>>,
}

/// The groups that run in an instance.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) producers: Vec<String>,
    pub(crate) consumers: BTreeMap<String, Weak<dyn Member>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(task) = self.background.get_mut().take() {
            task.abort();
        }
        self.remoting.shutdown();
    }
}

impl Instance {
    /// Makes an instance; nothing is connected until it is needed.
    pub fn new(options: InstanceOptions) -> Result<Self> {
        if options.name_servers.is_empty() {
            return Err(Error::NoNameServer);
        }
        Ok(Self::without_check(options))
    }

    /// Makes an instance that may have no name servers: enough to ask a broker whose address is known.
    pub(crate) fn without_check(options: InstanceOptions) -> Self {
        let timeout = Duration::from_millis(options.request_timeout_ms);
        let start = random() as usize >> 1;
        let name_servers = NameServers::new(options.name_servers.clone(), start, timeout);
        let ip = options.client_ip.unwrap_or_else(own_ip);
        let name = options.instance_name.clone().unwrap_or_else(unique_instance_name);
        let shared = Arc::new_cyclic(|shared| Shared {
            client_id: format!("{ip}@{name}"),
            unique_ids: UniqueIds::new(ip, std::process::id(), random() as u32),
            remoting: Client::new(ClientOptions::default(), Arc::new(Callback::new(shared.clone()))),
            name_servers,
            routes: RwLock::default(),
            brokers: RwLock::default(),
            asking: AsyncMutex::default(),
            members: Mutex::default(),
            beat: Arc::default(),
            background: Mutex::default(),
            options,
        });
        Self(shared)
    }

    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// The id under which brokers list this client.
    pub fn client_id(&self) -> &str {
        &self.0.client_id
    }

    /// Its settings.
    pub fn options(&self) -> &InstanceOptions {
        &self.0.options
    }

    /// A new message id.
    pub(crate) fn unique_id(&self) -> String {
        self.0.unique_ids.next(now_ms()).to_string()
    }

    pub(crate) fn name_servers(&self) -> &NameServers {
        &self.0.name_servers
    }

    pub(crate) fn remoting(&self) -> &Client {
        &self.0.remoting
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.0.options.request_timeout_ms)
    }

    /// Asks a server and expects success.
    pub(crate) async fn invoke(&self, address: &str, request: Command) -> Result<Command> {
        exchange::invoke(&self.0.remoting, address, request, self.request_timeout()).await
    }

    /// The route of an existing topic, asked for once and then kept fresh.
    pub async fn route(&self, topic: &str) -> Result<Arc<Route>> {
        if let Some(route) = self.known_route(topic)
            && !route.provisional
        {
            return Ok(route);
        }
        let _alone = self.0.asking.lock().await;
        match self.known_route(topic) {
            Some(route) if !route.provisional => Ok(route),
            _ => self.refresh_route(topic).await?.ok_or_else(|| self.no_route(topic)),
        }
    }

    /// The route for sending: that of the topic, or what brokers will create it like.
    pub(crate) async fn publish_route(&self, topic: &str) -> Result<Arc<Route>> {
        if let Some(route) = self.known_route(topic) {
            return Ok(route);
        }
        let _alone = self.0.asking.lock().await;
        if let Some(route) = self.known_route(topic) {
            return Ok(route);
        }
        if let Some(route) = self.refresh_route(topic).await? {
            return Ok(route);
        }
        let template = self.0.name_servers.route(&self.0.remoting, topic::system::AUTO_CREATE).await?;
        let template = template.ok_or_else(|| self.no_route(topic))?;
        Ok(self.learn(topic, Route::provisional(topic, template)))
    }

    /// Asks the name server for a route now. A topic that is unknown there keeps the route that we have.
    pub(crate) async fn refresh_route(&self, topic: &str) -> Result<Option<Arc<Route>>> {
        let Some(data) = self.0.name_servers.route(&self.0.remoting, topic).await? else {
            return Ok(None);
        };
        Ok(Some(self.learn(topic, Route::new(topic, data))))
    }

    pub(crate) fn known_route(&self, topic: &str) -> Option<Arc<Route>> {
        self.0.routes.read().get(topic).cloned()
    }

    pub(crate) fn known_topics(&self) -> Vec<String> {
        self.0.routes.read().keys().cloned().collect()
    }

    /// Brokers that no route names any more are forgotten.
    fn learn(&self, topic: &str, route: Route) -> Arc<Route> {
        let mut routes = self.0.routes.write();
        if let Some(known) = routes.get(topic)
            && **known == route
        {
            return known.clone();
        }
        let route = Arc::new(route);
        routes.insert(topic.to_owned(), route.clone());
        let mut brokers = HashMap::new();
        for (name, addresses) in routes.values().flat_map(|route| route.brokers()) {
            brokers.entry(name.to_owned()).or_insert_with(|| addresses.clone());
        }
        for (name, addresses) in route.brokers() {
            brokers.insert(name.to_owned(), addresses.clone());
        }
        let mut known = self.0.brokers.write();
        if *known != brokers {
            *known = brokers;
            self.0.beat.notify_one();
        }
        route
    }

    fn no_route(&self, topic: &str) -> Error {
        Error::NoRoute { topic: topic.to_owned(), name_servers: self.0.name_servers.list() }
    }

    /// The address of a broker's master.
    pub fn master_of(&self, broker: &str) -> Result<String> {
        let brokers = self.0.brokers.read();
        let master = brokers.get(broker).and_then(|addresses| addresses.get(&0));
        master.cloned().ok_or_else(|| Error::NoBroker { broker: broker.to_owned(), wanted: "master" })
    }

    /// The address to read from: that of the broker id if it is known, else any. Returns the id with it.
    pub(crate) fn reader_of(&self, broker: &str, id: i64) -> Result<(String, i64)> {
        let brokers = self.0.brokers.read();
        let addresses = brokers.get(broker);
        let found = addresses.and_then(|all| all.get_key_value(&id).or_else(|| all.iter().next()));
        let (id, address) =
            found.ok_or_else(|| Error::NoBroker { broker: broker.to_owned(), wanted: "address" })?;
        Ok((address.clone(), *id))
    }

    /// All known addresses as (broker name, broker id, address).
    pub(crate) fn known_brokers(&self) -> Vec<(String, i64, String)> {
        let brokers = self.0.brokers.read();
        let flat = brokers
            .iter()
            .flat_map(|(name, all)| all.iter().map(|(id, address)| (name.clone(), *id, address.clone())));
        flat.collect()
    }

    pub(crate) fn join_producer(&self, group: &str) -> Result<()> {
        let mut members = self.0.members.lock();
        if members.producers.iter().any(|known| known == group) {
            return Err(Error::GroupInUse { group: group.to_owned(), kind: "producer" });
        }
        members.producers.push(group.to_owned());
        drop(members);
        self.keep_alive();
        Ok(())
    }

    pub(crate) fn join_consumer(&self, group: &str, member: Weak<dyn Member>) -> Result<()> {
        let mut members = self.0.members.lock();
        if members.consumers.contains_key(group) {
            return Err(Error::GroupInUse { group: group.to_owned(), kind: "consumer" });
        }
        members.consumers.insert(group.to_owned(), member);
        drop(members);
        self.keep_alive();
        Ok(())
    }

    /// Tells every broker that a producer group leaves.
    pub(crate) async fn leave_producer(&self, group: &str) {
        self.0.members.lock().producers.retain(|known| known != group);
        heartbeat::unregister(self, Some(group), None).await;
    }

    /// Tells every broker that a consumer group leaves.
    pub(crate) async fn leave_consumer(&self, group: &str) {
        self.0.members.lock().consumers.remove(group);
        heartbeat::unregister(self, None, Some(group)).await;
    }

    /// Forgets a consumer group without telling anyone.
    pub(crate) fn drop_consumer(&self, group: &str) {
        self.0.members.lock().consumers.remove(group);
    }

    /// Starts the heartbeats and route refreshes, which an instance without groups does not need.
    fn keep_alive(&self) {
        let mut background = self.0.background.lock();
        if background.is_none() {
            *background =
                Some(tokio::spawn(heartbeat::keep_alive(Arc::downgrade(&self.0), self.0.beat.clone())));
        }
        self.0.beat.notify_one();
    }

    /// Closes all connections. Shut the producers and consumers down first: they still have things to say.
    pub fn shutdown(&self) {
        if let Some(task) = self.0.background.lock().take() {
            task.abort();
        }
        self.0.remoting.shutdown();
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// A number that differs between calls and processes.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(now_ms())
}

/// Java's default: process id and a time in nanoseconds. Two instances of one process must differ, hence the counter.
fn unique_instance_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{}#{}", std::process::id(), nanos + u128::from(COUNTER.fetch_add(1, Ordering::Relaxed)))
}

/// The address from which this machine would reach others. Connecting a UDP socket sends nothing.
fn own_ip() -> IpAddr {
    let outside = SocketAddr::from(([192, 0, 2, 1], 9));
    UdpSocket::bind(("0.0.0.0", 0))
        .and_then(|socket| socket.connect(outside).and_then(|()| socket.local_addr()))
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_separated_by_semicolons() {
        let options = InstanceOptions::new(" a:1; b:2;;");
        assert_eq!(options.name_servers, ["a:1", "b:2"]);
    }

    #[test]
    fn an_instance_needs_a_name_server() {
        assert!(matches!(Instance::new(InstanceOptions::new("")), Err(Error::NoNameServer)));
    }

    #[tokio::test]
    async fn client_ids_differ() {
        let one = Instance::new(InstanceOptions::new("a:1")).unwrap();
        let two = Instance::new(InstanceOptions::new("a:1")).unwrap();
        assert_ne!(one.client_id(), two.client_id());
    }

    #[tokio::test]
    async fn a_group_joins_once() {
        let instance = Instance::new(InstanceOptions::new("a:1")).unwrap();
        instance.join_producer("g").unwrap();
        assert!(matches!(instance.join_producer("g"), Err(Error::GroupInUse { .. })));
    }
}
