//! A member of a group that brokers know but that takes no queues of its own.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, ready};
use rmq_proto::body::{
    ConsumeDirectlyResult, ConsumeResult, ConsumerData, ConsumerRunningInfo, MessageQueue,
};

use crate::{heartbeat::Member, message::ReceivedMessage};

#[derive(Debug)]
pub(crate) struct Idle(ConsumerData);

impl Idle {
    pub(crate) fn new(data: ConsumerData) -> Self {
        Self(data)
    }
}

impl Member for Idle {
    fn heartbeat(&self) -> ConsumerData {
        self.0.clone()
    }

    fn rebalance(&self) {}

    fn running_info(&self) -> ConsumerRunningInfo {
        ConsumerRunningInfo::default()
    }

    fn consumed(&self, _topic: &str) -> Vec<(MessageQueue, i64)> {
        Vec::new()
    }

    fn reset(self: Arc<Self>, _offsets: Vec<(MessageQueue, i64)>) {}

    fn consume_directly(&self, _message: ReceivedMessage) -> BoxFuture<'static, ConsumeDirectlyResult> {
        ready(ConsumeDirectlyResult {
            consume_result: ConsumeResult::Later,
            remark: Some("this consumer pulls by itself and has no listener".into()),
            ..ConsumeDirectlyResult::default()
        })
        .boxed()
    }
}
