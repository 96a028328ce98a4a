//! One queue of a topic: where its records lie in the log.
//!
//! New units stay in memory until there is a page of them or the next flush comes: they are derived,
//! and after a crash recovery makes them again. Reads see both. Files are open only while in use.

use std::{
    fs, io,
    ops::RangeInclusive,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rmq_proto::message::record;

use super::{
    open_files::{OpenFiles, Permit},
    queue_file::{QueueFile, UNIT_LEN, Unit, units},
    roster::Row,
};
use crate::{
    error::{IoContext, StoreError},
    fault,
    file::{
        checkpoint::Checkpoint,
        lock::sync_dir,
        mapped_files::{file_name, list},
    },
};

/// Units in memory above which they are written to the file.
const PAGE: usize = 4096;

/// Longer than a tick of the clock with which kernels stamp files.
const TICK: Duration = Duration::from_millis(20);

/// What became of a unit that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is the queue's newest unit now.
    Added,
    /// So it is, but the units of earlier records are missing.
    AddedBehindGap,
    /// So it is; the record before it had a damaged offset and is left out.
    Mended,
    /// The queue had it already.
    Known,
    /// It does not fit behind the queue's last unit.
    Refused,
}

impl Put {
    /// Whether the queue has one more unit now.
    pub(crate) fn is_added(self) -> bool {
        matches!(self, Self::Added | Self::AddedBehindGap | Self::Mended)
    }
}

/// A queue.
#[derive(Debug)]
pub(crate) struct ConsumeQueue {
    topic: Arc<str>,
    id: i32,
    dir: PathBuf,
    units_per_file: i64,
    open_files: OpenFiles,
    /// The next offset to assign; changes only under the append lock.
    next: AtomicI64,
    deleted: AtomicBool,
    active: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// There are files whose units have not been counted.
    uncounted: bool,
    /// First unit of each file that is there.
    files: Vec<i64>,
    /// First unit whose record is still in the log, as found when the log began at `min_for`.
    min: i64,
    min_for: Option<u64>,
    /// Behind the last unit.
    max: i64,
    /// Behind the last unit before some were forgotten.
    had: i64,
    /// Physical offset behind the last record.
    indexed: u64,
    /// The last units, not in a file yet.
    tail: Vec<u8>,
    /// The newest range of lost records, and the offset of the record behind it, which may be a lie.
    gap: Option<RangeInclusive<i64>>,
    open: Option<Open>,
    used: bool,
    /// First unit of the file that was written since the last sync.
    unsynced: Option<i64>,
    created: bool,
}

/// A file that is kept open.
#[derive(Debug)]
struct Open {
    start: i64,
    file: Arc<QueueFile>,
    _permit: Permit,
}

impl State {
    /// Behind the last unit that is in a file.
    fn written(&self) -> i64 {
        self.max - (self.tail.len() / UNIT_LEN) as i64
    }

    /// The first unit that is there, filler or not.
    fn first(&self) -> i64 {
        self.files.first().copied().unwrap_or(self.written())
    }
}

