//! One file per family of requests: each handler decodes, checks, asks one room, encodes.

pub(crate) mod config;
pub(crate) mod kv;
pub(crate) mod register;
pub(crate) mod route;
pub(crate) mod topic;
pub(crate) mod write_perm;

use rmq_proto::command::Command;
use rmq_proto::fastjson;
use serde::Serialize;

use crate::error::Rejection;

/// What a handler returns.
pub(crate) type Answer = Result<Command, Rejection>;

/// A successful answer with a JSON body.
fn answer_body(body: &impl Serialize) -> Answer {
    Ok(Command::success().with_body(fastjson::to_vec(body)?))
}
