//! Producers.

use rmq_client::admin::address_of;
use serde_json::{Value, json};

use crate::{
    call::{Call, Failure, Outcome},
    table::Table,
    version,
};

pub(super) async fn connection(call: &mut Call) -> Outcome {
    let (group, topic) = (call.need("producerGroup")?, call.need("topic")?);
    let route = call.admin.route(topic).await?;
    let mut failure = Failure::Other(format!("Not found the producer group connection of `{group}`"));
    let mut members = Vec::new();
    for broker in route.broker_datas.iter().filter_map(address_of) {
        match call.admin.producer_connection(broker, group).await {
            Ok(connection) => members.extend(connection.connection_set),
            Err(error) => failure = error.into(),
        }
    }
    if members.is_empty() {
        return Err(failure);
    }
    members.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    members.dedup_by(|a, b| a.client_id == b.client_id);
    let mut result = Vec::new();
    for (number, member) in members.into_iter().enumerate() {
        let (language, version) = (member.language.name(), version::name(member.version));
        call.say(format!(
            "{:04}  {:<32} {:<22} {language:<8} {version}",
            number + 1,
            member.client_id,
            member.client_addr,
        ))?;
        result.push(json!({
            "clientId": member.client_id, "clientAddr": member.client_addr, "language": language, "version": version,
        }));
    }
    call.json(&result)
}

pub(super) async fn all(call: &mut Call) -> Outcome {
    let producers = call.admin.producers(call.need("broker")?).await?;
    let mut table = Table::new(
        &[
            ("", "group"),
            ("", "clientId"),
            ("", "remoteIP"),
            ("", "language"),
            ("", "version"),
            ("", "lastUpdateTimestamp"),
        ],
        "",
        "producer group (%s) instance : clientId=%s,remoteIP=%s, language=%s, version=%s, lastUpdateTimestamp=%s",
    );
    for (group, members) in &producers.data {
        if members.is_empty() {
            call.say(format!("producer group ({group}) instances are empty"))?;
        }
        for member in members {
            table.row([
                Value::from(group.as_str()),
                Value::from(member.client_id.as_str()),
                Value::from(member.remote_ip.as_str()),
                Value::from(member.language.name()),
                Value::from(member.version),
                Value::from(member.last_update_timestamp),
            ]);
        }
    }
    // The table has no titles: its first line is empty.
    call.say_text(table.text().strip_prefix('\n').map(|text| format!("{text}\n")).unwrap_or_default())?;
    call.json(&table.json())
}
