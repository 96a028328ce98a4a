//! What is in a store's files, piece by piece.

mod item;
mod text;

use std::{io, ops::ControlFlow, path::Path};

pub use item::{
    CheckpointItem, DamageItem, IndexEntryItem, IndexItem, Item, QueueItem, RecordItem, StateItem, UnitItem,
};
use rmq_proto::message::{RecordView, hash::index_hash};

use super::{
    InspectError, StoppedStore,
    log_walk::{Place, walk},
};
use crate::{
    derived::{
        dispatch,
        index::{key_of, tag_of},
        index_file::{IndexFile, Shape},
        queue_file::{QueueFile, UNIT_LEN, units},
        queues::directories,
    },
    error::{IoContext, StoreError},
    file::{
        checkpoint::Marks,
        mapped_files::{file_name, list},
    },
};

/// Entries of a queue that are read at once.
const BLOCK: i64 = 4096;

/// A part of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Records, and what else is in the log.
    Log,
    /// Queues and their entries.
    Queue,
    /// Index files and their entries.
    Index,
    /// What the checkpoint says.
    Checkpoint,
    /// Whether it was closed, and the sizes of its files.
    State,
}

/// What of a part is wanted; the default is everything but entries and bodies.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// From this physical offset (log), queue offset (entries of queues) or number (entries of index files) on.
    pub from: Option<u64>,
    /// At most so many records or entries; `None` for all.
    pub count: Option<u64>,
    /// Only of this topic.
    pub topic: Option<String>,
    /// Only of this queue.
    pub queue: Option<i32>,
    /// Only records with this unique id, search key or tag; in index files the chain of its slot.
    pub key: Option<String>,
    /// With bodies.
    pub body: bool,
    /// With the entries of queues and index files.
    pub entries: bool,
}

