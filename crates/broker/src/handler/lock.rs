//! Queue locks of ordered consumers: codes 41 and 42.

use std::{sync::Arc, time::Instant};

use rmq_proto::{
    body::{LockRequest, LockedQueues},
    command::Command,
    fastjson,
};
use rmq_remoting::Peer;

use crate::{clients::queue_locks::QueueLocks, error::Rejection};

/// Answers lock and unlock requests.
#[derive(Debug)]
pub struct LockHandler {
    /// The locks.
    pub queue_locks: Arc<QueueLocks>,
}

impl LockHandler {
    /// LOCK_BATCH_MQ (41): answers those of the queues that the client now holds.
    pub async fn lock(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: LockRequest = fastjson::from_slice(&request.body.bytes())?;
        let lock_ok_mq_set =
            self.queue_locks.lock(&ask.consumer_group, &ask.mq_set, &ask.client_id, Instant::now());
        Ok(Command::success().with_body(fastjson::to_vec(&LockedQueues { lock_ok_mq_set })?))
    }

    /// UNLOCK_BATCH_MQ (42), mostly oneway.
    pub async fn unlock(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: LockRequest = fastjson::from_slice(&request.body.bytes())?;
        self.queue_locks.unlock(&ask.consumer_group, &ask.mq_set, &ask.client_id);
        Ok(Command::success())
    }
}
