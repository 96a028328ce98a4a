//! Consuming: by a listener that messages are brought to ([`PushConsumer`]), or by asking ([`PullConsumer`]).
//!
//! The push consumer is a pull loop per queue ([`feed`]) over the queues that [`rebalance`] gives this member;
//! [`process_queue`] holds what was pulled, [`concurrent`] runs the listener, [`retry`] gives back what it
//! refuses, and [`offsets`] commits how far the rest is consumed.

pub mod allocate;
mod builder;
mod concurrent;
mod feed;
mod idle;
pub(crate) mod offsets;
mod pace;
mod process_queue;
pub(crate) mod pull;
mod push;
mod rebalance;
mod retry;

use std::future::Future;

use futures::future::{BoxFuture, FutureExt};

pub use self::{
    builder::PushConsumerBuilder,
    pull::{PullConsumer, PullConsumerBuilder, PullResult, PullStatus},
    push::PushConsumer,
};
use crate::message::ReceivedMessage;

/// What a listener made of the messages that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumed {
    /// They are done.
    Success,
    /// They come again later: first after 10 s, then after longer and longer times. After 16 attempts they
    /// become dead letters.
    Later,
    /// They come again after the broker's delay of that level; below 0 they become dead letters at once.
    LaterAtLevel(i32),
}

/// Where a group starts in a queue that it never consumed. For young topics, whose first message is still in
/// memory, brokers of the 5.x line answer 0 whatever the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// At the end: only messages that come from now on.
    #[default]
    Last,
    /// At the oldest message.
    First,
    /// At the first message that was stored at that time, in milliseconds since the epoch, or later.
    Timestamp(i64),
}

/// What messages are brought to. Async closures from `Vec<ReceivedMessage>` to [`Consumed`] are listeners.
///
/// Several calls run at the same time, as many as the consumer's concurrency. A panic counts as
/// [`Consumed::Later`]. A listener that blocks should do so in `tokio::task::spawn_blocking`.
pub trait Listener: Send + Sync + 'static {
    /// Consumes some messages of one queue: one, unless the consumer's batch size is larger.
    fn consume(&self, messages: Vec<ReceivedMessage>) -> impl Future<Output = Consumed> + Send;
}

impl<F, T> Listener for F
where
    F: Fn(Vec<ReceivedMessage>) -> T + Send + Sync + 'static,
    T: Future<Output = Consumed> + Send,
{
    fn consume(&self, messages: Vec<ReceivedMessage>) -> impl Future<Output = Consumed> + Send {
        self(messages)
    }
}

/// A listener whose type does not matter.
pub(crate) trait AnyListener: Send + Sync {
    fn consume(&self, messages: Vec<ReceivedMessage>) -> BoxFuture<'_, Consumed>;
}

impl<L: Listener> AnyListener for L {
    fn consume(&self, messages: Vec<ReceivedMessage>) -> BoxFuture<'_, Consumed> {
        Listener::consume(self, messages).boxed()
    }
}
