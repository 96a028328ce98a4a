//! Topics.

use std::collections::{BTreeMap, BTreeSet};

use rmq_client::admin::address_of;
use rmq_proto::{
    body::{TopicConfig, TopicRouteData, TopicStatsTable},
    fastjson,
    topic::{self, perm},
};
use serde_json::{Value, json};

use super::target;
use crate::{
    call::{Call, Failure, Outcome},
    table::{Table, front, line},
    time,
};

const ORDER_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";
/// Java's topic system flags.
const FLAG_UNIT: i32 = 1;
const FLAG_UNIT_SUB: i32 = 2;

pub(super) async fn update(call: &mut Call) -> Outcome {
    let config = config_of(call)?;
    let name = config.topic_name.clone();
    let brokers = target::given(call).await?;
    for address in &brokers {
        call.admin.update_topic(address, &config).await?;
        if call.args.has("clusterName") {
            call.say(format!("create topic to {address} success."))?;
        }
    }
    if config.order {
        set_order(call, &name, &brokers, config.write_queue_nums).await?;
    }
    if let Some(address) = call.args.get("brokerAddr").map(str::to_owned) {
        call.say(format!("create topic to {address} success."))?;
    }
    call.say(described(&config))?;
    call.json(&json!({ "brokers": brokers, "topicConfig": config }))
}

fn config_of(call: &Call) -> Result<TopicConfig, Failure> {
    let unit = if call.truth("unit", false) { FLAG_UNIT } else { 0 };
    let unit_sub = if call.truth("hasUnitSub", false) { FLAG_UNIT_SUB } else { 0 };
    let attributes = call.args.get("attributes").map(attributes).transpose()?.unwrap_or_default();
    Ok(TopicConfig {
        topic_sys_flag: unit | unit_sub,
        order: call.truth("order", false),
        attributes,
        ..TopicConfig::new(
            call.need("topic")?,
            call.number("readQueueNums", 8)?,
            call.number("writeQueueNums", 8)?,
            call.number("perm", perm::READ | perm::WRITE)?,
        )
    })
}

/// `+a=b,+c=d,-e`: each key keeps its sign, an unset one has no value.
pub(super) fn attributes(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut attributes = BTreeMap::new();
    for change in text.split(',').map(str::trim).filter(|change| !change.is_empty()) {
        let (key, value) = match change.split_once('=') {
            Some((key, value)) if key.starts_with('+') => (key, value),
            None if change.starts_with('-') => (change, ""),
            _ => {
                return Err(Failure::Usage(format!(
                    "--attributes: `{change}` is neither `+key=value` nor `-key`"
                )));
            }
        };
        if attributes.insert(key.trim().to_owned(), value.trim().to_owned()).is_some() {
            return Err(Failure::Usage(format!("--attributes: `{key}` is there twice")));
        }
    }
    Ok(attributes)
}

/// The order in which queues are to be read is kept by the name servers. Java replaces one broker's part with -b
/// and the whole of it with -c.
async fn set_order(call: &mut Call, topic: &str, brokers: &BTreeSet<String>, queues: i32) -> Outcome {
    let info = call.admin.cluster_info().await?;
    let is_given = |address: &&String| brokers.contains(*address);
    let names = info
        .broker_addr_table
        .values()
        .filter(|broker| broker.broker_addrs.values().any(|address| is_given(&address)))
        .map(|broker| broker.broker_name.clone());
    let mut order: BTreeMap<String, String> = names.map(|name| (name, queues.to_string())).collect();
    let text = |order: &BTreeMap<String, String>| {
        order.iter().map(|(name, queues)| format!("{name}:{queues}")).collect::<Vec<_>>().join(";")
    };
    let set = text(&order);
    let one_broker = call.args.has("brokerAddr");
    if one_broker && let Ok(known) = call.admin.get_kv(ORDER_NAMESPACE, topic).await {
        for (name, queues) in known.split(';').filter_map(|entry| entry.split_once(':')) {
            order.entry(name.to_owned()).or_insert_with(|| queues.to_owned());
        }
    }
    call.admin.put_kv(ORDER_NAMESPACE, topic, &text(&order)).await?;
    let what = if one_broker { "broker" } else { "cluster" };
    call.say(format!("set {what} orderConf. isOrder=true, orderConf=[{set}]"))
}

/// Java's `TopicConfig.toString`.
fn described(config: &TopicConfig) -> String {
    let attributes: Vec<_> = config.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!(
        "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}, topicFilterType={}, \
         topicSysFlag={}, order={}, attributes={{{}}}]",
        config.topic_name,
        config.read_queue_nums,
        config.write_queue_nums,
        perm::text(config.perm),
        config.topic_filter_type.name(),
        config.topic_sys_flag,
        config.order,
        attributes.join(", ")
    )
}

