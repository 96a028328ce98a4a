//! The broker: takes messages from producers, keeps them in the store, hands them to consumers.
//!
//! ```text
//!  socket ─▶ dispatch ─▶ handler/send ─▶ produce ─▶ divert (delay …)  ─▶ store
//!   (one table of codes)  handler/pull ─▶ consume ◀─ filter            ◀─ store
//!                                            └─▶ hold/pulls ◀── arrival ──┘
//!                         handler/…   ─▶ meta/{topics,groups,offsets} ─▶ config/*.json
//!                                            └─▶ namesrv_link ─▶ every name server
//! ```
//!
//! What enters is a request of [`rmq_remoting`]; what leaves is an answer, a record in [`rmq_store`], and a
//! registration. A handler decodes, checks, calls one room and encodes; a room never sees a wire command and holds
//! only the other rooms that it needs. [`Broker`] owns them all and knows their order.
//!
//! ```no_run
//! # async fn run() -> Result<(), rmq_broker::error::BrokerError> {
//! use rmq_broker::Broker;
//! use rmq_broker::config::{BrokerConfig, Environment};
//!
//! let mut config = BrokerConfig { namesrv_addr: "localhost:9876".into(), ..BrokerConfig::default() };
//! Environment { home: Some("/var/lib/mq".into()), ..Environment::default() }.complete(&mut config);
//! let broker = Broker::start(config, None).await?;
//! println!("clients will dial {}", broker.addresses().client);
//! broker.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod clients;
pub mod config;
pub mod consume;
pub mod counters;
pub mod delay;
pub mod dispatch;
pub mod divert;
pub mod error;
pub mod filter;
pub mod handler;
pub mod hold;
pub mod jobs;
pub mod limits;
pub mod meta;
pub mod namesrv_link;
pub mod produce;
pub mod retry;

mod broker;

pub use broker::Broker;
