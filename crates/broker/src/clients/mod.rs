//! Who is connected: producers, consumers and the queues that ordered consumers lock.
//!
//! A client is known by its connection. It announces its groups with heartbeats; what it announced is
//! forgotten when it says goodbye, when its connection closes, or when it has been silent for
//! [`SILENCE_LIMIT`].

pub mod callback;
pub mod consumers;
pub mod producers;
pub mod queue_locks;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rmq_proto::{body::Connection, code::Language};
use rmq_remoting::Peer;

use crate::meta::now_ms;

/// A client that sent no heartbeat for so long is gone, even if its connection still stands.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(120);

/// One connection and what its client says about itself.
#[derive(Debug, Clone)]
pub struct Client {
    /// The connection.
    pub peer: Arc<Peer>,
    /// The client's own name; several connections should not share one, but may.
    pub client_id: String,
    /// What the client is written in.
    pub language: Language,
    /// The client's protocol version.
    pub version: i32,
    seen: Instant,
    seen_ms: i64,
}

impl Client {
    /// A client that speaks right now.
    pub fn new(peer: &Arc<Peer>, client_id: &str, language: Language, version: i32) -> Self {
        Self {
            peer: peer.clone(),
            client_id: client_id.to_owned(),
            language,
            version,
            seen: Instant::now(),
            seen_ms: now_ms(),
        }
    }

    /// Milliseconds since the epoch of the last heartbeat.
    pub fn last_seen_ms(&self) -> i64 {
        self.seen_ms
    }

    /// As the connection lists of the admin tools show it.
    pub fn connection(&self) -> Connection {
        Connection {
            client_addr: self.peer.remote_addr().to_string(),
            client_id: self.client_id.clone(),
            language: self.language,
            version: self.version,
        }
    }

    fn refresh(&mut self, newer: &Self) {
        self.seen = newer.seen;
        self.seen_ms = newer.seen_ms;
    }

    fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) > SILENCE_LIMIT
    }
}
