//! Subscription groups.

use rmq_client::admin::address_of;
use rmq_proto::{
    body::{GroupRetryPolicy, SubscriptionGroupConfig},
    fastjson, topic,
};
use serde_json::json;

use super::{target, topic as topics};
use crate::call::{Call, Failure, Outcome};

pub(super) async fn update(call: &mut Call) -> Outcome {
    let config = config_of(call)?;
    let brokers = target::given(call).await?;
    for address in &brokers {
        call.admin.update_group(address, &config).await?;
        call.say(format!("create subscription group to {address} success."))?;
    }
    call.say(described(&config))?;
    call.json(&json!({ "brokers": brokers, "group": config }))
}

fn config_of(call: &Call) -> Result<SubscriptionGroupConfig, Failure> {
    let default = SubscriptionGroupConfig::default();
    let attributes = call.args.get("attributes").map(topics::attributes).transpose()?.unwrap_or_default();
    let group_retry_policy = match call.args.get("groupRetryPolicy") {
        None => GroupRetryPolicy::default(),
        Some(text) => fastjson::from_slice(text.as_bytes())
            .map_err(|error| Failure::Usage(format!("--groupRetryPolicy: {error}")))?,
    };
    Ok(SubscriptionGroupConfig {
        group_name: call.need("groupName")?.to_owned(),
        consume_enable: call.truth("consumeEnable", default.consume_enable),
        // Java's tool turns these two off unless they are asked for.
        consume_from_min_enable: call.truth("consumeFromMinEnable", false),
        consume_broadcast_enable: call.truth("consumeBroadcastEnable", false),
        consume_message_orderly: call.truth("consumeMessageOrderly", default.consume_message_orderly),
        retry_queue_nums: call.number("retryQueueNums", default.retry_queue_nums)?,
        retry_max_times: call.number("retryMaxTimes", default.retry_max_times)?,
        broker_id: call.number("brokerId", default.broker_id)?,
        which_broker_when_consume_slowly: call
            .number("whichBrokerWhenConsumeSlowly", default.which_broker_when_consume_slowly)?,
        notify_consumer_ids_changed_enable: call
            .truth("notifyConsumerIdsChanged", default.notify_consumer_ids_changed_enable),
        group_retry_policy,
        attributes,
        ..default
    })
}

/// Java's `SubscriptionGroupConfig.toString`.
fn described(config: &SubscriptionGroupConfig) -> String {
    let fields: Vec<_> = fields(config).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("SubscriptionGroupConfig{{{}}}", fields.join(", "))
}

