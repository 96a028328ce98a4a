//! Which brokers are alive: those that registered not long ago, on a connection that still stands.
//!
//! A broker goes when its connection ends, or when it was silent for longer than it promised. Then its
//! routes go with it, and if wanted the rest of its group is told (code 905).

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rmq_proto::code::RequestCode;
use rmq_proto::command::Command;
use rmq_proto::header::register::MinBrokerIdChange;
use rmq_remoting::{Client, Peer};
use tracing::{debug, warn};

use crate::config::Config;
use crate::route_table::{FirstChange, RouteTable};

/// How long a broker may take to accept a notice (Java: 300 ms).
const NOTICE_TIMEOUT: Duration = Duration::from_millis(300);

/// Milliseconds since the start, from a clock that nobody can set: a jump of the wall clock must not
/// make every broker look silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Milliseconds since the start.
    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Watches over the brokers in the route table.
#[derive(Debug)]
pub(crate) struct Liveness {
    pub(crate) clock: Clock,
    table: Arc<RwLock<RouteTable>>,
    config: Arc<RwLock<Config>>,
    /// Connections that brokers registered on, to end one whose broker fell silent.
    connections: Mutex<HashMap<u64, Weak<Peer>>>,
    client: Client,
}

impl Liveness {
    /// Watches over `table`; notices go out through `client`.
    pub(crate) fn new(
        table: Arc<RwLock<RouteTable>>,
        config: Arc<RwLock<Config>>,
        clock: Clock,
        client: Client,
    ) -> Self {
        Self { clock, table, config, connections: Mutex::default(), client }
    }

    /// A broker registered on this connection.
    pub(crate) fn registered_on(&self, peer: &Arc<Peer>) {
        self.connections.lock().insert(peer.id(), Arc::downgrade(peer));
    }

    /// A connection ended: its brokers are gone at once.
    pub(crate) fn connection_closed(&self, connection: u64) {
        self.connections.lock().remove(&connection);
        // Most connections are clients'; those do not stop anybody else.
        if self.table.read().on_connection(connection).is_empty() {
            return;
        }
        let changes = {
            let mut table = self.table.write();
            let gone = table.on_connection(connection);
            table.unregister(&gone)
        };
        self.tell(changes);
    }

    /// Removes the brokers that were silent for too long and ends their connections.
    pub(crate) fn expire(&self) {
        let now_ms = self.clock.now_ms();
        // Mostly nobody is late, and then clients need not wait for a write lock.
        if self.table.read().expired(now_ms).is_empty() {
            return;
        }
        let (late, changes) = {
            let mut table = self.table.write();
            let late = table.expired(now_ms);
            let gone: Vec<_> = late.iter().map(|(identity, _)| identity.clone()).collect();
            (late, table.unregister(&gone))
        };
        for (identity, connection) in late {
            warn!(broker = identity.broker_name, addr = identity.broker_addr, "silent for too long");
            let peer = self.connections.lock().remove(&connection);
            if let Some(peer) = peer.and_then(|peer| peer.upgrade()) {
                peer.close();
            }
        }
        self.tell(changes);
    }

    /// Looks for silent brokers for ever, at the configured interval.
    pub(crate) async fn watch(&self) {
        let mut scanned_ms = self.clock.now_ms();
        loop {
            let interval_ms = self.config.read().scan_not_active_broker_interval.max(100);
            tokio::time::sleep(Duration::from_millis(interval_ms)).await;
            let overdue_ms = self.clock.now_ms() - scanned_ms - interval_ms as i64;
            // This process was stopped or starved; the brokers had nobody to talk to meanwhile.
            if overdue_ms > 2 * interval_ms as i64 {
                warn!(overdue_ms, "was not running; giving the brokers that much more time");
                self.table.write().forgive(overdue_ms);
            }
            self.expire();
            scanned_ms = self.clock.now_ms();
        }
    }

    /// Tells the members of groups that another member is the first now, if that is switched on.
    pub(crate) fn tell(&self, changes: impl IntoIterator<Item = FirstChange>) {
        if !self.config.read().notify_min_broker_id_changed {
            return;
        }
        for change in changes {
            let header = MinBrokerIdChange {
                min_broker_id: Some(change.first_id),
                broker_name: None,
                min_broker_addr: Some(change.first_addr),
                offline_broker_addr: change.offline_addr,
                ha_broker_addr: change.ha_addr,
            };
            for addr in change.tell {
                let notice = Command::request(RequestCode::NOTIFY_MIN_BROKER_ID_CHANGE).with_header(&header);
                let client = self.client.clone();
                tokio::spawn(async move {
                    match client.oneway(&addr, notice, NOTICE_TIMEOUT).await {
                        Ok(()) => debug!(addr, "told that the first member of its group changed"),
                        Err(error) => warn!(addr, %error, "could not be told that its group changed"),
                    }
                });
            }
        }
    }
}
