//! Who serves which topic: every table of the name server, without clock, lock, or socket.
//!
//! Brokers tell their topics in registrations; clients ask for the route of a topic. Nothing here is
//! kept on disk: brokers register again within 30 seconds, so a lost table fills itself.
//!
//! This file holds what changes the tables; [`view`] holds what reads them.

mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rmq_proto::body::{BrokerData, DataVersion, QueueData, TopicConfig, TopicConfigs, TopicQueueMappingInfo};
use rmq_proto::header::register::BrokerIdentity;
use rmq_proto::topic::perm;
use tracing::{debug, info, warn};

pub(crate) use view::UnitTopics;

/// The id of a master; slaves count from 1.
const MASTER_ID: i64 = 0;

/// Silence after which a broker counts as gone, unless its registration names another time.
pub(crate) const DEFAULT_HEARTBEAT_TIMEOUT_MS: i64 = 120_000;

/// All that the name server knows about brokers and topics.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    topics: HashMap<String, Topic>,
    brokers: BTreeMap<String, BrokerData>,
    clusters: BTreeMap<String, BTreeSet<String>>,
    live: HashMap<BrokerKey, Live>,
}

/// A topic's queues, sorted by broker name. Most topics live on a few brokers only, and there may be
/// 100,000 topics: a small vector each is the cheapest map.
#[derive(Debug, Default)]
struct Topic {
    queues: Vec<Queues>,
    /// Static topics only: which broker holds which logical queue.
    mappings: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

/// The queues of one topic on one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Queues {
    broker: Arc<str>,
    read: i32,
    write: i32,
    perm: i32,
    sys_flag: i32,
}

/// A broker process, as Java identifies one: addresses may repeat in different clusters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct BrokerKey {
    cluster: String,
    addr: String,
}

impl BrokerKey {
    fn new(cluster: &str, addr: &str) -> Self {
        Self { cluster: cluster.to_owned(), addr: addr.to_owned() }
    }

    fn of(broker: &BrokerIdentity) -> Self {
        Self::new(&broker.cluster_name, &broker.broker_addr)
    }
}

/// A broker that was heard of lately.
#[derive(Debug)]
struct Live {
    identity: BrokerIdentity,
    heard_ms: i64,
    timeout_ms: i64,
    version: DataVersion,
    /// The connection that the broker registered on: when it ends, so does the entry.
    connection: u64,
    ha_server_addr: String,
    filter_servers: Vec<String>,
}

/// What a broker says of itself.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) identity: BrokerIdentity,
    /// Where its slaves connect.
    pub(crate) ha_server_addr: String,
    /// The zone it stands in.
    pub(crate) zone: Option<String>,
    /// Silence after which it counts as gone; absent: 120 seconds.
    pub(crate) heartbeat_timeout_ms: Option<i64>,
    /// May a slave stand in for its master? Absent: a broker older than 5.0.
    pub(crate) acting_master: Option<bool>,
    /// Its topics, or those that changed.
    pub(crate) topics: TopicConfigs,
    /// Its filter servers; absent: unchanged.
    pub(crate) filter_servers: Option<Vec<String>>,
    /// The connection it speaks on.
    pub(crate) connection: u64,
    /// Forget the broker's topics that this registration does not name.
    pub(crate) forget_other_topics: bool,
}

/// What a registered broker is told; for a slave, where its master is.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Registered {
    pub(crate) ha_server_addr: Option<String>,
    pub(crate) master_addr: Option<String>,
    /// The broker is now the first of its group.
    pub(crate) change: Option<FirstChange>,
}

/// One topic of a broker that is not known yet. Accepting it would make the broker's other topics look
/// deleted, so the broker must register whole first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotRegisteredYet;

/// A group of brokers (one master and its slaves) has another first member: the one that stands in for
/// the master while there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirstChange {
    pub(crate) first_id: i64,
    pub(crate) first_addr: String,
    pub(crate) offline_addr: Option<String>,
    pub(crate) ha_addr: Option<String>,
    /// Members to tell.
    pub(crate) tell: Vec<String>,
}

