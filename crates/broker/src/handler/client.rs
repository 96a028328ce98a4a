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
    /// Consumers are told of changes after the answer is on its way. A Java client that hears of a change
    /// while it still waits for the answer would not announce its new subscription version, and its pulls
    /// would be refused until the next heartbeat 30 s later.
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
