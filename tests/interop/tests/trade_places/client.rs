//! The requests of these tests, as raw frames.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use rmq_testkit::wire::{Connection, Frame};

use crate::record::Record;

/// Sends of the default number of queues when a topic is made by the first message.
const QUEUES: &str = "4";
/// The subscription stands in the header of the pull.
const SUBSCRIPTION: &str = "4";
const SUCCESS: i32 = 0;

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    since.as_millis() as i64
}

/// A message to send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    pub(crate) queue: i32,
    pub(crate) sys_flag: i32,
    pub(crate) flag: i32,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: Vec<(String, String)>,
}

impl Outgoing {
    /// A message with a unique id, as every client gives one.
    pub(crate) fn new(topic: &str, queue: i32, unique: &str, body: impl Into<Vec<u8>>) -> Outgoing {
        let properties =
            vec![("UNIQ_KEY".to_owned(), unique.to_owned()), ("WAIT".to_owned(), "true".to_owned())];
        Outgoing { topic: topic.to_owned(), queue, body: body.into(), properties, ..Outgoing::default() }
    }

    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl ToString) -> Outgoing {
        self.properties.push((key.to_owned(), value.to_string()));
        self
    }

    #[must_use]
    pub(crate) fn sys_flag(mut self, sys_flag: i32) -> Outgoing {
        self.sys_flag = sys_flag;
        self
    }

    fn property(&self, key: &str) -> Option<&str> {
        self.properties.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn property_text(&self) -> String {
        self.properties.iter().map(|(key, value)| format!("{key}\u{1}{value}\u{2}")).collect()
    }

    fn header<'a>(&'a self, fixed: &'a [String; 5], properties: &'a str) -> Vec<(&'a str, &'a str)> {
        let [queue, sys_flag, born, flag, batch] = fixed;
        vec![
            ("a", "trade-producer"),
            ("b", &self.topic),
            ("c", "TBW102"),
            ("d", QUEUES),
            ("e", queue),
            ("f", sys_flag),
            ("g", born),
            ("h", flag),
            ("i", properties),
            ("j", "0"),
            ("k", "false"),
            ("m", batch),
        ]
    }

    /// Its form inside a batch.
    fn member(&self) -> Vec<u8> {
        let properties = self.property_text();
        let size = 4 + 4 + 4 + 4 + 4 + self.body.len() + 2 + properties.len();
        let mut bytes = Vec::with_capacity(size);
        for word in [size as i32, 0, 0, self.flag, self.body.len() as i32] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(&self.body);
        bytes.extend((properties.len() as i16).to_be_bytes());
        bytes.extend(properties.as_bytes());
        bytes
    }
}

/// What the broker said about a message that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) topic: String,
    pub(crate) queue: i32,
    pub(crate) queue_offset: i64,
    /// From the offset id.
    pub(crate) physical_offset: i64,
    pub(crate) unique: String,
    pub(crate) body: Vec<u8>,
}

/// A connection to the broker that owns the store.
#[derive(Debug)]
pub(crate) struct Client(pub(crate) Connection);

impl Client {
    #[track_caller]
    pub(crate) fn open(addr: &str) -> Client {
        Client(Connection::open(addr))
    }

    /// A call that must succeed.
    #[track_caller]
    pub(crate) fn ask(&mut self, code: i32, ext: &[(&str, &str)], body: &[u8]) -> Frame {
        let frame = self.0.call(code, ext, body);
        assert_eq!(frame.code, SUCCESS, "request {code} {ext:?}: {:?}", frame.remark);
        frame
    }

    /// Sends a message and returns the whole answer.
    #[track_caller]
    pub(crate) fn try_send(&mut self, message: &Outgoing) -> Frame {
        let fixed = fixed(message, false);
        let properties = message.property_text();
        self.0.call(310, &message.header(&fixed, &properties), &message.body)
    }

