//! The name server: brokers register here, clients ask here where topics are.
//!
//! It keeps no state that matters. Brokers register again every 30 seconds with every name server, so
//! name servers need not know each other, and one that restarts is complete within that time. Only the
//! small key-value configuration is on disk.
//!
//! ```text
//!  broker ──register──▶ dispatch ─▶ handler/register ─▶ route_table ◀── liveness (silence, lost
//!  client ──route?────▶    │      ─▶ handler/route    ─▶     │                    connections)
//!  operator ──────────▶    └──────▶ handler/{topic, write_perm, kv, config} ─▶ kv_store, config
//! ```
//!
//! ```no_run
//! # async fn run() -> Result<(), rmq_namesrv::StartError> {
//! use std::path::Path;
//! use rmq_namesrv::{Config, Namesrv};
//!
//! let mut config = Config::at_home(Path::new("/tmp"));
//! config.listen_port = 0;
//! let namesrv = Namesrv::start(config).await?;
//! println!("listening on {}", namesrv.local_addr());
//! namesrv.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod config;
mod dispatch;
mod error;
mod handler;
mod kv_store;
mod liveness;
mod route_table;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rmq_remoting::{Client, ClientOptions, Limits, NoService, Server, ServerOptions};
use tokio::task::JoinHandle;

pub use config::{Config, ConfigError};
pub use error::StartError;

use dispatch::{Dispatch, Handlers};
use kv_store::KvStore;
use liveness::{Clock, Liveness};
use route_table::RouteTable;

/// How long requests in flight may take once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(3);

/// A running name server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Namesrv {
    server: Server,
    client: Client,
    watch: JoinHandle<()>,
}

impl Namesrv {
    /// Starts a name server; it serves as soon as this returns. Call it inside a tokio runtime.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let address = resolve(&config.bind_address, config.listen_port).await?;
        let kv = Arc::new(KvStore::open(&config.kv_config_path)?);
        let limits = Limits {
            idle_timeout: Duration::from_secs(u64::from(config.server_channel_max_idle_time_seconds.get())),
            ..Limits::default()
        };
        let config = Arc::new(RwLock::new(config));
        let table = Arc::new(RwLock::new(RouteTable::default()));
        let clock = Clock::start();
        let client = Client::new(ClientOptions::default(), Arc::new(NoService));
        let liveness =
            Arc::new(Liveness::new(Arc::clone(&table), Arc::clone(&config), clock, client.clone()));
        let handlers = Handlers::new(config, table, kv, clock, Arc::clone(&liveness));
        let dispatch = Arc::new(Dispatch::new(handlers, Arc::clone(&liveness)));
        let server = Server::bind(&[address], ServerOptions { limits }, dispatch)
            .map_err(|error| StartError::Bind { address, reason: error.to_string() })?;
        let watch = tokio::spawn(async move { liveness.watch().await });
        Ok(Self { server, client, watch })
    }

    /// Where it listens: with `listen_port` 0, the port that was found.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Stops accepting, finishes what is in flight (for at most three seconds), and closes.
    pub async fn shutdown(self) {
        self.watch.abort();
        self.server.shutdown(DRAIN).await;
        self.client.shutdown();
    }
}

impl Drop for Namesrv {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// A bind address may be a host name, as in Java.
async fn resolve(host: &str, port: u16) -> Result<SocketAddr, StartError> {
    let unknown = |cause| StartError::Address { host: host.to_owned(), cause };
    let mut found = tokio::net::lookup_host((host, port)).await.map_err(unknown)?;
    found.next().ok_or_else(|| unknown(std::io::Error::other("no address")))
}