impl RouteTable {
    /// Takes in a registration that arrived at `now_ms`.
    pub(crate) fn register(
        &mut self,
        registration: Registration,
        now_ms: i64,
    ) -> Result<Registered, NotRegisteredYet> {
        let BrokerIdentity { broker_name, broker_addr, cluster_name, broker_id } =
            registration.identity.clone();
        let known = self.brokers.get(&broker_name);
        // Java refuses this too, but leaves a broker without addresses behind.
        if registration.topics.topic_config_table.len() == 1
            && !known.is_some_and(|broker| broker.broker_addrs.contains_key(&broker_id))
        {
            warn!(broker = broker_name, broker_id, addr = broker_addr, "one topic of a broker not known yet");
            return Err(NotRegisteredYet);
        }
        let key = BrokerKey::of(&registration.identity);
        self.forget_other_name(&key, &broker_name);
        if self.address_is_contested(&registration) {
            // Java answers success without a master, so that the loser keeps quiet until it is restarted.
            self.live.remove(&key);
            if let Some(broker) = self.brokers.get_mut(&broker_name) {
                broker.broker_addrs.retain(|id, addr| *id == broker_id || *addr != broker_addr);
            }
            return Ok(Registered::default());
        }

        self.clusters.entry(cluster_name.clone()).or_default().insert(broker_name.clone());
        let broker = self.brokers.entry(broker_name.clone()).or_insert_with(|| BrokerData {
            cluster: cluster_name.clone(),
            broker_name: broker_name.clone(),
            ..BrokerData::default()
        });
        broker.enable_acting_master = registration.acting_master.unwrap_or(false);
        broker.zone_name = registration.zone.clone();
        let first_before = broker.broker_addrs.keys().next().copied();
        // An address stands for one id only: a slave that became master leaves its old id.
        broker.broker_addrs.retain(|id, addr| *id == broker_id || *addr != broker_addr);
        let is_new = broker
            .broker_addrs
            .insert(broker_id, broker_addr.clone())
            .is_none_or(|replaced| replaced.is_empty());
        let is_first = broker.broker_addrs.keys().next() == Some(&broker_id);
        let members = broker.broker_addrs.clone();
        let stands_in = registration.acting_master.is_some() && broker_id != MASTER_ID && is_first;
        let without_write = stands_in && broker.enable_acting_master;

        if broker_id == MASTER_ID || stands_in {
            let changed = is_new
                || self.live.get(&key).is_none_or(|live| live.version != registration.topics.data_version);
            self.take_topics(&registration, changed, without_write);
        }
        self.take_live(key, registration, now_ms);

        let mut answer = self.master_for(&cluster_name, broker_id, &members);
        if first_before.is_some_and(|first| broker_id < first) {
            answer.change = self.first_change(&broker_name, &members, None);
        }
        Ok(answer)
    }

    /// A process that now registers under another name has left the old one.
    fn forget_other_name(&mut self, key: &BrokerKey, broker_name: &str) {
        let renamed = self.live.get(key).map(|live| &live.identity);
        if let Some(old) = renamed.filter(|old| old.broker_name != broker_name).cloned() {
            self.unregister(&[old]);
        }
    }

    /// Does another address hold this broker's id, with a newer state? Then the registration comes from
    /// a master that was replaced while it was away.
    fn address_is_contested(&self, registration: &Registration) -> bool {
        let BrokerIdentity { broker_name, broker_addr, cluster_name, broker_id } = &registration.identity;
        let holder = self.brokers.get(broker_name).and_then(|broker| broker.broker_addrs.get(broker_id));
        let Some(holder) = holder.filter(|holder| *holder != broker_addr) else {
            return false;
        };
        let Some(live) = self.live.get(&BrokerKey::new(cluster_name, holder)) else {
            return false;
        };
        let contested = live.version.state_version > registration.topics.data_version.state_version;
        if contested {
            warn!(
                broker = broker_name,
                broker_id,
                holder,
                addr = broker_addr,
                "an older state claims a broker id that is taken"
            );
        }
        contested
    }

    /// Takes over the topics of a registration. With `changed` unset the data version is the known one,
    /// and only topics that are missing here are added (an operator may have deleted or wiped some).
    fn take_topics(&mut self, registration: &Registration, changed: bool, without_write: bool) {
        let configs = &registration.topics.topic_config_table;
        let mappings = registration.topics.topic_queue_mapping_info_map.as_ref();
        let broker: Arc<str> = registration.identity.broker_name.as_str().into();
        // Java does not support static topics here either.
        if registration.forget_other_topics && mappings.is_none_or(BTreeMap::is_empty) {
            self.topics.retain(|name, topic| {
                if !configs.contains_key(name) {
                    topic.remove(&broker);
                }
                !topic.queues.is_empty()
            });
        }
        for (key, config) in configs {
            let name = if config.topic_name.is_empty() { key } else { &config.topic_name };
            let topic = match self.topics.get_mut(name) {
                Some(topic) => topic,
                None => self.topics.entry(name.clone()).or_default(),
            };
            if changed || topic.position(&broker).is_err() {
                topic.put(Queues::of(&broker, config, without_write));
            }
        }
        if changed {
            for (name, mapping) in mappings.into_iter().flatten() {
                if let Some(topic) = self.topics.get_mut(name) {
                    let holder = mapping.bname.clone();
                    topic.mappings.get_or_insert_default().insert(holder, mapping.clone());
                }
            }
        }
    }

