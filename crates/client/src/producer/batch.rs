//! Many messages in one request (code 320).

use bytes::{Bytes, BytesMut};
use rmq_proto::{
    message::{BatchMember, Properties, batch, property},
    topic,
};

use super::{
    Settings,
    send::{Outgoing, check_message},
};
use crate::{
    error::{Error, Result},
    message::Message,
};

/// Turns messages into one request. Each member gets an id of its own.
pub(crate) fn pack(
    messages: Vec<Message>,
    settings: &Settings,
    unique_id: impl Fn() -> String,
) -> Result<Outgoing> {
    let first = messages.first().ok_or_else(|| Error::Message("the batch is empty".into()))?;
    let (topic, waits) = (first.topic.clone(), first.properties.waits_for_store());
    let mut body = BytesMut::new();
    let mut ids = Vec::with_capacity(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        check_member(&message, index, &topic, waits, settings)?;
        let mut properties = message.properties;
        if !properties.contains(property::UNIQ_KEY) {
            properties.set(property::UNIQ_KEY, unique_id());
        }
        ids.extend(properties.unique_key().map(str::to_owned));
        let member =
            BatchMember { flag: message.flag, body: message.body, properties: properties.encode().into() };
        batch::encode(&member, &mut body)
            .map_err(|error| Error::Message(format!("member {index} of the batch: {error}")))?;
    }
    if body.len() > settings.max_body_bytes {
        return Err(too_big(body.len(), settings.max_body_bytes));
    }
    let properties =
        Properties::new().with(property::UNIQ_KEY, unique_id()).with(property::WAIT, waits.to_string());
    Ok(Outgoing {
        topic,
        body: Bytes::from(body).into(),
        flag: 0,
        sys_flag: 0,
        properties: properties.encode(),
        msg_id: ids.join(","),
        is_batch: true,
        reconsume_times: 0,
        max_reconsume_times: None,
    })
}

fn too_big(len: usize, limit: usize) -> Error {
    Error::Message(format!("the batch has {len} bytes, the limit is {limit}; send it in several batches"))
}

/// Java's rules: one topic, one durability, no delay, no retry topic.
fn check_member(
    message: &Message,
    index: usize,
    topic: &str,
    waits: bool,
    settings: &Settings,
) -> Result<()> {
    check_message(message, settings)?;
    let timers =
        [property::DELAY, property::TIMER_DELAY_SEC, property::TIMER_DELAY_MS, property::TIMER_DELIVER_MS];
    let reason = if message.topic != topic {
        "all messages of a batch must have the same topic"
    } else if message.properties.waits_for_store() != waits {
        "all messages of a batch must agree about waiting for the store"
    } else if timers.iter().any(|name| message.properties.contains(name)) {
        "messages of a batch cannot be delayed"
    } else if topic::is_retry(topic) {
        "a batch cannot go to a retry topic"
    } else {
        return Ok(());
    };
    Err(Error::Message(format!("member {index} of the batch: {reason}")))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::atomic::*};

    use super::*;
    use crate::producer::Producer;

    fn pack_all(messages: Vec<Message>) -> Result<Outgoing> {
        let ids = AtomicU32::new(0);
        let settings = Producer::builder("g").settings;
        pack(messages, &settings, || format!("id{}", ids.fetch_add(1, Ordering::Relaxed)))
    }

    #[test]
    fn every_member_has_an_id_of_its_own() {
        let messages = (0..5).map(|n| Message::new("T", format!("body {n}")).tag("A")).collect();
        let packed = pack_all(messages).unwrap();
        let members = batch::decode(packed.body.bytes()).unwrap();
        let ids: BTreeSet<_> = members
            .iter()
            .map(|member| {
                let properties = Properties::parse(std::str::from_utf8(&member.properties).unwrap());
                assert_eq!(properties.tags(), Some("A"));
                properties.unique_key().unwrap().to_owned()
            })
            .collect();
        assert_eq!(ids.len(), 5);
        assert_eq!(packed.msg_id, "id0,id1,id2,id3,id4");
    }

    #[test]
    fn what_cannot_be_in_a_batch_is_refused() {
        let fine = || Message::new("T", "x");
        assert!(pack_all(vec![]).is_err());
        for odd in [
            Message::new("U", "x"),
            fine().delay_level(1),
            fine().delay_ms(5),
            fine().wait_for_store(false),
            Message::new("T", ""),
        ] {
            let error = pack_all(vec![fine(), odd]).unwrap_err();
            assert!(matches!(error, Error::Message(_)), "{error}");
        }
    }

    #[test]
    fn a_batch_that_is_too_big_says_how_big() {
        let messages = (0..5).map(|_| Message::new("T", vec![b'x'; 1024 * 1024])).collect();
        let error = pack_all(messages).unwrap_err().to_string();
        assert!(error.contains("the limit is 4194304"), "{error}");
    }
}
