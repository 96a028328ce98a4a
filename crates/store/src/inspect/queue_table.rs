//! What the log and the directories show of each queue, and what of it does not fit.

use std::{collections::HashMap, fs};

use rmq_proto::{body::TopicConfigs, fastjson, topic::LMQ_PREFIX};

use super::StoppedStore;

/// What most troubles call for.
pub(super) const REPAIR: &str = "`mqstore repair` puts it right from the log";

/// What does not fit, one kind for each line of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A record has no entry.
    Missing,
    /// A record has an entry that says something else.
    Wrong,
    /// An entry has no record.
    Stray,
    /// Entries are not there, but later ones are.
    Hole,
    /// A record has an offset that it can't have.
    Offset,
}

impl Trouble {
    /// Its name for programs.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Missing => "queue.missing",
            Self::Wrong => "queue.wrong",
            Self::Stray => "queue.stray",
            Self::Hole => "queue.hole",
            Self::Offset => "queue.offset",
        }
    }

    /// Its line in a report.
    pub(super) fn what(self, count: u64, example: &str) -> String {
        match self {
            Self::Missing => format!("{count} records have no entry, the first is {example}"),
            Self::Wrong => format!("{count} entries do not fit their record, the first is {example}"),
            Self::Stray => format!("{count} entries point at no record of the queue, the first is {example}"),
            Self::Hole => format!("{count} entries are not there, the first is {example}"),
            Self::Offset => {
                format!("{count} records have an offset that can't be theirs, the first is {example}")
            }
        }
    }

    /// What to do about it.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Offset => "they can be found by key only",
            _ => REPAIR,
        }
    }
}

/// What the log says of a queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(super) topic: String,
    pub(super) id: i32,
    pub(super) on_disk: bool,
    /// Behind the last entry for which there is a file.
    pub(super) capacity: i64,
    /// Offsets of the records: from the first to behind the last.
    pub(super) first: Option<i64>,
    pub(super) next: i64,
    /// Physical offset behind the last record.
    pub(super) end: u64,
    /// Records before this physical offset are of a topic that was deleted meanwhile.
    pub(super) life: u64,
    pub(super) lost: u64,
    pub(super) pending: u64,
    pub(super) troubles: Vec<(Trouble, u64, String)>,
}

impl Queue {
    /// Counts a trouble and keeps the first example.
    pub(super) fn note(&mut self, trouble: Trouble, example: impl FnOnce() -> String) {
        match self.troubles.iter_mut().find(|(known, ..)| *known == trouble) {
            Some((_, count, _)) => *count += 1,
            None => self.troubles.push((trouble, 1, example())),
        }
    }

    /// The topic was deleted and made again: all that was seen of it was its former life.
    pub(super) fn begin_anew(&mut self, at: u64) {
        self.troubles.clear();
        (self.first, self.lost, self.pending, self.life) = (None, 0, 0, at);
    }
}

/// All queues, as the log and the directories show them.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    pub(super) all: Vec<Queue>,
    numbers: HashMap<String, HashMap<i32, usize>>,
    /// Names in the broker's table of topics, if it is there.
    known_topics: Option<Vec<String>>,
    /// Delivery times that do not fit the delay levels.
    pub(crate) odd_delays: u64,
}

impl Queues {
    /// None yet, of this store.
    pub(super) fn of(store: &StoppedStore) -> Self {
        Self { known_topics: known_topics(store), ..Self::default() }
    }

    /// The number of a queue, which is new if it was not known.
    pub(super) fn number(&mut self, topic: &str, id: i32) -> usize {
        if let Some(number) = self.numbers.get(topic).and_then(|ids| ids.get(&id)) {
            return *number;
        }
        let number = self.all.len();
        self.all.push(Queue { topic: topic.to_owned(), id, ..Queue::default() });
        self.numbers.entry(topic.to_owned()).or_default().insert(id, number);
        number
    }

    /// A queue's number, if a record of it at a physical offset belongs there: not to a topic that was
    /// deleted, nor to an earlier one of that name, and with an offset that can be right.
    pub(crate) fn place_of(&self, topic: &str, id: i32, at: u64, offset: i64) -> Option<usize> {
        let number = *self.numbers.get(topic)?.get(&id)?;
        let queue = &self.all[number];
        let is_in =
            at >= queue.life && queue.first.is_some_and(|first| (first..queue.next).contains(&offset));
        (is_in && !self.is_deleted(queue)).then_some(number)
    }

    /// The topics that were deleted while the log still has their records.
    pub(crate) fn deleted_topics(&self) -> impl Iterator<Item = &str> {
        let gone = self
            .numbers
            .iter()
            .filter(|(_, ids)| ids.values().all(|number| self.is_deleted(&self.all[*number])));
        gone.map(|(topic, _)| topic.as_str())
    }

    /// The queues with the offsets of their records: the first and the one behind the last. Light queues
    /// are not among them: they show records of other topics.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (usize, &str, i32, Option<(i64, i64)>)> {
        let range = |queue: &Queue| queue.first.map(|first| (first, queue.next));
        let there = self
            .all
            .iter()
            .enumerate()
            .filter(|(_, queue)| !self.is_deleted(queue) && !queue.topic.starts_with(LMQ_PREFIX));
        there.map(move |(number, queue)| (number, queue.topic.as_str(), queue.id, range(queue)))
    }

    /// Whether its topic was deleted while the log still has its records.
    pub(super) fn is_deleted(&self, queue: &Queue) -> bool {
        !queue.on_disk && self.known_topics.as_ref().is_some_and(|known| !known.contains(&queue.topic))
    }
}

/// The broker's table of topics, which says what was deleted; `None` if it can't be read.
fn known_topics(store: &StoppedStore) -> Option<Vec<String>> {
    let json = fs::read(store.config().root_dir.join("config/topics.json")).ok()?;
    let table: TopicConfigs = fastjson::from_slice(&json).ok()?;
    Some(table.topic_config_table.into_keys().collect())
}
