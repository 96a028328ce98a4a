//! Clients come, stay and go: codes 34, 35, 38 and 46.

use std::sync::Arc;

use rmq_proto::{
    body::{CheckClient, ConsumeType, ConsumerData, ConsumerList, HeartbeatData},
    code::ResponseCode,
    command::Command,
    fastjson,
    header::client::{ConsumerGroup, UnregisterClient},
    topic::{self, perm},
};
use rmq_remoting::Peer;
use tracing::debug;

use crate::{
    clients::{
        Client,
        consumers::{Announcement, Consumers, News, Registered},
        producers::Producers,
    },
    config::LiveConfig,
    error::{Outcome, Rejection},
    filter::Filter,
    meta::{groups::Groups, topics::Topics},
};

/// Ext-field of a heartbeat's answer: fingerprints are understood here.
const IS_SUPPORT_HEART_BEAT_V2: &str = "IS_SUPPORT_HEART_BEAT_V2";
/// Ext-field of a heartbeat's answer: send the subscriptions again.
const IS_SUB_CHANGE: &str = "IS_SUB_CHANGE";
/// Topic system flag of a retry topic whose consumers are in unit mode.
const UNIT_SUBSCRIPTION: i32 = 1 << 1;

/// Answers heartbeats and what else clients say about themselves.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct ClientHandler {
    pub config: Arc<LiveConfig>,
    pub topics: Arc<Topics>,
    pub groups: Arc<Groups>,
    pub producers: Arc<Producers>,
    pub consumers: Arc<Consumers>,
}

impl ClientHandler {
    /// HEART_BEAT (34).
    ///
    /// The members of a group are told of a change after the answer is on its way, so that nobody is sent to
    /// look at its group before it knows that it is in it. (Java tells them first.)
    pub async fn heartbeat(&self, peer: &Arc<Peer>, request: Command) -> Result<Outcome, Rejection> {
        let heartbeat: HeartbeatData = fastjson::from_slice(&request.body.bytes())?;
        let client = Client::new(peer, &heartbeat.client_id, request.language, request.version);
        let mut wants_subscriptions = false;
        let mut news = Vec::new();
        for data in &heartbeat.consumer_data_set {
            let Some(registered) = self.consumer_heartbeat(&client, data, &heartbeat).await else { continue };
            wants_subscriptions |= registered.wants_subscriptions;
            news.extend(registered.news);
        }
        for data in &heartbeat.producer_data_set {
            self.producers.register(&data.group_name, client.clone());
        }
        let mut answer = Command::success();
        answer.ext.insert(IS_SUPPORT_HEART_BEAT_V2, true);
        // Java always answers true to clients that sent no fingerprint.
        answer.ext.insert(IS_SUB_CHANGE, wants_subscriptions || heartbeat.heartbeat_fingerprint == 0);
        if news.is_empty() {
            return Ok(answer.into());
        }
        if let Err(error) = peer.reply_to(&request).send(answer) {
            debug!(%error, "a heartbeat could not be answered");
        }
        news.iter().for_each(News::tell);
        Ok(Outcome::Later)
    }

    /// Registers a consumer. Java silently ignores a group that neither exists nor may be created.
    async fn consumer_heartbeat(
        &self,
        client: &Client,
        data: &ConsumerData,
        whole: &HeartbeatData,
    ) -> Option<Registered> {
        let rejects_pull = self.config.get().reject_pull_consumer_enable;
        if rejects_pull && data.consume_type == ConsumeType::Actively {
            return None;
        }
        let group = self.groups.find(&data.group_name)?;
        let ordered = data.subscription_data_set.iter().any(|wanted| self.topics.is_order(&wanted.topic));
        let sys_flag = if data.unit_mode { UNIT_SUBSCRIPTION } else { 0 };
        let (retry, queues) = (topic::retry(&data.group_name), group.retry_queue_nums);
        self.topics.create_on_send_back(&retry, queues, perm::READ | perm::WRITE, ordered, sys_flag).await;
        let without_subscriptions = whole.without_sub && whole.heartbeat_fingerprint != 0;
        let registered = self.consumers.register(
            client.clone(),
            Announcement {
                data,
                fingerprint: whole.heartbeat_fingerprint,
                without_subscriptions,
                notify: group.notify_consumer_ids_changed_enable,
            },
        );
        if !without_subscriptions {
            self.consumers.watch_quarrel(&client.peer, data);
        }
        Some(registered)
    }

