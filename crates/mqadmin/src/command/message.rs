//! Messages: finding, sending and reading them.

use std::path::PathBuf;

use rmq_client::{
    Message, MessageQueue, Producer, PullStatus, ReceivedMessage, admin::messages::KeyQuery,
    admin::messages::index_key,
};
use rmq_proto::topic::group;
use serde_json::{Value, json};

use crate::{
    call::{Call, Failure, Outcome},
    table::Table,
    time,
};

/// Where Java's tool leaves the bodies of the messages that it shows.
const BODY_DIR: &str = "/tmp/rocketmq/msgbodys";

pub(super) async fn by_id(call: &mut Call) -> Outcome {
    let (topic, ids) = (call.need("topic")?.to_owned(), call.need("msgId")?.to_owned());
    if call.args.has("clientId") || call.args.has("unitName") {
        return Err(Failure::Usage(
            "consuming directly (-g, -d) and units (-u) are not served by this tool yet".into(),
        ));
    }
    let mut result = Vec::new();
    let mut missing = Vec::new();
    for id in ids.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        let found = call.admin.message(&topic, id, call.args.get("cluster")).await?;
        match found {
            None => missing.push(id.to_owned()),
            Some(message) if call.truth("sendMessage", false) => result.push(resend(call, &message).await?),
            Some(message) => result.push(show(call, &message).await?),
        }
    }
    call.json(&result)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(format!("Message not found! topic={topic}, msgId={}", missing.join(","))))
}

async fn show(call: &mut Call, message: &ReceivedMessage) -> Result<Value, Failure> {
    let body = body_file(message)?;
    let row = |name: &str, value: &dyn std::fmt::Display| format!("{name:<20} {value}");
    let keys: Vec<_> = message.properties.keys().collect();
    let or_null = |text: Option<&str>| format!("[{}]", text.unwrap_or("null"));
    call.say(row("OffsetID:", &message.offset_msg_id()))?;
    call.say(row("Topic:", &message.topic))?;
    call.say(row("Tags:", &or_null(message.tags())))?;
    call.say(row("Keys:", &or_null(message.property("KEYS"))))?;
    call.say(row("Queue ID:", &message.queue_id))?;
    call.say(row("Queue Offset:", &message.queue_offset))?;
    call.say(row("CommitLog Offset:", &message.physical_offset))?;
    call.say(row("Reconsume Times:", &message.reconsume_times))?;
    call.say(row("Born Timestamp:", &time::with_millis(message.born_timestamp)))?;
    call.say(row("Store Timestamp:", &time::with_millis(message.store_timestamp)))?;
    call.say(row("Born Host:", &message.born_host))?;
    call.say(row("Store Host:", &message.store_host))?;
    call.say(row("System Flag:", &message.sys_flag))?;
    call.say(row("Properties:", &message.properties_text()))?;
    call.say(row("Message Body Path:", &body.display()))?;
    if call.args.has("bodyFormat") {
        call.say(row("Message Body:", &String::from_utf8_lossy(&message.body)))?;
    }
    let tracks = call.admin.track(message).await?;
    if tracks.is_empty() {
        call.say("\n\nWARN: No Consumer")?;
    } else {
        call.say("\n")?;
    }
    for track in &tracks {
        call.say(track.to_string())?;
    }
    Ok(json!({
        "offsetMsgId": message.offset_msg_id(),
        "msgId": message.id(),
        "topic": message.topic,
        "tags": message.tags(),
        "keys": keys,
        "queueId": message.queue_id,
        "queueOffset": message.queue_offset,
        "commitLogOffset": message.physical_offset,
        "reconsumeTimes": message.reconsume_times,
        "bornTimestamp": message.born_timestamp,
        "storeTimestamp": message.store_timestamp,
        "bornHost": message.born_host.to_string(),
        "storeHost": message.store_host.to_string(),
        "sysFlag": message.sys_flag,
        "properties": message.properties.iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect::<serde_json::Map<_, _>>(),
        "bodyPath": body.display().to_string(),
        "tracks": tracks.iter().map(|track| json!({
            "consumerGroup": track.consumer_group,
            "trackType": track.track_type.to_string(),
            "exceptionDesc": track.exception_desc,
        })).collect::<Vec<_>>(),
    }))
}

/// Leaves the body in a file. The id comes from the sender, so nothing but letters and digits of it is used.
fn body_file(message: &ReceivedMessage) -> Result<PathBuf, Failure> {
    let name: String = message.id().chars().filter(char::is_ascii_alphanumeric).collect();
    let path = PathBuf::from(BODY_DIR).join(name);
    std::fs::create_dir_all(BODY_DIR).and_then(|()| std::fs::write(&path, &message.body)).map_err(
        |error| Failure::Other(format!("the body could not be written to {}: {error}", path.display())),
    )?;
    Ok(path)
}

