//! Consumer groups: codes 200, 201, 207, 225, 352 and 353.

use std::sync::Arc;

use rmq_proto::body::{GroupForbidden, SubscriptionGroupConfig, SubscriptionGroupList};
use rmq_proto::code::ResponseCode;
use rmq_proto::command::Command;
use rmq_proto::fastjson;
use rmq_proto::header::admin;
use rmq_proto::header::group::{AllGroups, AllGroupsAnswer, DeleteGroup, GroupName};
use rmq_proto::topic;
use rmq_remoting::Peer;
use tracing::info;

use super::{answer, page};
use crate::config::LiveConfig;
use crate::counters::Counters;
use crate::error::Rejection;
use crate::meta::{self, Groups, Offsets};

/// Changes and shows consumer groups.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct GroupHandler {
    pub config: Arc<LiveConfig>,
    pub groups: Arc<Groups>,
    pub offsets: Arc<Offsets>,
    pub counters: Arc<Counters>,
}

impl GroupHandler {
    /// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200).
    pub async fn update(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let body = request.body.bytes();
        // Java: without a group there is nothing to do, and that succeeds.
        if body.is_empty() {
            return Ok(Command::success());
        }
        let wanted: SubscriptionGroupConfig = fastjson::from_slice(&body)?;
        info!("{} creates or changes group {}", peer.remote_addr(), wanted.group_name);
        self.change(vec![wanted]).await
    }

    /// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225).
    pub async fn update_list(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: SubscriptionGroupList = fastjson::from_slice(&request.body.bytes())?;
        info!("{} creates or changes {} groups", peer.remote_addr(), ask.group_config_list.len());
        self.change(ask.group_config_list).await
    }

    async fn change(&self, wanted: Vec<SubscriptionGroupConfig>) -> Result<Command, Rejection> {
        for group in &wanted {
            topic::check_group(&group.group_name).map_err(|error| Rejection::illegal(error.to_string()))?;
        }
        for group in wanted {
            self.groups.update(group).map_err(Rejection::system)?;
        }
        self.saved().await
    }

    /// DELETE_SUBSCRIPTIONGROUP (207).
    pub async fn delete(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: DeleteGroup = request.header()?;
        info!("{} deletes group {}", peer.remote_addr(), ask.group_name);
        self.groups.remove(&ask.group_name);
        if ask.clean_offset.unwrap_or(false) {
            self.offsets.remove_group(&ask.group_name);
        }
        self.counters.forget_group(&ask.group_name);
        self.saved().await
    }

    async fn saved(&self) -> Result<Command, Rejection> {
        meta::save(&self.groups).await.map_err(|error| Rejection::system(error.to_string()))?;
        Ok(Command::success())
    }

    /// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201): everything, or a page of the sorted table.
    pub fn all(&self, request: &Command) -> Result<Command, Rejection> {
        let ask: AllGroups = request.header()?;
        let config = self.config.get();
        let mut groups = self.groups.snapshot();
        let total = groups.subscription_group_table.len() as i32;
        let paged = ask.group_seq.is_some() || ask.data_version.is_some() || ask.max_group_num.is_some();
        if config.enable_split_metadata && paged {
            let most = config.split_metadata_size.min(ask.max_group_num.unwrap_or(i32::MAX));
            let begin = page::begin(ask.group_seq, ask.data_version.as_deref(), &groups.data_version);
            groups.subscription_group_table = page::cut(groups.subscription_group_table, begin, most);
            let shown = &groups.subscription_group_table;
            groups.forbidden_table.retain(|group, _| shown.contains_key(group));
        }
        Ok(answer(&groups)?.with_header(&AllGroupsAnswer { total_group_num: total }))
    }

    /// GET_SUBSCRIPTIONGROUP_CONFIG (352). Java creates an unknown group here, too, if that is allowed.
    pub async fn one(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let GroupName { group } = request.header()?;
        let missing =
            || Rejection::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, "No group in this broker");
        answer(&*self.groups.find(&group).ok_or_else(missing)?)
    }

    /// UPDATE_AND_GET_GROUP_FORBIDDEN (353).
    pub async fn forbidden(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let admin::GroupForbidden { group, topic, readable } = request.header()?;
        if let Some(readable) = readable {
            topic::check_group(&group).map_err(|error| Rejection::illegal(error.to_string()))?;
            topic::check(&topic).map_err(|error| Rejection::illegal(error.to_string()))?;
            info!("{} sets for group {group} and topic {topic}: readable {readable}", peer.remote_addr());
            self.groups.set_readable(&group, &topic, readable);
            self.saved().await?;
        }
        let readable = Some(self.groups.may_read(&group, &topic));
        answer(&GroupForbidden { group, readable, topic })
    }
}
