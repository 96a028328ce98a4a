//! Sending, and sending back: codes 10, 310, 320 and 36.
//!
//! The data path comes from `dispatch` and goes on in [`crate::produce`].

use std::sync::Arc;

use rmq_proto::{
    code::{RequestCode, ResponseCode},
    command::Command,
    header::{
        retry::SendBack,
        send::{SendRequest, SendResponse},
    },
    message::property,
};
use rmq_remoting::Peer;

use crate::{
    error::Rejection,
    produce::{Durability, Sent, WriteGate},
    retry::Retry,
};

/// Answers sends.
#[derive(Debug)]
pub struct SendHandler {
    gate: Arc<WriteGate>,
    retry: Arc<Retry>,
}

impl SendHandler {
    /// A handler that passes messages to `gate`, and those that come back to `retry`.
    pub fn new(gate: Arc<WriteGate>, retry: Arc<Retry>) -> Self {
        Self { gate, retry }
    }

    /// SEND_MESSAGE (10), SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320). As in Java the header decides
    /// whether it is a batch, not the code.
    pub async fn send(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask = if request.request_code() == RequestCode::SEND_MESSAGE {
            request.header::<SendRequest>()?
        } else {
            SendRequest::decode_short(&request.ext)?
        };
        let body = request.body.bytes();
        let from = peer.remote_addr();
        let sent = if ask.batch.unwrap_or(false) {
            self.gate.send_batch(&ask, body, from).await
        } else {
            self.gate.send(&ask, body, from, request.version).await
        };
        Ok(self.answer(sent))
    }

    /// CONSUMER_SEND_MSG_BACK (36).
    pub async fn send_back(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: SendBack = request.header()?;
        self.retry.send_back(&ask, request.version).await?;
        Ok(Command::success())
    }

    fn answer(&self, sent: Result<Sent, Rejection>) -> Command {
        let mut answer = match sent {
            Ok(sent) => accepted(sent),
            Err(rejection) => rejection.into(),
        };
        // Java adds these to failures too; its clients look for them in every answer to a send.
        let config = self.gate.config();
        answer.ext.insert(property::MSG_REGION, &config.region_id);
        answer.ext.insert(property::TRACE_ON, config.trace_on);
        answer
    }
}

fn accepted(sent: Sent) -> Command {
    let code = match sent.durability {
        Durability::AsAsked => ResponseCode::SUCCESS,
        Durability::FlushPending => ResponseCode::FLUSH_DISK_TIMEOUT,
    };
    Command::response(code).with_header(&SendResponse {
        msg_id: sent.message_id,
        queue_id: sent.queue_id,
        queue_offset: sent.queue_offset,
        transaction_id: sent.unique_key,
        ..SendResponse::default()
    })
}
