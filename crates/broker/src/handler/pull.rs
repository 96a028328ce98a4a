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

#[cfg(test)]
mod tests {
    use rmq_proto::{body::SubscriptionData, message::record::decode_many};
    use rmq_remoting::{Client, ClientOptions, NoService, Server, ServerOptions, Service};

    use super::*;
    use crate::{
        clients::{self, consumers::Announcement},
        config::BrokerConfig,
        produce::fixture::{Rooms, client_addr, config, peer, send_request},
    };

    fn handler(rooms: &Rooms) -> PullHandler {
        PullHandler::new(rooms.read.clone(), rooms.pulls.clone())
    }

    fn ask(offset: i64) -> PullRequest {
        PullRequest {
            consumer_group: "g".to_owned(),
            topic: "t".to_owned(),
            queue_offset: offset,
            max_msg_nums: 32,
            sys_flag: flag::SUBSCRIPTION,
            subscription: Some("*".to_owned()),
            ..PullRequest::default()
        }
    }

    fn waiting(offset: i64, ms: i64) -> PullRequest {
        PullRequest {
            sys_flag: flag::SUBSCRIPTION | flag::SUSPEND,
            suspend_timeout_millis: ms,
            ..ask(offset)
        }
    }

    fn command(ask: &PullRequest) -> Command {
        Command { opaque: 77, ..Command::request(RequestCode::PULL_MESSAGE).with_header(ask) }
    }

    async fn now(rooms: &Rooms, ask: &PullRequest) -> Command {
        match handler(rooms).pull(&peer(), command(ask)).await.unwrap() {
            Outcome::Answer(answer) => answer,
            Outcome::Later => panic!("the pull was parked"),
        }
    }

    /// Waits for the answer to a parked pull.
    async fn later(peer: &Arc<Peer>) -> Command {
        for _ in 0..2_000 {
            if let Some(answer) = peer.take_queued().pop() {
                return answer;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("the pull was never answered");
    }

    async fn send(rooms: &Rooms, tags: &str) {
        let ask = send_request("t", &[("TAGS", tags)]);
        rooms.write.send(&ask, "body".into(), client_addr(), 513).await.unwrap();
    }

    fn offsets(answer: &Command) -> [i64; 3] {
        let header: PullResponse = answer.header().unwrap();
        [header.next_begin_offset, header.min_offset, header.max_offset]
    }

    #[tokio::test]
    async fn what_is_there_is_answered_at_once() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        for tags in ["A", "B", "A"] {
            send(&rooms, tags).await;
        }
        let answer = now(&rooms, &ask(0)).await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
        assert_eq!(answer.remark.as_deref(), Some("FOUND"));
        assert_eq!(offsets(&answer), [3, 0, 3]);
        assert_eq!(decode_many(answer.body.bytes()).filter_map(Result::ok).count(), 3);
        let answer = now(&rooms, &PullRequest { subscription: Some("B".to_owned()), ..ask(0) }).await;
        let tags: Vec<_> = decode_many(answer.body.bytes())
            .map(|m| m.unwrap().properties.tags().map(str::to_owned))
            .collect();
        assert_eq!(tags, [Some("B".to_owned())]);
    }

    #[tokio::test]
    async fn offsets_outside_of_the_queue_are_corrected() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        assert_eq!(now(&rooms, &ask(0)).await.response_code(), ResponseCode::PULL_NOT_FOUND);
        let answer = now(&rooms, &ask(9)).await;
        assert_eq!((answer.response_code(), offsets(&answer)[0]), (ResponseCode::PULL_OFFSET_MOVED, 0));
        send(&rooms, "A").await;
        assert_eq!(now(&rooms, &ask(1)).await.response_code(), ResponseCode::PULL_NOT_FOUND);
        let answer = now(&rooms, &ask(5)).await;
        assert_eq!((answer.response_code(), offsets(&answer)[0]), (ResponseCode::PULL_OFFSET_MOVED, 1));
        let answer = now(&rooms, &ask(-1)).await;
        assert_eq!((answer.response_code(), offsets(&answer)[0]), (ResponseCode::PULL_OFFSET_MOVED, 0));
        let answer = now(&rooms, &PullRequest { subscription: Some("none".to_owned()), ..ask(0) }).await;
        assert_eq!((answer.response_code(), offsets(&answer)[0]), (ResponseCode::PULL_RETRY_IMMEDIATELY, 1));
    }

