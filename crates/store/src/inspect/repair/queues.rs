//! Putting queues right in place, from the records of a log that is walked.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use rmq_proto::message::{RecordView, flags};

use crate::{
    config::StoreConfig,
    derived::{
        dispatch::unit_of,
        queue_file::{QueueFile, UNIT_LEN, Unit, units},
    },
    error::{IoContext, StoreError},
    file::mapped_files::{file_name, list},
    inspect::{InspectError, queue_reader::queue_dir, queue_table::Queues},
};

/// Files that are open at once.
const OPEN_FILES: usize = 256;
/// Entries that are read at once.
const BLOCK: i64 = 4096;

/// Writes the entries that are not as the log wants them.
pub(super) struct QueueHealer<'a> {
    config: &'a StoreConfig,
    dir: PathBuf,
    queues: &'a Queues,
    open: HashMap<usize, (i64, QueueFile)>,
    /// Behind the last record of each queue so far.
    next: HashMap<usize, i64>,
    written: u64,
}

impl<'a> QueueHealer<'a> {
    /// Of the queues that a check has seen.
    pub(super) fn new(config: &'a StoreConfig, queues: &'a Queues) -> Self {
        Self {
            config,
            dir: config.consume_queue_dir(),
            queues,
            open: HashMap::new(),
            next: HashMap::new(),
            written: 0,
        }
    }

    fn units_per_file(&self) -> i64 {
        self.config.units_per_queue_file() as i64
    }

    /// Refuses files that can't be a queue's with these sizes.
    pub(super) fn check_names(&self) -> Result<(), InspectError> {
        let file_len = self.config.units_per_queue_file() * UNIT_LEN as u64;
        for (_, topic, id, _) in self.queues.ranges() {
            let dir = queue_dir(&self.dir, topic, id);
            if let Some((start, _)) = list(&dir)?.iter().find(|(start, _)| !start.is_multiple_of(file_len)) {
                let path = dir.join(file_name(*start));
                let why = format!("{} begins at no multiple of {file_len} bytes", path.display());
                let remedy = "move it away, or give the broker's config file with -c";
                return Err(InspectError::Config(format!("{why}: {remedy}")));
            }
        }
        Ok(())
    }

    /// A valid record, in the order of the log.
    pub(super) fn record(&mut self, view: &RecordView<'_>) -> Result<(), StoreError> {
        let at = view.physical_offset() as u64;
        if !flags::is_queued(view.sys_flag()) {
            return Ok(());
        }
        let topic = view.topic();
        let (id, offset) = (view.queue_id(), view.queue_offset());
        let Some(number) = self.queues.place_of(&topic, id, at, offset) else {
            return Ok(());
        };
        let unit = unit_of(view, &self.config.delay_levels);
        let next = self.next.insert(number, offset + 1).unwrap_or(offset);
        let dir = queue_dir(&self.dir, &topic, id);
        for lost in next..offset {
            // The next record's place, so that the places keep rising.
            self.put(number, &dir, lost, Unit::filler(unit.physical_offset))?;
        }
        self.put(number, &dir, offset, unit)
    }

    fn put(&mut self, number: usize, dir: &Path, offset: i64, unit: Unit) -> Result<(), StoreError> {
        let start = offset - offset % self.units_per_file();
        if self.open.get(&number).is_none_or(|(open, _)| *open != start) {
            if self.open.len() >= OPEN_FILES {
                self.open.clear();
            }
            let file = self.open_file(dir, start)?;
            self.open.insert(number, (start, file));
        }
        if let Some((_, file)) = self.open.get(&number) {
            self.written += u64::from(put(file, offset - start, unit).doing("write", dir)?);
        }
        Ok(())
    }

    fn open_file(&self, dir: &Path, start: i64) -> Result<QueueFile, StoreError> {
        let file = QueueFile::open(dir, start, self.units_per_file()).doing("open", dir)?;
        file.set_full_len().doing("extend", dir)?;
        Ok(file)
    }

    /// Looks at the entries that no record has: those of expired and of lost records stay as offsets.
    pub(super) fn finish(mut self, log_start: u64, log_end: u64) -> Result<u64, StoreError> {
        self.open.clear();
        for (_, topic, id, range) in self.queues.ranges() {
            let dir = queue_dir(&self.dir, topic, id);
            self.written += self.finish_queue(&dir, range, log_start, log_end)?;
        }
        Ok(self.written)
    }

    fn finish_queue(
        &self,
        dir: &Path,
        range: Option<(i64, i64)>,
        log_start: u64,
        log_end: u64,
    ) -> Result<u64, StoreError> {
        let starts = self.last_run(dir, range)?;
        let Some(first) = starts.first().copied() else {
            return Ok(0);
        };
        let mut rest = Rest {
            next: first,
            physical: 0,
            log_start,
            log_end,
            range,
            seen: 0,
            end: None,
            writes: Vec::new(),
        };
        let mut written = 0;
        for start in starts {
            let file = self.open_file(dir, start)?;
            self.look_at(&file, start, &mut rest).doing("read", dir)?;
            written += self.write_out(dir, &mut rest)?;
        }
        rest.end();
        written += self.write_out(dir, &mut rest)?;
        self.clear_behind(dir, rest.end.unwrap_or(rest.next))?;
        Ok(written)
    }

