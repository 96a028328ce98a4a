//! A name server with its brokers.

use std::time::Duration;

use crate::wire::Connection;
use crate::{Broker, Flavor, NameServer, wait};

const REGISTRATION: Duration = Duration::from_secs(30);

/// One name server and the brokers registered there.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: a broker says good-bye to a name server that is still there.
    brokers: Vec<Broker>,
    namesrv: NameServer,
}

impl Cluster {
    /// One name server and one broker of the same flavor, registered.
    #[track_caller]
    pub fn start(flavor: Flavor) -> Cluster {
        Cluster::mixed(flavor, &[(flavor, "broker-a")])
    }

    /// A name server with named master brokers of any flavors, all registered.
    #[track_caller]
    pub fn mixed(namesrv: Flavor, brokers: &[(Flavor, &str)]) -> Cluster {
        let mut cluster = Cluster::of(NameServer::start_new(namesrv));
        for (flavor, name) in brokers {
            let broker = Broker::new(*flavor, &cluster.namesrv.addr()).set("brokerName", name);
            cluster.add(broker);
        }
        cluster
    }

    /// A cluster without brokers around a running name server; [`add`](Cluster::add) some.
    pub fn of(namesrv: NameServer) -> Cluster {
        Cluster { brokers: Vec::new(), namesrv }
    }

    /// Starts a prepared broker and waits until the name server lists it.
    #[track_caller]
    pub fn add(&mut self, broker: Broker) -> &mut Broker {
        self.brokers.push(broker.started());
        let added = self.brokers.len() - 1;
        self.await_registered(added);
        &mut self.brokers[added]
    }

    /// Waits until the name server lists the `n`th broker, after a restart of either.
    #[track_caller]
    pub fn await_registered(&self, n: usize) {
        let addr = self.brokers[n].addr();
        let what = format!("{} at the name server {}", addr, self.namesrv.addr());
        let mut connection = Connection::open(&self.namesrv.addr());
        wait::until(&what, REGISTRATION, || {
            String::from_utf8_lossy(&connection.call(GET_BROKER_CLUSTER_INFO, &[], b"").body).contains(&addr)
        });
    }

    /// The name server.
    pub fn namesrv(&self) -> &NameServer {
        &self.namesrv
    }

    /// The name server, to stop and start it.
    pub fn namesrv_mut(&mut self) -> &mut NameServer {
        &mut self.namesrv
    }

    /// The first broker.
    pub fn broker(&self) -> &Broker {
        &self.brokers[0]
    }

    /// The first broker, to stop and start it.
    pub fn broker_mut(&mut self) -> &mut Broker {
        &mut self.brokers[0]
    }

    /// All brokers in the order in which they were added.
    pub fn brokers(&self) -> &[Broker] {
        &self.brokers
    }
}

const GET_BROKER_CLUSTER_INFO: i32 = 106;