/// Takes the pieces, in order; its error ends the dump.
type Sink<'a> = &'a mut dyn FnMut(Item<'_>) -> io::Result<()>;

impl StoppedStore {
    /// Tells `sink` what is in a part of the store.
    ///
    /// # Errors
    /// When a file can't be read, or `sink` fails.
    pub fn dump(&self, part: Part, selection: &Selection, sink: Sink<'_>) -> Result<(), InspectError> {
        match part {
            Part::Log => self.dump_log(selection, sink),
            Part::Queue => self.dump_queues(selection, sink),
            Part::Index => self.dump_index(selection, sink),
            Part::Checkpoint => self.dump_checkpoint(sink),
            Part::State => Ok(sink(Item::State(self.state()?))?),
        }
    }

    fn dump_log(&self, selection: &Selection, sink: Sink<'_>) -> Result<(), InspectError> {
        let from = selection.from.unwrap_or(0);
        let is_plain = selection.topic.is_none() && selection.queue.is_none() && selection.key.is_none();
        let mut left = selection.count.unwrap_or(u64::MAX);
        walk(&self.log, self.record_at_or_before(from), |place| {
            if left == 0 {
                return Ok(ControlFlow::Break(()));
            }
            match place {
                Place::Record(view) if view.physical_offset() as u64 >= from && selection.wants(&view) => {
                    left -= 1;
                    sink(Item::Record(RecordItem::new(&view, true, selection.body)))?;
                }
                Place::Blank { at, next } if is_plain && next > from => sink(Item::Blank { at, next })?,
                Place::Missing { at, next } if is_plain && next > from => sink(Item::Missing { at, next })?,
                Place::Damaged { at, next, why } if is_plain && next > from => {
                    sink(Item::Damage(DamageItem { at, next, why: why.to_string() }))?;
                    if let Some(record) = self.damaged_record(at, next)
                        && let Ok(view) = RecordView::parse(&record)
                    {
                        sink(Item::Record(RecordItem::new(&view, false, selection.body)))?;
                    }
                }
                _ => {}
            }
            Ok::<_, InspectError>(ControlFlow::Continue(()))
        })?;
        Ok(())
    }

    /// A record whose frame is whole, though its body is not.
    fn damaged_record(&self, at: u64, next: u64) -> Option<bytes::Bytes> {
        let file = self.log.files().at(at)?;
        file.shared(at - file.start()..next.min(file.end()) - file.start()).ok()
    }

    /// Where to begin so as to meet the first record at or behind an offset: there, or at its file.
    fn record_at_or_before(&self, from: u64) -> u64 {
        let Some(file) = self.log.files().at_or_after(from) else {
            return from;
        };
        let at = from.max(file.start());
        let bytes = file.bytes(at - file.start()..file.end() - file.start()).unwrap_or_default();
        let begins = RecordView::parse(bytes).is_ok_and(|view| view.physical_offset() == at as i64);
        if begins { at } else { file.start() }
    }

    fn dump_queues(&self, selection: &Selection, sink: Sink<'_>) -> Result<(), InspectError> {
        let dir = self.config().consume_queue_dir();
        if !dir.exists() {
            return Ok(());
        }
        let mut queues = Vec::new();
        for (topic, path) in directories(&dir)? {
            if selection.topic.as_ref().is_none_or(|wanted| *wanted == topic) {
                for (name, path) in directories(&path)? {
                    queues.extend(name.parse().ok().map(|id: i32| (topic.clone(), id, path)));
                }
            }
        }
        queues.retain(|(_, id, _)| selection.queue.is_none_or(|wanted| wanted == *id));
        queues.sort();
        for (topic, id, path) in queues {
            self.dump_queue(&topic, id, &path, selection, sink)?;
        }
        Ok(())
    }

    fn dump_queue(
        &self,
        topic: &str,
        id: i32,
        dir: &Path,
        selection: &Selection,
        sink: Sink<'_>,
    ) -> Result<(), InspectError> {
        let files = list(dir)?;
        let bounds = files.first().zip(files.last()).map(|((first, _), (last, _))| (*first, *last));
        let (first, next) = match bounds {
            Some((first, last)) => {
                let file = view(dir, last)?;
                let count = file.count(|_| true).doing("read", dir)?;
                ((first / UNIT_LEN as u64) as i64, (last / UNIT_LEN as u64) as i64 + count)
            }
            None => (0, 0),
        };
        sink(Item::Queue(QueueItem { topic, queue_id: id, first, next, files: files.len() }))?;
        if !selection.entries {
            return Ok(());
        }
        let mut left = selection.count.unwrap_or(u64::MAX);
        for (start, _) in files {
            let file = view(dir, start)?;
            let start = (start / UNIT_LEN as u64) as i64;
            let mut at = (selection.from.unwrap_or(0) as i64 - start).max(0);
            while let Some(data) = file.next_data(at) {
                at = data.end.min(data.start + BLOCK);
                let bytes = file.read(data.start, (at - data.start) as usize).doing("read", dir)?;
                let valid = (start + data.start..).zip(units(&bytes)).filter(|(_, unit)| unit.is_valid());
                for (offset, unit) in valid {
                    if left == 0 {
                        return Ok(());
                    }
                    left -= 1;
                    sink(Item::Unit(UnitItem::new(topic, id, offset, unit)))?;
                }
            }
        }
        Ok(())
    }

    fn dump_index(&self, selection: &Selection, sink: Sink<'_>) -> Result<(), InspectError> {
        let shape = Shape { slots: self.config().index_slots, entries: self.config().index_entries };
        for path in self.index_files()?.0 {
            let index = IndexFile::view(path.clone(), shape).doing("open", &path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            sink(Item::Index(IndexItem::new(&name, index.header(), shape)))?;
            let entries: Box<dyn Iterator<Item = u32>> = match &selection.key {
                Some(key) => Box::new(chain(&index, &hashes(selection.topic.as_deref(), key)).into_iter()),
                None if selection.entries => Box::new(1..index.header().count.min(shape.entries)),
                None => continue,
            };
            let from = selection.from.unwrap_or(0);
            let entries = entries.filter(|number| u64::from(*number) >= from);
            for number in entries.take(selection.count.unwrap_or(u64::MAX) as usize) {
                sink(Item::IndexEntry(IndexEntryItem::new(&name, number, index.entry(number), &index)))?;
            }
            index.release_memory();
        }
        Ok(())
    }

    fn dump_checkpoint(&self, sink: Sink<'_>) -> Result<(), InspectError> {
        match Marks::read(&self.config().root_dir)? {
            Some(marks) => Ok(sink(Item::Checkpoint(CheckpointItem::new(marks)))?),
            None => Ok(()),
        }
    }

    fn state(&self) -> Result<StateItem, StoreError> {
        let config = self.config();
        let files = self.log.files().all();
        Ok(StateItem {
            aborted: self.was_aborted(),
            log_files: files.len(),
            log_start: self.log_start(),
            log_file_length: config.mapped_file_size_commit_log,
            queue_file_length: config.units_per_queue_file() * UNIT_LEN as u64,
            index_slots: config.index_slots,
            index_entries: config.index_entries,
        })
    }
}

impl Selection {
    fn wants(&self, view: &RecordView<'_>) -> bool {
        let (topic, stored) = (view.topic(), view.properties());
        let is_topic = self.topic.as_ref().is_none_or(|wanted| *wanted == topic);
        let is_queue = self.queue.is_none_or(|wanted| wanted == view.queue_id());
        is_topic
            && is_queue
            && self.key.as_ref().is_none_or(|key| {
                let (wanted, tag) = (key_of(&topic, key), tag_of(&topic, key));
                let keys = dispatch::keys_of(view, &topic, &stored);
                keys.is_some_and(|keys| keys.each().any(|known| known == wanted || known == tag))
            })
    }
}

fn view(dir: &Path, start: u64) -> Result<QueueFile, StoreError> {
    let path = dir.join(file_name(start));
    QueueFile::view(&path).doing("open", &path)
}

/// The hashes of a key: whole as given, or of a topic's key and tag.
fn hashes(topic: Option<&str>, key: &str) -> Vec<i32> {
    match topic {
        Some(topic) => vec![index_hash(&key_of(topic, key)), index_hash(&tag_of(topic, key))],
        None => vec![index_hash(key)],
    }
}

/// The entries in the slots of these hashes, newest first in each.
fn chain(index: &IndexFile, hashes: &[i32]) -> Vec<u32> {
    let mut found = Vec::new();
    for hash in hashes {
        let mut number = index.slot(index.shape().slot_of(*hash));
        while number != 0 {
            found.push(number);
            // Chains only go back; anything else is damage.
            number = Some(index.entry(number).previous).filter(|previous| *previous < number).unwrap_or(0);
        }
    }
    found
}
