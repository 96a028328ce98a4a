//! Whether the index fits the log: each key of a record has its entry, each entry its record.
//!
//! Entries lie in the order of the log, so both are merged in one pass.

use std::{path::PathBuf, vec};

use rmq_proto::message::{RecordView, hash::index_hash};

use super::{InspectError, StoppedStore, check::Reporter, report::Severity};
use crate::{
    derived::{
        index::Keys,
        index_file::{Entry, IndexFile, Shape},
    },
    error::IoContext,
};

/// Entries behind one that can't be right among which the next right one is looked for.
const LOOK_AHEAD: u32 = 64;
/// Entries after which the memory of what was read is given back.
const RELEASE: u32 = 1 << 20;

const REPAIR: &str = "`mqstore repair` makes the index again";

/// Compares the index with the log.
#[derive(Debug)]
pub(crate) struct IndexCheck<'s> {
    store: &'s StoppedStore,
    shape: Shape,
    crash_from: Option<u64>,
    is_on: bool,
    has_files: bool,
    paths: vec::IntoIter<PathBuf>,
    file: Option<OpenFile>,
    compared: u64,
    pending: u64,
    missing: (u64, String),
}

#[derive(Debug)]
struct OpenFile {
    name: String,
    index: IndexFile,
    /// The entry that comes next.
    number: u32,
    wrong: (u64, String),
}

impl<'s> IndexCheck<'s> {
    /// Looks at the files' names. `crash_from`: from where on the next start makes the index again.
    pub(crate) fn new(
        store: &'s StoppedStore,
        crash_from: Option<u64>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Self, InspectError> {
        let config = store.config();
        let (paths, others) = store.index_files()?;
        for other in others.iter().filter(|other| other.is_file()) {
            let remedy = "move it away: the Java broker takes it for an index file";
            let what = "the file is not the store's";
            reporter.say(Severity::Damage, "foreign", name_of(other), what, remedy);
        }
        reporter.summary.index_files = paths.len() as u64;
        Ok(Self {
            store,
            shape: Shape { slots: config.index_slots, entries: config.index_entries },
            crash_from,
            is_on: config.index_enable,
            has_files: !paths.is_empty(),
            paths: paths.into_iter(),
            file: None,
            compared: 0,
            pending: 0,
            missing: (0, String::new()),
        })
    }

    /// A valid record of the log, in order, with its keys if it is indexed.
    pub(crate) fn record(
        &mut self,
        view: &RecordView<'_>,
        keys: Option<Keys<'_>>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), InspectError> {
        if !self.is_on {
            return Ok(());
        }
        let at = view.physical_offset();
        let mut hashes: Vec<(i32, bool)> = Vec::new();
        if let Some(keys) = keys {
            hashes.extend(keys.each().map(|key| (index_hash(&key), false)));
        }
        while let Some(entry) = self.next(at, !hashes.is_empty(), reporter)? {
            self.compared += 1;
            let found = hashes.iter_mut().find(|(hash, _)| *hash == entry.hash);
            let is_key = found.is_some();
            if let Some((hash, _)) = found {
                let hash = *hash;
                hashes.iter_mut().filter(|known| known.0 == hash).for_each(|known| known.1 = true);
            }
            if let Some(file) = &mut self.file {
                file.compare(entry, is_key, view.store_timestamp());
            }
        }
        let missing = hashes.iter().filter(|(_, found)| !found).count() as u64;
        if missing > 0 && self.crash_from.is_some_and(|from| at as u64 >= from) {
            self.pending += missing;
        } else if missing > 0 {
            note(&mut self.missing, missing, || format!("of the record at {at}"));
        }
        Ok(())
    }

    /// The next entry of the record at `at`; entries of nothing before it are said and passed over.
    fn next(
        &mut self,
        at: i64,
        has_keys: bool,
        reporter: &mut Reporter<'_>,
    ) -> Result<Option<Entry>, InspectError> {
        loop {
            let Some(file) = &mut self.file else {
                if !self.open_next(reporter)? {
                    return Ok(None);
                }
                continue;
            };
            if file.number >= file.index.header().count {
                self.close(reporter);
                continue;
            }
            let entry = file.index.entry(file.number);
            if entry.physical_offset == at {
                file.number += 1;
                return Ok(Some(entry));
            }
            if entry.physical_offset > at && !(has_keys && file.is_out_of_order(at)) {
                return Ok(None);
            }
            let is_expired = (0..self.store.log_start() as i64).contains(&entry.physical_offset);
            if !is_expired {
                self.stray(entry);
            }
            if let Some(file) = &mut self.file {
                file.number += 1;
            }
        }
    }

    fn stray(&mut self, entry: Entry) {
        if self.crash_from.is_some_and(|from| entry.physical_offset >= from as i64) {
            self.pending += 1;
        } else if let Some(file) = &mut self.file {
            let number = file.number;
            let example = || format!("entry {number}, which says {}", entry.physical_offset);
            note(&mut file.wrong, 1, example);
        }
    }

    fn open_next(&mut self, reporter: &mut Reporter<'_>) -> Result<bool, InspectError> {
        let Some(path) = self.paths.next() else {
            return Ok(false);
        };
        let (name, want) = (name_of(&path), self.shape.file_len());
        let len = path.metadata().doing("look at", &path)?.len();
        if len != want {
            let what = format!("the file has {len} bytes, with maxHashSlotNum and maxIndexNum it is {want}");
            let remedy = "the next start makes it again; give -c if the broker sets these keys";
            // A crash leaves an empty file where one was being created.
            let is_new = len == 0 && self.crash_from.is_some();
            let severity = if is_new { Severity::Pending } else { Severity::Damage };
            reporter.say(severity, "index.file", name, what, remedy);
            return Ok(true);
        }
        let index = IndexFile::view(path.clone(), self.shape).doing("open", &path)?;
        if !index.is_sane() {
            let what = format!("its header can't be right: {:?}", index.header());
            reporter.say(Severity::Damage, "index.header", name, what, REPAIR);
            return Ok(true);
        }
        self.check_chains(&index, &name, reporter);
        self.file = Some(OpenFile { name, index, number: 1, wrong: (0, String::new()) });
        Ok(true)
    }

    /// Puts the entries into slots again and compares.
    fn check_chains(&mut self, index: &IndexFile, name: &str, reporter: &mut Reporter<'_>) {
        let (shape, header) = (index.shape(), index.header());
        // A power cut keeps parts of what was not synced; the next start makes that again.
        let crash_from = self.crash_from.map(|from| from as i64);
        let is_pending = |offset: i64| crash_from.is_some_and(|from| offset >= from);
        let mut newest = vec![0u32; shape.slots as usize];
        let (mut wrong, mut pending) = ((0, String::new()), 0);
        let mut say = |offset: i64, example: String| match is_pending(offset) {
            true => pending += 1,
            false => note(&mut wrong, 1, || example),
        };
        for number in 1..header.count {
            let entry = index.entry(number);
            if entry.hash < 0 {
                say(entry.physical_offset, format!("entry {number}, whose hash is negative"));
                continue;
            }
            let slot = &mut newest[shape.slot_of(entry.hash) as usize];
            if entry.previous != *slot {
                let example = format!("entry {number}, which leads to {} instead of {slot}", entry.previous);
                say(entry.physical_offset, example);
            }
            *slot = number;
            if number.is_multiple_of(RELEASE) {
                index.release_memory();
            }
        }
        for (slot, number) in newest.iter().enumerate() {
            let found = index.slot(slot as u32);
            if found != *number {
                let offset = index.entry(found.max(*number)).physical_offset;
                say(offset, format!("slot {slot}, which leads to {found} instead of {number}"));
            }
        }
        let used = newest.iter().filter(|number| **number > 0).count();
        if header.used_slots != used as i32 {
            say(
                header.end_offset,
                format!("the header, which counts {} slots, not {used}", header.used_slots),
            );
        }
        index.release_memory();
        self.pending += pending;
        if let (count @ 1.., example) = wrong {
            let what = format!("{count} chains are broken, the first at {example}");
            reporter.say(Severity::Damage, "index.chain", name, what, REPAIR);
        }
    }

    fn close(&mut self, reporter: &mut Reporter<'_>) {
        let Some(file) = self.file.take() else {
            return;
        };
        let (count, example) = file.wrong;
        if count > 0 {
            let what = format!("{count} entries do not fit the log, the first is {example}");
            reporter.say(Severity::Damage, "index.entry", file.name, what, REPAIR);
        }
    }

    /// Looks at the entries behind the log's last record, and says what does not fit.
    pub(crate) fn finish(mut self, reporter: &mut Reporter<'_>) -> Result<(), InspectError> {
        while self.is_on && self.next(i64::MAX, false, reporter)?.is_some() {}
        self.close(reporter);
        let (count, example) = &self.missing;
        if *count > 0 && !self.has_files {
            let what = format!("there is none, but the log has {count} keys");
            let remedy = "the next start makes it; give -c if the broker sets messageIndexEnable=false";
            reporter.say(Severity::Damage, "index.missing", "index", what, remedy);
        } else if *count > 0 {
            let what = format!("{count} keys have no entry, the first is one {example}");
            reporter.say(Severity::Damage, "index.missing", "index", what, REPAIR);
        }
        if self.pending > 0 {
            let what = format!("{} entries are not there yet, or too much", self.pending);
            let remedy = "the next start makes them from the log";
            reporter.say(Severity::Pending, "index.pending", "index", what, remedy);
        }
        reporter.summary.index_entries = self.compared;
        Ok(())
    }
}

impl OpenFile {
    /// Whether entries of records up to `at` come behind this one, which says a later place.
    fn is_out_of_order(&self, at: i64) -> bool {
        let last = self.index.header().count.min(self.number + LOOK_AHEAD);
        (self.number + 1..last).any(|number| (1..=at).contains(&self.index.entry(number).physical_offset))
    }

