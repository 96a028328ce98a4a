//! What each request asks: decode, check, call one room, encode. One file per family of codes.

pub mod client;
pub mod config;
pub mod connection;
pub mod delay;
pub mod group;
pub mod lock;
pub mod offset;
mod page;
pub mod progress;
pub mod pull;
pub mod query;
pub mod runtime;
pub mod send;
pub mod topic;

use rmq_proto::command::Command;
use rmq_proto::fastjson;
use serde::Serialize;

use crate::error::Rejection;

/// A successful answer with a JSON body.
pub(crate) fn answer<T: Serialize>(body: &T) -> Result<Command, Rejection> {
    Ok(Command::success().with_body(fastjson::to_vec(body)?))
}
