use rmq_proto::{
    body::MessageQueue,
    code::version,
    message::batch::{BatchMember, encode},
};

use rmq_store::Retention;

use super::{
    fixture::{Rooms, client_addr, config, send_request},
    *,
};
use crate::config::BrokerRole;

async fn send(rooms: &Rooms, ask: &SendRequest, body: &'static str) -> Result<Sent, Rejection> {
    rooms.write.send(ask, Bytes::from_static(body.as_bytes()), client_addr(), version::CURRENT).await
}

async fn refused(rooms: &Rooms, ask: &SendRequest, body: &'static str) -> i32 {
    send(rooms, ask, body).await.unwrap_err().code.0
}

#[tokio::test]
async fn a_message_is_stored_as_it_came() {
    let rooms = Rooms::new();
    rooms.topic("t", 4);
    let ask = SendRequest { queue_id: 2, flag: 7, ..send_request("t", &[("TAGS", "A"), ("UNIQ_KEY", "u")]) };
    let sent = send(&rooms, &ask, "hello").await.unwrap();
    assert_eq!((sent.queue_id, sent.queue_offset, sent.unique_key.as_deref()), (2, 0, Some("u")));
    let stored = &rooms.messages("t", 2)[0];
    assert_eq!((stored.body.as_ref(), stored.flag), (b"hello".as_ref(), 7));
    assert_eq!(stored.born_host, client_addr());
    assert_eq!(stored.born_timestamp, ask.born_timestamp);
    assert_eq!(stored.offset_id().to_string(), sent.message_id);
    assert_eq!(stored.properties.tags(), Some("A"));
}

#[tokio::test]
async fn a_message_without_unique_key_gets_one() {
    let rooms = Rooms::new();
    rooms.topic("t", 1);
    let sent = send(&rooms, &send_request("t", &[]), "hello").await.unwrap();
    assert_eq!(rooms.messages("t", 0)[0].properties.unique_key(), sent.unique_key.as_deref());
    assert!(sent.unique_key.is_some());
}

#[tokio::test]
async fn a_negative_queue_takes_turns() {
    let rooms = Rooms::new();
    rooms.topic("t", 4);
    let ask = SendRequest { queue_id: -1, ..send_request("t", &[]) };
    let mut queues = Vec::new();
    for _ in 0..4 {
        queues.push(send(&rooms, &ask, "x").await.unwrap().queue_id);
    }
    queues.sort_unstable();
    assert_eq!(queues, [0, 1, 2, 3]);
}

#[tokio::test]
async fn what_may_not_be_sent_is_refused_with_javas_codes() {
    let rooms = Rooms::with(BrokerConfig { auto_create_topic_enable: false, ..config() });
    rooms.topic("t", 4);
    let to = |topic: &str| send_request(topic, &[]);
    assert_eq!(refused(&rooms, &to("t"), "").await, 1);
    assert_eq!(refused(&rooms, &to("a/../b"), "x").await, 29);
    assert_eq!(refused(&rooms, &to("SCHEDULE_TOPIC_XXXX"), "x").await, 16);
    assert_eq!(refused(&rooms, &to("unknown"), "x").await, 17);
    assert_eq!(refused(&rooms, &SendRequest { queue_id: 4, ..to("t") }, "x").await, 29);
    assert_eq!(refused(&rooms, &send_request("t", &[("TRAN_MSG", "true")]), "x").await, 13);
    assert_eq!(refused(&rooms, &send_request("t", &[("TIMER_DELAY_MS", "5")]), "x").await, 13);
    let long = "v".repeat(33_000);
    assert_eq!(refused(&rooms, &send_request("t", &[("k", &long)]), "x").await, 13);
    assert!(rooms.messages("t", 0).is_empty());
}

#[tokio::test]
async fn a_body_above_the_limit_names_both_sizes() {
    let rooms = Rooms::with(BrokerConfig { max_message_size: 10, ..config() });
    rooms.topic("t", 1);
    let rejection = send(&rooms, &send_request("t", &[]), "12345678901").await.unwrap_err();
    assert_eq!(rejection.code, ResponseCode::MESSAGE_ILLEGAL);
    assert!(rejection.remark.contains("11") && rejection.remark.contains("10"), "{}", rejection.remark);
}

#[tokio::test]
async fn a_delayed_message_is_diverted_and_answered_with_its_own_queue() {
    let rooms = Rooms::new();
    rooms.topic("t", 4);
    let ask = SendRequest { queue_id: 3, ..send_request("t", &[("DELAY", "99"), ("TIMER_DELAY_MS", "1")]) };
    let sent = send(&rooms, &ask, "later").await.unwrap();
    assert_eq!((sent.queue_id, sent.queue_offset), (3, 0));
    assert!(rooms.messages("t", 3).is_empty());
    let waiting = &rooms.messages("SCHEDULE_TOPIC_XXXX", 17)[0];
    assert_eq!(waiting.properties.get("DELAY"), Some("18"));
    assert_eq!(waiting.properties.get("REAL_TOPIC"), Some("t"));
    assert_eq!(waiting.properties.get("REAL_QID"), Some("3"));
    assert_eq!(waiting.properties.get("TIMER_DELAY_MS"), None);
}