    /// Compares the entry before the next one with its record.
    fn compare(&mut self, entry: Entry, is_key: bool, timestamp: i64) {
        let (number, header) = (self.number - 1, self.index.header());
        let at = entry.physical_offset;
        if !is_key {
            note(&mut self.wrong, 1, || {
                format!("entry {number}: its hash is no key's of the record at {at}")
            });
        }
        // Java counts the seconds of the first entry from the end of the file before.
        if number > 1 && entry.seconds != self.index.seconds(timestamp) {
            note(&mut self.wrong, 1, || {
                format!("entry {number}: its time is not that of the record at {at}")
            });
        }
        if number == 1 && (header.begin_offset, header.begin_timestamp) != (at, timestamp) {
            note(&mut self.wrong, 1, || "the header, whose beginning is not that of entry 1".to_owned());
        }
        // A file that was cut knows the time of its end to the second.
        let ends = timestamp..timestamp.saturating_add(1_000);
        if number + 1 == header.count && (header.end_offset != at || !ends.contains(&header.end_timestamp)) {
            note(&mut self.wrong, 1, || "the header, whose end is not that of the last entry".to_owned());
        }
    }
}

fn note(tally: &mut (u64, String), count: u64, example: impl FnOnce() -> String) {
    if tally.0 == 0 {
        tally.1 = example();
    }
    tally.0 += count;
}

fn name_of(path: &std::path::Path) -> String {
    format!("index/{}", path.file_name().unwrap_or_default().to_string_lossy())
}