    /// UNREGISTER_CLIENT (35).
    pub async fn unregister(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: UnregisterClient = request.header()?;
        if let Some(group) = &ask.producer_group {
            self.producers.unregister(group, peer);
        }
        if let Some(group) = &ask.consumer_group {
            let notify = self.groups.find(group).is_none_or(|group| group.notify_consumer_ids_changed_enable);
            let news = self.consumers.unregister(group, peer, notify);
            news.iter().for_each(News::tell);
        }
        Ok(Command::success())
    }

    /// GET_CONSUMER_LIST_BY_GROUP (38).
    pub async fn consumer_list(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: ConsumerGroup = request.header()?;
        let consumer_id_list = self.consumers.client_ids(&ask.consumer_group);
        if consumer_id_list.is_empty() {
            return Err(Rejection::system(format!("no consumer for this group, {}", ask.consumer_group)));
        }
        Ok(Command::success().with_body(fastjson::to_vec(&ConsumerList { consumer_id_list })?))
    }

    /// CHECK_CLIENT_CONFIG (46): can the client's subscription be served?
    pub async fn check(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let body = request.body.bytes();
        if body.is_empty() {
            return Ok(Command::success());
        }
        let ask: CheckClient = fastjson::from_slice(&body)?;
        let subscription = &ask.subscription_data;
        if !subscription.is_tag() && !self.config.get().enable_property_filter {
            return Err(Filter::switched_off(&subscription.expression_type));
        }
        Filter::new(subscription)
            .map_err(|error| Rejection::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, error.to_string()))?;
        Ok(Command::success())
    }
}

#[cfg(test)]
mod tests {
    use rmq_proto::{body::SubscriptionData, code::RequestCode};

    use super::*;
    use crate::produce::fixture::{Rooms, peer};

    fn handler(rooms: &Rooms) -> ClientHandler {
        ClientHandler {
            config: rooms.config.clone(),
            topics: rooms.topics.clone(),
            groups: rooms.groups.clone(),
            producers: Arc::new(Producers::new()),
            consumers: rooms.consumers.clone(),
        }
    }

    fn heartbeat(client_id: &str, topics: &[&str]) -> HeartbeatData {
        let wanted = topics.iter().map(|topic| SubscriptionData::tags(topic, "*", 1).unwrap());
        let consumer = ConsumerData {
            group_name: "g".to_owned(),
            subscription_data_set: wanted.collect(),
            ..ConsumerData::default()
        };
        let consumer_data_set = vec![consumer];
        HeartbeatData { client_id: client_id.to_owned(), consumer_data_set, ..HeartbeatData::default() }
    }

    /// Sends a heartbeat; answers the answer and what the connection was told beside it.
    async fn beat(
        handler: &ClientHandler,
        peer: &Arc<Peer>,
        data: &HeartbeatData,
    ) -> (Command, Vec<Command>) {
        let request = Command::request(RequestCode::HEART_BEAT).with_body(fastjson::to_vec(data).unwrap());
        let outcome = handler.heartbeat(peer, request).await.unwrap();
        let mut told = peer.take_queued();
        match outcome {
            Outcome::Answer(answer) => (answer, told),
            Outcome::Later => (told.remove(0), told),
        }
    }

    fn is_news(command: &Command) -> bool {
        command.request_code() == RequestCode::NOTIFY_CONSUMER_IDS_CHANGED && command.is_oneway()
    }

    #[tokio::test]
    async fn members_hear_of_each_other_after_the_answer() {
        let rooms = Rooms::new();
        let handler = handler(&rooms);
        let (first, second) = (peer(), peer());
        let (answer, told) = beat(&handler, &first, &heartbeat("a", &["t"])).await;
        assert!(answer.is_response());
        assert_eq!(answer.ext.get("IS_SUPPORT_HEART_BEAT_V2"), Some("true"));
        assert!(told.iter().all(is_news) && told.len() == 1);
        assert!(rooms.topics.contains("%RETRY%g"));
        beat(&handler, &second, &heartbeat("b", &["t"])).await;
        assert!(first.take_queued().iter().all(is_news));
        let (_, told) = beat(&handler, &first, &heartbeat("a", &["t"])).await;
        assert!(told.is_empty(), "nothing changed");
        assert_eq!(rooms.consumers.client_ids("g"), ["a", "b"]);
        rooms.consumers.disconnected(&second);
        assert_eq!(first.take_queued().len(), 1);
        let (_, told) = beat(&handler, &first, &heartbeat("a", &["t", "u"])).await;
        assert_eq!(told.len(), 1, "a topic came");
    }