async fn resend(call: &mut Call, message: &ReceivedMessage) -> Result<Value, Failure> {
    let producer = Producer::builder("ReSendMsgById").options(call.instance_options()).start().await?;
    let again = Message {
        topic: message.topic.clone(),
        body: message.body.clone(),
        flag: message.flag,
        properties: message.properties.clone(),
    };
    let sent = producer.send(again).await;
    producer.shutdown().await;
    let sent = sent?;
    call.say(format!("prepare resend msg. originalMsgId={}{sent}", message.id()))?;
    Ok(json!({ "msgId": sent.msg_id, "sendStatus": sent.status.to_string() }))
}

pub(super) async fn by_key(call: &mut Call) -> Outcome {
    let (topic, key) = (call.need("topic")?.to_owned(), call.need("msgKey")?.to_owned());
    let (kind, last_key) =
        (call.args.get("keyType").map(str::to_owned), call.args.get("lastKey").map(str::to_owned));
    let cluster = call.args.get("cluster").map(str::to_owned);
    let kind = kind.unwrap_or_else(|| "K".to_owned());
    if !["K", "T"].contains(&kind.as_str()) {
        return Err(Failure::Usage("index type error, just support K for keys or T for tags".to_owned()));
    }
    let query = KeyQuery {
        begin_ms: call.number("beginTimestamp", 0)?,
        end_ms: call.number("endTimestamp", i64::MAX)?,
        max: call.number("maxNum", 64)?,
        index_type: Some(&kind),
        last_key: last_key.as_deref(),
        cluster: cluster.as_deref(),
        ..KeyQuery::new(&topic, &key)
    };
    let found = call.admin.messages_by_key(&query).await?;
    if found.is_empty() {
        return Err(Failure::Other(format!("no message of topic `{topic}` has the key `{key}`")));
    }
    let format = "%-50s %4s %40s %-200s";
    let mut table = Table::new(
        &[
            ("#Message ID", "msgId"),
            ("#QID", "queueId"),
            ("#Offset", "queueOffset"),
            ("#IndexKey", "indexKey"),
        ],
        format,
        format,
    );
    for message in &found {
        table.row([
            Value::from(message.id()),
            Value::from(message.queue_id),
            Value::from(message.queue_offset),
            Value::from(index_key(message, &query)),
        ]);
    }
    call.table(&table)
}

pub(super) async fn send(call: &mut Call) -> Outcome {
    let topic = call.need("topic")?.to_owned();
    let mut message = Message::new(&topic, call.need("body")?.to_owned());
    if let Some(key) = call.args.get("key") {
        message = message.key(key);
    }
    if let Some(tag) = call.args.get("tags") {
        message = message.tag(tag);
    }
    let broker = call.args.get("broker").map(str::to_owned);
    let queue_id: i32 = call.number("qid", -1)?;
    if queue_id >= 0 && broker.is_none() {
        return Err(Failure::Usage("Broker name must be set if the queue is chosen!".to_owned()));
    }
    let producer =
        Producer::builder(time::now_ms().to_string()).options(call.instance_options()).start().await?;
    let sent = match broker {
        Some(broker) if queue_id >= 0 => {
            producer.send_to(&MessageQueue::new(&*topic, &*broker, queue_id), message).await
        }
        _ => producer.send(message).await,
    };
    producer.shutdown().await;
    let sent = sent?;
    let format = "%-32s  %-4s  %-20s    %s";
    let mut table = Table::new(
        &[
            ("#Broker Name", "brokerName"),
            ("#QID", "queueId"),
            ("#Send Result", "sendResult"),
            ("#MsgId", "msgId"),
        ],
        format,
        format,
    );
    table.row([
        Value::from(sent.queue.broker_name),
        Value::from(sent.queue.queue_id),
        Value::from(sent.status.to_string()),
        Value::from(sent.msg_id),
    ]);
    call.table(&table)
}

