//! The consumers that are connected, by group, and what each group subscribes to.
//!
//! Members of a group share out the queues among themselves, so they are told whenever somebody comes or
//! goes or the subscription changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Instant,
};

use parking_lot::RwLock;
use rmq_proto::body::{
    Connection, ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel, SubscriptionData,
};
use rmq_remoting::Peer;
use tracing::{debug, warn};

use super::{Client, callback};
use crate::config::LiveConfig;

/// All consumers.
#[derive(Debug)]
pub struct Consumers {
    config: Arc<LiveConfig>,
    table: RwLock<Table>,
}

/// A group as it is right now.
#[derive(Debug, Clone)]
pub struct GroupSnapshot {
    /// Who is there.
    pub connections: Vec<Connection>,
    /// Do the consumers pull, or are they pushed to?
    pub consume_type: ConsumeType,
    /// Does each message go to one member or to all?
    pub message_model: MessageModel,
    /// Where a group without offsets starts.
    pub consume_from_where: ConsumeFromWhere,
    /// What the group wants, by topic.
    pub subscriptions: BTreeMap<String, SubscriptionData>,
}

/// What [`Consumers::register`] found out.
#[derive(Debug)]
pub struct Registered {
    /// A member came, or the topics of the group changed, and the members want to know.
    pub news: Option<News>,
    /// The client should send its subscriptions again.
    pub wants_subscriptions: bool,
}

/// A change of a group that its members are to be told.
#[derive(Debug)]
#[must_use = "the members wait for it"]
pub struct News {
    group: String,
    audience: Vec<Arc<Peer>>,
}

impl News {
    /// Tells the members.
    pub fn tell(&self) {
        self.audience.iter().for_each(|peer| callback::notify_consumers_changed(peer, &self.group));
    }
}

/// A consumer group's part of a heartbeat.
#[derive(Debug, Clone, Copy)]
pub struct Announcement<'a> {
    /// The group and what it wants.
    pub data: &'a ConsumerData,
    /// Fingerprint of all that the client announces; 0 from clients that do not know fingerprints.
    pub fingerprint: i32,
    /// The client left out its subscriptions, as the fingerprint has not changed.
    pub without_subscriptions: bool,
    /// Tell the members of changes.
    pub notify: bool,
}

#[derive(Debug, Default)]
struct Table {
    groups: HashMap<String, Group>,
    /// Groups of each connection, so that a close costs no walk over all groups.
    by_peer: HashMap<u64, Vec<String>>,
}

#[derive(Debug, Default)]
struct Group {
    consume_type: ConsumeType,
    message_model: MessageModel,
    consume_from_where: ConsumeFromWhere,
    subscriptions: HashMap<String, Arc<SubscriptionData>>,
    fingerprint: Option<i32>,
    members: BTreeMap<u64, Member>,
    quarrel_reported: bool,
}

#[derive(Debug)]
struct Member {
    client: Client,
    /// Hash of what this member said that the group wants; all members should say the same.
    wants: Option<u64>,
}

impl Consumers {
    /// Nobody.
    pub fn new(config: Arc<LiveConfig>) -> Self {
        Self { config, table: RwLock::default() }
    }

    /// A heartbeat of a consumer.
    pub fn register(&self, client: Client, announcement: Announcement<'_>) -> Registered {
        let Announcement { data, fingerprint, without_subscriptions, notify } = announcement;
        let mut table = self.table.write();
        let came = table.join(&data.group_name, client);
        let Some(group) = table.groups.get_mut(&data.group_name) else {
            return Registered { news: None, wants_subscriptions: false };
        };
        group.consume_type = data.consume_type;
        group.message_model = data.message_model;
        group.consume_from_where = data.consume_from_where;
        // Java compares with the fingerprint that any member of the group sent last.
        let other_fingerprint = group.fingerprint.replace(fingerprint).is_some_and(|old| old != fingerprint);
        let topics_changed = !without_subscriptions && group.subscribe(&data.subscription_data_set);
        // Java would leave a group without subscriptions if a client that left them out comes to a broker
        // that has been restarted; asking for them again heals that.
        let unknown = without_subscriptions && group.subscriptions.is_empty();
        let news = (notify && (came || topics_changed)).then(|| self.news(&data.group_name, group)).flatten();
        Registered { news, wants_subscriptions: other_fingerprint || unknown }
    }

    /// Remembers what one member says that its group wants, and warns once if members disagree: each
    /// heartbeat then overwrites the other's subscription, and messages are missed.
    pub fn watch_quarrel(&self, peer: &Peer, data: &ConsumerData) {
        let mut table = self.table.write();
        let Some(group) = table.groups.get_mut(&data.group_name) else { return };
        let wants = wants_hash(&data.subscription_data_set);
        if let Some(member) = group.members.get_mut(&peer.id()) {
            member.wants = Some(wants);
        }
        let quarrel = group.members.values().filter_map(|member| member.wants).any(|other| other != wants);
        if quarrel && !group.quarrel_reported {
            warn!(
                group = data.group_name,
                remote = %peer.remote_addr(),
                "members of one consumer group subscribe to different things: messages will be missed; \
                 give each subscription its own group"
            );
        }
        group.quarrel_reported = quarrel;
    }

