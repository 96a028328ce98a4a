//! Consumers: how far their groups are, and who they are.

use std::collections::BTreeMap;

use rmq_client::admin::address_of;
use rmq_proto::{
    body::{ConsumeStats, ConsumeType, ConsumerConnection, MessageQueue},
    topic,
};
use serde_json::{Value, json};

use crate::{
    call::{Call, Failure, Outcome},
    table::{Column, Table, front},
    time, version,
};

pub(super) async fn progress(call: &mut Call) -> Outcome {
    match call.args.get("groupName").map(str::to_owned) {
        Some(group) => progress_of(call, &group).await,
        None => progress_of_all(call).await,
    }
}

async fn progress_of(call: &mut Call, group: &str) -> Outcome {
    let (of_topic, cluster) = (call.args.get("topicName"), call.args.get("cluster"));
    let stats =
        call.admin.group_progress(group, of_topic, cluster).await.map_err(|error| failed(group, error))?;
    if stats.offset_table.is_empty() {
        return Err(nothing_consumed(call, group).await);
    }
    let owners = match call.truth("showClientIP", false) {
        true => Some(owners(call, group).await),
        false => None,
    };
    let diff = stats.total_diff();
    let inflight = stats.inflight_total_diff();
    call.say(progress_table(&stats, owners.as_ref()).text())?;
    call.say(format!("\nConsume TPS: {:.2}", stats.consume_tps))?;
    call.say(format!("Consume Diff Total: {diff}"))?;
    call.say(format!("Consume Inflight Total: {inflight}"))?;
    let queues = progress_table(&stats, owners.as_ref()).json();
    let tps = stats.consume_tps;
    call.json(&json!({ "queues": queues, "consumeTps": tps, "diffTotal": diff, "inflightTotal": inflight }))
}

/// Java tells apart a group that never was and one that is online but has no progress yet.
async fn nothing_consumed(call: &Call, group: &str) -> Failure {
    match call.admin.any_consumer_connection(group).await {
        Ok(_) => Failure::Other(format!(
            "Not found the consumer group consume stats, because return offset table is empty, maybe the consumer \
             not consume any message (group {group})"
        )),
        Err(error) => failed(group, error),
    }
}

/// Every group that ever consumed has a retry topic; it is not the operator's to create.
fn failed(group: &str, error: rmq_client::Error) -> Failure {
    match error {
        rmq_client::Error::NoRoute { topic, name_servers } if topic::is_retry(&topic) => Failure::Other(
            format!("no broker at the name servers [{name_servers}] knows the consumer group `{group}`"),
        ),
        other => other.into(),
    }
}

fn progress_table(stats: &ConsumeStats, owners: Option<&BTreeMap<MessageQueue, String>>) -> Table {
    const PLAIN: &[Column] = &[
        ("#Topic", "topic"),
        ("#Broker Name", "brokerName"),
        ("#QID", "queueId"),
        ("#Broker Offset", "brokerOffset"),
        ("#Consumer Offset", "consumerOffset"),
        ("#Diff", "diff"),
        ("#Inflight", "inflight"),
        ("#LastTime", "lastTime"),
    ];
    const WITH_OWNERS: &[Column] = &[
        ("#Topic", "topic"),
        ("#Broker Name", "brokerName"),
        ("#QID", "queueId"),
        ("#Broker Offset", "brokerOffset"),
        ("#Consumer Offset", "consumerOffset"),
        ("#Client IP", "clientIp"),
        ("#Diff", "diff"),
        ("#Inflight", "inflight"),
        ("#LastTime", "lastTime"),
    ];
    let mut table = match owners {
        None => Table::new(
            PLAIN,
            "%-64s  %-32s  %-4s  %-20s  %-20s  %-20s %-20s%s",
            "%-64s  %-32s  %-4s  %-20s  %-20s  %-20s %-20s %s",
        ),
        Some(_) => Table::new(
            WITH_OWNERS,
            "%-64s  %-32s  %-4s  %-20s  %-20s  %-20s %-20s %-20s%s",
            "%-64s  %-32s  %-4s  %-20s  %-20s  %-20s %-20s %-20s %s",
        ),
    };
    for (queue, progress) in &stats.offset_table {
        let last = progress.last_timestamp;
        let mut row = vec![
            Value::from(front(&queue.topic, 64)),
            Value::from(front(&queue.broker_name, 32)),
            Value::from(queue.queue_id),
            Value::from(progress.broker_offset),
            Value::from(progress.consumer_offset),
        ];
        if let Some(owners) = owners {
            row.push(Value::from(owners.get(queue).map_or("N/A", String::as_str)));
        }
        row.push(Value::from(progress.broker_offset - progress.consumer_offset));
        row.push(Value::from(progress.pull_offset - progress.consumer_offset));
        row.push(Value::from(if last == 0 { "N/A".to_owned() } else { time::with_seconds(last) }));
        table.row(row);
    }
    table
}

