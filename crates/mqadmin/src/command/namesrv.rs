//! Name servers.

use serde_json::{Map, Value, json};

use crate::call::{Call, Failure, Outcome};

pub(super) async fn config(call: &mut Call) -> Outcome {
    let mut result = Map::new();
    for address in call.admin.name_server_addresses().to_vec() {
        let config = call.admin.name_server_config(&address).await?;
        let mut config: Vec<_> =
            config.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        config.sort();
        call.say(format!("============{address}============"))?;
        for (key, value) in &config {
            call.say(format!("{key:<50}=  {value}"))?;
        }
        let config: Map<_, _> = config.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
        result.insert(address, Value::Object(config));
    }
    call.json(&result)
}

pub(super) async fn update_config(call: &mut Call) -> Outcome {
    let (key, value) = (call.need("key")?.to_owned(), call.need("value")?.to_owned());
    call.admin.update_name_server_config(&key, &value).await?;
    let servers = format!("[{}]", call.admin.name_server_addresses().join(", "));
    call.done(
        format!("update name server config success!{servers}\n{key} : {value}"),
        json!({ "key": key, "value": value }),
    )
}

pub(super) async fn put_kv(call: &mut Call) -> Outcome {
    let (namespace, key, value) = (call.need("namespace")?, call.need("key")?, call.need("value")?);
    call.admin.put_kv(namespace, key, value).await?;
    let result = json!({ "namespace": namespace, "key": key, "value": value });
    call.done("create or update kv config to namespace success.", result)
}

pub(super) async fn delete_kv(call: &mut Call) -> Outcome {
    let (namespace, key) = (call.need("namespace")?, call.need("key")?);
    call.admin.delete_kv(namespace, key).await?;
    let result = json!({ "namespace": namespace, "key": key });
    call.done("delete kv config from namespace success.", result)
}

pub(super) async fn wipe_write_perm(call: &mut Call) -> Outcome {
    write_perm(call, "wipe").await
}

pub(super) async fn add_write_perm(call: &mut Call) -> Outcome {
    write_perm(call, "add").await
}

async fn write_perm(call: &mut Call, verb: &str) -> Outcome {
    let broker = call.need("brokerName")?.to_owned();
    let (mut result, mut failure) = (Map::new(), None);
    for address in call.admin.name_server_addresses().to_vec() {
        let changed = match verb {
            "wipe" => call.admin.wipe_write_perm(&address, &broker).await,
            _ => call.admin.add_write_perm(&address, &broker).await,
        };
        let start = format!("{verb} write perm of broker[{broker}] in name server[{address}]");
        match changed {
            Ok(topics) => {
                call.say(format!("{start} OK, {topics}"))?;
                result.insert(address, Value::from(topics));
            }
            Err(error) => {
                call.say(format!("{start} Failed"))?;
                failure = Some(Failure::from(error));
            }
        }
    }
    call.json(&result)?;
    failure.map_or(Ok(()), Err)
}
