//! Finding messages by key or by place: codes 12 and 33.

use std::sync::Arc;

use rmq_proto::{
    code::ResponseCode,
    command::{Body, Command},
    header::query::{QueryMessage, QueryMessageAnswer, UNIQUE_KEY_QUERY, ViewMessage},
};
use rmq_remoting::Peer;
use rmq_store::{Query, Store};

use crate::{config::LiveConfig, error::Rejection};

/// Bytes of records that one answer carries; a frame is not longer than 16 MiB.
const MAX_ANSWER_BYTES: usize = 12 * 1024 * 1024;

/// Answers questions for single messages.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct QueryHandler {
    pub config: Arc<LiveConfig>,
    pub store: Arc<Store>,
}

impl QueryHandler {
    /// QUERY_MESSAGE (12): by one of the message's keys, by its unique key, or by its tag.
    pub async fn by_key(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: QueryMessage = request.header()?;
        let unique = request.ext.get(UNIQUE_KEY_QUERY).is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
        let max = if unique { self.config.get().default_query_max_num } else { ask.max_num };
        let QueryMessage { topic, key, begin_timestamp, end_timestamp, index_type, .. } = &ask;
        let (max, begin, end) = (max.max(0) as usize, *begin_timestamp, *end_timestamp);
        let found = match index_type.as_deref() {
            Some("T") if !unique => self.store.query_tag(topic, key, max, begin, end),
            _ => self.store.query(topic, key, max, begin, end),
        };
        Ok(answer(found))
    }

    /// VIEW_MESSAGE_BY_ID (33): by its place in the log.
    pub async fn by_id(&self, _peer: &Arc<Peer>, request: Command) -> Result<Command, Rejection> {
        let ask: ViewMessage = request.header()?;
        match self.store.record_at(ask.offset) {
            Some(record) => Ok(Command::success().with_body(record)),
            None => Err(Rejection::system(format!("can not find message by the offset, {}", ask.offset))),
        }
    }
}

fn answer(found: Query) -> Command {
    let header = QueryMessageAnswer {
        index_last_update_timestamp: found.index_last_update_timestamp,
        index_last_update_phyoffset: found.index_last_update_offset,
    };
    let mut body = Body::default();
    for record in found.records {
        if !body.is_empty() && body.len() + record.len() > MAX_ANSWER_BYTES {
            break;
        }
        body.push(record);
    }
    let answer = if body.is_empty() {
        let remark = "can not find message, maybe time range not correct";
        Command::failure(ResponseCode::QUERY_NOT_FOUND, remark)
    } else {
        Command::success()
    };
    answer.with_header(&header).with_body(body)
}

#[cfg(test)]
mod tests {
    use rmq_proto::{code::RequestCode, message::record::decode_many};

    use super::*;
    use crate::produce::fixture::{Rooms, client_addr, peer, send_request};

    async fn found(rooms: &Rooms, key: &str, unique: bool) -> (ResponseCode, usize) {
        let ask = QueryMessage {
            topic: "t".to_owned(),
            key: key.to_owned(),
            max_num: 10,
            end_timestamp: i64::MAX,
            ..QueryMessage::default()
        };
        let mut request = Command::request(RequestCode::QUERY_MESSAGE).with_header(&ask);
        request.ext.insert(UNIQUE_KEY_QUERY, unique);
        let handler = QueryHandler { config: rooms.config.clone(), store: rooms.store.clone() };
        let answer = handler.by_key(&peer(), request).await.unwrap();
        (answer.response_code(), decode_many(answer.body.bytes()).filter_map(Result::ok).count())
    }

    #[tokio::test]
    async fn messages_are_found_by_their_keys() {
        let rooms = Rooms::new();
        rooms.topic("t", 1);
        for unique in ["u1", "u2"] {
            let ask = send_request("t", &[("KEYS", "a b"), ("UNIQ_KEY", unique)]);
            rooms.write.send(&ask, "body".into(), client_addr(), 513).await.unwrap();
        }
        assert_eq!(found(&rooms, "a", false).await, (ResponseCode::SUCCESS, 2));
        assert_eq!(found(&rooms, "u2", true).await, (ResponseCode::SUCCESS, 1));
        assert_eq!(found(&rooms, "c", false).await, (ResponseCode::QUERY_NOT_FOUND, 0));
    }

    #[tokio::test]
    async fn a_place_without_message_is_named() {
        let rooms = Rooms::new();
        let handler = QueryHandler { config: rooms.config.clone(), store: rooms.store.clone() };
        let ask = ViewMessage { offset: 99, ..ViewMessage::default() };
        let request = Command::request(RequestCode::VIEW_MESSAGE_BY_ID).with_header(&ask);
        let rejection = handler.by_id(&peer(), request).await.unwrap_err();
        assert_eq!(rejection.remark, "can not find message by the offset, 99");
    }
}