    /// Sends the answer to a request of another client.
    #[track_caller]
    pub(crate) fn reply(&mut self, message: &Outgoing) {
        let fixed = fixed(message, false);
        let properties = message.property_text();
        // The requester is not there, which the answer says; the reply is stored anyway.
        self.0.call(325, &message.header(&fixed, &properties), &message.body);
    }

    #[track_caller]
    pub(crate) fn send(&mut self, message: &Outgoing) -> Acknowledged {
        let frame = self.try_send(message);
        assert_eq!(frame.code, SUCCESS, "{}: {:?}", message.topic, frame.remark);
        let offset = number(&frame, "queueOffset");
        acknowledged(message, offset, &frame.ext["msgId"])
    }

    /// Sends messages of one queue as a batch.
    #[track_caller]
    pub(crate) fn send_batch(&mut self, messages: &[Outgoing]) -> Vec<Acknowledged> {
        let frame = self.try_send_batch(messages);
        assert_eq!(frame.code, SUCCESS, "{}: {:?}", messages[0].topic, frame.remark);
        let first = number(&frame, "queueOffset");
        let ids = frame.ext["msgId"].split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(ids.len(), messages.len());
        (first..).zip(messages).zip(&ids).map(|((at, message), id)| acknowledged(message, at, id)).collect()
    }

    #[track_caller]
    pub(crate) fn try_send_batch(&mut self, messages: &[Outgoing]) -> Frame {
        let body: Vec<u8> = messages.iter().flat_map(Outgoing::member).collect();
        let fixed = fixed(&messages[0], true);
        let ids: Vec<_> = messages.iter().flat_map(|one| one.property("UNIQ_KEY")).collect();
        let properties = format!("UNIQ_KEY\u{1}{}\u{2}WAIT\u{1}true\u{2}", ids.join(","));
        self.0.call(320, &messages[0].header(&fixed, &properties), &body)
    }

