//! A client for Apache RocketMQ: producers, push consumers, pull consumers and administration.
//!
//! It speaks the same protocol as the Java client 5.5.0 and behaves like it where that can be seen from
//! outside: routes, retries, rebalancing, offsets and heartbeats.
//!
//! ```text
//!  Producer ─┐                        ┌─ NameServers   which broker has which queues
//!  PushConsumer ─┼─▶ Instance ────────┤
//!  PullConsumer ─┤   routes, heartbeats └─ brokers       send, pull, offsets   ◀─ callback: what brokers ask us
//!  Admin ────────┘
//! ```
//!
//! Sending, and consuming what was sent:
//!
//! ```no_run
//! use rmq_client::{Consumed, Message, Producer, PushConsumer, ReceivedMessage, StartFrom};
//!
//! #[tokio::main]
//! async fn main() -> rmq_client::Result<()> {
//!     let producer = Producer::builder("orders-producer").name_servers("127.0.0.1:9876").start().await?;
//!     let sent = producer.send(Message::new("orders", "paid").tag("EU").key("4711")).await?;
//!     println!("{sent}");
//!
//!     let consumer = PushConsumer::builder("billing")
//!         .name_servers("127.0.0.1:9876")
//!         .subscribe("orders", "EU || US")
//!         .start_from(StartFrom::First)
//!         .start(|messages: Vec<ReceivedMessage>| async move {
//!             for message in &messages {
//!                 println!("{message}");
//!             }
//!             Consumed::Success
//!         })
//!         .await?;
//!
//!     tokio::signal::ctrl_c().await.ok();
//!     consumer.shutdown().await;
//!     producer.shutdown().await;
//!     Ok(())
//! }
//! ```

pub mod admin;
mod callback;
mod compression;
pub mod consumer;
mod error;
mod exchange;
mod heartbeat;
mod instance;
mod message;
mod name_servers;
pub mod producer;
mod route;

pub use rmq_proto::{body::MessageQueue, message::Properties};

pub use self::{
    admin::Admin,
    consumer::{Consumed, Listener, PullConsumer, PullResult, PullStatus, PushConsumer, StartFrom},
    error::{Error, Result},
    instance::{Instance, InstanceOptions},
    message::{Message, ReceivedMessage},
    producer::{Producer, SendResult, SendStatus},
    route::Route,
};
