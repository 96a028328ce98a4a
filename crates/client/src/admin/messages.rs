//! Messages: finding them by id and key, reading queues, and telling who consumed them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use rmq_proto::{
    body::{ConsumeType, MessageModel, MessageQueue},
    code::{RequestCode, ResponseCode},
    command::Command,
    header::query::{QueryMessage, UNIQUE_KEY_QUERY, ViewMessage},
    message::{Message, OffsetId, property, record},
};

use super::{Admin, address_of, request};
use crate::{
    PullResult,
    consumer::{offsets, pull},
    error::{Error, Result},
    exchange,
    message::ReceivedMessage,
};

/// What to look for.
#[derive(Debug, Clone)]
pub struct KeyQuery<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Key.
    pub key: &'a str,
    /// Most messages wanted.
    pub max: i32,
    /// Earliest store time, milliseconds since the epoch.
    pub begin_ms: i64,
    /// Latest store time, milliseconds since the epoch.
    pub end_ms: i64,
    /// `K` for keys, `T` for tags.
    pub index_type: Option<&'a str>,
    /// Where a former query stopped.
    pub last_key: Option<&'a str>,
    /// Only on the brokers of this cluster.
    pub cluster: Option<&'a str>,
}

impl<'a> KeyQuery<'a> {
    /// All messages with that key, at most 64.
    pub fn new(topic: &'a str, key: &'a str) -> Self {
        Self {
            topic,
            key,
            max: 64,
            begin_ms: 0,
            end_ms: i64::MAX,
            index_type: Some("K"),
            last_key: None,
            cluster: None,
        }
    }
}

/// Whether a group consumed a message; Java's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TrackType {
    Consumed,
    ConsumedButFiltered,
    Pull,
    NotConsumeYet,
    NotOnline,
    ConsumeBroadcasting,
    Unknown,
}

impl fmt::Display for TrackType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consumed => "CONSUMED",
            Self::ConsumedButFiltered => "CONSUMED_BUT_FILTERED",
            Self::Pull => "PULL",
            Self::NotConsumeYet => "NOT_CONSUME_YET",
            Self::NotOnline => "NOT_ONLINE",
            Self::ConsumeBroadcasting => "CONSUME_BROADCASTING",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// What became of a message in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageTrack {
    /// The group.
    pub consumer_group: String,
    /// Whether it consumed the message.
    pub track_type: TrackType,
    /// Why that is not known.
    pub exception_desc: Option<String>,
}

impl fmt::Display for MessageTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { consumer_group, track_type, exception_desc } = self;
        let exception_desc = exception_desc.as_deref().unwrap_or("null");
        write!(
            f,
            "MessageTrack [consumerGroup={consumer_group}, trackType={track_type}, exceptionDesc={exception_desc}]"
        )
    }
}

impl Admin {
    /// Finds a message by either of its ids. `None`: there is no such message.
    pub async fn message(
        &self,
        topic: &str,
        id: &str,
        cluster: Option<&str>,
    ) -> Result<Option<ReceivedMessage>> {
        // Both kinds of id look alike. Java tries the place in the log first.
        if let Ok(place) = id.parse::<OffsetId>()
            && let Ok(message) = self.message_at(topic, place).await
        {
            return Ok(Some(message));
        }
        let query = KeyQuery { max: 32, index_type: None, cluster, ..KeyQuery::new(topic, id) };
        let mut found = self.query(&query, true).await?;
        found.retain(|message| message.properties.unique_key() == Some(id));
        Ok(found.into_iter().min_by_key(|message| message.store_timestamp))
    }

    /// The message at a place in a broker's log.
    pub async fn message_at(&self, topic: &str, place: OffsetId) -> Result<ReceivedMessage> {
        let code = RequestCode::VIEW_MESSAGE_BY_ID;
        let address = place.store_host.to_string();
        let header = ViewMessage { topic: Some(topic.to_owned()), offset: place.physical_offset };
        let answer = self.ask(&address, request(code).with_header(&header)).await?;
        let message = Message::decode(&answer.body.bytes());
        let message = message.map_err(|error| exchange::unreadable(&address, code, error))?;
        if message.topic != topic {
            let reason = format!("the message there is of topic `{}`", message.topic);
            return Err(exchange::unreadable(&address, code, reason));
        }
        Ok(ReceivedMessage::new(message, "".into()))
    }

    /// Finds messages by key, on all brokers of the topic.
    pub async fn messages_by_key(&self, query: &KeyQuery<'_>) -> Result<Vec<ReceivedMessage>> {
        let mut found = self.query(query, false).await?;
        // The index knows only hashes. Java compares the keys themselves.
        found.retain(|message| match query.index_type {
            Some("T") => message.tags() == Some(query.key),
            _ => message.properties.keys().any(|key| key == query.key),
        });
        Ok(found)
    }

