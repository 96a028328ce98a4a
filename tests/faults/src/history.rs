//! What was sent, what was acknowledged, and what is wrong with what is read later.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use crate::message::{Key, Message, key_in};

/// A queue of a topic.
pub type Queue = (String, i32);

/// Where an acknowledged message is.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    /// Its offset in its queue.
    pub offset: i64,
    /// Behind it in the log, if known.
    pub end: i64,
    /// How many were acknowledged before it.
    pub turn: usize,
}

#[derive(Debug)]
struct Sent {
    queue: Queue,
    body: u32,
    properties: u32,
    /// How often its topic had been deleted.
    life: u32,
    ack: Option<Ack>,
    /// It was lost, as it may be when it was not synced: it must not come back.
    dead: bool,
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its offset in its queue.
    pub offset: i64,
    /// Where it begins in the log.
    pub position: i64,
    /// The key that its body says.
    pub key: Option<Key>,
    /// CRC of its body.
    pub body: u32,
    /// CRC of its stored properties; `None` where others have added to them.
    pub properties: Option<u32>,
}

impl Found {
    /// What was read at an offset.
    pub fn new((offset, position): (i64, i64), body: &[u8], properties: Option<&[u8]>) -> Self {
        let properties = properties.map(crc32fast::hash);
        Self { offset, position, key: key_in(body), body: crc32fast::hash(body), properties }
    }
}

/// Everything that was read, in the order in which it came.
pub type Contents = BTreeMap<Queue, Vec<Found>>;

/// A point in time of a history: what has to be there if everything stops now.
#[derive(Debug, Clone)]
pub struct Moment {
    acks: usize,
    /// Only what ends at or before this place in the log has to survive.
    durable: i64,
    /// Only what begins at or behind this place in the log has to be there still.
    log_start: i64,
    lives: HashMap<String, u32>,
}

impl Moment {
    /// What lies before it may be gone.
    pub fn log_start(&self) -> i64 {
        self.log_start
    }

    /// What is deleted by now need not be there.
    #[must_use]
    pub fn without_deleted(self, history: &History) -> Self {
        Self { lives: history.lives.clone(), ..self }
    }

    /// What lies before this place in the log need not be there: old files have been deleted.
    #[must_use]
    pub fn in_log_from(self, log_start: i64) -> Self {
        Self { log_start, ..self }
    }
}

/// Everything that was sent, from one or more senders.
#[derive(Debug, Default)]
pub struct History {
    sent: HashMap<Key, Sent>,
    acks: usize,
    lives: HashMap<String, u32>,
}

impl History {
    /// Notes a message. To be called before it is sent.
    pub fn send(&mut self, message: &Message) {
        let sent = Sent {
            queue: (message.topic.clone(), message.queue),
            body: crc32fast::hash(&message.body),
            properties: crc32fast::hash(message.properties().as_bytes()),
            life: self.life(&message.topic),
            ack: None,
            dead: false,
        };
        assert!(self.sent.insert(message.key, sent).is_none(), "the key {:x} is used twice", message.key);
    }

    /// Notes that a message was acknowledged. `end`: behind it in the log; 0 if unknown.
    pub fn ack(&mut self, key: Key, offset: i64, end: i64) {
        let ack = Ack { offset, end, turn: self.acks };
        self.acks += 1;
        self.sent.get_mut(&key).expect("what is acknowledged was sent").ack = Some(ack);
    }

    /// The store goes on with this: what is not there is gone for good.
    pub fn settle(&mut self, contents: &Contents) {
        let alive: HashSet<Key> = contents.values().flatten().filter_map(|found| found.key).collect();
        for (key, sent) in &mut self.sent {
            sent.dead |= !alive.contains(key);
        }
    }

    /// A topic is about to be deleted: what was sent there before need not be found any more.
    pub fn delete_topic(&mut self, topic: &str) {
        *self.lives.entry(topic.into()).or_default() += 1;
    }

    fn life(&self, topic: &str) -> u32 {
        self.lives.get(topic).copied().unwrap_or_default()
    }

