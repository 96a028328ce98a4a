//! A push consumer against a broker that the test controls.

mod fake;

use std::{sync::Arc, time::Duration};

use fake::{Fake, TOPIC};
use parking_lot::Mutex;
use rmq_client::{Consumed, PushConsumer, ReceivedMessage, StartFrom, consumer::PushConsumerBuilder};
use tokio::sync::Notify;

const GROUP: &str = "billing";

fn builder(fake: &Fake) -> PushConsumerBuilder {
    PushConsumer::builder(GROUP)
        .name_servers(&fake.address())
        .subscribe(TOPIC, "*")
        .start_from(StartFrom::First)
}

fn bodies(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("m{number}"))
}

fn text(message: &ReceivedMessage) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

#[tokio::test]
async fn a_shutdown_commits_what_was_consumed_and_says_goodbye() {
    let fake = Fake::start().await;
    fake.put(0, bodies(100));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let seen = seen.clone();
        move |messages: Vec<ReceivedMessage>| {
            seen.lock().extend(messages.iter().map(text));
            async { Consumed::Success }
        }
    };
    let consumer = builder(&fake).start(listener).await.unwrap();
    fake.until("all are consumed", |_| seen.lock().len() == 100).await;
    consumer.shutdown().await;
    let inner = fake.state.inner.lock();
    assert_eq!(inner.committed.get(&(TOPIC.to_owned(), 0)), Some(&100));
    assert_eq!(inner.unregistered[0].consumer_group.as_deref(), Some(GROUP));
    assert!(inner.members.is_empty());
}

/// What is not consumed when the consumer goes must come again: nothing behind it is committed.
#[tokio::test]
async fn a_message_that_is_not_consumed_holds_the_offset_back() {
    let fake = Fake::start().await;
    fake.put(0, bodies(10));
    let done = Arc::new(Mutex::new(0));
    let listener = {
        let done = done.clone();
        move |messages: Vec<ReceivedMessage>| {
            let done = done.clone();
            async move {
                if text(&messages[0]) == "m3" {
                    std::future::pending::<()>().await;
                }
                *done.lock() += 1;
                Consumed::Success
            }
        }
    };
    let consumer = builder(&fake).drain_timeout(Duration::from_millis(50)).start(listener).await.unwrap();
    fake.until("all others are consumed", |_| *done.lock() == 9).await;
    consumer.shutdown().await;
    assert_eq!(fake.state.inner.lock().committed.get(&(TOPIC.to_owned(), 0)), Some(&3));
}

#[tokio::test]
async fn a_shutdown_waits_for_the_listener() {
    let fake = Fake::start().await;
    fake.put(0, bodies(1));
    let (started, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let listener = {
        let (started, go_on) = (started.clone(), go_on.clone());
        move |_| {
            let (started, go_on) = (started.clone(), go_on.clone());
            async move {
                started.notify_one();
                go_on.notified().await;
                Consumed::Success
            }
        }
    };
    let consumer = builder(&fake).start(listener).await.unwrap();
    started.notified().await;
    let shutdown = tokio::spawn(consumer.shutdown());
    tokio::task::yield_now().await;
    assert!(!shutdown.is_finished());
    go_on.notify_one();
    shutdown.await.unwrap();
    assert_eq!(fake.state.inner.lock().committed.get(&(TOPIC.to_owned(), 0)), Some(&1));
}

#[tokio::test]
async fn what_fails_or_panics_is_given_back() {
    let fake = Fake::start().await;
    fake.put(0, bodies(3));
    let listener = |messages: Vec<ReceivedMessage>| async move {
        match text(&messages[0]).as_str() {
            "m0" => Consumed::Later,
            "m1" => panic!("a listener's panic is a failed message"),
            _ => Consumed::Success,
        }
    };
    let consumer = builder(&fake).start(listener).await.unwrap();
    fake.until("two are given back", |inner| inner.sent_back.len() == 2).await;
    consumer.shutdown().await;
    let inner = fake.state.inner.lock();
    let mut offsets: Vec<_> = inner.sent_back.iter().map(|back| back.offset).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [1000, 1001]);
    assert_eq!(inner.sent_back[0].group, GROUP);
    assert_eq!(inner.sent_back[0].max_reconsume_times, Some(16));
    assert_eq!(inner.committed.get(&(TOPIC.to_owned(), 0)), Some(&3));
}

/// A reset by an administrator reaches the client as code 21.
#[tokio::test]
async fn the_broker_may_move_the_offset() {
    let fake = Fake::start().await;
    fake.put(0, bodies(10));
    fake.state.inner.lock().move_to = Some(7);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let seen = seen.clone();
        move |messages: Vec<ReceivedMessage>| {
            seen.lock().extend(messages.iter().map(text));
            async { Consumed::Success }
        }
    };
    let consumer = builder(&fake).start(listener).await.unwrap();
    fake.until("the rest is consumed", |_| seen.lock().len() == 3).await;
    consumer.shutdown().await;
    let mut seen = seen.lock().clone();
    seen.sort();
    assert_eq!(seen, ["m7", "m8", "m9"]);
    assert_eq!(fake.state.inner.lock().committed.get(&(TOPIC.to_owned(), 0)), Some(&10));
}

/// Brokers send requests on the connections that clients opened (code 40).
#[tokio::test]
async fn a_new_member_gets_its_share_at_once() {
    let fake = Fake::start().await;
    fake.state.inner.lock().queue_count = 4;
    let consumer = builder(&fake).start(|_| async { Consumed::Success }).await.unwrap();
    let mine = || consumer.queues().iter().filter(|queue| queue.topic == TOPIC).count();
    fake.until("it has all queues", |_| mine() == 4).await;
    fake.join(GROUP, "another");
    fake.until("it has half of the queues", |_| mine() == 2).await;
    consumer.shutdown().await;
}

#[tokio::test]
async fn a_reset_brings_messages_again() {
    let fake = Fake::start().await;
    fake.put(0, bodies(5));
    let seen = Arc::new(Mutex::new(0));
    let listener = {
        let seen = seen.clone();
        move |messages: Vec<ReceivedMessage>| {
            *seen.lock() += messages.len();
            async { Consumed::Success }
        }
    };
    let consumer = builder(&fake).start(listener).await.unwrap();
    fake.until("all are consumed", |_| *seen.lock() == 5).await;
    fake.reset(GROUP, 0, 2);
    fake.until("three come again", |_| *seen.lock() == 8).await;
    consumer.shutdown().await;
    assert_eq!(fake.state.inner.lock().committed.get(&(TOPIC.to_owned(), 0)), Some(&5));
}