    /// One pull of at most 32 records: the answer as it is.
    #[track_caller]
    pub(crate) fn pull(&mut self, topic: &str, queue: i32, offset: i64, filter: &str) -> Frame {
        let (queue, offset) = (queue.to_string(), offset.to_string());
        let ext = [
            ("consumerGroup", "trade-puller"),
            ("topic", topic),
            ("queueId", &queue),
            ("queueOffset", &offset),
            ("maxMsgNums", "32"),
            ("sysFlag", SUBSCRIPTION),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", filter),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        self.0.call(11, &ext, b"")
    }

    /// All records of a queue that a filter lets through, from `offset` on.
    #[track_caller]
    pub(crate) fn pull_all(&mut self, topic: &str, queue: i32, mut offset: i64, filter: &str) -> Vec<Record> {
        let mut records = Vec::new();
        loop {
            let frame = self.pull(topic, queue, offset, filter);
            match frame.code {
                0 => records.extend(Record::all(&frame.body)),
                // Not this one, and try the next.
                20 => {
                    assert!(number(&frame, "nextBeginOffset") > offset, "{topic} {queue} stands at {offset}")
                }
                19 => return records,
                other => panic!("a pull of {topic} {queue} at {offset}: {other} {:?}", frame.remark),
            }
            offset = number(&frame, "nextBeginOffset");
        }
    }

    /// Smallest and next offset of a queue.
    #[track_caller]
    pub(crate) fn range(&mut self, topic: &str, queue: i32) -> (i64, i64) {
        let queue = queue.to_string();
        let ext = [("topic", topic), ("queueId", queue.as_str())];
        let mut offset = |code| number(&self.ask(code, &ext, b""), "offset");
        (offset(31), offset(30))
    }

    /// The offset at a store time; `boundary` is `LOWER` or `UPPER`.
    #[track_caller]
    pub(crate) fn search(&mut self, topic: &str, queue: i32, timestamp: i64, boundary: &str) -> i64 {
        let (queue, timestamp) = (queue.to_string(), timestamp.to_string());
        let ext =
            [("topic", topic), ("queueId", &queue), ("timestamp", &timestamp), ("boundaryType", boundary)];
        number(&self.ask(29, &ext, b""), "offset")
    }

    /// What the index finds, as bytes; `None` for nothing.
    #[track_caller]
    pub(crate) fn query(&mut self, topic: &str, key: &str, unique: bool) -> Option<Vec<u8>> {
        let (end, unique) = (i64::MAX.to_string(), unique.to_string());
        let ext = [
            ("topic", topic),
            ("key", key),
            ("maxNum", "64"),
            ("beginTimestamp", "0"),
            ("endTimestamp", &end),
            ("_UNIQUE_KEY_QUERY", &unique),
        ];
        let frame = self.0.call(12, &ext, b"");
        (frame.code == SUCCESS).then_some(frame.body)
    }

    /// The record at a physical offset.
    #[track_caller]
    pub(crate) fn view(&mut self, physical_offset: i64) -> Vec<u8> {
        self.ask(33, &[("offset", &physical_offset.to_string())], b"").body
    }

    #[track_caller]
    pub(crate) fn commit(&mut self, group: &str, topic: &str, queue: i32, offset: i64) {
        let (queue, offset) = (queue.to_string(), offset.to_string());
        let ext =
            [("consumerGroup", group), ("topic", topic), ("queueId", &queue), ("commitOffset", &offset)];
        self.ask(15, &ext, b"");
    }

    /// A group's offset, if it has one.
    #[track_caller]
    pub(crate) fn committed(&mut self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        let queue = queue.to_string();
        // Without an offset of its own, a group would be told where to begin.
        let ext = [
            ("consumerGroup", group),
            ("topic", topic),
            ("queueId", queue.as_str()),
            ("setZeroIfNotFound", "false"),
        ];
        let frame = self.0.call(14, &ext, b"");
        (frame.code == SUCCESS).then(|| number(&frame, "offset"))
    }

    #[track_caller]
    pub(crate) fn create_topic(&mut self, topic: &str, queues: i32, attributes: &str) {
        let queues = queues.to_string();
        let ext = [
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", &queues),
            ("writeQueueNums", &queues),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
            ("attributes", attributes),
        ];
        self.ask(17, &ext, b"");
    }

    /// All topics, or all groups, with their settings.
    #[track_caller]
    pub(crate) fn tables(&mut self) -> BTreeMap<String, serde_json::Value> {
        let mut tables = BTreeMap::new();
        for (code, table) in [(21, "topicConfigTable"), (201, "subscriptionGroupTable")] {
            let body = self.ask(code, &[], b"").body;
            let text = rmq_interop::bare_keys_quoted(&String::from_utf8_lossy(&body));
            let json: serde_json::Value = serde_json::from_str(&text).expect("the tables are JSON");
            let entries = json[table].as_object().expect("a table has entries");
            tables.extend(entries.iter().map(|(name, value)| (format!("{table}/{name}"), value.clone())));
        }
        tables
    }
}

/// A number among the fields of an answer.
#[track_caller]
pub(crate) fn number(frame: &Frame, field: &str) -> i64 {
    let text = frame.ext.get(field).unwrap_or_else(|| panic!("no {field} in {:?}", frame.header));
    text.parse().unwrap_or_else(|e| panic!("{field}={text}: {e}"))
}

fn fixed(message: &Outgoing, batch: bool) -> [String; 5] {
    [
        message.queue.to_string(),
        message.sys_flag.to_string(),
        now_ms().to_string(),
        message.flag.to_string(),
        batch.to_string(),
    ]
}

fn acknowledged(message: &Outgoing, queue_offset: i64, offset_id: &str) -> Acknowledged {
    // An IPv4 address and a port come before the offset, in hex.
    let physical_offset =
        i64::from_str_radix(&offset_id[16..], 16).expect("an offset id ends with an offset");
    Acknowledged {
        topic: message.topic.clone(),
        queue: message.queue,
        queue_offset,
        physical_offset,
        unique: message.property("UNIQ_KEY").unwrap_or_default().to_owned(),
        body: message.body.clone(),
    }
}