    #[tokio::test]
    async fn a_parked_pull_is_answered_when_a_wanted_message_arrives() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        let peer = peer();
        let wanting = PullRequest { subscription: Some("B".to_owned()), ..waiting(0, 60_000) };
        let outcome = handler(&rooms).pull(&peer, command(&wanting)).await.unwrap();
        assert!(matches!(outcome, Outcome::Later));
        send(&rooms, "A").await;
        assert_eq!(rooms.pulls.len(), 1, "the message is not wanted");
        send(&rooms, "B").await;
        let answer = later(&peer).await;
        assert_eq!((answer.response_code(), answer.opaque), (ResponseCode::SUCCESS, 77));
        assert_eq!(offsets(&answer)[0], 2);
        assert!(rooms.pulls.is_empty());
    }

    #[tokio::test]
    async fn a_parked_pull_is_answered_when_its_time_is_up() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        let peer = peer();
        assert!(matches!(
            handler(&rooms).pull(&peer, command(&waiting(0, 20))).await.unwrap(),
            Outcome::Later
        ));
        assert_eq!(later(&peer).await.response_code(), ResponseCode::PULL_NOT_FOUND);
        assert!(rooms.pulls.is_empty());
    }

    /// A server that only pulls.
    struct Puller(PullHandler);

    impl Service for Puller {
        async fn call(&self, peer: &Arc<Peer>, request: Command) -> Option<Command> {
            match self.0.pull(peer, request).await {
                Ok(Outcome::Later) => None,
                Ok(Outcome::Answer(answer)) => Some(answer),
                Err(rejection) => Some(rejection.into()),
            }
        }
    }

    async fn until(condition: impl Fn() -> bool) {
        for _ in 0..2_000 {
            if condition() {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("the condition never came true");
    }

    #[tokio::test]
    async fn a_closed_connection_gives_its_place_back() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        let any = [([127, 0, 0, 1], 0).into()];
        let server = Server::bind(&any, ServerOptions::default(), Arc::new(Puller(handler(&rooms)))).unwrap();
        let client = Client::new(ClientOptions::default(), Arc::new(NoService));
        let address = server.local_addr().to_string();
        let request = command(&waiting(0, 600_000));
        let (asking, to) = (client.clone(), address.clone());
        let pull = tokio::spawn(async move { asking.invoke(&to, request, Duration::from_secs(60)).await });
        until(|| rooms.pulls.len() == 1).await;
        client.close(&address);
        until(|| rooms.pulls.is_empty()).await;
        assert!(pull.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn too_many_parked_pulls_are_refused() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        for _ in 0..10 {
            let outcome = handler(&rooms).pull(&peer(), command(&waiting(0, 600_000))).await.unwrap();
            assert!(matches!(outcome, Outcome::Later));
        }
        let answer = now(&rooms, &waiting(0, 600_000)).await;
        assert_eq!(answer.response_code(), ResponseCode::POLLING_FULL);
    }

    #[tokio::test]
    async fn a_pull_without_subscription_relies_on_heartbeats() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        send(&rooms, "A").await;
        let ask = PullRequest { sys_flag: 0, sub_version: 5, ..ask(0) };
        assert_eq!(now(&rooms, &ask).await.response_code(), ResponseCode::SUBSCRIPTION_NOT_EXIST);
        let data = rmq_proto::body::ConsumerData {
            group_name: "g".to_owned(),
            subscription_data_set: vec![SubscriptionData::tags("t", "A", 4).unwrap()],
            ..Default::default()
        };
        let announce = |data: &rmq_proto::body::ConsumerData| {
            let client = clients::Client::new(&peer(), "c", rmq_proto::code::Language::JAVA, 513);
            let announcement =
                Announcement { data, fingerprint: 0, without_subscriptions: false, notify: false };
            rooms.consumers.register(client, announcement);
        };
        announce(&data);
        assert_eq!(now(&rooms, &ask).await.response_code(), ResponseCode::SUBSCRIPTION_NOT_LATEST);
        let newer = vec![SubscriptionData::tags("t", "A", 5).unwrap()];
        announce(&rmq_proto::body::ConsumerData { subscription_data_set: newer, ..data });
        assert_eq!(now(&rooms, &ask).await.response_code(), ResponseCode::SUCCESS);
    }

    #[tokio::test]
    async fn what_may_not_be_pulled_is_refused_with_javas_codes() {
        let rooms = Rooms::with(BrokerConfig { auto_create_subscription_group: false, ..config() });
        rooms.topic("t", 1);
        let answer = now(&rooms, &ask(0)).await;
        assert_eq!(answer.response_code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
        let rooms = Rooms::new();
        assert_eq!(now(&rooms, &ask(0)).await.response_code(), ResponseCode::TOPIC_NOT_EXIST);
        rooms.topic("t", 1);
        for queue_id in [-1, 1] {
            let answer = now(&rooms, &PullRequest { queue_id, ..ask(0) }).await;
            assert_eq!(answer.response_code(), ResponseCode::INVALID_PARAMETER);
        }
        let sql = PullRequest {
            subscription: Some("a > 1".to_owned()),
            expression_type: Some("SQL92".to_owned()),
            ..ask(0)
        };
        let answer = now(&rooms, &sql).await;
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
        assert_eq!(
            answer.remark.as_deref(),
            Some("The broker does not support consumer to filter message by SQL92")
        );
        rooms.topics.update(rmq_proto::body::TopicConfig::new("t", 1, 1, 2)).unwrap();
        let answer = now(&rooms, &ask(0)).await;
        assert_eq!(answer.response_code(), ResponseCode::NO_PERMISSION);
        assert_eq!(answer.ext.get("forbiddenType"), Some("3"));
    }

    #[tokio::test]
    async fn a_reset_offset_is_told_once() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        send(&rooms, "A").await;
        rooms.offsets.reset("g", "t", 0, 0);
        let answer = now(&rooms, &ask(1)).await;
        assert_eq!((answer.response_code(), offsets(&answer)), (ResponseCode::PULL_OFFSET_MOVED, [0, 0, 1]));
        assert_eq!(answer.remark.as_deref(), Some("OFFSET_RESET"));
        assert_eq!(now(&rooms, &ask(0)).await.response_code(), ResponseCode::SUCCESS);
    }

    #[tokio::test]
    async fn only_the_first_run_commits() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        send(&rooms, "A").await;
        let sys_flag = flag::SUBSCRIPTION | flag::COMMIT_OFFSET;
        now(&rooms, &PullRequest { sys_flag, commit_offset: 1, ..ask(0) }).await;
        assert_eq!(rooms.offsets.query("g", "t", 0), Some(1));
        assert_eq!(rooms.offsets.query_pull("g", "t", 0), Some(1));
        now(&rooms, &PullRequest { commit_offset: 0, ..ask(0) }).await;
        assert_eq!(rooms.offsets.query("g", "t", 0), Some(1));
    }
}
