//! Sends messages to `TopicTest` and prints each result, like Java's `org.apache.rocketmq.example.quickstart.Producer`.
//!
//! `quickstart_producer [-n name-server] [-c count] [-t topic] [-g group]`; without `-n`, NAMESRV_ADDR counts.

mod args;

use args::Args;
use rmq_client::{Message, Producer, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse("please_rename_unique_group_name", 1000);
    let producer = Producer::builder(&args.group).options(args.options()?).start().await?;
    for number in 0..args.count {
        let message = Message::new(&args.topic, format!("Hello RocketMQ {number}")).tag("TagA");
        match producer.send(message).await {
            Ok(result) => println!("{result}"),
            Err(error) => {
                eprintln!("{error}");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
    producer.shutdown().await;
    Ok(())
}
