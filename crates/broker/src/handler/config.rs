//! The configuration while the broker runs: codes 25 and 26.

use std::sync::Arc;

use rmq_proto::command::Command;
use rmq_proto::fastjson;
use rmq_proto::header::config::ConfigVersion;
use rmq_proto::properties_file::Properties;
use rmq_remoting::Peer;
use rmq_store::Store;
use tracing::info;

use crate::config::{ConfigError, LiveConfig};
use crate::error::Rejection;
use crate::meta::{Topics, now_ms};
use crate::namesrv_link::NamesrvLinks;

/// Shows and changes configuration values.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct ConfigHandler {
    pub config: Arc<LiveConfig>,
    pub topics: Arc<Topics>,
    pub namesrv_links: Arc<NamesrvLinks>,
    pub store: Arc<Store>,
}

impl ConfigHandler {
    /// UPDATE_BROKER_CONFIG (25): all keys of the body change, or none.
    pub async fn update(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let body = request.body.bytes();
        let text = str::from_utf8(&body).map_err(|_| Rejection::system("the body is not UTF-8"))?;
        let changes = Properties::parse(text).map_err(|_| Rejection::system("string2Properties error"))?;
        if changes.iter().any(|(key, _)| self.config.is_blacklisted(key)) {
            return Err(Rejection::no_permission("Can not update config in black list."));
        }
        for (key, value) in changes.iter() {
            info!("{} sets {key}={value}", peer.remote_addr());
        }
        let (config, told) = (self.config.clone(), changes.clone());
        match tokio::task::spawn_blocking(move || config.update(&told, now_ms())).await {
            Ok(Ok(())) => {}
            Ok(Err(error @ ConfigError::File { .. })) => return Err(Rejection::system(error.to_string())),
            Ok(Err(error)) => return Err(Rejection::illegal(error.to_string())),
            Err(error) => return Err(Rejection::system(error.to_string())),
        }
        // Cheap and without effect if none of its values has changed.
        self.store.set_retention(self.config.get().retention());
        if changes.get("brokerPermission").is_some() {
            self.topics.announce_all();
        }
        if changes.get("namesrvAddr").is_some() {
            self.namesrv_links.follow_config();
        }
        Ok(Command::success())
    }

    /// GET_BROKER_CONFIG (26).
    pub fn all(&self, _request: &Command) -> Result<Command, Rejection> {
        let (config, version) = self.config.versioned();
        let version = String::from_utf8_lossy(&fastjson::to_vec(&version)?).into_owned();
        Ok(Command::success().with_header(&ConfigVersion { version }).with_body(config.lines()))
    }
}
