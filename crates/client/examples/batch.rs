//! Sends messages as one request: they are stored together or not at all.

mod args;

use args::Args;
use rmq_client::{Message, Producer, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse("batch_producer", 3);
    let producer = Producer::builder(&args.group).options(args.options()?).start().await?;
    let messages =
        (0..args.count).map(|number| Message::new(&args.topic, format!("Hello batch {number}")).tag("Batch"));
    println!("{}", producer.send_batch(messages.collect()).await?);
    producer.shutdown().await;
    Ok(())
}
