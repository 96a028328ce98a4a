//! Reads a topic from each queue's oldest message to its newest, and commits how far it got.

mod args;

use args::Args;
use rmq_client::{PullConsumer, PullStatus, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse("pull_example", 0);
    let consumer = PullConsumer::builder(&args.group).options(args.options()?).start().await?;
    for queue in consumer.queues(&args.topic).await? {
        let mut offset = match consumer.committed(&queue).await? {
            Some(offset) => offset,
            None => consumer.min_offset(&queue).await?,
        };
        loop {
            let pulled = consumer.pull(&queue, "*", offset, 32).await?;
            offset = pulled.next_offset;
            for message in &pulled.messages {
                println!(
                    "{} {} {}",
                    queue.queue_id,
                    message.queue_offset,
                    String::from_utf8_lossy(&message.body)
                );
            }
            if pulled.status == PullStatus::NoNewMessage {
                break;
            }
        }
        consumer.commit(&queue, offset).await?;
        println!("{queue} consumed up to {offset}");
    }
    consumer.shutdown().await;
    Ok(())
}
