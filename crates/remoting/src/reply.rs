//! Where an answer belongs.

use std::sync::Arc;

use rmq_proto::code::RequestCode;
use rmq_proto::command::{Command, HeaderEncoding};

use crate::error::SendError;
use crate::peer::Peer;

const FLAG_RESPONSE: i32 = 1;

/// What an answer copies from its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub(crate) code: RequestCode,
    opaque: i32,
    encoding: HeaderEncoding,
    oneway: bool,
}

impl Envelope {
    pub(crate) fn of(request: &Command) -> Self {
        Self {
            code: request.request_code(),
            opaque: request.opaque,
            encoding: request.encoding,
            oneway: request.is_oneway(),
        }
    }

    /// The answer, ready to be sent; nothing if the request did not want one.
    pub(crate) fn seal(self, mut answer: Command) -> Option<Command> {
        answer.opaque = self.opaque;
        answer.flag |= FLAG_RESPONSE;
        // Java answers in the encoding that it is configured for; every client reads both. The
        // request's own encoding is the one that its sender surely knows.
        answer.encoding = self.encoding;
        (!self.oneway).then_some(answer)
    }
}

/// Answers one request later, from any task: for requests that are parked.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    peer: Arc<Peer>,
    envelope: Envelope,
}

impl ReplyTo {
    pub(crate) fn new(peer: Arc<Peer>, request: &Command) -> Self {
        Self { peer, envelope: Envelope::of(request) }
    }

    /// Who waits for the answer.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Sends the answer, without waiting; does nothing if the request was oneway.
    pub fn send(&self, answer: Command) -> Result<(), SendError> {
        match self.envelope.seal(answer) {
            Some(answer) => self.peer.send(answer),
            None => Ok(()),
        }
    }
}
