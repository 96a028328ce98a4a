//! Pulling: codes 11 and 361.
//!
//! A pull that finds nothing is parked in [`crate::hold::pulls`] if it asks for that, and answered when a
//! message arrives or its time is up. The data path comes from `hold/pulls` and goes on in
//! [`crate::consume`].

use std::{sync::Arc, time::Duration};

use rmq_proto::{
    code::{RequestCode, ResponseCode},
    command::Command,
    header::pull::{PullRequest, PullResponse, flag},
};
use rmq_remoting::{Peer, ReplyTo};
use tokio::time::sleep;
use tracing::{debug, trace};

use crate::{
    config::LiveConfig,
    consume::{Permit, ReadGate, Reading, Refusal, Run},
    error::{Outcome, Rejection},
    hold::pulls::{Full, Parked, Pulls},
};

/// Answers pulls.
#[derive(Debug, Clone)]
pub struct PullHandler {
    gate: Arc<ReadGate>,
    pulls: Arc<Pulls>,
    config: Arc<LiveConfig>,
}

/// A pull on its way through the handler.
#[derive(Debug)]
struct Pull {
    ask: PullRequest,
    lite: bool,
}

impl PullHandler {
    /// A handler that reads through `gate` and parks in `pulls`.
    pub fn new(gate: Arc<ReadGate>, pulls: Arc<Pulls>) -> Self {
        Self { config: gate.config.clone(), gate, pulls }
    }

    /// PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361).
    pub async fn pull(&self, peer: &Arc<Peer>, request: Command) -> Result<Outcome, Rejection> {
        let lite = request.request_code() == RequestCode::LITE_PULL_MESSAGE;
        let pull = Pull { ask: request.header()?, lite };
        let permit = match self.gate.admit(&pull.ask, peer, lite) {
            Ok(permit) => permit,
            Err(refusal) => return Ok(refused(refusal).into()),
        };
        let from = peer.remote_addr();
        let reading = self.gate.read(&pull.ask, &permit, &from, Run::First);
        let PullRequest { consumer_group: group, topic, queue_id, queue_offset, .. } = &pull.ask;
        trace!(%from, group, topic, queue_id, queue_offset, code = %reading.code, found = reading.records.len(), "pull");
        let Some(hold) = self.hold_time(&pull.ask, &reading) else {
            return Ok(answer(reading, &permit).into());
        };
        let parked = match self.park(&pull.ask, &permit) {
            Ok(parked) => parked,
            Err(full) => return Ok(Command::failure(ResponseCode::POLLING_FULL, full.to_string()).into()),
        };
        // A message may have come between reading and parking; nobody would wake us for it.
        if self.gate.has_message_at(&pull.ask.topic, pull.ask.queue_id, pull.ask.queue_offset) {
            let reading = self.gate.read(&pull.ask, &permit, &from, Run::Woken);
            if reading.code != ResponseCode::PULL_NOT_FOUND {
                return Ok(answer(reading, &permit).into());
            }
        }
        trace!(%from, group, topic, queue_id, "a pull is parked");
        tokio::spawn(self.clone().answer_later(pull, parked, hold, peer.reply_to(&request)));
        Ok(Outcome::Later)
    }

    /// How long the pull may wait for a message; `None` if it must be answered now.
    fn hold_time(&self, ask: &PullRequest, reading: &Reading) -> Option<Duration> {
        if reading.code != ResponseCode::PULL_NOT_FOUND || ask.sys_flag & flag::SUSPEND == 0 {
            return None;
        }
        let config = self.config.get();
        let asked = ask.suspend_timeout_millis;
        let hold_ms = if config.long_polling_enable { asked } else { config.short_polling_time_mills };
        Some(Duration::from_millis(hold_ms.max(0) as u64))
    }

    fn park(&self, ask: &PullRequest, permit: &Permit) -> Result<Parked, Full> {
        self.pulls.park(&ask.topic, ask.queue_id, ask.queue_offset, permit.filter.clone())
    }

    async fn answer_later(self, pull: Pull, mut parked: Parked, hold: Duration, reply: ReplyTo) {
        tokio::select! {
            () = parked.woken() => {}
            () = sleep(hold) => {}
            () = reply.peer().closed() => return,
        }
        drop(parked);
        // Java runs the whole request again: the topic or the subscription may have changed meanwhile.
        let answer = match self.gate.admit(&pull.ask, reply.peer(), pull.lite) {
            Ok(permit) => {
                let from = reply.peer().remote_addr();
                answer(self.gate.read(&pull.ask, &permit, &from, Run::Woken), &permit)
            }
            Err(refusal) => refused(refusal),
        };
        if let Err(error) = reply.send(answer) {
            // The consumer asks again when its own wait is over.
            debug!(%error, "a parked pull could not be answered");
        }
    }
}

fn answer(reading: Reading, permit: &Permit) -> Command {
    let mut answer = Command::response(reading.code).with_header(&PullResponse {
        suggest_which_broker_id: reading.suggested_broker,
        next_begin_offset: reading.next_offset,
        min_offset: reading.min_offset,
        max_offset: reading.max_offset,
        topic_sys_flag: Some(permit.topic.topic_sys_flag),
        group_sys_flag: Some(permit.group.group_sys_flag),
        forbidden_type: None,
    });
    answer.remark = Some(reading.status.to_owned());
    answer.body = reading.records.into_iter().collect();
    answer
}

fn refused(refusal: Refusal) -> Command {
    debug!("a pull is refused: {}", refusal.rejection);
    let mut answer = Command::from(refusal.rejection);
    if let Some(forbidden) = refusal.forbidden {
        answer.ext.insert("forbiddenType", forbidden as i32);
    }
    answer
}