impl ConsumeQueue {
    /// An empty queue; nothing is created on disk.
    pub(crate) fn new(
        topic: Arc<str>,
        id: i32,
        dir: PathBuf,
        units_per_file: u64,
        open_files: OpenFiles,
    ) -> Self {
        Self {
            topic,
            id,
            dir,
            units_per_file: units_per_file as i64,
            open_files,
            next: AtomicI64::new(0),
            deleted: AtomicBool::new(false),
            active: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Finds the files of the queue; `known` is what was noted of it when the store was closed. Returns whether all of them are as they should be; a file that is
    /// not, and all behind it, are deleted, to be made again from the log.
    pub(crate) fn load(
        &self,
        checkpoint: &Mutex<&mut Checkpoint>,
        known: Option<Row>,
    ) -> Result<bool, StoreError> {
        let file_len = self.units_per_file as u64 * UNIT_LEN as u64;
        let mut state = self.state.lock();
        let mut intact = true;
        let mut expected = None;
        for (start, len) in list(&self.dir)? {
            let path = self.dir.join(file_name(start));
            if len > file_len || !start.is_multiple_of(file_len) {
                return Err(StoreError::FileSize {
                    path,
                    have: len,
                    want: file_len,
                    key: "mappedFileSizeConsumeQueue",
                });
            }
            intact &= len == file_len && expected.is_none_or(|expected| expected == start);
            if intact {
                state.files.push((start / UNIT_LEN as u64) as i64);
                expected = Some(start + file_len);
            } else {
                tracing::warn!(path = %path.display(), "a damaged queue file is made again from the log");
                checkpoint.lock().forget()?;
                fs::remove_file(&path).doing("remove", &path)?;
            }
        }
        state.uncounted = !state.files.is_empty();
        if let Some(row) = known
            && row.changed_ns > 0
            && row.changed_ns == self.changed_ns(&state)
        {
            state.uncounted = false;
            (state.min, state.max, state.indexed) = (state.first(), row.next, row.indexed);
            self.next.store(row.next, Ordering::SeqCst);
        }
        Ok(intact)
    }

    /// What has to be the same at the next start.
    pub(crate) fn row(&self) -> Row {
        let state = self.state.lock();
        let (next, indexed) = (state.max, state.indexed);
        // Units that are only in memory are not in a file that has not changed.
        let changed_ns = if state.tail.is_empty() { self.changed_ns(&state) } else { 0 };
        Row { first: state.first(), next, indexed, changed_ns }
    }

    /// When the last file was changed, ns since the epoch; 0 if that can't be told.
    fn changed_ns(&self, state: &State) -> u64 {
        let changed = |start: &i64| {
            let path = self.dir.join(file_name(*start as u64 * UNIT_LEN as u64));
            fs::metadata(path)?.modified()
        };
        let changed = state.files.last().map(changed).and_then(Result::ok);
        // Another change within a tick of the kernel's clock would not show.
        let changed = changed.filter(|at| at.elapsed().is_ok_and(|since| since > TICK));
        changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos() as u64)
    }

    /// Forgets all units whose records begin at or behind `limit`, and whatever lies behind them.
    pub(crate) fn truncate(&self, limit: u64) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if !state.uncounted && state.indexed <= limit {
            return Ok(());
        }
        self.write_out(&mut state).doing("write", &self.dir)?;
        state.uncounted = false;
        state.max = 0;
        state.indexed = 0;
        state.min_for = None;
        while let Some(start) = state.files.last().copied() {
            let file = self.file(&mut state, start).doing("open", &self.dir)?;
            let keep = file.count(|unit| (unit.physical_offset as u64) < limit);
            let keep = keep.doing("read", &self.dir)?;
            if file.unit(keep).doing("read", &self.dir)?.is_some() {
                let had = start + file.count(|_| true).doing("read", &self.dir)?;
                state.had = state.had.max(had);
            }
            if keep > 0 {
                file.clear_from(keep).doing("truncate", &self.dir)?;
                let last = file.unit(keep - 1).doing("read", &self.dir)?;
                state.max = start + keep;
                state.indexed = last.map_or(0, |unit| unit.end());
                break;
            }
            let path = self.dir.join(file_name(start as u64 * UNIT_LEN as u64));
            fs::remove_file(&path).doing("remove", &path)?;
            state.files.pop();
            state.open = None;
        }
        state.open = None;
        state.min = state.first();
        self.next.store(state.max, Ordering::SeqCst);
        Ok(())
    }

    /// Its topic.
    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Its number in the topic.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Takes the next offset. Only under the append lock.
    pub(crate) fn take_next(&self) -> i64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    /// The offset taken last was not used. Only under the append lock.
    pub(crate) fn give_back_next(&self) {
        self.next.fetch_sub(1, Ordering::SeqCst);
    }

    /// Assigned offsets follow the units from now on.
    pub(crate) fn reset_next(&self) {
        self.next.store(self.max(), Ordering::SeqCst);
    }

