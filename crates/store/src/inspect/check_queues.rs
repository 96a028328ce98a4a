//! Whether the queues fit the log: each queued record has its entry, each entry its record.

use std::{collections::BTreeMap, path::PathBuf};

use rmq_proto::{
    message::{RecordView, flags, record::FIXED_LEN},
    topic::LMQ_PREFIX,
};

use super::{
    InspectError, StoppedStore,
    check::{Reporter, foreign},
    queue_reader::{QueueReader, queue_dir},
    queue_table::{Queue, Queues, REPAIR, Trouble},
    report::Severity,
};
use crate::{
    derived::{
        dispatch::{delay_level, unit_of},
        queue_file::{QueueFile, UNIT_LEN, Unit, units},
        queues::{directories, is_safe_name},
    },
    error::IoContext,
    file::mapped_files::{file_name, list},
};

/// Java: from here down a tags code is a place in `consumequeue_ext`.
const MAX_EXT_ADDRESS: i64 = i32::MIN as i64 - 1;
/// Entries that are read at once.
const BLOCK: i64 = 4096;
/// The longest delay that is taken for one if the broker's levels are not known, ms: a year.
const MAX_DELAY_MS: i64 = 366 * 86_400_000;

/// Compares queues with the log.
#[derive(Debug)]
pub(crate) struct QueueCheck<'s> {
    store: &'s StoppedStore,
    dir: PathBuf,
    crash_from: Option<u64>,
    queues: Queues,
    reader: QueueReader,
    compared: u64,
}

