//! Sends messages with three tags and consumes those with two of them.

mod args;

use std::time::Duration;

use args::Args;
use rmq_client::{Consumed, Message, Producer, PushConsumer, ReceivedMessage, Result, StartFrom};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse("tags_example", 9);
    let producer = Producer::builder(&args.group).options(args.options()?).start().await?;
    for (number, tag) in ["TagA", "TagB", "TagC"].into_iter().cycle().take(args.count).enumerate() {
        let message = Message::new(&args.topic, format!("{tag} {number}")).tag(tag);
        println!("{}", producer.send(message).await?);
    }
    producer.shutdown().await;

    let (sender, mut received) = mpsc::unbounded_channel();
    let consumer = PushConsumer::builder(&args.group)
        .options(args.options()?)
        .subscribe(&args.topic, "TagA || TagC")
        .start_from(StartFrom::First)
        .start(move |messages: Vec<ReceivedMessage>| {
            for message in messages {
                let _ = sender.send(message);
            }
            async { Consumed::Success }
        })
        .await?;
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_secs(5), received.recv()).await {
        println!("{:?} {}", message.tags(), String::from_utf8_lossy(&message.body));
    }
    consumer.shutdown().await;
    Ok(())
}
