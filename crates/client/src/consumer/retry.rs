//! Giving messages back that the listener could not consume, so that they come again later.

use std::time::Duration;

use rmq_proto::{code::RequestCode, command::Command, header::retry::SendBack, message::property, topic};

use crate::{
    error::Result,
    exchange,
    instance::Instance,
    message::{Message, ReceivedMessage},
    producer::Producer,
};

/// Java's limit for the answer to a message sent back.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Java's delay level of the first retry: 10 s.
const FIRST_DELAY_LEVEL: i32 = 3;

/// Gives messages of one group back.
#[derive(Debug)]
pub(crate) struct Retry {
    instance: Instance,
    group: String,
    max_reconsume_times: i32,
    producer: Producer,
}

impl Retry {
    pub(crate) fn new(instance: Instance, group: String, max_reconsume_times: i32) -> Self {
        let producer = Producer::inner(&instance);
        Self { instance, group, max_reconsume_times, producer }
    }

    /// Asks the broker to store the message for a later attempt. If it cannot, the message is sent to the
    /// group's retry topic as a new one. `false`: neither worked.
    pub(crate) async fn give_back(&self, message: &ReceivedMessage, delay_level: i32) -> bool {
        let error = match self.ask_broker(message, delay_level).await {
            Ok(()) => return true,
            Err(error) => error,
        };
        tracing::warn!(group = self.group, msg_id = message.id(), %error,
            "the broker did not take the message back, sending it to the retry topic");
        match self.producer.send(self.copy(message)).await {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(group = self.group, msg_id = message.id(), %error, "the message was not given back");
                false
            }
        }
    }

    async fn ask_broker(&self, message: &ReceivedMessage, delay_level: i32) -> Result<()> {
        let address = self.instance.master_of(message.broker_name())?;
        let header = SendBack {
            offset: message.physical_offset,
            group: self.group.clone(),
            delay_level,
            origin_msg_id: Some(message.id()),
            origin_topic: Some(message.topic.clone()),
            unit_mode: Some(false),
            max_reconsume_times: Some(self.max_reconsume_times),
            broker_name: Some(message.broker_name().to_owned()),
        };
        let request = Command::request(RequestCode::CONSUMER_SEND_MSG_BACK).with_header(&header);
        exchange::invoke(self.instance.remoting(), &address, request, TIMEOUT).await.map(drop)
    }

    fn copy(&self, message: &ReceivedMessage) -> Message {
        let mut properties = message.properties.clone();
        if !properties.contains(property::ORIGIN_MESSAGE_ID) {
            properties.set(property::ORIGIN_MESSAGE_ID, message.id());
        }
        properties.remove(property::TRANSACTION_PREPARED);
        properties.set(property::RETRY_TOPIC, message.topic.as_str());
        properties.set(property::RECONSUME_TIME, (message.reconsume_times + 1).to_string());
        properties.set(property::MAX_RECONSUME_TIMES, self.max_reconsume_times.to_string());
        properties.set(property::DELAY, (FIRST_DELAY_LEVEL + message.reconsume_times).to_string());
        Message {
            topic: topic::retry(&self.group),
            body: message.body.clone(),
            flag: message.flag,
            properties,
        }
    }
}