pub(super) async fn consume(call: &mut Call) -> Outcome {
    let topic = call.need("topic")?.to_owned();
    let reading = Reading::of(call)?;
    let queues = match (call.args.get("brokerName"), call.args.get("queueId")) {
        (None, Some(_)) => {
            return Err(Failure::Usage("Please set the brokerName before queueId!".to_owned()));
        }
        (Some(broker), Some(_)) => vec![MessageQueue::new(&*topic, broker, call.number("queueId", 0)?)],
        _ => call.admin.instance().route(&topic).await.map_err(Failure::Client)?.subscribe.clone(),
    };
    let one_queue = call.args.has("queueId");
    if !one_queue && call.args.has("offset") {
        return Err(Failure::Usage("Please set queueId before offset!".to_owned()));
    }
    let mut left = reading.count;
    let mut result = Vec::new();
    for queue in queues {
        if left <= 0 {
            break;
        }
        let (begin, end) = reading.range(call, &queue).await?;
        if begin > end {
            call.say(format!("{queue} no matched msg, offset={begin}"))?;
            continue;
        }
        let mut last = end;
        if end - begin > left {
            if one_queue {
                call.say(format!("The oldler {left} message will be provided"))?;
            } else {
                call.say(format!(
                    "The older {left} message of the {} queue will be provided",
                    queue.queue_id
                ))?;
            }
            last = begin + left - 1;
            left = 0;
        } else {
            left -= end - begin;
        }
        read_queue(call, &reading.group, &queue, begin, last, &mut result).await?;
    }
    call.json(&result)
}

/// What to read.
struct Reading {
    group: String,
    count: i64,
    offset: i64,
    begin_ms: Option<i64>,
    end_ms: Option<i64>,
}

impl Reading {
    fn of(call: &Call) -> Result<Self, Failure> {
        let time = |long: &str| {
            let Some(text) = call.args.get(long) else { return Ok(None) };
            match time::parse(text) {
                Some(time_ms) if time_ms <= time::now_ms() => Ok(Some(time_ms)),
                Some(_) => Err(Failure::Usage(format!("Please set the {long} before now!"))),
                None => Err(Failure::Usage(format!("--{long}: `{text}` is not a time"))),
            }
        };
        let reading = Self {
            group: call.args.get("consumerGroup").unwrap_or(group::TOOLS_CONSUMER).to_owned(),
            count: call.number("MessageNumber", 128)?,
            offset: call.number("offset", 0)?,
            begin_ms: time("beginTimestamp")?,
            end_ms: time("endTimestamp")?,
        };
        if reading.count <= 0 {
            return Err(Failure::Usage("Please input a positive messageNumber!".to_owned()));
        }
        if reading.begin_ms.zip(reading.end_ms).is_some_and(|(begin, end)| begin > end) {
            let text = "Please make sure that the beginTimestamp is less than or equal to the endTimestamp";
            return Err(Failure::Usage(text.to_owned()));
        }
        Ok(reading)
    }

    /// The offsets to read a queue from and to.
    async fn range(&self, call: &Call, queue: &MessageQueue) -> Result<(i64, i64), Failure> {
        let begin = match self.begin_ms {
            Some(time_ms) => call.admin.offset_at(queue, time_ms).await?,
            None => call.admin.min_offset(queue).await?,
        };
        let end = match self.end_ms {
            Some(time_ms) => call.admin.offset_at(queue, time_ms).await?,
            None => call.admin.max_offset(queue).await?,
        };
        Ok((begin.max(self.offset), end))
    }
}

async fn read_queue(
    call: &mut Call,
    group: &str,
    queue: &MessageQueue,
    begin: i64,
    last: i64,
    result: &mut Vec<Value>,
) -> Outcome {
    let mut offset = begin;
    while offset <= last {
        let wanted = i32::try_from(last - offset + 1).unwrap_or(i32::MAX);
        let pulled = call.admin.pull(group, queue, offset, wanted).await?;
        offset = pulled.next_offset;
        match pulled.status {
            PullStatus::Found => {
                call.say("Consume ok")?;
                for message in &pulled.messages {
                    let body = String::from_utf8_lossy(&message.body);
                    call.say(format!("MSGID: {} {message} BODY: {body}", message.id()))?;
                    result.push(json!({
                        "msgId": message.id(),
                        "queueId": message.queue_id,
                        "brokerName": message.broker_name(),
                        "queueOffset": message.queue_offset,
                        "tags": message.tags(),
                        "body": body,
                    }));
                }
            }
            PullStatus::NoMatch => {
                call.say(format!("{queue} no matched msg. status=NO_MATCHED_MSG, offset={offset}"))?;
            }
            PullStatus::NoNewMessage | PullStatus::OffsetIllegal => {
                let status =
                    if pulled.status == PullStatus::NoNewMessage { "NO_NEW_MSG" } else { "OFFSET_ILLEGAL" };
                call.say(format!("{queue} print msg finished. status={status}, offset={offset}"))?;
                break;
            }
        }
    }
    Ok(())
}
