//! RocketMQ's TCP protocol: frames, connections, and who waits for which answer. It knows nothing of
//! topics or messages.
//!
//! What enters is a socket and a [`Service`], what leaves are calls of that service and the answers
//! to our own requests. There is no difference between the two ends of a connection once it is
//! open: either may ask, and a broker asks its clients on the connection that the client opened.
//!
//! ```text
//!            ┌──────────────── one task per connection ────────────────┐
//!  socket ──▶ frame ──▶ request ──▶ Service::call (many at a time) ──┐  │
//!            │     └──▶ answer ───▶ pending ──▶ whoever invoked       │  │
//!  socket ◀── outbox ◀──────────────────────────────────────────────┘  │
//!            │     ◀── Peer::send, Peer::invoke from any other task      │
//!            └───────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Server`] accepts connections, [`Client`] opens them, one per address; a [`Peer`] is the handle
//! on one of them. Every resource has a bound, all of them in [`Limits`].
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use rmq_proto::{code::RequestCode, command::Command};
//! use rmq_remoting::{Client, ClientOptions, NoService, Peer, Server, ServerOptions, Service};
//!
//! struct Echo;
//! impl Service for Echo {
//!     async fn call(&self, _peer: &Arc<Peer>, request: Command) -> Option<Command> {
//!         Some(Command::success().with_body(request.body))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let any_port = ["127.0.0.1:0".parse()?];
//! let server = Server::bind(&any_port, ServerOptions::default(), Arc::new(Echo))?;
//! let client = Client::new(ClientOptions::default(), Arc::new(NoService));
//! let ask = Command::request(RequestCode::HEART_BEAT).with_body("hello".to_owned());
//! let address = server.local_addr().to_string();
//! let answer = client.invoke(&address, ask, Duration::from_secs(3)).await?;
//! assert_eq!(answer.body.bytes(), "hello");
//! # Ok(())
//! # }
//! ```

mod client;
mod connection;
mod error;
mod frame;
mod limits;
mod outbox;
mod peer;
mod pending;
mod reply;
mod server;
mod service;

pub use client::{Client, ClientOptions};
pub use error::{BindError, CloseReason, InvokeError, SendError};
pub use limits::Limits;
pub use peer::Peer;
pub use reply::ReplyTo;
pub use server::{Server, ServerOptions};
pub use service::{NoService, Service};