impl<'s> QueueCheck<'s> {
    /// Looks at the queues' directories. `crash_from`: from where on the next start makes queues again.
    pub(crate) fn new(
        store: &'s StoppedStore,
        crash_from: Option<u64>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Self, InspectError> {
        let config = store.config();
        let dir = config.consume_queue_dir();
        let reader = QueueReader::new(dir.clone(), config.units_per_queue_file());
        let queues = Queues::of(store);
        let mut check = Self { store, dir, crash_from, queues, reader, compared: 0 };
        check.look_at_files(reporter)?;
        reporter.summary.queues = check.queues.all.len() as u64;
        Ok(check)
    }

    fn look_at_files(&mut self, reporter: &mut Reporter<'_>) -> Result<(), InspectError> {
        if !self.dir.exists() {
            return Ok(());
        }
        for (topic, path) in directories(&self.dir)? {
            for (name, path) in directories(&path)? {
                let Ok(id) = name.parse::<i32>() else {
                    continue;
                };
                let shown = format!("consumequeue/{topic}/{name}");
                foreign(&path, &shown, reporter)?;
                let capacity = self.look_at_lengths(&path, &shown, reporter)?;
                let number = self.queues.number(&topic, id);
                let queue = &mut self.queues.all[number];
                (queue.on_disk, queue.capacity) = (true, capacity);
            }
        }
        Ok(())
    }

    fn look_at_lengths(
        &self,
        path: &std::path::Path,
        shown: &str,
        reporter: &mut Reporter<'_>,
    ) -> Result<i64, InspectError> {
        let want = self.reader.units_per_file() as u64 * UNIT_LEN as u64;
        let mut expected = None;
        for (start, len) in list(path)? {
            let place = format!("{shown}/{}", file_name(start));
            if len != want || !start.is_multiple_of(want) {
                let what = format!("the file has {len} bytes, mappedFileSizeConsumeQueue is {want}");
                // A crash leaves an empty file where one was being created.
                let is_new = len == 0 && self.crash_from.is_some();
                let severity = if is_new { Severity::Pending } else { Severity::Damage };
                reporter.say(severity, "queue.file", place, what, REPAIR);
            } else if expected.is_some_and(|expected| expected != start) {
                let what = "the files before it are not there";
                reporter.say(Severity::Damage, "queue.file", place, what, REPAIR);
            }
            expected = start.checked_add(want);
        }
        Ok((expected.unwrap_or(0) / UNIT_LEN as u64) as i64)
    }

    /// A valid record of the log, in order.
    pub(crate) fn record(
        &mut self,
        view: &RecordView<'_>,
        topic: &str,
        stored: &str,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), InspectError> {
        if !flags::is_queued(view.sys_flag()) {
            return Ok(());
        }
        let at = view.physical_offset() as u64;
        let (offset, id) = (view.queue_offset(), view.queue_id());
        if offset < 0 || id < 0 || !is_safe_name(topic) {
            let what = format!("queue {id} of `{}` can't have offset {offset}", topic.escape_debug());
            let remedy = Trouble::Offset.remedy();
            reporter.say(Severity::Note, Trouble::Offset.kind(), self.store.place(at), what, remedy);
            return Ok(());
        }
        let number = self.queues.number(topic, id);
        let expected = unit_of(view, &self.store.config().delay_levels);
        if !self.enter(number, offset, expected)? {
            let example = || format!("offset {offset} at {at}");
            self.queues.all[number].note(Trouble::Offset, example);
            return Ok(());
        }
        let found = self.unit(number, offset)?;
        self.compared += u64::from(found.is_some());
        let trouble = match found {
            None => Trouble::Missing,
            Some(found) if self.fits(found, expected, topic, stored, view.store_timestamp()) => return Ok(()),
            Some(_) => Trouble::Wrong,
        };
        let queue = &mut self.queues.all[number];
        if self.crash_from.is_some_and(|from| at >= from) {
            queue.pending += 1;
        } else {
            queue.note(trouble, || format!("offset {offset} at {at}"));
        }
        Ok(())
    }

    /// Takes an offset as that of the queue's next record; false if it can't be. The rules are those by
    /// which a start makes queues.
    fn enter(&mut self, number: usize, offset: i64, unit: Unit) -> Result<bool, InspectError> {
        let queue = &self.queues.all[number];
        let at = unit.physical_offset as u64;
        let (next, is_first) = (queue.next, queue.first.is_none());
        // Each record that is not there any more took some space.
        let room =
            |from: u64, behind: i64| behind + (unit.end().saturating_sub(from) / FIXED_LEN as u64) as i64;
        if !is_first && offset < next {
            let kept = if offset == 0 { self.unit(number, 0)? } else { None };
            if offset > 0 || kept.is_some_and(|kept| (kept.physical_offset as u64) < at) {
                return Ok(false);
            }
            self.queues.all[number].begin_anew(at);
        } else {
            let farthest = match is_first {
                true if queue.on_disk => room(self.store.log_start(), queue.capacity),
                true => i64::MAX - 1,
                false => room(queue.end, next),
            };
            if offset > farthest {
                return Ok(false);
            }
            if !is_first {
                self.look_at_gap(number, next, offset, at)?;
            }
        }
        let queue = &mut self.queues.all[number];
        queue.first.get_or_insert(offset);
        queue.next = offset + 1;
        queue.end = unit.end();
        Ok(true)
    }

    /// Offsets whose records are not in the log: fillers have to stand there.
    fn look_at_gap(&mut self, number: usize, from: i64, until: i64, at: u64) -> Result<(), InspectError> {
        for offset in from..until {
            let found = self.unit(number, offset)?;
            let queue = &mut self.queues.all[number];
            match found {
                Some(unit) if unit.is_filler() => queue.lost += 1,
                _ if self.crash_from.is_some_and(|from| at >= from) => queue.pending += 1,
                Some(unit) => {
                    queue.note(Trouble::Stray, || {
                        format!("offset {offset}, which says {}", unit.physical_offset)
                    });
                }
                None => queue.note(Trouble::Hole, || format!("offset {offset}")),
            }
        }
        Ok(())
    }

    fn unit(&mut self, number: usize, offset: i64) -> Result<Option<Unit>, InspectError> {
        let queue = &self.queues.all[number];
        if !queue.on_disk || offset >= queue.capacity {
            return Ok(None);
        }
        Ok(self.reader.unit(number, &queue.topic, queue.id, offset)?)
    }

    fn fits(&mut self, found: Unit, expected: Unit, topic: &str, stored: &str, stored_at: i64) -> bool {
        if found == expected {
            return true;
        }
        if found.tags_code <= MAX_EXT_ADDRESS || delay_level(topic, stored).is_none() {
            let is_ext = found.tags_code <= MAX_EXT_ADDRESS;
            return is_ext && Unit { tags_code: expected.tags_code, ..found } == expected;
        }
        let delay = found.tags_code.saturating_sub(stored_at);
        let is_delay = !self.store.layout().is_configured() && (0..=MAX_DELAY_MS).contains(&delay);
        self.queues.odd_delays += 1;
        is_delay && Unit { tags_code: expected.tags_code, ..found } == expected
    }

    /// Looks at the entries that no record of the log has asked for, and says what does not fit.
    pub(crate) fn finish(mut self, reporter: &mut Reporter<'_>) -> Result<Queues, InspectError> {
        let mut order: Vec<usize> = (0..self.queues.all.len()).collect();
        order.sort_by_key(|number| (self.queues.all[*number].topic.clone(), self.queues.all[*number].id));
        let mut deleted = BTreeMap::new();
        for number in order {
            if self.queues.all[number].on_disk && !self.queues.all[number].topic.starts_with(LMQ_PREFIX) {
                self.look_at_rest(number)?;
            }
            if self.queues.is_deleted(&self.queues.all[number]) {
                let queue = &self.queues.all[number];
                *deleted.entry(queue.topic.clone()).or_insert(0) += queue.next - queue.first.unwrap_or(0);
                continue;
            }
            self.say(number, reporter);
        }
        for (topic, records) in deleted {
            let what = format!("the log still has {records} records of the topic, which was deleted");
            reporter.say(Severity::Note, "queue.deleted", topic, what, "");
        }
        self.say_delays(reporter);
        reporter.summary.entries = self.compared;
        Ok(self.queues)
    }

    fn say(&self, number: usize, reporter: &mut Reporter<'_>) {
        let queue = &self.queues.all[number];
        let place = format!("{}/{}", queue.topic, queue.id);
        reporter.summary.lost += queue.lost;
        for (trouble, count, example) in &queue.troubles {
            let (kind, mut what) = (trouble.kind(), trouble.what(*count, example));
            if !queue.on_disk {
                what.push_str("; the queue's directory is gone");
            }
            reporter.say(Severity::Damage, kind, &place, what, trouble.remedy());
        }
        if queue.pending > 0 {
            let what = format!("{} entries are not there yet, or too much", queue.pending);
            let remedy = "the next start makes them from the log";
            reporter.say(Severity::Pending, "queue.pending", &place, what, remedy);
        }
    }

    fn say_delays(&self, reporter: &mut Reporter<'_>) {
        if self.queues.odd_delays > 0 && !self.store.layout().is_configured() {
            let count = self.queues.odd_delays;
            let what = format!("{count} times of delivery do not fit Java's default messageDelayLevel");
            let remedy = "give the broker's config file with -c to have them checked";
            reporter.say(Severity::Note, "queue.delay", "SCHEDULE_TOPIC_XXXX", what, remedy);
        }
    }

    fn look_at_rest(&mut self, number: usize) -> Result<(), InspectError> {
        let queue = &self.queues.all[number];
        let path = queue_dir(&self.dir, &queue.topic, queue.id);
        let mut rest = Rest {
            expected: None,
            physical: 0,
            log_start: self.store.log_start(),
            crash_from: self.crash_from,
        };
        for (start, _) in list(&path)? {
            let file_path = path.join(file_name(start));
            let file = QueueFile::view(&file_path).doing("open", &file_path)?;
            let start = (start / UNIT_LEN as u64) as i64;
            let mut at = 0;
            while let Some(data) = file.next_data(at) {
                let queue = &mut self.queues.all[number];
                at = data.end.min(data.start + BLOCK);
                // What the log has asked for is compared already.
                if let Some(first) = queue.first
                    && (first..queue.next).contains(&(start + data.start))
                {
                    at = (queue.next - start).clamp(data.start + 1, self.reader.units_per_file());
                    rest.expected = Some(start + at);
                    continue;
                }
                let bytes = file.read(data.start, (at - data.start) as usize).doing("read", &file_path)?;
                for (offset, unit) in
                    (start + data.start..).zip(units(&bytes)).filter(|(_, unit)| unit.is_valid())
                {
                    rest.look(queue, offset, unit);
                }
            }
        }
        Ok(())
    }
}

/// Goes over the entries that are there, in order.
struct Rest {
    /// The offset that comes next.
    expected: Option<i64>,
    /// The last physical offset.
    physical: i64,
    log_start: u64,
    crash_from: Option<u64>,
}

impl Rest {
    fn look(&mut self, queue: &mut Queue, offset: i64, unit: Unit) {
        let is_before = queue.first.is_none_or(|first| offset < first);
        if queue.first.is_some_and(|first| (first..queue.next).contains(&offset)) {
            self.expected = Some(offset + 1);
            return;
        }
        let at = unit.physical_offset as u64;
        let is_pending = !is_before && self.crash_from.is_some_and(|from| at >= from)
            || queue.first.is_none() && self.crash_from.is_some_and(|from| at >= from);
        if let Some(expected) = self.expected.filter(|expected| *expected < offset && !is_pending) {
            queue.note(Trouble::Hole, || format!("offset {expected}"));
        }
        self.expected = Some(offset + 1);
        let is_expired = is_before && at < self.log_start && unit.physical_offset >= self.physical;
        if unit.is_filler() {
            queue.lost += u64::from(unit.physical_offset > 0);
        } else if is_expired {
            self.physical = unit.physical_offset;
        } else if is_pending {
            queue.pending += 1;
        } else {
            queue.note(Trouble::Stray, || format!("offset {offset}, which says {at}"));
        }
    }
}
