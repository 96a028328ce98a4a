//! Brokers.

use rmq_proto::body::ClusterInfo;
use serde_json::{Map, Value, json};

use super::target;
use crate::call::{Call, Failure, Outcome};

pub(super) async fn status(call: &mut Call) -> Outcome {
    let one = call.args.get("brokerAddr").map(str::to_owned);
    let addresses = match (&one, call.args.get("clusterName")) {
        (Some(address), _) => [address.clone()].into(),
        (None, Some(cluster)) => target::all(call, cluster).await?,
        (None, None) => return Err(Failure::Usage("give a broker with -b or a cluster with -c".to_owned())),
    };
    let mut result = Map::new();
    for address in addresses {
        let figures = call.admin.broker_runtime(&address).await?.table;
        for (name, value) in &figures {
            match one {
                Some(_) => call.say(format!("{name:<32}: {value}"))?,
                None => call.say(format!("{address:<24} {name:<32}: {value}"))?,
            }
        }
        result.insert(address, json!(figures));
    }
    call.json(&result)
}

pub(super) async fn config(call: &mut Call) -> Outcome {
    let mut result = Map::new();
    for (title, address) in configured(call).await? {
        call.say(format!("============{title}============"))?;
        let Some(address) = address else { continue };
        let mut config: Vec<(String, String)> = call
            .admin
            .broker_config(&address)
            .await?
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        // Java prints them as they lie in its hash table, which nobody can look through.
        config.sort();
        for (key, value) in &config {
            call.say(format!("{key:<50}=  {value}"))?;
        }
        call.say("")?;
        let config: Map<_, _> = config.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
        result.insert(address, Value::Object(config));
    }
    call.json(&result)
}

/// The brokers to show and the titles above them; a title without address has no broker.
async fn configured(call: &Call) -> Result<Vec<(String, Option<String>)>, Failure> {
    if let Some(address) = call.args.get("brokerAddr") {
        return Ok(vec![(address.to_owned(), Some(address.to_owned()))]);
    }
    let cluster = call.need("clusterName")?;
    let info: ClusterInfo = call.admin.cluster_info().await?;
    let mut all = Vec::new();
    for broker in target::brokers_of(&info, cluster)? {
        let master = broker.master_addr();
        let shown = master.unwrap_or("NO_MASTER");
        all.push((format!("Master: {shown}"), master.map(str::to_owned)));
        for (_, slave) in broker.broker_addrs.iter().filter(|(id, _)| **id != 0) {
            all.push((format!("My Master: {shown}=====Slave: {slave}"), Some(slave.clone())));
        }
    }
    Ok(all)
}

pub(super) async fn update_config(call: &mut Call) -> Outcome {
    let (key, value) = (call.need("key")?.to_owned(), call.need("value")?.to_owned());
    let addresses = match (call.args.get("brokerAddr"), call.args.get("clusterName")) {
        (None, Some(cluster)) if call.args.has("updateAllBroker") => target::all(call, cluster).await?,
        _ => target::given(call).await?,
    };
    for address in &addresses {
        call.admin.update_broker_config(address, &key, &value).await?;
        call.say(format!("update broker config success, {address}"))?;
    }
    call.json(&json!({ "brokers": addresses, "key": key, "value": value }))
}
