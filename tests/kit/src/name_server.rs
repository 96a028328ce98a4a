//! A name server under test.

use std::fmt::Display;
use std::ops::{Deref, DerefMut};

use crate::daemon::{Daemon, Flavor, Kind};

const KIND: Kind = Kind {
    name: "namesrv",
    binary: "mqnamesrv",
    main_class: "org.apache.rocketmq.namesrv.NamesrvStartup",
    jvm_options: &["-Xms64m", "-Xmx512m"],
    boot_line: "boot success",
};

/// A name server on a free port.
#[derive(Debug)]
pub struct NameServer {
    daemon: Daemon,
}

impl NameServer {
    /// Prepared but not started: change its config with [`set`](NameServer::set), then call
    /// [`started`](NameServer::started).
    pub fn new(flavor: Flavor) -> NameServer {
        let mut daemon = Daemon::new(&KIND, flavor);
        let port = daemon.port(0);
        let kv_file = daemon.dir().join("namesrv/kvConfig.json");
        let config_file = daemon.dir().join("namesrv/namesrv.properties");
        let properties = daemon.properties_mut();
        properties.set("listenPort", port);
        properties.set("kvConfigPath", kv_file.display());
        properties.set("configStorePath", config_file.display());
        NameServer { daemon }
    }

    /// A running name server with default config.
    #[track_caller]
    pub fn start_new(flavor: Flavor) -> NameServer {
        NameServer::new(flavor).started()
    }

    /// Sets a config key.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Display) -> NameServer {
        self.daemon.properties_mut().set(key, value);
        self
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    #[must_use]
    pub fn started(mut self) -> NameServer {
        self.daemon.start();
        self
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.daemon.port(0))
    }
}

impl Deref for NameServer {
    type Target = Daemon;
    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl DerefMut for NameServer {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}