    /// How many were acknowledged.
    pub fn acks(&self) -> usize {
        self.acks
    }

    /// Everything that is acknowledged by now has to survive.
    pub fn now(&self) -> Moment {
        self.durable_to(i64::MAX)
    }

    /// What is acknowledged by now and ends at or before `durable` in the log has to survive.
    pub fn durable_to(&self, durable: i64) -> Moment {
        Moment { acks: self.acks, durable, log_start: 0, lives: self.lives.clone() }
    }

    /// Judges what was read after everything stopped at a moment.
    pub fn judge(&self, moment: &Moment, contents: &Contents) -> Verdict {
        let mut verdict = Verdict::default();
        let mut seen: HashMap<Key, usize> = HashMap::new();
        for (queue, messages) in contents {
            let mut last_offset = -1;
            let mut last_of_sender: HashMap<Key, Key> = HashMap::new();
            for found in messages {
                verdict.found += 1;
                let disorder = found.offset <= last_offset;
                last_offset = found.offset;
                let Some((key, sent)) = found.key.and_then(|key| Some((key, self.sent.get(&key)?))) else {
                    verdict.never_sent.push(format!("{queue:?} {found:?}"));
                    continue;
                };
                let late = last_of_sender.insert(key >> 32, key).is_some_and(|last| last >= key);
                if disorder || late {
                    verdict.out_of_order.push(key);
                }
                let properties_differ = found.properties.is_some_and(|crc| crc != sent.properties);
                if found.body != sent.body || properties_differ || *queue != sent.queue {
                    verdict.corrupt.push(key);
                }
                if sent.ack.is_some_and(|ack| ack.offset != found.offset) {
                    verdict.moved.push(key);
                }
                if sent.life < moment.lives.get(&queue.0).copied().unwrap_or_default() {
                    verdict.returned.push(key);
                } else if sent.dead && found.position >= moment.log_start {
                    verdict.revived.push(key);
                }
                *seen.entry(key).or_default() += 1;
            }
        }
        verdict.duplicated = seen.iter().filter(|(_, times)| **times > 1).map(|(key, _)| *key).collect();
        for (key, sent) in &self.sent {
            let life = moment.lives.get(&sent.queue.0).copied().unwrap_or_default();
            let is_required = sent.life == life
                && !sent.dead
                && sent.ack.is_some_and(|ack| {
                    ack.turn < moment.acks && ack.end <= moment.durable && ack.end > moment.log_start
                        || ack.turn < moment.acks && ack.end == 0
                });
            verdict.required += usize::from(is_required);
            if is_required && !seen.contains_key(key) {
                verdict.lost.push(*key);
            }
        }
        verdict
    }
}

/// What is wrong. The messages are named by their keys.
#[derive(Debug, Default, Clone)]
pub struct Verdict {
    /// How many had to be there.
    pub required: usize,
    /// How many were read.
    pub found: usize,
    /// Had to be there and were not read.
    pub lost: Vec<Key>,
    /// Read at more than one place.
    pub duplicated: Vec<Key>,
    /// Read behind a later one of the same queue or sender.
    pub out_of_order: Vec<Key>,
    /// Body, properties, topic or queue are not those that were sent.
    pub corrupt: Vec<Key>,
    /// Nobody sent it.
    pub never_sent: Vec<String>,
    /// Acknowledged with another offset.
    pub moved: Vec<Key>,
    /// Was gone already, at an earlier start.
    pub revived: Vec<Key>,
    /// Belongs to a topic that was deleted since.
    pub returned: Vec<Key>,
}