#[tokio::test]
async fn a_message_tried_too_often_goes_to_the_dead_letters() {
    let rooms = Rooms::new();
    rooms.topic("%RETRY%g", 1);
    let ask = SendRequest {
        reconsume_times: Some(3),
        max_reconsume_times: Some(3),
        ..send_request("%RETRY%g", &[("DELAY", "1")])
    };
    send(&rooms, &ask, "again").await.unwrap();
    assert_eq!(rooms.messages("SCHEDULE_TOPIC_XXXX", 0).len(), 1);
    send(&rooms, &SendRequest { reconsume_times: Some(4), ..ask.clone() }, "enough").await.unwrap();
    let dead = &rooms.messages("%DLQ%g", 0)[0];
    assert_eq!(dead.body.as_ref(), b"enough");
    assert_eq!(dead.properties.get("DELAY"), Some("-1"));
}

#[tokio::test]
async fn a_group_that_holds_queue_locks_has_no_retries() {
    let rooms = Rooms::new();
    rooms.topic("%RETRY%g", 1);
    let queue = [MessageQueue::new("t", "broker-a", 0)].into_iter().collect();
    rooms.queue_locks.lock("g", &queue, "client", Instant::now());
    send(&rooms, &send_request("%RETRY%g", &[]), "x").await.unwrap();
    assert_eq!(rooms.messages("%DLQ%g", 0).len(), 1);
}

fn batch_body(members: &[(&'static str, &'static str)]) -> Bytes {
    let mut body = bytes::BytesMut::new();
    for (text, properties) in members {
        let member = BatchMember {
            flag: 1,
            body: Bytes::from_static(text.as_bytes()),
            properties: Bytes::from_static(properties.as_bytes()),
        };
        encode(&member, &mut body).unwrap();
    }
    body.freeze()
}

#[tokio::test]
async fn a_batch_becomes_one_record_per_message() {
    let rooms = Rooms::new();
    rooms.topic("t", 1);
    let body = batch_body(&[("one", "UNIQ_KEY\u{1}a\u{2}"), ("two", "UNIQ_KEY\u{1}b\u{2}")]);
    let ask = SendRequest { batch: Some(true), ..send_request("t", &[("UNIQ_KEY", "a,b")]) };
    let sent = rooms.write.send_batch(&ask, body, client_addr()).await.unwrap();
    let stored = rooms.messages("t", 0);
    let ids: Vec<_> = stored.iter().map(|message| message.offset_id().to_string()).collect();
    assert_eq!(sent.message_id, ids.join(","));
    assert_eq!(sent.unique_key.as_deref(), Some("a,b"));
    let keys: Vec<_> = stored.iter().map(|message| message.properties.unique_key()).collect();
    assert_eq!(keys, [Some("a"), Some("b")]);
    let offsets: Vec<_> = stored.iter().map(|message| message.queue_offset).collect();
    assert_eq!(offsets, [0, 1]);
    assert_eq!(stored[0].properties.get("CLUSTER"), None, "Java adds nothing to the messages of a batch");
}

#[tokio::test]
async fn a_batch_that_is_not_one_stores_nothing() {
    let rooms = Rooms::new();
    rooms.topic("t", 1);
    let ask = send_request("t", &[]);
    for body in ["x", "\0\0\0\x16\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0"] {
        let body = Bytes::from_static(body.as_bytes());
        let rejection = rooms.write.send_batch(&ask, body, client_addr()).await.unwrap_err();
        assert_eq!(rejection.code, ResponseCode::MESSAGE_ILLEGAL);
    }
    let delayed = send_request("t", &[("DELAY", "1")]);
    let rejection =
        rooms.write.send_batch(&delayed, batch_body(&[("x", "")]), client_addr()).await.unwrap_err();
    assert_eq!(rejection.code, ResponseCode::MESSAGE_ILLEGAL);
    assert!(rooms.messages("t", 0).is_empty());
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let rooms = Rooms::new();
    rooms.topic("t", 1);
    rooms.store.close();
    let rejection = send(&rooms, &send_request("t", &[]), "x").await.unwrap_err();
    assert_eq!(rejection.code, ResponseCode::SERVICE_NOT_AVAILABLE);
    assert!(rejection.remark.contains("shutting down"), "{}", rejection.remark);
}

#[tokio::test]
async fn each_reason_not_to_store_has_its_remark_and_javas_code() {
    let rooms = Rooms::new();
    rooms.topic("t", 1);
    let ask = send_request("t", &[]);
    let refusal = async || send(&rooms, &ask, "x").await.unwrap_err();
    let reserve = |bytes| Retention { disk_reserved_bytes: bytes, ..Retention::default() };
    rooms.store.set_retention(reserve(u64::MAX / 2));
    let full = refusal().await;
    assert!(
        full.remark.contains("the disk of the store is full") && full.remark.contains("diskReservedBytes")
    );
    rooms.store.set_retention(reserve(0));
    rooms.store.close();
    let closed = refusal().await;
    assert!(closed.remark.contains("shutting down"), "{closed}");

    let slave = BrokerConfig { broker_role: BrokerRole::Slave, broker_id: 1, ..config() };
    let rooms = Rooms::with(slave);
    rooms.topic("t", 1);
    let slave = send(&rooms, &ask, "x").await.unwrap_err();
    assert!(slave.remark.contains("slave") && slave.remark.contains("broker-a"), "{slave}");
    for refusal in [full, closed, slave] {
        // The official client sends to another broker then.
        assert_eq!(refusal.code, ResponseCode::SERVICE_NOT_AVAILABLE, "{refusal}");
    }
}
