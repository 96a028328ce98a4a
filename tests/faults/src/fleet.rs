//! Real daemons under load: a name server, a broker, senders that keep a history, readers that check it.
//!
//! Senders and readers speak the protocol by hand (`rmq_testkit::wire`), so that they see every answer.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use fastrand::Rng;
use parking_lot::Mutex;
use rmq_proto::message::{Message as Stored, RecordView, batch};
use rmq_testkit::{
    Broker, Flavor,
    wire::{Connection, Frame},
};

use crate::{
    history::{Contents, Found, History, Queue},
    message::{Message, key},
};

const SEND_MESSAGE: i32 = 10;
const PULL_MESSAGE: i32 = 11;
const QUERY_CONSUMER_OFFSET: i32 = 14;
const UPDATE_CONSUMER_OFFSET: i32 = 15;
const SEND_BATCH_MESSAGE: i32 = 320;
const SUCCESS: i32 = 0;
const PULL_NOT_FOUND: i32 = 19;
const DELETE_TOPIC_IN_BROKER: i32 = 215;

/// The group of all readers; it exists as soon as it has pulled.
const GROUP: &str = "faults";

/// Queues of each topic.
pub const QUEUES: i32 = 4;

/// A broker with small files and short intervals; not started.
pub fn broker(namesrv: &str) -> Broker {
    Broker::new(Flavor::Ours, namesrv)
        .set("mappedFileSizeCommitLog", 256 * 1024)
        .set("mappedFileSizeConsumeQueue", 2000)
        .set("maxHashSlotNum", 1000)
        .set("maxIndexNum", 20_000)
        .set("flushIntervalConsumeQueue", 20)
        .set("flushConsumerOffsetInterval", 200)
}

/// Sends messages, one at a time or in batches.
pub fn send(connection: &mut Connection, messages: &[Message]) -> io::Result<Frame> {
    let first = &messages[0];
    let queue = first.queue.to_string();
    let queues = QUEUES.to_string();
    let properties = first.properties();
    let is_batch = messages.len() > 1;
    let fields = [
        ("producerGroup", "faults"),
        ("topic", first.topic.as_str()),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", &queues),
        ("queueId", &queue),
        ("sysFlag", "0"),
        ("bornTimestamp", "1700000000000"),
        ("flag", "0"),
        ("properties", if is_batch { "" } else { &properties }),
        ("reconsumeTimes", "0"),
        ("unitMode", "false"),
        ("batch", if is_batch { "true" } else { "false" }),
    ];
    if !is_batch {
        return connection.try_call(SEND_MESSAGE, &fields, &first.body);
    }
    let mut body = BytesMut::new();
    for message in messages {
        let member = batch::BatchMember {
            flag: 0,
            body: message.body.clone(),
            properties: message.properties().into(),
        };
        batch::encode(&member, &mut body).map_err(io::Error::other)?;
    }
    connection.try_call(SEND_BATCH_MESSAGE, &fields, &body)
}

/// The offsets that an answer to a send names; `None` if it was refused.
pub fn sent_offset(reply: &Frame) -> Option<i64> {
    (reply.code == SUCCESS).then(|| reply.ext.get("queueOffset")?.parse().ok())?
}

/// Senders that keep a history of what they send.
#[derive(Debug)]
pub struct Senders {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Senders {
    /// `count` senders with numbers from `first` on; they end when the connection breaks or at
    /// [`Senders::stop`]. Each sends to all queues of a topic of its own and of one common topic.
    pub fn start(addr: &str, history: &Arc<Mutex<History>>, first: u32, count: u32, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (first..first + count)
            .map(|sender| {
                let (addr, history, stop) = (addr.to_owned(), history.clone(), stop.clone());
                let random = Rng::with_seed(seed ^ u64::from(sender) << 32);
                thread::spawn(move || run_sender(&addr, &history, sender, sender - first, random, &stop))
            })
            .collect();
        Self { threads, stop }
    }

    /// Waits for their end.
    ///
    /// # Panics
    /// When one of them did.
    pub fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a sender ends in order");
        }
    }
}

fn run_sender(
    addr: &str,
    history: &Mutex<History>,
    sender: u32,
    place: u32,
    mut random: Rng,
    stop: &AtomicBool,
) {
    let Ok(mut connection) = Connection::try_open(addr) else {
        return;
    };
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let topic = if random.u8(0..3) == 0 { "Common".to_owned() } else { format!("Own{place}") };
        let queue = random.i32(0..QUEUES);
        let count = if random.u8(0..5) == 0 { random.u32(2..10) } else { 1 };
        let messages: Vec<_> = (number..number + count)
            .map(|number| {
                let len =
                    if random.u8(0..20) == 0 { random.usize(4000..20_000) } else { random.usize(16..800) };
                Message::new(key(sender, number), &topic, queue, len)
            })
            .collect();
        number += count;
        messages.iter().for_each(|message| history.lock().send(message));
        let Ok(reply) = send(&mut connection, &messages) else {
            return;
        };
        let Some(offset) = sent_offset(&reply) else {
            continue;
        };
        let mut history = history.lock();
        // Java names the first message's offset of a batch, the others follow.
        for (message, offset) in messages.iter().zip(offset..) {
            history.ack(message.key, offset, 0);
        }
    }
}