    /// A consumer of `group` says goodbye.
    pub fn unregister(&self, group: &str, peer: &Peer, notify: bool) -> Option<News> {
        let mut table = self.table.write();
        table.leave(group, peer.id());
        let left = table.groups.get(group).filter(|_| notify)?;
        self.news(group, left)
    }

    /// A connection closed.
    pub fn disconnected(&self, peer: &Peer) {
        let mut table = self.table.write();
        let groups = table.by_peer.get(&peer.id()).cloned().unwrap_or_default();
        groups.iter().for_each(|group| table.leave(group, peer.id()));
        let left = groups.iter().filter_map(|name| self.news(name, table.groups.get(name)?));
        let news: Vec<_> = left.collect();
        drop(table);
        news.iter().for_each(News::tell);
    }

    /// Forgets the clients that have been silent for too long, and closes their connections as Java does.
    pub fn scan_idle(&self, now: Instant) {
        let silent = self.table.read().silent(now);
        for (group, client) in silent {
            warn!(%group, client = client.client_id, "a consumer has been silent for too long");
            client.peer.close();
            let news = self.unregister(&group, &client.peer, true);
            news.iter().for_each(News::tell);
        }
    }

    /// The group; `None` if nobody is there.
    pub fn group(&self, group: &str) -> Option<GroupSnapshot> {
        let table = self.table.read();
        let group = table.groups.get(group)?;
        let subscriptions = group.subscriptions.iter();
        Some(GroupSnapshot {
            connections: group.members.values().map(|member| member.client.connection()).collect(),
            consume_type: group.consume_type,
            message_model: group.message_model,
            consume_from_where: group.consume_from_where,
            subscriptions: subscriptions.map(|(topic, s)| (topic.clone(), (**s).clone())).collect(),
        })
    }

    /// How the group consumes; `None` if nobody is there.
    pub fn manner(&self, group: &str) -> Option<(ConsumeType, MessageModel)> {
        self.table.read().groups.get(group).map(|group| (group.consume_type, group.message_model))
    }

    /// Is this connection one of the group's?
    pub fn is_member(&self, group: &str, peer: &Peer) -> bool {
        self.table.read().groups.get(group).is_some_and(|group| group.members.contains_key(&peer.id()))
    }

    /// What the group wants of a topic.
    pub fn subscription(&self, group: &str, topic: &str) -> Option<Arc<SubscriptionData>> {
        self.table.read().groups.get(group)?.subscriptions.get(topic).cloned()
    }

    /// The groups that are connected.
    pub fn groups(&self) -> Vec<String> {
        self.table.read().groups.keys().cloned().collect()
    }

    /// The connected groups that want something of `topic`.
    pub fn groups_of_topic(&self, topic: &str) -> BTreeSet<String> {
        let table = self.table.read();
        let wanting = table.groups.iter().filter(|(_, group)| group.subscriptions.contains_key(topic));
        wanting.map(|(name, _)| name.clone()).collect()
    }

    /// Ids of the group's clients.
    pub fn client_ids(&self, group: &str) -> Vec<String> {
        self.peers(group).into_iter().map(|(client_id, _)| client_id).collect()
    }

    /// Id and connection of the group's clients.
    pub fn peers(&self, group: &str) -> Vec<(String, Arc<Peer>)> {
        let table = self.table.read();
        let Some(group) = table.groups.get(group) else { return Vec::new() };
        let clients = group.members.values().map(|member| &member.client);
        clients.map(|client| (client.client_id.clone(), client.peer.clone())).collect()
    }

    /// The connection of one client of the group.
    pub fn find_client(&self, group: &str, client_id: &str) -> Option<Arc<Peer>> {
        self.peers(group).into_iter().find(|(id, _)| id == client_id).map(|(_, peer)| peer)
    }

    /// The members are told unless the configuration says otherwise. Broadcast consumers take every queue
    /// anyway.
    fn news(&self, name: &str, group: &Group) -> Option<News> {
        let tells = self.config.get().notify_consumer_ids_changed_enable;
        if !tells || group.message_model == MessageModel::Broadcasting {
            return None;
        }
        let audience = group.members.values().map(|member| member.client.peer.clone()).collect();
        Some(News { group: name.to_owned(), audience })
    }
}