    fn take_live(&mut self, key: BrokerKey, registration: Registration, now_ms: i64) {
        let before = self.live.remove(&key);
        if before.is_none() {
            let BrokerIdentity { broker_name, broker_addr, cluster_name, broker_id } = &registration.identity;
            info!(
                broker = broker_name,
                broker_id,
                addr = broker_addr,
                cluster = cluster_name,
                topics = registration.topics.topic_config_table.len(),
                "new broker registered"
            );
        }
        let filter_servers = registration
            .filter_servers
            .unwrap_or_else(|| before.map(|live| live.filter_servers).unwrap_or_default());
        let live = Live {
            identity: registration.identity,
            heard_ms: now_ms,
            timeout_ms: registration.heartbeat_timeout_ms.unwrap_or(DEFAULT_HEARTBEAT_TIMEOUT_MS),
            version: registration.topics.data_version,
            connection: registration.connection,
            ha_server_addr: registration.ha_server_addr,
            filter_servers,
        };
        self.live.insert(key, live);
    }

    /// A slave is told its master, if that is alive.
    fn master_for(&self, cluster: &str, broker_id: i64, members: &BTreeMap<i64, String>) -> Registered {
        let Some(master_addr) = members.get(&MASTER_ID).filter(|_| broker_id != MASTER_ID) else {
            return Registered::default();
        };
        match self.live.get(&BrokerKey::new(cluster, master_addr)) {
            Some(master) => Registered {
                ha_server_addr: Some(master.ha_server_addr.clone()),
                master_addr: Some(master_addr.clone()),
                change: None,
            },
            None => Registered::default(),
        }
    }

    /// Whom to tell that a group has another first member. When one came, the others; when one went,
    /// all that are left.
    fn first_change(
        &self,
        broker_name: &str,
        members: &BTreeMap<i64, String>,
        offline_addr: Option<String>,
    ) -> Option<FirstChange> {
        let (first_id, first_addr) = members.first_key_value()?;
        let everyone = offline_addr.is_some() || members.len() == 1;
        let ha_addr = match offline_addr {
            Some(_) => None,
            None => self
                .live
                .values()
                .find(|live| {
                    live.identity.broker_name == broker_name && live.identity.broker_addr == *first_addr
                })
                .map(|live| live.ha_server_addr.clone()),
        };
        Some(FirstChange {
            first_id: *first_id,
            first_addr: first_addr.clone(),
            offline_addr,
            ha_addr,
            tell: members
                .iter()
                .filter(|(id, _)| everyone || *id != first_id)
                .map(|(_, addr)| addr.clone())
                .collect(),
        })
    }

    /// Removes brokers. A name without addresses goes with its topics; a group that loses its master
    /// but has acting masters keeps its topics, read-only.
    pub(crate) fn unregister(&mut self, gone: &[BrokerIdentity]) -> Vec<FirstChange> {
        let mut emptied: HashSet<&str> = HashSet::new();
        let mut masterless: HashSet<&str> = HashSet::new();
        let mut changes = Vec::new();
        for identity in gone {
            let BrokerIdentity { broker_name, broker_addr, broker_id, .. } = identity;
            self.live.remove(&BrokerKey::of(identity));
            let Some(broker) = self.brokers.get_mut(broker_name) else {
                continue;
            };
            let first_before = broker.broker_addrs.keys().next().copied();
            broker.broker_addrs.retain(|_, addr| addr != broker_addr);
            info!(broker = broker_name, broker_id, addr = broker_addr, "broker unregistered");
            let acting_master = broker.enable_acting_master;
            let members = broker.broker_addrs.clone();
            let Some(first) = members.keys().next() else {
                self.forget_name(broker_name);
                emptied.insert(broker_name);
                continue;
            };
            if acting_master && *first != MASTER_ID {
                masterless.insert(broker_name);
            }
            // Java tells only groups whose members may act as master.
            if acting_master && first_before == Some(*broker_id) {
                changes.extend(self.first_change(broker_name, &members, Some(broker_addr.clone())));
            }
        }
        self.clean_topics(&emptied, &masterless);
        changes
    }

    /// Removes a broker name. Java looks only into the cluster of the request; a name that was once
    /// registered under two clusters would stay in the other for ever.
    fn forget_name(&mut self, broker_name: &str) {
        self.brokers.remove(broker_name);
        self.clusters.retain(|_, names| {
            names.remove(broker_name);
            !names.is_empty()
        });
    }

