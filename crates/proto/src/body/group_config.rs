//! What brokers know about consumer groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DataVersion, names::java_names};

/// One consumer group on one broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupConfig {
    /// See [`group_attribute`].
    pub attributes: BTreeMap<String, String>,
    pub broker_id: i64,
    pub consume_broadcast_enable: bool,
    pub consume_enable: bool,
    pub consume_from_min_enable: bool,
    pub consume_message_orderly: bool,
    pub consume_timeout_minute: i32,
    pub group_name: String,
    pub group_retry_policy: GroupRetryPolicy,
    pub group_sys_flag: i32,
    pub notify_consumer_ids_changed_enable: bool,
    pub retry_max_times: i32,
    pub retry_queue_nums: i32,
    pub subscription_data_set: Option<Vec<SimpleSubscriptionData>>,
    /// The broker id that slow consumers are sent to.
    pub which_broker_when_consume_slowly: i64,
}

/// Keys of a group's attributes.
pub mod group_attribute {
    /// 0 to 100, by default 100: how strictly messages of priority come first.
    pub const PRIORITY_FACTOR: &str = "priority.factor";
    /// The parent topic of a group of lite topics.
    pub const LITE_BIND_TOPIC: &str = "lite.bind.topic";
    /// `Shared` or `Exclusive`.
    pub const LITE_SUB_MODEL: &str = "lite.sub.model";
    /// Whether an exclusive subscription begins anew: `true` or `false`.
    pub const LITE_SUB_RESET_OFFSET_EXCLUSIVE: &str = "lite.sub.reset.offset.exclusive";
    /// Whether the offset goes with the subscription: `true` or `false`.
    pub const LITE_SUB_RESET_OFFSET_UNSUBSCRIBE: &str = "lite.sub.reset.offset.unsubscribe";
    /// How many lite topics a client may subscribe to: by default 2000.
    pub const LITE_SUB_CLIENT_QUOTA: &str = "lite.sub.client.quota";
    /// How many events may wait for a client: by default 400.
    pub const LITE_SUB_CLIENT_MAX_EVENT_COUNT: &str = "lite.sub.client.max.event.cnt";
    /// A group that takes all lite topics of its parent.
    pub const LITE_SUB_WILDCARD: &str = "lite.sub.wildcard";
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: GroupRetryPolicy::default(),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

impl SubscriptionGroupConfig {
    /// A group with Java's defaults.
    pub fn new(group_name: impl Into<String>) -> Self {
        Self { group_name: group_name.into(), ..Self::default() }
    }
}

/// A subscription that a group is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SimpleSubscriptionData {
    pub expression: String,
    pub expression_type: String,
    pub topic: String,
    pub version: i64,
}

java_names! {
    /// How the time until the next try is found.
    pub enum GroupRetryPolicyType {
        Exponential = "EXPONENTIAL",
        #[default]
        Customized = "CUSTOMIZED",
    }
}

/// After which time a message that could not be consumed comes again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupRetryPolicy {
    pub customized_retry_policy: Option<CustomizedRetryPolicy>,
    pub exponential_retry_policy: Option<ExponentialRetryPolicy>,
    pub r#type: GroupRetryPolicyType,
}

impl GroupRetryPolicy {
    /// Milliseconds until the next try of a message that was tried again `reconsume_times` times.
    /// A policy that is named but not given is the default list, as in Java.
    pub fn next_delay_ms(&self, reconsume_times: i32) -> i64 {
        match (self.r#type, &self.exponential_retry_policy, &self.customized_retry_policy) {
            (GroupRetryPolicyType::Exponential, Some(policy), _) => policy.next_delay_ms(reconsume_times),
            (GroupRetryPolicyType::Customized, _, Some(policy)) => policy.next_delay_ms(reconsume_times),
            _ => CustomizedRetryPolicy::default().next_delay_ms(reconsume_times),
        }
    }
}

/// A list of delays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomizedRetryPolicy {
    /// Milliseconds.
    pub next: Vec<i64>,
}

impl Default for CustomizedRetryPolicy {
    fn default() -> Self {
        let seconds = [1, 5, 10, 30].into_iter();
        let minutes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 60, 120].into_iter();
        Self { next: seconds.chain(minutes.map(|minute| minute * 60)).map(|second| second * 1000).collect() }
    }
}

impl CustomizedRetryPolicy {
    /// Java begins at the third delay: the list mirrors the delay levels, where retries begin at 3.
    fn next_delay_ms(&self, reconsume_times: i32) -> i64 {
        let at = reconsume_times.max(0) as usize + 2;
        self.next.get(at).or(self.next.last()).copied().unwrap_or(0)
    }
}

/// Delays that grow by a factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExponentialRetryPolicy {
    /// The first delay in milliseconds.
    pub initial: i64,
    /// The longest delay in milliseconds.
    pub max: i64,
    pub multiplier: i64,
}

impl Default for ExponentialRetryPolicy {
    fn default() -> Self {
        Self { initial: 5_000, max: 7_200_000, multiplier: 2 }
    }
}

impl ExponentialRetryPolicy {
    /// Java lets the power grow no further than 32 times and takes it as a floating point number.
    fn next_delay_ms(&self, reconsume_times: i32) -> i64 {
        let power = (self.multiplier as f64).powi(reconsume_times.clamp(0, 32)) as i64;
        self.max.min(self.initial.wrapping_mul(power))
    }
}

/// A broker's table of groups: an answer to a slave, or `subscriptionGroup.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroups {
    pub data_version: DataVersion,
    /// Group to topic to bits of what is forbidden; bit 1: reading.
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}

/// Asks a broker to create or change several groups.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupList {
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}

/// Whether a group may read a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupForbidden {
    pub group: String,
    pub readable: Option<bool>,
    pub topic: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_follows_the_delay_levels() {
        let policy = GroupRetryPolicy::default();
        let delays = [-1, 0, 1, 2, 15, 99].map(|times| policy.next_delay_ms(times));
        assert_eq!(delays, [10_000, 10_000, 30_000, 60_000, 7_200_000, 7_200_000]);
    }

    #[test]
    fn an_exponential_policy_grows_up_to_its_limit() {
        let exponential = Some(ExponentialRetryPolicy::default());
        let policy = GroupRetryPolicy {
            exponential_retry_policy: exponential,
            r#type: GroupRetryPolicyType::Exponential,
            ..GroupRetryPolicy::default()
        };
        let delays = [0, 1, 3, 20, 40].map(|times| policy.next_delay_ms(times));
        assert_eq!(delays, [5_000, 10_000, 40_000, 7_200_000, 7_200_000]);
    }
}