impl Table {
    /// Did a new member come?
    fn join(&mut self, group: &str, client: Client) -> bool {
        let id = client.peer.id();
        let members = match self.groups.get_mut(group) {
            Some(known) => &mut known.members,
            None => &mut self.groups.entry(group.to_owned()).or_default().members,
        };
        if let Some(member) = members.get_mut(&id) {
            if member.client.client_id != client.client_id {
                warn!(%group, old = member.client.client_id, new = client.client_id, "a client changed its id");
            }
            member.client = client;
            return false;
        }
        debug!(%group, client = client.client_id, "a consumer came");
        members.insert(id, Member { client, wants: None });
        self.by_peer.entry(id).or_default().push(group.to_owned());
        true
    }

    fn leave(&mut self, name: &str, id: u64) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let Some(member) = group.members.remove(&id) else { return };
        debug!(group = name, client = member.client.client_id, "a consumer left");
        if group.members.is_empty() {
            self.groups.remove(name);
        }
        if let Some(groups) = self.by_peer.get_mut(&id) {
            groups.retain(|other| other != name);
            if groups.is_empty() {
                self.by_peer.remove(&id);
            }
        }
    }

    fn silent(&self, now: Instant) -> Vec<(String, Client)> {
        let all = self.groups.iter().flat_map(|(name, group)| group.members.values().map(move |m| (name, m)));
        let silent = all.filter(|(_, member)| member.client.is_silent(now));
        silent.map(|(name, member)| (name.clone(), member.client.clone())).collect()
    }
}

impl Group {
    /// Takes over the subscriptions; did topics come or go? Java does not count a newer version of a known
    /// topic's subscription as a change.
    fn subscribe(&mut self, subscriptions: &[SubscriptionData]) -> bool {
        let mut changed = false;
        for new in subscriptions {
            match self.subscriptions.get(&new.topic) {
                Some(old) if new.sub_version <= old.sub_version => continue,
                old => changed |= old.is_none(),
            }
            self.subscriptions.insert(new.topic.clone(), Arc::new(new.clone()));
        }
        let before = self.subscriptions.len();
        self.subscriptions.retain(|topic, _| subscriptions.iter().any(|new| new.topic == *topic));
        changed || self.subscriptions.len() != before
    }
}

fn wants_hash(subscriptions: &[SubscriptionData]) -> u64 {
    let wants: BTreeSet<_> =
        subscriptions.iter().map(|s| (&s.topic, &s.expression_type, &s.sub_string)).collect();
    let mut hasher = DefaultHasher::new();
    wants.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanting(topics: &[(&str, i64)]) -> Vec<SubscriptionData> {
        topics.iter().map(|(topic, version)| SubscriptionData::tags(topic, "*", *version).unwrap()).collect()
    }

    #[test]
    fn only_topics_that_come_or_go_change_a_subscription() {
        let mut group = Group::default();
        assert!(group.subscribe(&wanting(&[("a", 1), ("b", 1)])));
        assert!(!group.subscribe(&wanting(&[("a", 1), ("b", 1)])));
        assert!(!group.subscribe(&wanting(&[("a", 2), ("b", 1)])));
        assert_eq!(group.subscriptions["a"].sub_version, 2);
        assert!(!group.subscribe(&wanting(&[("a", 1), ("b", 1)])));
        assert_eq!(group.subscriptions["a"].sub_version, 2, "an old heartbeat does not set it back");
        assert!(group.subscribe(&wanting(&[("a", 2)])));
        assert!(!group.subscriptions.contains_key("b"));
    }

    #[test]
    fn members_that_disagree_are_noticed() {
        let consumers = Consumers::new(Arc::new(LiveConfig::fixed(crate::config::BrokerConfig::default())));
        let peers = [1, 2].map(|port| Peer::unconnected(([10, 0, 0, 1], port).into()));
        let beat = |peer: &Arc<Peer>, topics: &[(&str, i64)]| {
            let subscription_data_set = wanting(topics);
            let data =
                ConsumerData { group_name: "g".to_owned(), subscription_data_set, ..Default::default() };
            let client = Client::new(peer, "c", rmq_proto::code::Language::JAVA, 513);
            let announcement =
                Announcement { data: &data, fingerprint: 0, without_subscriptions: false, notify: true };
            consumers.register(client, announcement);
            consumers.watch_quarrel(peer, &data);
            consumers.table.read().groups["g"].quarrel_reported
        };
        assert!(!beat(&peers[0], &[("a", 1)]));
        assert!(beat(&peers[1], &[("b", 1)]));
        assert!(!beat(&peers[1], &[("a", 2)]), "they agree again");
        beat(&peers[1], &[("b", 3)]);
        consumers.disconnected(&peers[1]);
        assert!(!beat(&peers[0], &[("a", 1)]), "the other one left");
    }

    #[test]
    fn the_order_of_subscriptions_does_not_matter() {
        let there = wants_hash(&wanting(&[("a", 1), ("b", 2)]));
        assert_eq!(there, wants_hash(&wanting(&[("b", 9), ("a", 8)])));
        assert_ne!(there, wants_hash(&wanting(&[("a", 1)])));
    }
}
