//! What a configuration takes from the machine: names, directories, and the addresses that others dial.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;

use super::{BrokerConfig, ConfigError};

/// What `main` read from the process's surroundings.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `HOME`.
    pub home: Option<String>,
    /// `ROCKETMQ_HOME`.
    pub rocketmq_home: Option<String>,
    /// `NAMESRV_ADDR`.
    pub namesrv_addr: Option<String>,
    /// The host's name.
    pub hostname: Option<String>,
}

impl Environment {
    /// Fills in the values that depend on the machine and were not given.
    pub fn complete(&self, config: &mut BrokerConfig) {
        let fill = |value: &mut String, from: Option<String>| {
            if value.is_empty() {
                *value = from.unwrap_or_default();
            }
        };
        fill(&mut config.rocketmq_home, self.rocketmq_home.clone());
        fill(&mut config.namesrv_addr, self.namesrv_addr.clone());
        // Java: the host's name, or DEFAULT_BROKER.
        fill(&mut config.broker_name, self.hostname.clone().or_else(|| Some("DEFAULT_BROKER".into())));
        // Java: $HOME/store.
        let home = self.home.clone().unwrap_or_else(|| ".".into());
        fill(&mut config.store_path_root_dir, Path::new(&home).join("store").to_str().map(str::to_owned));
        let log = Path::new(&config.store_path_root_dir).join("commitlog");
        fill(&mut config.store_path_commit_log, log.to_str().map(str::to_owned));
        fill(&mut config.broker_ip1, Some(local_ip(self.hostname.as_deref()).to_string()));
        let same = config.broker_ip1.clone();
        fill(&mut config.broker_ip2, Some(same));
    }
}

/// Where others find this broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// `host:port` that clients dial.
    pub client: String,
    /// The same as numbers; part of each record and message id.
    pub store_host: SocketAddr,
    /// `host:port` that slaves dial.
    pub ha: String,
}

impl Addresses {
    /// Works out the addresses. `brokerIP1` may be a host's name: clients get the name, records need the number.
    pub fn of(config: &BrokerConfig) -> Result<Self, ConfigError> {
        let port = config.listen_port as u16;
        let store_host = resolve(&config.broker_ip1, port).ok_or_else(|| ConfigError::Value {
            key: "brokerIP1".into(),
            value: config.broker_ip1.clone(),
            allowed: "an IP address, or a host name that this machine can resolve".into(),
        })?;
        Ok(Self {
            client: host_port(&config.broker_ip1, i32::from(port)),
            store_host,
            ha: host_port(&config.broker_ip2, config.ha_port()),
        })
    }

    /// True if clients are told a name and records hold the address that it stands for now.
    pub fn is_named(&self) -> bool {
        self.client.parse::<SocketAddr>().is_err()
    }
}

fn host_port(host: &str, port: i32) -> String {
    match host.parse() {
        Ok(IpAddr::V6(_)) => format!("[{host}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

/// The first IPv4 address of a name, else the first of any kind: older clients can't read IPv6 message ids.
fn resolve(host: &str, port: u16) -> Option<SocketAddr> {
    let found: Vec<_> = (host, port).to_socket_addrs().ok()?.collect();
    found.iter().find(|address| address.is_ipv4()).or(found.first()).copied()
}

/// An address of this host that others can dial. Java walks the interfaces and prefers a public IPv4 one;
/// the address that packets to the outside leave from is the same one on most hosts and right on more.
fn local_ip(hostname: Option<&str>) -> IpAddr {
    outward_ip().or_else(|| named_ip(hostname?)).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn outward_ip() -> Option<IpAddr> {
    // Connecting a datagram socket only looks up the route; nothing is sent. The network is one for documentation.
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(is_dialable)
}

fn named_ip(hostname: &str) -> Option<IpAddr> {
    let found: Vec<_> =
        (hostname, 0).to_socket_addrs().ok()?.map(|address| address.ip()).filter(is_dialable).collect();
    found.iter().find(|ip| ip.is_ipv4()).or(found.first()).copied()
}

fn is_dialable(ip: &IpAddr) -> bool {
    !ip.is_loopback() && !ip.is_unspecified()
}