/// The settings in Java's order, as text.
fn fields(config: &SubscriptionGroupConfig) -> [(&'static str, String); 15] {
    let attributes: Vec<_> = config.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let subscriptions = config.subscription_data_set.as_ref().map_or("null".to_owned(), |all| {
        let all: Vec<_> = all
            .iter()
            .map(|one| {
                format!(
                    "SimpleSubscriptionData{{topic={}, expressionType={}, expression={}, version={}}}",
                    one.topic, one.expression_type, one.expression, one.version
                )
            })
            .collect();
        format!("[{}]", all.join(", "))
    });
    [
        ("groupName", config.group_name.clone()),
        ("consumeEnable", config.consume_enable.to_string()),
        ("consumeFromMinEnable", config.consume_from_min_enable.to_string()),
        ("consumeBroadcastEnable", config.consume_broadcast_enable.to_string()),
        ("consumeMessageOrderly", config.consume_message_orderly.to_string()),
        ("retryQueueNums", config.retry_queue_nums.to_string()),
        ("retryMaxTimes", config.retry_max_times.to_string()),
        ("groupRetryPolicy", policy(&config.group_retry_policy)),
        ("brokerId", config.broker_id.to_string()),
        ("whichBrokerWhenConsumeSlowly", config.which_broker_when_consume_slowly.to_string()),
        ("notifyConsumerIdsChangedEnable", config.notify_consumer_ids_changed_enable.to_string()),
        ("groupSysFlag", config.group_sys_flag.to_string()),
        ("consumeTimeoutMinute", config.consume_timeout_minute.to_string()),
        ("subscriptionDataSet", subscriptions),
        ("attributes", format!("{{{}}}", attributes.join(", "))),
    ]
}

fn policy(policy: &GroupRetryPolicy) -> String {
    let exponential = policy.exponential_retry_policy.as_ref().map_or("null".to_owned(), |exponential| {
        format!(
            "ExponentialRetryPolicy{{initial={}, max={}, multiplier={}}}",
            exponential.initial, exponential.max, exponential.multiplier
        )
    });
    let customized = policy.customized_retry_policy.as_ref().map_or("null".to_owned(), |customized| {
        format!("CustomizedRetryPolicy{{next={:?}}}", customized.next)
    });
    format!(
        "GroupRetryPolicy{{type={}, exponentialRetryPolicy={exponential}, customizedRetryPolicy={customized}}}",
        policy.r#type
    )
}

pub(super) async fn delete(call: &mut Call) -> Outcome {
    let group = call.need("groupName")?.to_owned();
    let clean_offset = call.truth("removeOffset", false);
    let brokers = target::given(call).await?;
    let cluster = call.args.get("clusterName").filter(|_| !call.args.has("brokerAddr")).map(str::to_owned);
    for address in &brokers {
        call.admin.delete_group(address, &group, clean_offset).await?;
        let of_cluster = cluster.as_ref().map_or(String::new(), |cluster| format!(" in cluster [{cluster}]"));
        call.say(format!(
            "delete subscription group [{group}] from broker [{address}]{of_cluster} success."
        ))?;
    }
    if let Some(cluster) = cluster {
        topics::delete_topic(call, &topic::retry(&group), &cluster).await?;
        topics::delete_topic(call, &topic::dlq(&group), &cluster).await?;
    }
    call.json(&json!({ "group": group, "brokers": brokers }))
}

pub(super) async fn config(call: &mut Call) -> Outcome {
    let group = call.need("groupName")?.to_owned();
    let info = call.admin.cluster_info().await?;
    let mut found = Vec::new();
    for broker in info.broker_addr_table.values() {
        let Some(address) = address_of(broker) else { continue };
        // Java asks for all groups: only that request cannot create the group that it asks for.
        let mut all = call.admin.all_group_configs(address).await?;
        let Some(config) = all.subscription_group_table.remove(&group) else { continue };
        let line = "=============================";
        call.say(format!("{line}{}:{}{line}", broker.cluster, broker.broker_name))?;
        for (name, value) in fields(&config) {
            let value = if value == "null" { String::new() } else { value };
            call.say(format!("{name:<40}=  {value}"))?;
        }
        found.push(json!({ "cluster": broker.cluster, "brokerName": broker.broker_name, "config": config }));
    }
    if found.is_empty() {
        return Err(Failure::Other(format!("no broker knows the group `{group}`")));
    }
    call.json(&found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_described_as_in_java() {
        let config = SubscriptionGroupConfig {
            group_name: "refGroup".into(),
            consume_from_min_enable: false,
            consume_broadcast_enable: false,
            ..SubscriptionGroupConfig::default()
        };
        assert_eq!(
            described(&config),
            "SubscriptionGroupConfig{groupName=refGroup, consumeEnable=true, consumeFromMinEnable=false, \
             consumeBroadcastEnable=false, consumeMessageOrderly=false, retryQueueNums=1, retryMaxTimes=16, \
             groupRetryPolicy=GroupRetryPolicy{type=CUSTOMIZED, exponentialRetryPolicy=null, \
             customizedRetryPolicy=null}, brokerId=0, whichBrokerWhenConsumeSlowly=1, \
             notifyConsumerIdsChangedEnable=true, groupSysFlag=0, consumeTimeoutMinute=15, \
             subscriptionDataSet=null, attributes={}}"
        );
    }
}