    /// The files that follow each other without a gap up to the last one that counts; earlier ones, which
    /// have entries of expired records only, go.
    fn last_run(&self, dir: &Path, range: Option<(i64, i64)>) -> Result<Vec<i64>, StoreError> {
        let starts: Vec<_> = list(dir)?.iter().map(|(start, _)| (start / UNIT_LEN as u64) as i64).collect();
        let mut run: Vec<i64> = Vec::new();
        for start in starts {
            let follows = run.last().is_none_or(|last| last + self.units_per_file() == start);
            if !follows && range.is_some_and(|(_, next)| start >= next) {
                break;
            }
            if !follows {
                for old in run.drain(..) {
                    let path = dir.join(file_name(old as u64 * UNIT_LEN as u64));
                    fs::remove_file(&path).doing("remove", &path)?;
                }
            }
            run.push(start);
        }
        Ok(run)
    }

    fn look_at(&self, file: &QueueFile, start: i64, rest: &mut Rest) -> std::io::Result<()> {
        let mut at = 0;
        while let Some(data) = file.next_data(at) {
            at = data.end.min(data.start + BLOCK);
            let bytes = file.read(data.start, (at - data.start) as usize)?;
            for (offset, unit) in (start + data.start..).zip(units(&bytes)) {
                rest.look(offset, unit);
            }
        }
        Ok(())
    }

    fn write_out(&self, dir: &Path, rest: &mut Rest) -> Result<u64, StoreError> {
        let mut written = 0;
        for (offset, unit) in rest.writes.drain(..) {
            let start = offset - offset % self.units_per_file();
            let file = self.open_file(dir, start)?;
            written += u64::from(put(&file, offset - start, unit).doing("write", dir)?);
        }
        Ok(written)
    }

    /// Nothing may lie behind the queue's end.
    fn clear_behind(&self, dir: &Path, end: i64) -> Result<(), StoreError> {
        for (start, _) in list(dir)? {
            let path = dir.join(file_name(start));
            let start = (start / UNIT_LEN as u64) as i64;
            if start >= end && start > 0 {
                fs::remove_file(&path).doing("remove", &path)?;
            } else if start + self.units_per_file() > end {
                let file = self.open_file(dir, start)?;
                file.clear_from((end - start).max(0)).doing("clear the end of", &path)?;
            }
        }
        Ok(())
    }
}

/// Writes an entry unless it is there; says whether it did.
fn put(file: &QueueFile, index: i64, unit: Unit) -> std::io::Result<bool> {
    let found = file.unit(index)?;
    let is_there = found == Some(unit) || unit.is_filler() && found.is_some_and(|found| found.is_filler());
    if !is_there {
        file.write(index, &unit.to_bytes())?;
    }
    Ok(!is_there)
}

/// Goes over the entries of a queue in order. What the log has is right already; of the others only the
/// offsets matter.
struct Rest {
    /// The offset that comes next.
    next: i64,
    /// Behind the last record that an entry spoke of.
    physical: u64,
    log_start: u64,
    log_end: u64,
    /// Offsets of the records in the log: the first and the one behind the last.
    range: Option<(i64, i64)>,
    /// Behind the last entry that may be one.
    seen: i64,
    /// Where the queue ends, if something lies behind it.
    end: Option<i64>,
    writes: Vec<(i64, Unit)>,
}

impl Rest {
    fn look(&mut self, offset: i64, unit: Unit) {
        match self.range {
            Some((first, next)) if (first..next).contains(&offset) => {
                self.fill_up_to(first);
                self.physical = self.physical.max(unit.end());
                self.next = offset + 1;
            }
            Some((_, next)) if offset >= next => self.look_behind(offset, unit),
            _ => self.look_before(offset, unit),
        }
    }

    /// Behind the last record: what follows at once was lost by the log, its offset must not be given to
    /// another record. All else is garbage.
    fn look_behind(&mut self, offset: i64, unit: Unit) {
        let at = unit.physical_offset as u64;
        let is_lost = offset == self.next && unit.is_valid() && (self.physical..self.log_end).contains(&at);
        if self.end.is_some() || !is_lost {
            self.end.get_or_insert(self.next);
            return;
        }
        self.keep_offset(offset, unit);
    }

    /// Before the first record, or without any: entries of expired records, which keep the offsets.
    fn look_before(&mut self, offset: i64, unit: Unit) {
        let at = unit.physical_offset as u64;
        if !unit.is_valid() || offset < self.next {
            return;
        }
        let is_blank = unit.is_filler() && at == 0;
        let limit = if self.range.is_some() { self.log_start } else { self.log_end };
        if (is_blank && self.physical == 0) || (self.physical..limit).contains(&at) && !is_blank {
            self.fill_up_to(offset);
            self.keep_offset(offset, unit);
        } else if at > 0 && at < self.log_end {
            self.seen = offset + 1;
        }
    }

    fn keep_offset(&mut self, offset: i64, unit: Unit) {
        let at = unit.physical_offset as u64;
        if !unit.is_filler() && at >= self.log_start {
            self.writes.push((offset, Unit::filler(unit.physical_offset)));
        }
        self.physical = self.physical.max(at);
        self.next = offset + 1;
    }

    /// All entries have been looked at.
    fn end(&mut self) {
        match self.range {
            Some((first, _)) => self.fill_up_to(first),
            None => self.fill_up_to(self.seen),
        }
    }

    fn fill_up_to(&mut self, offset: i64) {
        let filler = Unit::filler(self.physical as i64);
        self.writes.extend((self.next..offset).map(|lost| (lost, filler)));
        self.next = self.next.max(offset);
    }
}