pub(super) async fn delete(call: &mut Call) -> Outcome {
    let (topic, cluster) = (call.need("topic")?.to_owned(), call.need("clusterName")?.to_owned());
    delete_topic(call, &topic, &cluster).await?;
    call.say(format!("delete topic [{topic}] from cluster [{cluster}] success."))?;
    call.say(format!("delete topic [{topic}] from NameServer success."))?;
    call.json(&json!({ "topic": topic, "cluster": cluster }))
}

pub(super) async fn delete_topic(call: &Call, topic: &str, cluster: &str) -> Outcome {
    for address in target::masters(call, cluster).await? {
        call.admin.delete_topic(&address, topic).await?;
    }
    call.admin.delete_topic_in_name_servers(topic, Some(cluster)).await?;
    Ok(())
}

pub(super) async fn update_perm(call: &mut Call) -> Outcome {
    let (topic, perm) = (call.need("topic")?.to_owned(), call.number("perm", 0)?);
    let route = call.admin.route(&topic).await?;
    let Some(queues) = route.queue_datas.first() else {
        return Err(Failure::Other(format!("topic `{topic}` has no queues")));
    };
    let mut config = TopicConfig {
        topic_sys_flag: queues.topic_sys_flag,
        ..TopicConfig::new(&topic, queues.read_queue_nums, queues.write_queue_nums, perm)
    };
    let mut changed = Vec::new();
    for address in target::given(call).await? {
        let broker =
            route.broker_datas.iter().find(|broker| broker.broker_addrs.values().any(|a| *a == address));
        let of_broker = route
            .queue_datas
            .iter()
            .find(|data| broker.is_some_and(|broker| broker.broker_name == data.broker_name));
        let Some(old) = of_broker else {
            return Err(Failure::Other(format!(
                "updateTopicPerm error broker not exit or broker is not master!. {address}"
            )));
        };
        if call.args.has("brokerAddr") && old.perm == perm {
            return call.done("new perm equals to the old one!", json!([]));
        }
        config.read_queue_nums = old.read_queue_nums;
        config.write_queue_nums = old.write_queue_nums;
        call.admin.update_topic(&address, &config).await?;
        call.say(format!("update topic perm from {} to {perm} in {address} success.", old.perm))?;
        changed.push(address);
    }
    if call.args.has("brokerAddr") {
        call.say(format!("{}.", described(&config)))?;
    }
    call.json(&json!(changed))
}

pub(super) async fn route(call: &mut Call) -> Outcome {
    let route = call.admin.route(call.need("topic")?).await?;
    if call.args.has("list") {
        return route_list(call, route);
    }
    let text = fastjson::to_string_pretty(&route).map_err(|error| Failure::Other(error.to_string()))?;
    call.say(text)?;
    call.json(&route)
}

fn route_list(call: &mut Call, mut route: TopicRouteData) -> Outcome {
    const FORMAT: &str = "%-45s %-32s %-50s %-10s %-11s %-5s";
    let mut table = Table::new(
        &[
            ("#ClusterName", "cluster"),
            ("#BrokerName", "brokerName"),
            ("#BrokerAddrs", "brokerAddrs"),
            ("#ReadQueue", "readQueueNums"),
            ("#WriteQueue", "writeQueueNums"),
            ("#Perm", "perm"),
        ],
        FORMAT,
        FORMAT,
    );
    route.broker_datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
    let (mut read, mut write) = (0, 0);
    for broker in &route.broker_datas {
        let queues = route.queue_datas.iter().find(|queues| queues.broker_name == broker.broker_name);
        let Some(queues) = queues else { continue };
        read += queues.read_queue_nums;
        write += queues.write_queue_nums;
        let addresses: Vec<_> =
            broker.broker_addrs.iter().map(|(id, address)| format!("{id}={address}")).collect();
        table.row([
            Value::from(broker.cluster.as_str()),
            Value::from(broker.broker_name.as_str()),
            Value::from(format!("{{{}}}", addresses.join(", "))),
            Value::from(queues.read_queue_nums),
            Value::from(queues.write_queue_nums),
            Value::from(queues.perm),
        ]);
    }
    call.table(&table)?;
    call.say("-".repeat(158))?;
    let total = [
        "Total:".into(),
        route.queue_datas.len().to_string(),
        String::new(),
        read.to_string(),
        write.to_string(),
    ];
    call.say(line(FORMAT, &total))
}

