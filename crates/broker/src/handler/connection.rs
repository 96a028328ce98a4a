//! Who is connected, and questions passed on to clients: codes 203, 204, 223, 307, 309, 328 and 345.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rmq_proto::body::{ConsumerConnection, ConsumerStatus, GroupSubscription, ProducerConnection};
use rmq_proto::code::{RequestCode, ResponseCode};
use rmq_proto::command::{Command, ExtFields};
use rmq_proto::fastjson;
use rmq_proto::header::admin::{self, ConsumeDirectly, TopicAndGroup};
use rmq_proto::header::client::{ConsumerGroup, ConsumerRunningInfo, ProducerGroup};
use rmq_proto::message::id::OffsetId;
use rmq_remoting::Peer;
use rmq_store::Store;
use tracing::warn;

use super::answer;
use crate::clients::callback::relay;
use crate::clients::consumers::Consumers;
use crate::clients::producers::Producers;
use crate::config::LiveConfig;
use crate::error::Rejection;
use crate::limits::RELAY_WAIT;
use crate::meta::{Groups, Topics};

/// A client's answer about its status is waited for this long.
const STATUS_WAIT: Duration = Duration::from_secs(5);

/// Shows connections and relays questions.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct ConnectionHandler {
    pub config: Arc<LiveConfig>,
    pub topics: Arc<Topics>,
    pub groups: Arc<Groups>,
    pub producers: Arc<Producers>,
    pub consumers: Arc<Consumers>,
    pub store: Arc<Store>,
}

impl ConnectionHandler {
    /// GET_CONSUMER_CONNECTION_LIST (203).
    pub fn consumers(&self, request: &Command) -> Result<Command, Rejection> {
        let ConsumerGroup { consumer_group } = request.header()?;
        let group = self.consumers.group(&consumer_group).ok_or_else(|| {
            let remark = format!("the consumer group[{consumer_group}] not online");
            Rejection::new(ResponseCode::CONSUMER_NOT_ONLINE, remark)
        })?;
        answer(&ConsumerConnection {
            connection_set: group.connections.into_iter().collect(),
            consume_from_where: group.consume_from_where,
            consume_type: group.consume_type,
            message_model: group.message_model,
            subscription_table: group.subscriptions,
        })
    }

    /// GET_PRODUCER_CONNECTION_LIST (204).
    pub fn producers(&self, request: &Command) -> Result<Command, Rejection> {
        let ProducerGroup { producer_group } = request.header()?;
        let connections = self
            .producers
            .connections(&producer_group)
            .ok_or_else(|| Rejection::system(format!("the producer group[{producer_group}] not exist")))?;
        answer(&ProducerConnection { connection_set: connections.into_iter().collect() })
    }

    /// GET_ALL_PRODUCER_INFO (328).
    pub fn all_producers(&self, _request: &Command) -> Result<Command, Rejection> {
        answer(&self.producers.table())
    }

    /// QUERY_SUBSCRIPTION_BY_CONSUMER (345).
    pub fn subscription(&self, request: &Command) -> Result<Command, Rejection> {
        let TopicAndGroup { topic, group } = request.header()?;
        let subscription_data = self.consumers.subscription(&group, &topic).map(|found| (*found).clone());
        answer(&GroupSubscription { group, subscription_data, topic })
    }

    /// GET_CONSUMER_RUNNING_INFO (307): the client answers.
    pub async fn running_info(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: ConsumerRunningInfo = request.header()?;
        self.relay(RequestCode::GET_CONSUMER_RUNNING_INFO, &ask.consumer_group, &ask.client_id, request).await
    }

    /// CONSUME_MESSAGE_DIRECTLY (309): the client gets the record and tells how consuming it went.
    pub async fn consume_directly(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: ConsumeDirectly = request.header()?;
        let mut request = request;
        request.ext.insert("brokerName", &self.config.get().broker_name);
        if let Some(topic) = ask.topic.as_deref().and_then(|topic| self.topics.get(topic)) {
            request.ext.insert("topicSysFlag", topic.topic_sys_flag);
        }
        if let Some(group) = self.groups.find(&ask.consumer_group) {
            request.ext.insert("groupSysFlag", group.group_sys_flag);
        }
        let message_id = ask.msg_id.unwrap_or_default();
        let id: OffsetId = message_id
            .parse()
            .map_err(|_| Rejection::illegal(format!("`{message_id}` is no offset message id")))?;
        let store = self.store.clone();
        let record =
            tokio::task::spawn_blocking(move || store.record_at(id.physical_offset)).await.ok().flatten();
        request.body =
            record.ok_or_else(|| Rejection::system(format!("there is no message {message_id}")))?.into();
        let client_id = ask.client_id.unwrap_or_default();
        self.relay(RequestCode::CONSUME_MESSAGE_DIRECTLY, &ask.consumer_group, &client_id, request).await
    }

    async fn relay(
        &self,
        code: RequestCode,
        group: &str,
        client: &str,
        asked: Command,
    ) -> Result<Command, Rejection> {
        let peer = self
            .consumers
            .find_client(group, client)
            .ok_or_else(|| Rejection::system(format!("The Consumer <{group}> <{client}> not online")))?;
        let mut question = Command::request(code).with_body(asked.body);
        question.ext = asked.ext;
        let told = relay(&peer, question, RELAY_WAIT).await?;
        // Only what belongs to the answer is passed back; the connection fills in the rest.
        let mut answer = Command::response(told.response_code()).with_body(told.body);
        (answer.remark, answer.ext) = (told.remark, told.ext);
        Ok(answer)
    }

    /// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223): asks the clients of a group how far each is.
    pub async fn status(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: admin::ConsumerStatus = request.header()?;
        let mut peers = self.consumers.peers(&ask.group);
        if peers.is_empty() {
            let remark = format!("No Any Consumer online in the consumer group: [{}]", ask.group);
            return Err(Rejection::system(remark));
        }
        if let Some(client) = ask.client_addr.filter(|client| !client.trim().is_empty()) {
            peers.retain(|(id, _)| *id == client);
        }
        let asked = peers.into_iter().map(|(id, peer)| {
            let question = status_question(&ask.topic, &ask.group);
            async move { (id, relay(&peer, question, STATUS_WAIT).await) }
        });
        let mut consumer_table = BTreeMap::new();
        for (id, told) in futures::future::join_all(asked).await {
            // Java: a client that does not answer is left out.
            match told.and_then(|told| Ok(fastjson::from_slice::<ConsumerStatus>(&told.body.bytes())?)) {
                Ok(status) => _ = consumer_table.insert(id, status.message_queue_table),
                Err(rejection) => warn!("no status of consumer {id}: {rejection}"),
            }
        }
        answer(&ConsumerStatus { consumer_table, ..ConsumerStatus::default() })
    }
}

fn status_question(topic: &str, group: &str) -> Command {
    let mut question = Command::request(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT);
    question.ext = ExtFields::from_iter([("topic", topic), ("group", group)]);
    question
}
