//! What the name server answers: read-only views of the [`RouteTable`].

use std::collections::BTreeSet;

use rmq_proto::body::{
    BrokerData, BrokerMemberGroup, ClusterInfo, DataVersion, QueueData, TopicList, TopicRouteData,
};
use rmq_proto::header::register::BrokerIdentity;
use rmq_proto::topic::perm;

use super::{BrokerKey, MASTER_ID, Queues, RouteTable, Topic};

/// Bit of a topic's system flag: the topic belongs to a unit.
const FLAG_UNIT: i32 = 1;
/// Bit of a topic's system flag: units subscribe to the topic.
const FLAG_UNIT_SUB: i32 = 1 << 1;

/// Topics that slaves use to keep in touch: their route shows the members as they are.
const SYNC_MEMBERS_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// Which topics a list of unit topics is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitTopics {
    /// Topics of units.
    Unit,
    /// Topics that units subscribe to.
    Subscribed,
    /// Topics that units subscribe to and that are not a unit's own.
    SubscribedNotUnit,
}

impl RouteTable {
    /// Where a topic lives; `None` if no known broker serves it. With `acting_master`, a slave that
    /// stands in for its master is shown as the master.
    pub(crate) fn route(&self, name: &str, acting_master: bool) -> Option<TopicRouteData> {
        let topic = self.topics.get(name)?;
        let brokers = || topic.queues.iter().filter_map(|queues| self.brokers.get(&*queues.broker));
        let mut route = TopicRouteData {
            broker_datas: brokers().cloned().collect(),
            queue_datas: topic.queues.iter().map(Queues::data).collect(),
            filter_server_table: brokers().flat_map(|broker| self.filter_servers(broker)).collect(),
            topic_queue_mapping_by_broker: topic.mappings.clone(),
            order_topic_conf: None,
        };
        if route.broker_datas.is_empty() {
            return None;
        }
        if acting_master && !name.starts_with(SYNC_MEMBERS_PREFIX) {
            present_acting_masters(&mut route, topic);
        }
        Some(route)
    }

    fn filter_servers(&self, broker: &BrokerData) -> impl Iterator<Item = (String, Vec<String>)> {
        broker.broker_addrs.values().filter_map(|addr| {
            let live = self.live.get(&BrokerKey::new(&broker.cluster, addr))?;
            (!live.filter_servers.is_empty()).then(|| (addr.clone(), live.filter_servers.clone()))
        })
    }

    /// All brokers by name and by cluster.
    pub(crate) fn cluster_info(&self) -> ClusterInfo {
        ClusterInfo { broker_addr_table: self.brokers.clone(), cluster_addr_table: self.clusters.clone() }
    }

    /// The members of a group of brokers. As in Java the cluster is only repeated.
    pub(crate) fn member_group(&self, cluster: &str, broker_name: &str) -> BrokerMemberGroup {
        BrokerMemberGroup {
            broker_addrs: self
                .brokers
                .get(broker_name)
                .map(|broker| broker.broker_addrs.clone())
                .unwrap_or_default(),
            broker_name: broker_name.to_owned(),
            cluster: cluster.to_owned(),
        }
    }

    /// The version of its topics that a broker registered last.
    pub(crate) fn version_of(&self, cluster: &str, addr: &str) -> Option<&DataVersion> {
        self.live.get(&BrokerKey::new(cluster, addr)).map(|live| &live.version)
    }

    /// All topics.
    pub(crate) fn all_topics(&self) -> TopicList {
        self.topics_where(|_| true)
    }

    /// The topics of a cluster's brokers.
    pub(crate) fn topics_of_cluster(&self, cluster: &str) -> TopicList {
        let Some(brokers) = self.clusters.get(cluster) else {
            return TopicList::default();
        };
        self.topics_where(|topic| topic.queues.iter().any(|queues| brokers.contains(&*queues.broker)))
    }

    /// The topics with a unit flag on some broker. Java looks at one of the brokers, whichever comes first.
    pub(crate) fn unit_topics(&self, which: UnitTopics) -> TopicList {
        self.topics_where(|topic| {
            let flag = topic.queues.iter().fold(0, |flags, queues| flags | queues.sys_flag);
            let (unit, subscribed) = (flag & FLAG_UNIT != 0, flag & FLAG_UNIT_SUB != 0);
            match which {
                UnitTopics::Unit => unit,
                UnitTopics::Subscribed => subscribed,
                UnitTopics::SubscribedNotUnit => subscribed && !unit,
            }
        })
    }

    fn topics_where(&self, wanted: impl Fn(&Topic) -> bool) -> TopicList {
        let names = self.topics.iter().filter(|(_, topic)| wanted(topic)).map(|(name, _)| name.clone());
        TopicList { topic_list: names.collect(), ..TopicList::default() }
    }

    /// The topics that every cluster and every broker has under its own name, and one broker's address.
    pub(crate) fn system_topics(&self) -> TopicList {
        let mut topic_list: BTreeSet<String> = self.clusters.keys().cloned().collect();
        topic_list.extend(self.clusters.values().flatten().cloned());
        let broker_addr = self.brokers.values().find_map(|broker| broker.broker_addrs.values().next());
        TopicList { broker_addr: broker_addr.cloned(), topic_list }
    }

    /// The brokers that registered on a connection.
    pub(crate) fn on_connection(&self, connection: u64) -> Vec<BrokerIdentity> {
        let live = self.live.values().filter(|live| live.connection == connection);
        live.map(|live| live.identity.clone()).collect()
    }

    /// The brokers that were silent for too long, each with its connection.
    pub(crate) fn expired(&self, now_ms: i64) -> Vec<(BrokerIdentity, u64)> {
        let live = self.live.values().filter(|live| live.heard_ms.saturating_add(live.timeout_ms) < now_ms);
        live.map(|live| (live.identity.clone(), live.connection)).collect()
    }
}

/// Shows the first slave of a masterless group as its master, as long as nothing can be written there:
/// clients that ask a master only (for offsets, locks) then have one to ask.
fn present_acting_masters(route: &mut TopicRouteData, topic: &Topic) {
    for broker in &mut route.broker_datas {
        if !broker.enable_acting_master || broker.broker_addrs.contains_key(&MASTER_ID) {
            continue;
        }
        let queues = topic.position(&broker.broker_name).map(|at| &topic.queues[at]);
        if queues.is_ok_and(|queues| !perm::is_writable(queues.perm))
            && let Some((_, addr)) = broker.broker_addrs.pop_first()
        {
            broker.broker_addrs.insert(MASTER_ID, addr);
        }
    }
}

impl Queues {
    fn data(&self) -> QueueData {
        QueueData {
            broker_name: self.broker.to_string(),
            perm: self.perm,
            read_queue_nums: self.read,
            topic_sys_flag: self.sys_flag,
            write_queue_nums: self.write,
        }
    }
}