pub(super) async fn status(call: &mut Call) -> Outcome {
    let topic = call.need("topic")?.to_owned();
    // Java: a light queue has no route; then -c names the topic whose route leads to it.
    let routed = call.args.get("cluster").unwrap_or(&topic).to_owned();
    let route = call.admin.route(&routed).await?;
    let mut stats = TopicStatsTable::default();
    for address in route.broker_datas.iter().filter_map(address_of) {
        let of_broker = call.admin.topic_stats(address, &topic).await?;
        stats.offset_table.extend(of_broker.offset_table);
        stats.topic_put_tps += of_broker.topic_put_tps;
    }
    if stats.offset_table.is_empty() {
        return Err(Failure::Other(format!("Not found the topic stats info of `{topic}`")));
    }
    let format = "%-32s  %-4s  %-20s  %-20s    %s";
    let mut table = Table::new(
        &[
            ("#Broker Name", "brokerName"),
            ("#QID", "queueId"),
            ("#Min Offset", "minOffset"),
            ("#Max Offset", "maxOffset"),
            ("#Last Updated", "lastUpdated"),
        ],
        format,
        format,
    );
    for (queue, offset) in &stats.offset_table {
        let updated = offset.last_update_timestamp;
        table.row([
            Value::from(front(&queue.broker_name, 32)),
            Value::from(queue.queue_id),
            Value::from(offset.min_offset),
            Value::from(offset.max_offset),
            Value::from(if updated > 0 { time::with_millis(updated) } else { String::new() }),
        ]);
    }
    call.table(&table)?;
    call.say(format!("\nTopic Put TPS: {:?}", stats.topic_put_tps))
}

pub(super) async fn clusters(call: &mut Call) -> Outcome {
    let topic = call.need("topic")?;
    let route = call.admin.route(topic).await?;
    let info = call.admin.cluster_info().await?;
    let first = route.broker_datas.first().map(|broker| broker.broker_name.as_str());
    let of_topic =
        info.cluster_addr_table.iter().filter(|(_, names)| first.is_some_and(|name| names.contains(name)));
    let clusters: Vec<String> = of_topic.map(|(cluster, _)| cluster.clone()).collect();
    for cluster in &clusters {
        call.say(cluster)?;
    }
    call.json(&clusters)
}

pub(super) async fn list(call: &mut Call) -> Outcome {
    let topics = call.admin.topic_list().await?.topic_list;
    if call.args.has("clusterModel") {
        return list_with_groups(call, &topics).await;
    }
    for topic in &topics {
        call.say(topic)?;
    }
    call.json(&topics)
}

async fn list_with_groups(call: &mut Call, topics: &BTreeSet<String>) -> Outcome {
    let mut table = Table::new(
        &[("#Cluster Name", "cluster"), ("#Topic", "topic"), ("#Consumer Group", "consumerGroup")],
        "%-20s  %-48s  %-48s",
        "%-20s  %-64s  %-64s",
    );
    let info = call.admin.cluster_info().await?;
    for topic in topics.iter().filter(|topic| !topic::is_retry(topic) && !topic::is_dlq(topic)) {
        let Ok(route) = call.admin.route(topic).await else { continue };
        let names = |broker: &str| info.cluster_addr_table.iter().find(|(_, names)| names.contains(broker));
        let first = route.broker_datas.first();
        let cluster = first.and_then(|broker| names(&broker.broker_name)).map_or("", |(cluster, _)| cluster);
        let mut groups = BTreeSet::new();
        for address in route.broker_datas.iter().filter_map(address_of) {
            if let Ok(list) = call.admin.topic_groups(address, topic).await {
                groups.extend(list.group_list);
            }
        }
        if groups.is_empty() {
            groups.insert(String::new());
        }
        for group in groups {
            table.row([front(cluster, 20), front(topic, 64), front(&group, 64)].map(Value::from));
        }
    }
    call.table(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_keep_their_signs() {
        let read = attributes("+a=b, +c=d,-e").unwrap();
        let read: Vec<_> = read.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(read, ["+a=b", "+c=d", "-e="]);
        for wrong in ["a=b", "+a", "-a=b", "+a=1,+a=2"] {
            assert!(attributes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_topic_is_described_as_in_java() {
        assert_eq!(
            described(&TopicConfig::new("T", 4, 8, 6)),
            "TopicConfig [topicName=T, readQueueNums=4, writeQueueNums=8, perm=RW-, topicFilterType=SINGLE_TAG, \
             topicSysFlag=0, order=false, attributes={}]"
        );
    }
}
