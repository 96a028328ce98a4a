//! A broker under test.

use std::fmt::Display;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use crate::daemon::{Daemon, Flavor, Kind};

const KIND: Kind = Kind {
    name: "broker",
    binary: "mqbroker",
    main_class: "org.apache.rocketmq.broker.BrokerStartup",
    // The two modules are opened because the official start script does: the store unmaps files by reflection.
    jvm_options: &[
        "-Xms512m",
        "-Xmx1g",
        "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
    ],
    boot_line: "boot success",
};

/// Java opens `listenPort - 2` (for old clients) and `haListenPort` beside the main port.
const FAST_PORT: u16 = 0;
const PORT: u16 = FAST_PORT + 2;
const HA_PORT: u16 = PORT + 1;

/// A broker on free ports with a store of its own.
#[derive(Debug)]
pub struct Broker {
    daemon: Daemon,
    namesrv: String,
}

impl Broker {
    /// Prepared but not started: `broker-a`, id 0, of `DefaultCluster`, for the name servers `a:port;b:port`. Commit log
    /// files are small (16 MiB) so that tests roll them and disks stay empty.
    pub fn new(flavor: Flavor, namesrv: &str) -> Broker {
        let mut daemon = Daemon::new(&KIND, flavor);
        daemon.arg("-n");
        daemon.arg(namesrv);
        let (port, ha_port) = (daemon.port(PORT), daemon.port(HA_PORT));
        let store = daemon.dir().join("store");
        let properties = daemon.properties_mut();
        properties.set("brokerClusterName", "DefaultCluster");
        properties.set("brokerName", "broker-a");
        properties.set("brokerId", 0);
        properties.set("brokerIP1", "127.0.0.1");
        properties.set("listenPort", port);
        properties.set("haListenPort", ha_port);
        properties.set("storePathRootDir", store.display());
        properties.set("mappedFileSizeCommitLog", 16 << 20);
        // How full the disk of the machine is, is no business of a test.
        properties.set("diskMaxUsedSpaceRatio", 95);
        // A busy machine is none either: no send is refused because it waited.
        properties.set("waitTimeMillsInSendQueue", 10_000);
        properties.set("osPageCacheBusyTimeOutMills", 10_000);
        Broker { daemon, namesrv: namesrv.to_owned() }
    }

    /// A running broker with default config.
    #[track_caller]
    pub fn start_new(flavor: Flavor, namesrv: &str) -> Broker {
        Broker::new(flavor, namesrv).started()
    }

    /// Sets a config key.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Display) -> Broker {
        self.daemon.properties_mut().set(key, value);
        self
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    #[must_use]
    pub fn started(mut self) -> Broker {
        self.daemon.start();
        self
    }

    /// The configured `brokerName`.
    pub fn name(&self) -> &str {
        self.daemon.properties().get("brokerName").unwrap_or_default()
    }

    /// `127.0.0.1:listenPort`.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.daemon.port(PORT))
    }

    /// `127.0.0.1:(listenPort - 2)`.
    pub fn fast_addr(&self) -> String {
        format!("127.0.0.1:{}", self.daemon.port(FAST_PORT))
    }

    /// `127.0.0.1:haListenPort`.
    pub fn ha_addr(&self) -> String {
        format!("127.0.0.1:{}", self.daemon.port(HA_PORT))
    }

    /// The name servers that it was given.
    pub fn namesrv_addr(&self) -> &str {
        &self.namesrv
    }

    /// `storePathRootDir`.
    pub fn store_dir(&self) -> PathBuf {
        self.daemon.dir().join("store")
    }
}

impl Deref for Broker {
    type Target = Daemon;
    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl DerefMut for Broker {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}
