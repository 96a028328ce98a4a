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