impl Verdict {
    /// Whether nothing is wrong. A deleted topic's messages may come back when queues have to be made
    /// again from the log's start.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty()
            && self.duplicated.is_empty()
            && self.out_of_order.is_empty()
            && self.corrupt.is_empty()
            && self.never_sent.is_empty()
            && self.moved.is_empty()
            && self.revived.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "required {} found {} lost {} duplicated {} out of order {} corrupt {} never sent {} moved {} revived {} returned {}",
            self.required,
            self.found,
            self.lost.len(),
            self.duplicated.len(),
            self.out_of_order.len(),
            self.corrupt.len(),
            self.never_sent.len(),
            self.moved.len(),
            self.revived.len(),
            self.returned.len(),
        )?;
        let named = [
            ("lost", &self.lost),
            ("duplicated", &self.duplicated),
            ("out of order", &self.out_of_order),
            ("corrupt", &self.corrupt),
            ("moved", &self.moved),
            ("revived", &self.revived),
        ];
        for (what, keys) in named {
            for key in keys.iter().take(5) {
                write!(f, "\n  {what}: {key:016x}")?;
            }
        }
        self.never_sent.iter().take(5).try_for_each(|found| write!(f, "\n  never sent: {found}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::key;

    fn found(message: &Message, offset: i64) -> Found {
        Found::new((offset, offset * 100), &message.body, Some(message.properties().as_bytes()))
    }

    /// Three acknowledged messages in one queue, and what is read of them.
    fn three() -> (History, Vec<Message>, Vec<Found>) {
        let mut history = History::default();
        let messages: Vec<_> = (0..3).map(|number| Message::new(key(1, number), "T", 0, 50)).collect();
        for (offset, message) in messages.iter().enumerate() {
            history.send(message);
            history.ack(message.key, offset as i64, (offset as i64 + 1) * 100);
        }
        let read = messages.iter().zip(0..).map(|(message, offset)| found(message, offset)).collect();
        (history, messages, read)
    }

    fn judge(history: &History, moment: &Moment, read: Vec<Found>) -> Verdict {
        history.judge(moment, &Contents::from([(("T".into(), 0), read)]))
    }

    #[test]
    fn what_is_as_it_was_sent_is_clean() {
        let (history, _, read) = three();
        let verdict = judge(&history, &history.now(), read);
        assert!(verdict.is_clean() && verdict.required == 3 && verdict.found == 3, "{verdict}");
    }

    #[test]
    fn each_wrong_is_seen() {
        let (history, messages, read) = three();
        let verdict = |read| judge(&history, &history.now(), read);
        assert_eq!(verdict(read[..2].to_vec()).lost, [messages[2].key]);
        let twice = [&read[..], &[Found { offset: 3, ..read[2].clone() }]].concat();
        assert_eq!(verdict(twice).duplicated, [messages[2].key]);
        let swapped = vec![read[1].clone(), read[0].clone(), read[2].clone()];
        assert_eq!(verdict(swapped).out_of_order, [messages[0].key]);
        let mut damaged = read.clone();
        damaged[1].body ^= 1;
        assert_eq!(verdict(damaged).corrupt, [messages[1].key]);
        let stranger = Found::new((3, 0), b"0000000900000000 who?", None);
        assert_eq!(verdict([&read[..], &[stranger]].concat()).never_sent.len(), 1);
        let moved = vec![read[0].clone(), read[1].clone(), Found { offset: 7, ..read[2].clone() }];
        assert_eq!(verdict(moved).moved, [messages[2].key]);
    }

    #[test]
    fn a_moment_says_what_has_to_be_there() {
        let (mut history, messages, read) = three();
        assert!(judge(&history, &history.durable_to(200), read[..2].to_vec()).is_clean());
        assert!(judge(&history, &history.durable_to(300).in_log_from(100), read[1..].to_vec()).is_clean());
        let before = history.now();
        let later = Message::new(key(1, 3), "T", 0, 50);
        history.send(&later);
        history.ack(later.key, 3, 400);
        assert!(judge(&history, &before, read.clone()).is_clean());
        history.settle(&Contents::new());
        assert_eq!(judge(&history, &history.now(), read[..1].to_vec()).revived, [messages[0].key]);
        history.delete_topic("T");
        let verdict = judge(&history, &history.now(), read[..1].to_vec());
        assert!(verdict.is_clean() && verdict.returned == [messages[0].key], "{verdict}");
    }
}