/// One pull that does not wait.
pub fn pull(connection: &mut Connection, (topic, queue): &Queue, offset: i64) -> io::Result<Frame> {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let fields = [
        ("consumerGroup", GROUP),
        ("topic", topic.as_str()),
        ("queueId", &queue),
        ("queueOffset", &offset),
        ("maxMsgNums", "32"),
        // The subscription comes with the request.
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", "*"),
        ("subVersion", "1"),
        ("expressionType", "TAG"),
    ];
    connection.try_call(PULL_MESSAGE, &fields, b"")
}

/// Adds to `contents` everything that consumers get behind it, in all queues of these topics.
///
/// # Panics
/// When pulls do not get on, or deliver what is no message.
pub fn pull_more(addr: &str, topics: &[String], contents: &mut Contents) {
    let mut connection = Connection::open(addr);
    for queue in topics.iter().flat_map(|topic| (0..QUEUES).map(move |queue| (topic.clone(), queue))) {
        let known = contents.entry(queue.clone()).or_default();
        let from = known.last().map_or(0, |found| found.offset + 1);
        known.extend(pull_queue(&mut connection, &queue, from));
    }
}

fn pull_queue(connection: &mut Connection, queue: &Queue, from: i64) -> Vec<Found> {
    let mut found = Vec::new();
    let mut offset = from;
    loop {
        let reply = pull(connection, queue, offset).unwrap_or_else(|error| panic!("{queue:?}: {error}"));
        let number = |field: &str| reply.ext.get(field).and_then(|text| text.parse::<i64>().ok());
        let next = number("nextBeginOffset").unwrap_or(offset);
        let mut body = Bytes::from(reply.body.clone());
        while !body.is_empty() {
            let view =
                RecordView::parse(&body).unwrap_or_else(|error| panic!("{queue:?} at {offset}: {error}"));
            let (size, place) = (view.size(), (view.queue_offset(), view.physical_offset()));
            let stored = Stored::decode(&body.slice(..size)).expect("a record is a message");
            found.push(Found::new(place, &stored.body, None));
            body.advance(size);
        }
        if reply.code == SUCCESS {
            assert!(next > offset, "{queue:?} is stuck at {offset}: {reply:?}");
        } else if reply.code == PULL_NOT_FOUND || number("maxOffset").is_none_or(|max| next >= max) {
            return found;
        } else {
            assert_ne!(next, offset, "{queue:?} is stuck at {offset}: {reply:?}");
        }
        offset = next;
    }
}

/// A consumer that commits rising offsets, and remembers when each was accepted. Now and then it makes
/// the broker write a checkpoint.
#[derive(Debug)]
pub struct Committer {
    thread: JoinHandle<()>,
    accepted: Arc<Mutex<BTreeMap<i64, Instant>>>,
    next: Arc<AtomicI64>,
}

const COMMITTED: (&str, &str) = ("Common", "0");

impl Committer {
    /// Commits until the connection breaks, from `next` on.
    pub fn start(addr: &str, next: i64) -> Self {
        let accepted: Arc<Mutex<BTreeMap<i64, Instant>>> = Arc::default();
        let counter = Arc::new(AtomicI64::new(next));
        let (addr, list, numbers) = (addr.to_owned(), accepted.clone(), counter.clone());
        let thread = thread::spawn(move || {
            let Ok(mut connection) = Connection::try_open(&addr) else {
                return;
            };
            let (topic, queue) = (COMMITTED.0.to_owned(), 0);
            if pull(&mut connection, &(topic, queue), 0).is_err() {
                return;
            }
            loop {
                let offset = numbers.fetch_add(1, Ordering::SeqCst);
                if offset % 100 == 0 {
                    // Deleting a topic ends with a checkpoint, which otherwise comes every 10 s only.
                    let fields = [("topic", "NobodysTopic")];
                    let _ = connection.try_call(DELETE_TOPIC_IN_BROKER, &fields, b"");
                }
                let text = offset.to_string();
                let (topic, queue) = COMMITTED;
                let fields =
                    [("consumerGroup", GROUP), ("topic", topic), ("queueId", queue), ("commitOffset", &text)];
                match connection.try_call(UPDATE_CONSUMER_OFFSET, &fields, b"") {
                    Ok(reply) if reply.code == SUCCESS => list.lock().insert(offset, Instant::now()),
                    // The topic may not be there yet.
                    Ok(_) => None,
                    Err(_) => return,
                };
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { thread, accepted, next: counter }
    }

    /// After the broker's end at `killed`: the newest offset that was accepted `age` before, and the
    /// next to commit.
    ///
    /// # Panics
    /// When the thread did.
    pub fn end(self, killed: Instant, age: Duration) -> (Option<i64>, i64) {
        self.thread.join().expect("a committer ends in order");
        let accepted = self.accepted.lock();
        let old_enough = accepted.iter().filter(|(_, at)| **at + age <= killed);
        (old_enough.map(|(offset, _)| *offset).max(), self.next.load(Ordering::SeqCst))
    }
}

/// The offset that the broker has for the committer; `None` if it has none.
pub fn committed(addr: &str) -> Option<i64> {
    let (topic, queue) = COMMITTED;
    let fields =
        [("consumerGroup", GROUP), ("topic", topic), ("queueId", queue), ("setZeroIfNotFound", "false")];
    let reply = Connection::open(addr).call(QUERY_CONSUMER_OFFSET, &fields, b"");
    reply.ext.get("offset").filter(|_| reply.code == SUCCESS)?.parse().ok()
}