    /// Whether the topic was deleted: then nothing may be appended here.
    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::SeqCst)
    }

    /// The topic was deleted: from now on nothing is written here, not even by a flush that is at it.
    pub(crate) fn set_deleted(&self) {
        let _state = self.state.lock();
        self.deleted.store(true, Ordering::SeqCst);
    }

    /// Marks it as in need of a flush; true the first time.
    pub(crate) fn activate(&self) -> bool {
        !self.active.swap(true, Ordering::SeqCst)
    }

    /// Behind the last unit.
    pub(crate) fn max(&self) -> i64 {
        self.state.lock().max
    }

    /// Physical offset behind the last record.
    pub(crate) fn indexed(&self) -> u64 {
        self.state.lock().indexed
    }

    /// The first unit that is there, and behind the last one.
    pub(crate) fn extent(&self) -> (i64, i64) {
        let state = self.state.lock();
        (state.first(), state.max)
    }

    /// The damaged records of the log may be those of units that were forgotten: their offsets are not
    /// given again.
    pub(crate) fn fill_forgotten(&self) -> bool {
        let had = self.state.lock().had;
        self.fill_to(had)
    }

    /// Puts fillers up to an offset in place of records that are lost; false if there is no need.
    pub(crate) fn fill_to(&self, offset: i64) -> bool {
        let mut state = self.state.lock();
        if offset <= state.max {
            return false;
        }
        tracing::error!(topic = %self.topic, queue = self.id, from = state.max, offset, "records of a queue are lost");
        // Below the log's end, or a start would take them for units of records that were never written.
        let before = Unit::filler(state.indexed.saturating_sub(1) as i64);
        self.fill(&mut state, offset, before);
        self.next.store(offset, Ordering::SeqCst);
        true
    }

    fn fill(&self, state: &mut State, offset: i64, filler: Unit) {
        let is_empty = state.files.is_empty() && state.tail.is_empty();
        if is_empty {
            // Java fills the file up to the first unit of a queue whose earlier records are gone.
            let blank = Unit::filler(0).to_bytes();
            state.tail = blank.repeat((offset % self.units_per_file) as usize);
            state.min = offset;
        } else {
            state.tail.extend(filler.to_bytes().repeat((offset - state.max) as usize));
        }
        state.max = offset;
    }

    /// The last unit.
    pub(crate) fn last(&self) -> Option<Unit> {
        let max = self.max();
        self.unit(max - 1)
    }

    /// Adds the unit of a record. Does nothing for one that it has, so that building twice is safe.
    pub(crate) fn put(&self, offset: i64, unit: Unit) -> Put {
        let mut state = self.state.lock();
        if unit.end() <= state.indexed {
            return Put::Known;
        }
        if offset == 0 && state.max > 0 {
            // The topic was deleted and made again: the log still has the records of its former life.
            if self.remove_files(&mut state).is_err() {
                return Put::Refused;
            }
        }
        let contradicts = state.gap.as_ref().is_some_and(|gap| gap.contains(&offset));
        if contradicts && !self.close_gap(&mut state) {
            return Put::Refused;
        }
        let is_empty = state.files.is_empty() && state.tail.is_empty();
        let gap = offset - state.max;
        if gap < 0 {
            tracing::warn!(topic = %self.topic, queue = self.id, offset, max = state.max, "a second record for a queue offset");
            return Put::Refused;
        }
        if gap > 0 {
            let most = unit.end().saturating_sub(state.indexed) / record::FIXED_LEN as u64;
            if !is_empty && gap as u64 > most {
                tracing::warn!(topic = %self.topic, queue = self.id, offset, max = state.max, "a queue offset that can't be right");
                return Put::Refused;
            }
            if !is_empty {
                tracing::warn!(topic = %self.topic, queue = self.id, from = state.max, gap, "records of a queue are lost");
            }
            state.gap = Some(state.max..=offset);
            self.fill(&mut state, offset, Unit::filler(unit.physical_offset));
        }
        state.tail.extend(unit.to_bytes());
        state.max += 1;
        state.indexed = unit.end();
        if state.tail.len() >= PAGE {
            self.write_or_keep(&mut state);
        }
        match gap {
            _ if contradicts => Put::Mended,
            0 => Put::Added,
            _ => Put::AddedBehindGap,
        }
    }

    /// Forgets the newest gap and what lies behind it: a record that belongs there has come, so nothing
    /// was lost, but the record behind the gap has a damaged offset. False if that can't be done.
    fn close_gap(&self, state: &mut State) -> bool {
        let Some(start) = state.gap.take().map(|gap| *gap.start()) else {
            return false;
        };
        let written = state.written();
        let closed = if start <= state.first() {
            self.remove_files(state)
        } else if start >= written {
            state.tail.truncate((start - written) as usize * UNIT_LEN);
            Ok(())
        } else {
            let first = start - start % self.units_per_file;
            if state.files.last() != Some(&first) {
                // What lies in later files would stay.
                return false;
            }
            state.tail.clear();
            self.file_to_write(state, first).and_then(|file| file.clear_from(start - first))
        };
        state.max = start;
        let (topic, queue) = (&self.topic, self.id);
        match closed {
            Ok(()) => {
                tracing::warn!(%topic, queue, start, "a record with a damaged queue offset is left out")
            }
            Err(error) => tracing::error!(%topic, queue, %error, "can't write a queue"),
        }
        true
    }

    /// The offsets that can be read: from the first whose record is in a log that begins at
    /// `log_start`, to behind the last.
    pub(crate) fn range(&self, log_start: u64) -> (i64, i64) {
        let (first, min, max, fresh) = {
            let state = self.state.lock();
            (state.first(), state.min, state.max, state.min_for == Some(log_start))
        };
        if fresh {
            return (min, max);
        }
        let is_gone = |offset: i64| {
            // A damaged unit is as its neighbour.
            let unit = self.unit(self.next_valid(offset));
            unit.is_none_or(|unit| {
                let is_blank = unit.is_filler() && unit.physical_offset == 0;
                is_blank || (unit.physical_offset as u64) < log_start
            })
        };
        // Without any record left, Java lets the smallest offset point behind the last unit too.
        let min = partition(first.max(min), max, is_gone);
        let mut state = self.state.lock();
        state.min = state.min.max(min);
        state.min_for = Some(log_start);
        (state.min, state.max)
    }

    /// The unit at an offset.
    pub(crate) fn unit(&self, offset: i64) -> Option<Unit> {
        self.units(offset, 1).into_iter().next()
    }

    /// Up to `count` units from an offset on, all of one file. Errors count as no units.
    pub(crate) fn units(&self, offset: i64, count: usize) -> Vec<Unit> {
        self.try_units(offset, count).unwrap_or_default()
    }

    /// Likewise, telling an error, which has been logged, from a place without units.
    pub(crate) fn try_units(&self, offset: i64, count: usize) -> io::Result<Vec<Unit>> {
        let bytes = self.read(offset, count).inspect_err(|error| {
            tracing::error!(topic = %self.topic, queue = self.id, offset, %error, "can't read a queue");
        })?;
        Ok(units(&bytes).take_while(Unit::is_valid).collect())
    }

    fn read(&self, offset: i64, count: usize) -> io::Result<Vec<u8>> {
        let mut state = self.state.lock();
        if offset < state.first() || offset >= state.max {
            return Ok(Vec::new());
        }
        let count = count.min((state.max - offset) as usize);
        let written = state.written();
        if offset >= written {
            let at = (offset - written) as usize * UNIT_LEN;
            return Ok(state.tail[at..at + count * UNIT_LEN].to_vec());
        }
        let start = offset - offset % self.units_per_file;
        if state.files.binary_search(&start).is_err() {
            return Ok(Vec::new());
        }
        let file = self.file(&mut state, start)?;
        drop(state);
        file.read(offset - start, count.min((written - offset) as usize))
    }

    /// Writes another unit in place of a damaged one.
    pub(crate) fn replace(&self, offset: i64, unit: Unit) -> io::Result<()> {
        let mut state = self.state.lock();
        let written = state.written();
        if !(state.first()..state.max).contains(&offset) {
            return Ok(());
        }
        if offset >= written {
            let at = (offset - written) as usize * UNIT_LEN;
            state.tail[at..at + UNIT_LEN].copy_from_slice(&unit.to_bytes());
            return Ok(());
        }
        let start = offset - offset % self.units_per_file;
        let file = self.file_to_write(&mut state, start)?;
        file.write(offset - start, &unit.to_bytes())
    }

    /// The first offset at or behind one whose unit is valid, in the same file; else the next file's first.
    pub(crate) fn next_valid(&self, offset: i64) -> i64 {
        if self.unit(offset).is_some() {
            return offset;
        }
        let end = offset - offset % self.units_per_file + self.units_per_file;
        let bytes = self.read(offset, (end - offset) as usize).unwrap_or_default();
        let valid = units(&bytes).position(|unit| unit.is_valid());
        valid.map_or(end, |index| offset + index as i64)
    }

    /// Writes what is in memory to the files and, with `sync`, makes it survive a power cut. Returns
    /// whether the queue needs to be asked again: it has unsynced or open files.
    pub(crate) fn flush(&self, sync: bool) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        self.write_out(&mut state).doing("write", &self.dir)?;
        let was_used = std::mem::replace(&mut state.used, false);
        if sync && let Some(start) = state.unsynced {
            let file = self.file(&mut state, start).doing("open", &self.dir)?;
            state.used = false;
            let created = std::mem::replace(&mut state.created, false);
            state.unsynced = None;
            drop(state);
            // A failed sync of derived files is answered by not advancing the checkpoint.
            self.sync(&file, created).inspect_err(|_| {
                let mut state = self.state.lock();
                (state.unsynced, state.created) = (Some(start), state.created || created);
            })?;
            state = self.state.lock();
        }
        if !was_used && state.unsynced.is_none() && state.tail.is_empty() {
            state.open = None;
        }
        let still = state.open.is_some() || state.unsynced.is_some() || !state.tail.is_empty();
        if !still {
            self.active.store(false, Ordering::SeqCst);
        }
        Ok(still)
    }

    /// Its files are being synced by other means; returns what [`ConsumeQueue::still_unsynced`] wants.
    pub(crate) fn take_unsynced(&self) -> Option<i64> {
        self.state.lock().unsynced.take()
    }

    /// Syncing by other means failed.
    pub(crate) fn still_unsynced(&self, start: Option<i64>) {
        let mut state = self.state.lock();
        // A later file that was written meanwhile wants an earlier one to be synced before.
        state.unsynced = start.or(state.unsynced);
    }

    fn sync(&self, file: &QueueFile, created: bool) -> Result<(), StoreError> {
        file.sync().doing("sync", &self.dir)?;
        if created {
            for dir in self.dir.ancestors().take(3) {
                sync_dir(dir)?;
            }
        }
        Ok(())
    }

    /// Deletes the files whose records are all before `log_start`, but never the last one.
    pub(crate) fn delete_before(&self, log_start: u64) -> Result<usize, StoreError> {
        let mut deleted = 0;
        loop {
            let first = match self.state.lock().files[..] {
                [first, _, ..] => first,
                _ => return Ok(deleted),
            };
            let last = self.unit(first + self.units_per_file - 1);
            if last.is_none_or(|unit| unit.physical_offset as u64 >= log_start) {
                return Ok(deleted);
            }
            let path = self.dir.join(file_name(first as u64 * UNIT_LEN as u64));
            let mut state = self.state.lock();
            if state.files.first() != Some(&first) {
                // The queue began anew meanwhile.
                continue;
            }
            fault::hit(fault::DELETE_QUEUE).doing("remove", &path)?;
            fs::remove_file(&path).doing("remove", &path)?;
            state.files.remove(0);
            state.open.take_if(|open| open.start == first);
            state.min = state.min.max(state.first());
            deleted += 1;
        }
    }

    fn file(&self, state: &mut State, start: i64) -> io::Result<Arc<QueueFile>> {
        self.check_deleted()?;
        state.used = true;
        if let Some(open) = &state.open
            && open.start == start
        {
            return Ok(open.file.clone());
        }
        state.open = None;
        let file = Arc::new(QueueFile::open(&self.dir, start, self.units_per_file)?);
        let keep = |permit| Open { start, file: file.clone(), _permit: permit };
        state.open = self.open_files.permit().map(keep);
        Ok(file)
    }

    fn file_to_write(&self, state: &mut State, start: i64) -> io::Result<Arc<QueueFile>> {
        if let Some(before) = state.unsynced.filter(|before| *before != start) {
            // It would be forgotten: only one file is synced later.
            self.file(state, before)?.sync()?;
        }
        state.unsynced = Some(start);
        self.file(state, start)
    }

    /// A file that is opened now would be made anew, in the place of the topic's next life.
    fn check_deleted(&self) -> io::Result<()> {
        if self.is_deleted() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the topic was deleted"));
        }
        Ok(())
    }

    fn write_out(&self, state: &mut State) -> io::Result<()> {
        while !state.tail.is_empty() {
            let from = state.written();
            let start = from - from % self.units_per_file;
            let room = (start + self.units_per_file - from) as usize * UNIT_LEN;
            let len = state.tail.len().min(room);
            let file = self.file_to_write(state, start)?;
            file.write(from - start, &state.tail[..len])?;
            if state.files.last() != Some(&start) {
                state.files.push(start);
                state.created = true;
            }
            state.tail.drain(..len);
        }
        state.tail.shrink_to(PAGE);
        Ok(())
    }

    /// Units that can't be written now stay in memory until the next flush.
    fn write_or_keep(&self, state: &mut State) {
        if let Err(error) = self.write_out(state) {
            // The flush says so if it lasts.
            tracing::debug!(topic = %self.topic, queue = self.id, %error, "can't write a queue");
        }
    }

    fn remove_files(&self, state: &mut State) -> io::Result<()> {
        tracing::warn!(topic = %self.topic, queue = self.id, "a queue begins anew");
        if let Err(error) = fs::remove_dir_all(&self.dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let indexed = state.indexed;
        *state = State { indexed, ..State::default() };
        Ok(())
    }
}

/// The first number in a range for which `before` does not hold; it holds for a first part only.
pub(crate) fn partition(mut low: i64, mut high: i64, before: impl Fn(i64) -> bool) -> i64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests;
