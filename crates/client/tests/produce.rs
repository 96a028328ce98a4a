//! A producer against brokers that the test controls.

mod fake;

use std::collections::BTreeSet;

use fake::{Fake, TOPIC};
use rmq_client::{Error, Message, Producer};
use rmq_proto::code::ResponseCode;

async fn producer(name_servers: &str) -> Producer {
    Producer::builder("shop").name_servers(name_servers).start().await.unwrap()
}

#[tokio::test]
async fn a_refused_send_is_tried_on_another_broker() {
    let (good, bad) = (Fake::start().await, Fake::start().await);
    bad.state.inner.lock().refuse_sends = Some(ResponseCode::SYSTEM_BUSY);
    good.state.inner.lock().others.insert("bad".into(), bad.address());
    let producer = producer(&good.address()).await;
    for number in 0..10 {
        let sent = producer.send(Message::new(TOPIC, format!("m{number}"))).await.unwrap();
        assert_eq!(sent.queue.broker_name, "fake");
    }
    assert_eq!(good.stored(0).len(), 10);
    assert!(bad.state.inner.lock().sends > 0, "the turn of the other broker never came");
    producer.shutdown().await;
}

#[tokio::test]
async fn a_faulty_broker_is_left_alone() {
    let (good, bad) = (Fake::start().await, Fake::start().await);
    bad.state.inner.lock().refuse_sends = Some(ResponseCode::SYSTEM_BUSY);
    good.state.inner.lock().others.insert("bad".into(), bad.address());
    let builder = Producer::builder("shop").name_servers(&good.address()).avoid_faulty(true);
    let producer = builder.start().await.unwrap();
    for number in 0..10 {
        let _ = producer.send(Message::new(TOPIC, format!("m{number}"))).await.unwrap();
    }
    assert_eq!(bad.state.inner.lock().sends, 1);
}

#[tokio::test]
async fn a_failure_says_who_was_tried_and_why() {
    let fake = Fake::start().await;
    fake.state.inner.lock().refuse_sends = Some(ResponseCode::NO_PERMISSION);
    let producer = producer(&fake.address()).await;
    let error = producer.send(Message::new(TOPIC, "x")).await.unwrap_err();
    assert!(error.is(ResponseCode::NO_PERMISSION));
    let text = error.to_string();
    assert!(text.contains("after 3 attempt(s)") && text.contains("[fake, fake, fake]"), "{text}");
    assert!(text.contains("refused by the test"), "{text}");
}

#[tokio::test]
async fn a_wrong_message_is_not_sent_at_all() {
    let fake = Fake::start().await;
    fake.state.inner.lock().refuse_sends = Some(ResponseCode::MESSAGE_ILLEGAL);
    let producer = producer(&fake.address()).await;
    assert!(matches!(producer.send(Message::new(TOPIC, "")).await, Err(Error::Message(_))));
    assert_eq!(fake.state.inner.lock().sends, 0);
    // The broker's own "illegal" is not tried again.
    let error = producer.send(Message::new(TOPIC, "x")).await.unwrap_err();
    assert!(error.is(ResponseCode::MESSAGE_ILLEGAL));
    assert_eq!(fake.state.inner.lock().sends, 1);
}

#[tokio::test]
async fn a_silent_name_server_is_passed_over() {
    let fake = Fake::start().await;
    let silent = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    let producer = producer(&format!("{silent};{}", fake.address())).await;
    let _ = producer.send(Message::new(TOPIC, "x")).await.unwrap();
    let alone = self::producer(&silent).await;
    let error = alone.send(Message::new(TOPIC, "x")).await.unwrap_err();
    assert!(matches!(error, Error::NameServersSilent { .. }), "{error}");
    assert!(error.to_string().contains(&silent));
}

#[tokio::test]
async fn a_topic_to_come_is_sent_to_where_it_will_be_created() {
    let fake = Fake::start().await;
    let producer = producer(&fake.address()).await;
    let sent = producer.send(Message::new("brand-new", "x")).await.unwrap();
    assert_eq!((sent.queue.topic.as_str(), sent.queue_offset), ("brand-new", 0));
}

#[tokio::test]
async fn the_members_of_a_batch_have_different_ids() {
    let fake = Fake::start().await;
    let producer = producer(&fake.address()).await;
    let messages = (0..20).map(|number| Message::new(TOPIC, format!("m{number}"))).collect();
    let sent = producer.send_batch(messages).await.unwrap();
    let stored = fake.stored(0);
    let ids: BTreeSet<_> = stored.iter().map(|message| message.id()).collect();
    assert_eq!((stored.len(), ids.len()), (20, 20));
    assert_eq!(sent.msg_id.split(',').count(), 20);
}

#[tokio::test]
async fn large_bodies_travel_compressed() {
    let fake = Fake::start().await;
    let producer = producer(&fake.address()).await;
    let _ = producer.send(Message::new(TOPIC, vec![b'a'; 100_000])).await.unwrap();
    assert!(fake.stored(0)[0].body.len() < 1_000);
}
