//! How far delayed messages are delivered: code 45.

use std::sync::Arc;

use rmq_proto::command::Command;

use super::answer;
use crate::delay::levels::Levels;
use crate::error::Rejection;

/// Shows the delay levels.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct DelayHandler {
    pub levels: Arc<Levels>,
}

impl DelayHandler {
    /// GET_ALL_DELAY_OFFSET (45).
    pub fn all_offsets(&self, _request: &Command) -> Result<Command, Rejection> {
        answer(&self.levels.snapshot())
    }
}