    async fn query(&self, query: &KeyQuery<'_>, unique: bool) -> Result<Vec<ReceivedMessage>> {
        let route = self.route(query.topic).await?;
        let mut found = Vec::new();
        let mut failure = None;
        for broker in &route.broker_datas {
            let Some(address) = address_of(broker) else { continue };
            if query.cluster.is_some_and(|cluster| cluster != broker.cluster) {
                continue;
            }
            match self.ask(address, query_request(query, unique)).await {
                Ok(answer) => found.extend(read_messages(address, &answer, &broker.broker_name)?),
                Err(error) if error.is(ResponseCode::QUERY_NOT_FOUND) => {}
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// What the groups of the message's topic did with it.
    pub async fn track(&self, message: &ReceivedMessage) -> Result<Vec<MessageTrack>> {
        let route = self.route(&message.topic).await?;
        let mut groups = BTreeSet::new();
        for broker in route.broker_datas.iter().filter_map(address_of) {
            groups.extend(self.topic_groups(broker, &message.topic).await?.group_list);
        }
        let mut tracks = Vec::new();
        for group in groups {
            tracks.push(self.track_in(message, group).await);
        }
        Ok(tracks)
    }

    async fn track_in(&self, message: &ReceivedMessage, group: String) -> MessageTrack {
        let (track_type, exception_desc) = match self.consumed_by(message, &group).await {
            Ok(track_type) => (track_type, None),
            Err(error) => {
                let track_type = match error.response_code() {
                    Some(ResponseCode::CONSUMER_NOT_ONLINE) => TrackType::NotOnline,
                    _ => TrackType::Unknown,
                };
                (track_type, Some(describe(&error)))
            }
        };
        MessageTrack { consumer_group: group, track_type, exception_desc }
    }

    async fn consumed_by(&self, message: &ReceivedMessage, group: &str) -> Result<TrackType> {
        let connection = self.any_consumer_connection(group).await?;
        match connection.consume_type {
            ConsumeType::Actively => return Ok(TrackType::Pull),
            ConsumeType::Passively => {}
            ConsumeType::Pop => return Ok(TrackType::Unknown),
        }
        if connection.message_model == MessageModel::Broadcasting {
            return Ok(TrackType::ConsumeBroadcasting);
        }
        if !self.is_consumed(message, group).await? {
            return Ok(TrackType::NotConsumeYet);
        }
        let subscription = connection.subscription_table.get(&message.topic);
        let wants = subscription.is_none_or(|subscription| {
            let tags = &subscription.tags_set;
            tags.is_empty() || tags.contains("*") || message.tags().is_some_and(|tag| tags.contains(tag))
        });
        Ok(if wants { TrackType::Consumed } else { TrackType::ConsumedButFiltered })
    }

    async fn is_consumed(&self, message: &ReceivedMessage, group: &str) -> Result<bool> {
        let addresses: BTreeMap<String, String> = self
            .cluster_info()
            .await?
            .broker_addr_table
            .into_iter()
            .filter_map(|(name, broker)| Some((name, broker.master_addr()?.to_owned())))
            .collect();
        let store_host = message.store_host.to_string();
        for queue in self.group_progress(group, None, None).await?.offset_table {
            let (place, progress) = queue;
            let same_queue = place.topic == message.topic && place.queue_id == message.queue_id;
            let same_broker = addresses.get(&place.broker_name) == Some(&store_host);
            if same_queue && same_broker && progress.consumer_offset > message.queue_offset {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The oldest offset of a queue.
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<i64> {
        offsets::min_offset(&self.instance, queue).await
    }

    /// The offset behind the newest message of a queue.
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<i64> {
        offsets::max_offset(&self.instance, queue).await
    }

    /// The offset of the first message stored at that time (milliseconds since the epoch) or later.
    pub async fn offset_at(&self, queue: &MessageQueue, time_ms: i64) -> Result<i64> {
        offsets::offset_at(&self.instance, queue, time_ms).await
    }

    /// Reads a queue on behalf of a group, without committing anything.
    pub async fn pull(
        &self,
        group: &str,
        queue: &MessageQueue,
        offset: i64,
        max_messages: i32,
    ) -> Result<PullResult> {
        pull::pull_once(&self.instance, group, queue, "*", offset, max_messages, None).await
    }
}

fn query_request(query: &KeyQuery<'_>, unique: bool) -> Command {
    let header = QueryMessage {
        topic: query.topic.to_owned(),
        key: query.key.to_owned(),
        max_num: query.max,
        begin_timestamp: query.begin_ms,
        end_timestamp: query.end_ms,
        index_type: query.index_type.map(str::to_owned),
        last_key: query.last_key.map(str::to_owned),
    };
    let mut request = request(RequestCode::QUERY_MESSAGE).with_header(&header);
    request.ext.insert(UNIQUE_KEY_QUERY, unique);
    request
}

fn read_messages(address: &str, answer: &Command, broker: &str) -> Result<Vec<ReceivedMessage>> {
    let messages = record::decode_many(answer.body.bytes());
    let read = messages.map(|message| Ok(ReceivedMessage::new(message?, broker.into())));
    let read: Result<_, rmq_proto::message::RecordError> = read.collect();
    read.map_err(|error| exchange::unreadable(address, RequestCode::QUERY_MESSAGE, error))
}

/// Java's form.
fn describe(error: &Error) -> String {
    match error {
        Error::Refused { code, remark, .. } => format!("CODE:{} DESC:{remark}", code.0),
        other => other.to_string(),
    }
}

/// The key of a message's index entry, with which a query can be continued.
pub fn index_key(message: &ReceivedMessage, query: &KeyQuery<'_>) -> String {
    const HOUR_MS: i64 = 3_600_000;
    let hour = message.store_timestamp / HOUR_MS * HOUR_MS;
    let kind = query.index_type.unwrap_or_default();
    let id = message.property(property::UNIQ_KEY).map_or_else(|| message.offset_msg_id(), str::to_owned);
    format!("{hour}@{}@{kind}@{}@{id}@{}", query.topic, query.key, message.physical_offset)
}
