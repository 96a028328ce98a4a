//! The producers that are connected, by group.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use rmq_proto::body::{Connection, ProducerInfo, ProducerTableInfo};
use rmq_remoting::Peer;
use tracing::{debug, warn};

use super::Client;

/// All producers.
#[derive(Debug, Default)]
pub struct Producers {
    table: Mutex<Table>,
    turn: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    groups: HashMap<String, BTreeMap<u64, Client>>,
    /// Groups of each connection, so that a close costs no walk over all groups.
    by_peer: HashMap<u64, Vec<String>>,
    by_client_id: HashMap<String, Arc<Peer>>,
}

impl Producers {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// A heartbeat of a producer of `group`.
    pub fn register(&self, group: &str, client: Client) {
        let mut table = self.table.lock();
        let id = client.peer.id();
        if let Some(known) = table.groups.get_mut(group).and_then(|members| members.get_mut(&id)) {
            known.refresh(&client);
            return;
        }
        debug!(%group, client = client.client_id, "a producer came");
        table.by_client_id.insert(client.client_id.clone(), client.peer.clone());
        table.by_peer.entry(id).or_default().push(group.to_owned());
        table.groups.entry(group.to_owned()).or_default().insert(id, client);
    }

    /// A producer of `group` says goodbye.
    pub fn unregister(&self, group: &str, peer: &Peer) {
        self.table.lock().remove(group, peer.id());
    }

    /// A connection closed.
    pub fn disconnected(&self, peer: &Peer) {
        let mut table = self.table.lock();
        let groups = table.by_peer.get(&peer.id()).cloned().unwrap_or_default();
        groups.iter().for_each(|group| table.remove(group, peer.id()));
    }

    /// Forgets the clients that have been silent for too long, and closes their connections as Java does.
    pub fn scan_idle(&self, now: Instant) {
        let mut table = self.table.lock();
        for (group, client) in table.silent(now) {
            warn!(%group, client = client.client_id, "a producer has been silent for too long");
            table.remove(&group, client.peer.id());
            client.peer.close();
        }
    }

    /// The connections of a group; `None` if nobody is there.
    pub fn connections(&self, group: &str) -> Option<Vec<Connection>> {
        let table = self.table.lock();
        Some(table.groups.get(group)?.values().map(Client::connection).collect())
    }

    /// Everybody, as code 328 shows it.
    pub fn table(&self) -> ProducerTableInfo {
        let table = self.table.lock();
        let row = |members: &BTreeMap<u64, Client>| members.values().map(producer_info).collect();
        ProducerTableInfo { data: table.groups.iter().map(|(group, m)| (group.clone(), row(m))).collect() }
    }

    /// The connection of the client with this id.
    pub fn find_client(&self, client_id: &str) -> Option<Arc<Peer>> {
        self.table.lock().by_client_id.get(client_id).cloned()
    }

    /// A connection of the group, each in turn; one that takes no more data only if there is no other.
    pub fn available(&self, group: &str) -> Option<Arc<Peer>> {
        let table = self.table.lock();
        let members = table.groups.get(group)?;
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % members.len().max(1);
        let peers = || members.values().cycle().skip(start).take(members.len()).map(|client| &client.peer);
        peers()
            .find(|peer| !peer.is_closed() && peer.is_writable())
            .or_else(|| peers().find(|peer| !peer.is_closed()))
            .cloned()
    }
}

impl Table {
    fn remove(&mut self, group: &str, id: u64) {
        let Some(members) = self.groups.get_mut(group) else { return };
        let Some(client) = members.remove(&id) else { return };
        debug!(%group, client = client.client_id, "a producer left");
        if members.is_empty() {
            self.groups.remove(group);
        }
        let Some(groups) = self.by_peer.get_mut(&id) else { return };
        groups.retain(|other| other != group);
        if !groups.is_empty() {
            return;
        }
        self.by_peer.remove(&id);
        // Another connection may have taken over the client's name by now.
        if self.by_client_id.get(&client.client_id).is_some_and(|peer| peer.id() == id) {
            self.by_client_id.remove(&client.client_id);
        }
    }

    fn silent(&self, now: Instant) -> Vec<(String, Client)> {
        let all = self.groups.iter().flat_map(|(group, members)| members.values().map(move |m| (group, m)));
        all.filter(|(_, m)| m.is_silent(now)).map(|(group, m)| (group.clone(), m.clone())).collect()
    }
}

fn producer_info(client: &Client) -> ProducerInfo {
    ProducerInfo {
        client_id: client.client_id.clone(),
        // Java shows the socket address in its own notation, with a slash.
        remote_ip: format!("/{}", client.peer.remote_addr()),
        language: client.language,
        version: client.version,
        last_update_timestamp: client.last_seen_ms(),
    }
}