    fn clean_topics(&mut self, emptied: &HashSet<&str>, masterless: &HashSet<&str>) {
        if emptied.is_empty() && masterless.is_empty() {
            return;
        }
        self.topics.retain(|_, topic| {
            topic.queues.retain(|queues| !emptied.contains(&*queues.broker));
            for queues in &mut topic.queues {
                if masterless.contains(&*queues.broker) {
                    queues.perm &= !perm::WRITE;
                }
            }
            !topic.queues.is_empty()
        });
    }

    /// A broker gave a sign of life at `now_ms`.
    pub(crate) fn heard(&mut self, cluster: &str, addr: &str, now_ms: i64) {
        if let Some(live) = self.live.get_mut(&BrokerKey::new(cluster, addr)) {
            live.heard_ms = now_ms;
        }
    }

    /// Moves all signs of life `ms` later: the name server itself was not running for that long.
    pub(crate) fn forgive(&mut self, ms: i64) {
        self.live.values_mut().for_each(|live| live.heard_ms += ms);
    }

    /// Adds or replaces the queues of a topic, as an operator says. All its brokers must be known.
    pub(crate) fn put_topic(&mut self, name: &str, queues: &[QueueData]) {
        let mut added = Vec::with_capacity(queues.len());
        for data in queues {
            if !self.brokers.contains_key(&data.broker_name) {
                warn!(
                    topic = name,
                    broker = data.broker_name,
                    "a topic was registered for an unknown broker"
                );
                // Java keeps what came before the unknown broker if the topic exists, and else nothing.
                if !self.topics.contains_key(name) {
                    return;
                }
                break;
            }
            added.push(Queues {
                broker: data.broker_name.as_str().into(),
                read: data.read_queue_nums,
                write: data.write_queue_nums,
                perm: data.perm,
                sys_flag: data.topic_sys_flag,
            });
        }
        if !added.is_empty() {
            let topic = self.topics.entry(name.to_owned()).or_default();
            added.into_iter().for_each(|queues| topic.put(queues));
        }
    }

    /// Forgets a topic.
    pub(crate) fn delete_topic(&mut self, name: &str) {
        self.topics.remove(name);
    }

    /// Forgets a topic on the brokers of one cluster.
    pub(crate) fn delete_topic_in_cluster(&mut self, name: &str, cluster: &str) {
        let (Some(brokers), Some(topic)) = (self.clusters.get(cluster), self.topics.get_mut(name)) else {
            return;
        };
        topic.queues.retain(|queues| !brokers.contains(&*queues.broker));
        if topic.queues.is_empty() {
            self.topics.remove(name);
        }
    }

    /// Takes the write permission from all topics of a broker; returns their number. It lasts until the
    /// broker registers a newer version of its topics.
    pub(crate) fn wipe_write_perm(&mut self, broker_name: &str) -> i32 {
        self.change_perm(broker_name, |perm| perm & !perm::WRITE)
    }

    /// Gives all topics of a broker the permissions to read and to write; returns their number. Java
    /// sets exactly these two bits.
    pub(crate) fn add_write_perm(&mut self, broker_name: &str) -> i32 {
        self.change_perm(broker_name, |_| perm::READ | perm::WRITE)
    }

    fn change_perm(&mut self, broker_name: &str, change: impl Fn(i32) -> i32) -> i32 {
        let mut count = 0;
        for topic in self.topics.values_mut() {
            if let Ok(at) = topic.position(broker_name) {
                topic.queues[at].perm = change(topic.queues[at].perm);
                count += 1;
            }
        }
        debug!(broker = broker_name, count, "permissions changed");
        count
    }
}

impl Topic {
    fn position(&self, broker: &str) -> Result<usize, usize> {
        self.queues.binary_search_by(|queues| (*queues.broker).cmp(broker))
    }

    fn put(&mut self, queues: Queues) {
        match self.position(&queues.broker) {
            Ok(at) => self.queues[at] = queues,
            Err(at) => self.queues.insert(at, queues),
        }
    }

    fn remove(&mut self, broker: &str) {
        if let Ok(at) = self.position(broker) {
            self.queues.remove(at);
        }
    }
}

impl Queues {
    fn of(broker: &Arc<str>, config: &TopicConfig, without_write: bool) -> Self {
        // Java: a slave that stands in for its master can be read, not written.
        let perm = if without_write { config.perm & !perm::WRITE } else { config.perm };
        Self {
            broker: Arc::clone(broker),
            read: config.read_queue_nums,
            write: config.write_queue_nums,
            perm,
            sys_flag: config.topic_sys_flag,
        }
    }
}