    #[tokio::test]
    async fn a_goodbye_is_told_and_the_last_one_ends_the_group() {
        let rooms = Rooms::new();
        let handler = handler(&rooms);
        let (first, second) = (peer(), peer());
        beat(&handler, &first, &heartbeat("a", &["t"])).await;
        beat(&handler, &second, &heartbeat("b", &["t"])).await;
        first.take_queued();
        let ask = UnregisterClient {
            client_id: "b".to_owned(),
            consumer_group: Some("g".to_owned()),
            ..UnregisterClient::default()
        };
        let goodbye = || Command::request(RequestCode::UNREGISTER_CLIENT).with_header(&ask);
        handler.unregister(&second, goodbye()).await.unwrap();
        assert_eq!(first.take_queued().len(), 1);
        handler.unregister(&first, goodbye()).await.unwrap();
        assert!(rooms.consumers.group("g").is_none());
        let list = Command::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP)
            .with_header(&ConsumerGroup { consumer_group: "g".to_owned() });
        assert_eq!(handler.consumer_list(&first, list).await.unwrap_err().code, ResponseCode::SYSTEM_ERROR);
    }

    #[tokio::test]
    async fn a_fingerprint_saves_the_subscriptions_but_a_stranger_is_asked_for_them() {
        let rooms = Rooms::new();
        let handler = handler(&rooms);
        let peer = peer();
        let without = HeartbeatData { heartbeat_fingerprint: 9, without_sub: true, ..heartbeat("a", &[]) };
        let (answer, _) = beat(&handler, &peer, &without).await;
        assert_eq!(answer.ext.get("IS_SUB_CHANGE"), Some("true"), "the broker knows no subscriptions");
        let with = HeartbeatData { heartbeat_fingerprint: 9, ..heartbeat("a", &["t"]) };
        let (answer, _) = beat(&handler, &peer, &with).await;
        assert_eq!(answer.ext.get("IS_SUB_CHANGE"), Some("false"));
        let (answer, _) = beat(&handler, &peer, &without).await;
        assert_eq!(answer.ext.get("IS_SUB_CHANGE"), Some("false"));
        assert!(rooms.consumers.subscription("g", "t").is_some());
        let (answer, _) = beat(&handler, &peer, &HeartbeatData { heartbeat_fingerprint: 8, ..without }).await;
        assert_eq!(answer.ext.get("IS_SUB_CHANGE"), Some("true"));
    }

    #[tokio::test]
    async fn the_silent_are_forgotten() {
        let rooms = Rooms::new();
        let handler = handler(&rooms);
        let peer = peer();
        let mut data = heartbeat("a", &["t"]);
        data.producer_data_set = vec![rmq_proto::body::ProducerData { group_name: "p".to_owned() }];
        beat(&handler, &peer, &data).await;
        let soon = std::time::Instant::now() + std::time::Duration::from_secs(119);
        rooms.consumers.scan_idle(soon);
        handler.producers.scan_idle(soon);
        assert!(rooms.consumers.group("g").is_some() && handler.producers.connections("p").is_some());
        assert_eq!(handler.producers.find_client("a").map(|found| found.id()), Some(peer.id()));
        let late = soon + std::time::Duration::from_secs(2);
        rooms.consumers.scan_idle(late);
        handler.producers.scan_idle(late);
        assert!(rooms.consumers.group("g").is_none() && handler.producers.connections("p").is_none());
        assert!(handler.producers.find_client("a").is_none() && peer.is_closed());
    }

    #[tokio::test]
    async fn a_subscription_that_cannot_be_served_is_told() {
        let rooms = Rooms::new();
        let sql = SubscriptionData::expression("t", "a > 1", Some("SQL92"), 1).unwrap();
        let body = CheckClient { subscription_data: sql, ..CheckClient::default() };
        let check =
            Command::request(RequestCode::CHECK_CLIENT_CONFIG).with_body(fastjson::to_vec(&body).unwrap());
        let rejection = handler(&rooms).check(&peer(), check).await.unwrap_err();
        assert_eq!(rejection.code, ResponseCode::SYSTEM_ERROR);
    }
}
