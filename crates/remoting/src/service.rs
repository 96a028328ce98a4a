//! What answers requests.

use std::sync::Arc;

use rmq_proto::code::ResponseCode;
use rmq_proto::command::Command;

use crate::peer::Peer;

/// Answers the requests that peers send.
///
/// All calls run in the task of their connection, many at a time: a call may wait, but must not
/// block. The requests of one connection are started in the order in which they came and may finish
/// in any order. A call that was started is always polled to its end, even when its connection is
/// gone: what it changes is never half done because a client hung up.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. The connection fills in opaque, flag and encoding, drops the answer of a
    /// oneway request, and turns a panic into `SYSTEM_ERROR`.
    ///
    /// `None` answers never, or later through [`Peer::reply_to`].
    fn call(&self, peer: &Arc<Peer>, request: Command) -> impl Future<Output = Option<Command>> + Send;

    /// A connection is open; nothing was read from it yet.
    fn connected(&self, peer: &Arc<Peer>) {
        let _ = peer;
    }

    /// A connection is gone; called once for each that was [`connected`](Self::connected).
    fn closed(&self, peer: &Arc<Peer>) {
        let _ = peer;
    }
}

/// A service for those who only ask: it supports no request.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoService;

impl Service for NoService {
    async fn call(&self, _peer: &Arc<Peer>, request: Command) -> Option<Command> {
        // Java's words, leading space included.
        let remark = format!(" request type {} not supported", request.code);
        Some(Command::failure(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark))
    }
}