/// Which machine consumes which queue, as the members themselves say. Silent members are left out.
async fn owners(call: &Call, group: &str) -> BTreeMap<MessageQueue, String> {
    let mut owners = BTreeMap::new();
    let Ok(route) = call.admin.route(&topic::retry(group)).await else { return owners };
    let Ok(connection) = call.admin.any_consumer_connection(group).await else { return owners };
    for member in connection.connection_set {
        let ip = member.client_id.split('@').next().unwrap_or_default().to_owned();
        for broker in route.broker_datas.iter().filter_map(address_of) {
            if let Ok(info) = call.admin.running_info(broker, group, &member.client_id, false).await {
                owners.extend(info.mq_table.into_keys().map(|queue| (queue, ip.clone())));
                break;
            }
        }
    }
    owners
}

async fn progress_of_all(call: &mut Call) -> Outcome {
    let format = "%-64s  %-6s  %-24s %-5s  %-14s  %-7s  %s";
    let mut table = Table::new(
        &[
            ("#Group", "group"),
            ("#Count", "count"),
            ("#Version", "version"),
            ("#Type", "type"),
            ("#Model", "model"),
            ("#TPS", "tps"),
            ("#Diff Total", "diffTotal"),
        ],
        format,
        format,
    );
    let topics = call.admin.topic_list().await?.topic_list;
    for group in topics.iter().filter_map(|topic| topic.strip_prefix(topic::RETRY_PREFIX)) {
        let stats = call.admin.group_progress(group, None, None).await.unwrap_or_default();
        let online = call.admin.any_consumer_connection(group).await.ok();
        let count = online.as_ref().map_or(0, |online| online.connection_set.len());
        let (version, kind, model) = match &online {
            Some(online) if count > 0 => described(online),
            _ => ("OFFLINE".to_owned(), "", String::new()),
        };
        table.row([
            Value::from(front(group, 64)),
            Value::from(count),
            Value::from(version),
            Value::from(kind),
            Value::from(model),
            Value::from(stats.consume_tps as i64),
            Value::from(stats.total_diff()),
        ]);
    }
    call.table(&table)
}

/// The oldest member's version, how the group consumes, and how it shares.
fn described(online: &ConsumerConnection) -> (String, &'static str, String) {
    let oldest = online.connection_set.iter().map(|member| member.version).min().unwrap_or_default();
    let kind = if online.consume_type == ConsumeType::Actively { "PULL" } else { "PUSH" };
    let model = match online.consume_type {
        ConsumeType::Passively => online.message_model.to_string(),
        _ => String::new(),
    };
    (version::name(oldest), kind, model)
}

pub(super) async fn connection(call: &mut Call) -> Outcome {
    let group = call.need("consumerGroup")?;
    let connection = match call.args.get("brokerAddr") {
        Some(broker) => call.admin.consumer_connection(broker, group).await,
        None => call.admin.any_consumer_connection(group).await,
    };
    let connection = connection.map_err(|error| failed(group, error))?;
    let format = "%-36s %-22s %-10s %s";
    let mut members = Table::new(
        &[
            ("#ClientId", "clientId"),
            ("#ClientAddr", "clientAddr"),
            ("#Language", "language"),
            ("#Version", "version"),
        ],
        format,
        format,
    );
    for member in &connection.connection_set {
        members.row(
            [
                member.client_id.as_str(),
                member.client_addr.as_str(),
                member.language.name(),
                &version::name(member.version),
            ]
            .map(Value::from),
        );
    }
    let mut subscriptions =
        Table::new(&[("#Topic", "topic"), ("#SubExpression", "subExpression")], "%-20s %s", "%-20s %s");
    for subscription in connection.subscription_table.values() {
        subscriptions.row([subscription.topic.clone(), subscription.sub_string.clone()].map(Value::from));
    }
    let ConsumerConnection { consume_type, message_model, consume_from_where, .. } = &connection;
    call.say(members.text())?;
    call.say("\nBelow is subscription:")?;
    call.say(subscriptions.text())?;
    call.say(format!(
        "\nConsumeType: {consume_type}\nMessageModel: {message_model}\nConsumeFromWhere: {consume_from_where}"
    ))?;
    call.json(&json!({
        "connections": members.json(),
        "subscriptions": subscriptions.json(),
        "consumeType": consume_type.to_string(),
        "messageModel": message_model.to_string(),
        "consumeFromWhere": consume_from_where.to_string(),
    }))
}
