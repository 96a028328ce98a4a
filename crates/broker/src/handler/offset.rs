//! Offsets of queues and of consumers: codes 14, 15, 29, 30, 31 and 32.

use std::sync::Arc;

use rmq_proto::{
    code::ResponseCode,
    command::Command,
    header::{
        HeaderError,
        offset::{
            MaxOffset, OffsetFound, QueryConsumerOffset, QueueOf, SearchOffset, StoreTime,
            UpdateConsumerOffset,
        },
    },
};
use rmq_remoting::Peer;
use rmq_store::{Boundary, NoFilter, ReadLimits, ReadStatus, Store};

use crate::{
    config::LiveConfig,
    error::Rejection,
    meta::{groups::Groups, offsets::Offsets, topics::Topics},
};

/// Answers questions about offsets.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct OffsetHandler {
    pub config: Arc<LiveConfig>,
    pub topics: Arc<Topics>,
    pub groups: Arc<Groups>,
    pub offsets: Arc<Offsets>,
    pub store: Arc<Store>,
}

impl OffsetHandler {
    /// QUERY_CONSUMER_OFFSET (14): where does the group go on? "Not found" lets the client decide.
    pub async fn query(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: QueryConsumerOffset = request.header()?;
        if let Some(offset) = self.offsets.query(&ask.consumer_group, &ask.topic, ask.queue_id) {
            return Ok(found(offset));
        }
        let not_found = |remark| Err(Rejection::new(ResponseCode::QUERY_NOT_FOUND, remark));
        if ask.set_zero_if_not_found == Some(false) {
            return not_found("Not found, do not set to zero, maybe this group boot first");
        }
        // Java: a new group starts at 0 while the queue's first message is still young, whatever it asks for.
        if self.first_is_in_memory(&ask.topic, ask.queue_id) {
            return Ok(found(0));
        }
        not_found("Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
    }

    fn first_is_in_memory(&self, topic: &str, queue_id: i32) -> bool {
        let (min, _) = self.store.queue_range(topic, queue_id);
        if min > 0 {
            return false;
        }
        let first = self.store.read(topic, queue_id, 0, ReadLimits::messages(1), &NoFilter);
        first.status == ReadStatus::Found && !first.far_behind
    }

    /// UPDATE_CONSUMER_OFFSET (15), mostly oneway.
    pub async fn update(&self, peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: UpdateConsumerOffset = request.header().map_err(|error| incomplete(&request, error))?;
        let UpdateConsumerOffset { consumer_group, topic, queue_id, commit_offset } = &ask;
        if !self.groups.contains(consumer_group) {
            let remark = format!("Group {consumer_group} not exist!");
            return Err(Rejection::new(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
        }
        if !self.topics.contains(topic) {
            let remark = format!("Topic {topic} not exist!");
            return Err(Rejection::new(ResponseCode::TOPIC_NOT_EXIST, remark));
        }
        // Java swallows commits until the consumer has heard of the reset.
        let resets = self.config.get().use_server_side_reset_offset;
        if resets && self.offsets.has_reset(consumer_group, topic, *queue_id) {
            let mut answer = Command::success();
            answer.remark = Some("Offset has been previously reset".to_owned());
            return Ok(answer);
        }
        self.offsets.commit(&peer.remote_addr(), consumer_group, topic, *queue_id, *commit_offset);
        Ok(Command::success())
    }

    /// SEARCH_OFFSET_BY_TIMESTAMP (29).
    pub async fn search(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: SearchOffset = request.header()?;
        let boundary = match ask.boundary_type.as_deref() {
            Some(kind) if kind.eq_ignore_ascii_case("upper") => Boundary::Upper,
            _ => Boundary::Lower,
        };
        Ok(found(self.store.offset_by_time(&ask.topic, ask.queue_id, ask.timestamp, boundary)))
    }

    /// GET_MAX_OFFSET (30).
    pub async fn max(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: MaxOffset = request.header()?;
        Ok(found(self.store.queue_range(&ask.topic, ask.queue_id).1))
    }

    /// GET_MIN_OFFSET (31).
    pub async fn min(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: QueueOf = request.header()?;
        Ok(found(self.store.queue_range(&ask.topic, ask.queue_id).0))
    }

    /// GET_EARLIEST_MSG_STORETIME (32): -1 if the queue is empty.
    pub async fn earliest_time(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: QueueOf = request.header()?;
        let (min, _) = self.store.queue_range(&ask.topic, ask.queue_id);
        let timestamp = self.store.record_time(&ask.topic, ask.queue_id, min).unwrap_or(-1);
        Ok(Command::success().with_header(&StoreTime { timestamp }))
    }
}

/// Java names these two fields when they are missing.
fn incomplete(request: &Command, error: HeaderError) -> Rejection {
    let what = match error {
        HeaderError::Missing("queueId") => "QueueId",
        HeaderError::Missing("commitOffset") => "Offset",
        other => return other.into(),
    };
    Rejection::illegal(format!("{what} is null, topic is {}", request.ext.get("topic").unwrap_or_default()))
}

fn found(offset: i64) -> Command {
    Command::success().with_header(&OffsetFound { offset })
}

#[cfg(test)]
mod tests {
    use rmq_proto::code::RequestCode;

    use super::*;
    use crate::produce::fixture::{Rooms, client_addr, peer, send_request};

    fn handler(rooms: &Rooms) -> OffsetHandler {
        OffsetHandler {
            config: rooms.config.clone(),
            topics: rooms.topics.clone(),
            groups: rooms.groups.clone(),
            offsets: rooms.offsets.clone(),
            store: rooms.store.clone(),
        }
    }

    fn question(set_zero_if_not_found: Option<bool>) -> Command {
        let ask = QueryConsumerOffset {
            consumer_group: "g".to_owned(),
            topic: "t".to_owned(),
            queue_id: 0,
            set_zero_if_not_found,
        };
        Command::request(RequestCode::QUERY_CONSUMER_OFFSET).with_header(&ask)
    }

    fn commit(commit_offset: i64) -> Command {
        let (consumer_group, topic) = ("g".to_owned(), "t".to_owned());
        let ask = UpdateConsumerOffset { consumer_group, topic, queue_id: 0, commit_offset };
        Command::request(RequestCode::UPDATE_CONSUMER_OFFSET).with_header(&ask)
    }

    fn offset(answer: &Command) -> i64 {
        answer.header::<OffsetFound>().unwrap().offset
    }

    async fn send(rooms: &Rooms) {
        rooms.write.send(&send_request("t", &[]), "body".into(), client_addr(), 513).await.unwrap();
    }

    #[tokio::test]
    async fn a_new_group_starts_at_zero_while_the_first_message_is_young() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        let handler = handler(&rooms);
        let missing = handler.query(&peer(), question(None)).await.unwrap_err();
        assert_eq!(missing.code, ResponseCode::QUERY_NOT_FOUND);
        send(&rooms).await;
        assert_eq!(offset(&handler.query(&peer(), question(None)).await.unwrap()), 0);
        let missing = handler.query(&peer(), question(Some(false))).await.unwrap_err();
        assert_eq!(missing.code, ResponseCode::QUERY_NOT_FOUND);
    }

    #[tokio::test]
    async fn a_commit_is_found_again_unless_a_reset_waits() {
        let rooms = Rooms::new();
        let handler = handler(&rooms);
        let no_group = handler.update(&peer(), commit(1)).await.unwrap_err();
        assert_eq!(no_group.code, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
        rooms.groups.find("g").unwrap();
        let no_topic = handler.update(&peer(), commit(1)).await.unwrap_err();
        assert_eq!(no_topic.code, ResponseCode::TOPIC_NOT_EXIST);
        rooms.topic("t", 1);
        let mut incomplete = commit(1);
        incomplete.ext.remove("commitOffset");
        let rejection = handler.update(&peer(), incomplete).await.unwrap_err();
        assert_eq!((rejection.code.0, rejection.remark.as_str()), (29, "Offset is null, topic is t"));
        handler.update(&peer(), commit(1)).await.unwrap();
        assert_eq!(offset(&handler.query(&peer(), question(None)).await.unwrap()), 1);
        rooms.offsets.reset("g", "t", 0, 0);
        let answer = handler.update(&peer(), commit(2)).await.unwrap();
        assert_eq!(answer.remark.as_deref(), Some("Offset has been previously reset"));
        assert_eq!(rooms.offsets.take_reset("g", "t", 0), Some(0));
    }

    #[tokio::test]
    async fn the_ends_of_a_queue_and_its_times() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        let handler = handler(&rooms);
        let queue = QueueOf { topic: "t".to_owned(), queue_id: 0 };
        let time = |answer: Command| answer.header::<StoreTime>().unwrap().timestamp;
        let ask = || Command::request(RequestCode::GET_MIN_OFFSET).with_header(&queue);
        assert_eq!(time(handler.earliest_time(&peer(), ask()).await.unwrap()), -1);
        send(&rooms).await;
        send(&rooms).await;
        assert_eq!(offset(&handler.min(&peer(), ask()).await.unwrap()), 0);
        assert_eq!(offset(&handler.max(&peer(), ask()).await.unwrap()), 2);
        let stored = rooms.messages("t", 0)[0].store_timestamp;
        assert_eq!(time(handler.earliest_time(&peer(), ask()).await.unwrap()), stored);
        let search = |timestamp| {
            let ask = SearchOffset { topic: "t".to_owned(), queue_id: 0, timestamp, boundary_type: None };
            Command::request(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP).with_header(&ask)
        };
        assert_eq!(offset(&handler.search(&peer(), search(0)).await.unwrap()), 0);
        assert_eq!(offset(&handler.search(&peer(), search(i64::MAX)).await.unwrap()), 2);
    }
}
