//! What brokers ask of us, over the connections that we opened.

use std::sync::{Arc, Weak};

use rmq_proto::{
    body::{ConsumerStatus, MessageQueue, ResetOffsets},
    code::{RequestCode, ResponseCode},
    command::Command,
    fastjson,
    header::client::{ConsumerGroup, ConsumerRunningInfo},
    message::Message,
};
use rmq_remoting::{Peer, Service};
use serde::Serialize;

use crate::{heartbeat::Member, instance::Shared, message::ReceivedMessage};

#[derive(Debug)]
pub(crate) struct Callback {
    instance: Weak<Shared>,
}

impl Service for Callback {
    async fn call(&self, _peer: &Arc<Peer>, request: Command) -> Option<Command> {
        match request.request_code() {
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => self.rebalance(&request),
            RequestCode::RESET_CONSUMER_CLIENT_OFFSET => self.reset(&request),
            RequestCode::GET_CONSUMER_RUNNING_INFO => Some(self.running_info(&request)),
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => Some(self.consumed(&request)),
            RequestCode::CONSUME_MESSAGE_DIRECTLY => Some(self.consume_directly(&request).await),
            code => Some(Command::failure(
                ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
                format!(" request type {} not supported", code.0),
            )),
        }
    }

    /// A broker forgets who was behind a lost connection; an early heartbeat opens a new one.
    fn closed(&self, _peer: &Arc<Peer>) {
        if let Some(instance) = self.instance.upgrade() {
            instance.beat.notify_one();
        }
    }
}

impl Callback {
    pub(crate) fn new(instance: Weak<Shared>) -> Self {
        Self { instance }
    }

    fn member(&self, group: &str) -> Option<Arc<dyn Member>> {
        let instance = self.instance.upgrade()?;
        let members = instance.members.lock();
        members.consumers.get(group)?.upgrade()
    }

    /// Oneway: nobody waits for an answer.
    fn rebalance(&self, request: &Command) -> Option<Command> {
        if let Ok(header) = request.header::<ConsumerGroup>()
            && let Some(member) = self.member(&header.consumer_group)
        {
            tracing::debug!(group = header.consumer_group, "the members of the group changed");
            member.rebalance();
        }
        None
    }

    /// Oneway, too. The topic's header field only repeats what the queues say.
    fn reset(&self, request: &Command) -> Option<Command> {
        let group = request.ext.get("group").unwrap_or_default();
        match fastjson::from_slice::<ResetOffsets>(&request.body.bytes()) {
            Ok(offsets) => {
                if let Some(member) = self.member(group) {
                    tracing::info!(group, queues = offsets.offset_table.len(), "a broker resets our offsets");
                    member.reset(offsets.offset_table.into_iter().collect());
                }
            }
            Err(error) => tracing::warn!(group, %error, "a broker's request to reset offsets is unreadable"),
        }
        None
    }

    fn running_info(&self, request: &Command) -> Command {
        let header = match request.header::<ConsumerRunningInfo>() {
            Ok(header) => header,
            Err(error) => return Command::failure(ResponseCode::SYSTEM_ERROR, error.to_string()),
        };
        match self.member(&header.consumer_group) {
            Some(member) => answer(&member.running_info()),
            None => unknown(&header.consumer_group),
        }
    }

    fn consumed(&self, request: &Command) -> Command {
        let group = request.ext.get("group").unwrap_or_default();
        let topic = request.ext.get("topic").unwrap_or_default();
        match self.member(group) {
            Some(member) => answer(&ConsumerStatus {
                message_queue_table: member
                    .consumed(topic)
                    .into_iter()
                    .collect::<std::collections::BTreeMap<MessageQueue, i64>>(),
                ..ConsumerStatus::default()
            }),
            None => unknown(group),
        }
    }

    async fn consume_directly(&self, request: &Command) -> Command {
        let group = request.ext.get("consumerGroup").unwrap_or_default();
        let Some(member) = self.member(group) else {
            return unknown(group);
        };
        let broker = request.ext.get("brokerName").unwrap_or_default();
        match Message::decode(&request.body.bytes()) {
            Ok(message) => {
                answer(&member.consume_directly(ReceivedMessage::new(message, broker.into())).await)
            }
            Err(error) => Command::failure(ResponseCode::SYSTEM_ERROR, error.to_string()),
        }
    }
}

fn answer<T: Serialize>(body: &T) -> Command {
    match fastjson::to_vec(body) {
        Ok(body) => Command::success().with_body(body),
        Err(error) => Command::failure(ResponseCode::SYSTEM_ERROR, error.to_string()),
    }
}

/// Java's words.
fn unknown(group: &str) -> Command {
    Command::failure(
        ResponseCode::SYSTEM_ERROR,
        format!("The Consumer Group <{group}> not exist in this consumer"),
    )
}
