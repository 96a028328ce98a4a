//! Whether a store's files fit together.
//!
//! One walk over the log feeds two comparisons, which keep only a little for each queue: the queues'
//! entries are looked up by offset, the index's entries lie in the order of the log and are merged with it.

use std::{ops::ControlFlow, path::Path};

use rmq_proto::message::RecordView;

use super::{
    InspectError, StoppedStore,
    check_index::IndexCheck,
    check_queues::QueueCheck,
    entries,
    log_walk::{End, Place, walk},
    queue_table::Queues,
    report::{Finding, Listener, Severity, Summary},
};
use crate::{
    derived::dispatch,
    error::{IoContext, StoreError},
    file::{
        checkpoint::Marks,
        mapped_files::{file_name, list, start_of},
    },
    opening::synced_until,
};

/// Bytes of the log between two reports of progress.
const PROGRESS_BYTES: u64 = 16 << 20;
/// Bytes of the checkpoint that mean something.
const CHECKPOINT_LEN: u64 = 48;

/// Takes findings and counts them.
pub(crate) struct Reporter<'l> {
    listener: &'l mut dyn Listener,
    pub(crate) summary: Summary,
}

impl Reporter<'_> {
    /// Says something that was found.
    pub(crate) fn say(
        &mut self,
        severity: Severity,
        kind: &'static str,
        place: impl Into<String>,
        what: impl Into<String>,
        remedy: &'static str,
    ) {
        self.summary.count(severity);
        self.listener.found(Finding { severity, kind, place: place.into(), what: what.into(), remedy });
    }
}

/// What a check saw, for those who put it right.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) summary: Summary,
    pub(crate) queues: Queues,
}

impl StoppedStore {
    /// Compares everything with everything else and tells `listener` what does not fit. Takes one walk
    /// over the log; needs memory for each queue, not for each record.
    ///
    /// # Errors
    /// When a file can't be read. What is damaged is no error.
    pub fn check(&self, listener: &mut dyn Listener) -> Result<Summary, InspectError> {
        self.check_all(listener).map(|checked| checked.summary)
    }

    pub(crate) fn check_all(&self, listener: &mut dyn Listener) -> Result<Checked, InspectError> {
        let mut reporter = Reporter { listener, summary: Summary::default() };
        let marks = Marks::read(&self.config().root_dir)?;
        let aborted = self.was_aborted();
        let crash_from = aborted.then(|| {
            let synced = synced_until(&self.log, &marks.unwrap_or_default());
            synced.unwrap_or(self.log_start())
        });
        reporter.summary.aborted = aborted;
        reporter.summary.next_start_walks_from = crash_from;
        for doubt in self.layout.doubts() {
            reporter.say(Severity::Note, "sizes", "the sizes of the files", doubt.as_str(), "");
        }
        check_log_files(self, &mut reporter)?;
        let mut queues = QueueCheck::new(self, crash_from, &mut reporter)?;
        let mut index = IndexCheck::new(self, crash_from, &mut reporter)?;
        let seen = self.walk_log(&marks.unwrap_or_default(), &mut queues, &mut index, &mut reporter)?;
        let queues = queues.finish(&mut reporter)?;
        index.finish(&mut reporter)?;
        check_checkpoint(self, marks, &seen, &mut reporter)?;
        Ok(Checked { summary: reporter.summary, queues })
    }

    fn walk_log(
        &self,
        marks: &Marks,
        queues: &mut QueueCheck<'_>,
        index: &mut IndexCheck<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Seen, InspectError> {
        let start = self.log_start();
        let limit = self.log.files().last().map_or(0, |file| file.end());
        let mut seen = Seen::default();
        let mut report_at = start;
        let end = walk(&self.log, start, |place| {
            match place {
                Place::Record(view) => {
                    seen.look(&view, marks);
                    let (topic, stored) = (view.topic(), view.properties());
                    queues.record(&view, &topic, &stored, reporter)?;
                    let keys = dispatch::keys_of(&view, &topic, &stored);
                    index.record(&view, keys, reporter)?;
                    let at = view.physical_offset() as u64;
                    if at >= report_at {
                        reporter.listener.progress(at, limit);
                        report_at = at + PROGRESS_BYTES;
                    }
                }
                Place::Blank { .. } => {}
                Place::Missing { at, next } => self.say_missing(at, next, reporter),
                Place::Damaged { at, next, why } => {
                    damaged(at, next, reporter);
                    let what = format!("{} bytes are no record: {why}", next - at);
                    let remedy = "what was in there is lost; `mqstore repair` seals it";
                    reporter.say(Severity::Damage, "log.damaged", self.place(at), what, remedy);
                }
            }
            Ok::<_, InspectError>(ControlFlow::Continue(()))
        })?;
        seen.end = end.at;
        reporter.summary.records = seen.records;
        reporter.summary.log_start = start;
        reporter.summary.log_end = end.at;
        self.check_tail(&end, limit, reporter)?;
        Ok(seen)
    }

    fn say_missing(&self, at: u64, next: u64, reporter: &mut Reporter<'_>) {
        damaged(at, next, reporter);
        let what = format!("the log has nothing between {at} and {next}: files are missing or were cut");
        let remedy =
            "copy them from a replica; without them their records are lost, the others stay readable";
        reporter.say(Severity::Damage, "log.missing", self.place(at), what, remedy);
    }

    fn check_tail(&self, end: &End, limit: u64, reporter: &mut Reporter<'_>) -> Result<(), StoreError> {
        let Some(why) = end.why else {
            return Ok(());
        };
        let Some(first) = self.first_data(end.at, limit)? else {
            return Ok(());
        };
        let what =
            format!("behind the last record, at {}, lie bytes that are none, from {first} on: {why}", end.at);
        let severity = if reporter.summary.aborted { Severity::Pending } else { Severity::Note };
        let remedy = "the next start turns them into zeros";
        reporter.say(severity, "log.tail", self.place(end.at), what, remedy);
        Ok(())
    }

    /// The first byte that is not zero.
    fn first_data(&self, from: u64, limit: u64) -> Result<Option<u64>, StoreError> {
        for file in self.log.files().all() {
            let mut at = from.max(file.start()) - file.start();
            if file.end() <= from || file.start() >= limit {
                continue;
            }
            while let Some(data) = file.next_data(at) {
                at = data.end;
                let bytes = file.bytes(data.clone()).doing("read", file.path())?;
                if let Some(index) = bytes.iter().position(|byte| *byte != 0) {
                    return Ok(Some(file.start() + data.start + index as u64));
                }
                file.release_memory();
            }
        }
        Ok(None)
    }

    /// A place in the log, for people.
    pub(crate) fn place(&self, at: u64) -> String {
        let len = self.config().mapped_file_size_commit_log;
        let start = self.log.files().at_or_after(at).map_or(at / len * len, |file| file.start());
        format!("commitlog/{} at {at}", file_name(start.min(at)))
    }
}

fn damaged(at: u64, next: u64, reporter: &mut Reporter<'_>) {
    reporter.summary.damaged_ranges += 1;
    reporter.summary.damaged_bytes += next - at;
}

/// What the checkpoint is compared with.
#[derive(Debug, Default)]
struct Seen {
    records: u64,
    end: u64,
    newest: i64,
    /// A record begins where the checkpoint says.
    has_marked: bool,
}

impl Seen {
    fn look(&mut self, view: &RecordView<'_>, marks: &Marks) {
        self.records += 1;
        self.newest = self.newest.max(view.store_timestamp());
        self.has_marked |= view.physical_offset() == marks.queue_offset;
    }
}

fn check_log_files(store: &StoppedStore, reporter: &mut Reporter<'_>) -> Result<(), InspectError> {
    let dir = store.config().commit_log_dir();
    let want = store.config().mapped_file_size_commit_log;
    let files = list(&dir)?;
    let last = files.last().map(|(start, _)| *start);
    for (start, len) in files {
        let place = format!("commitlog/{}", file_name(start));
        if len == 0 && Some(start) == last {
            let what = "the file is empty: it was being created";
            reporter.say(Severity::Pending, "log.file", place, what, "the next start removes it");
        } else if len != want {
            let what = format!("the file has {len} bytes, mappedFileSizeCommitLog is {want}");
            let remedy = match len < want {
                true => "copy it from a replica; a start of our broker extends it with zeros",
                false => "give the broker's config file with -c, or move the file away",
            };
            reporter.say(Severity::Damage, "log.file", place, what, remedy);
        } else if !start.is_multiple_of(want) {
            let what = format!("no file begins there: {start} is no multiple of {want}");
            reporter.say(Severity::Damage, "log.file", place, what, "move the file away");
        }
    }
    foreign(&dir, "commitlog", reporter)
}

/// Files that Java's broker takes for its own and then does not start.
pub(crate) fn foreign(dir: &Path, shown: &str, reporter: &mut Reporter<'_>) -> Result<(), InspectError> {
    for (name, kind) in entries(dir)? {
        if !kind.is_dir() && start_of(&name).is_none() {
            let what = "the file is not the store's";
            let remedy = "move it away: the Java broker does not start with it";
            reporter.say(Severity::Damage, "foreign", format!("{shown}/{name}"), what, remedy);
        }
    }
    Ok(())
}

fn check_checkpoint(
    store: &StoppedStore,
    marks: Option<Marks>,
    seen: &Seen,
    reporter: &mut Reporter<'_>,
) -> Result<(), InspectError> {
    let Some(marks) = marks else {
        let what = "there is none";
        reporter.say(Severity::Note, "checkpoint", "checkpoint", what, "the next start makes one");
        return Ok(());
    };
    let path = store.config().root_dir.join("checkpoint");
    let len = path.metadata().doing("look at", &path)?.len();
    let mut wrong = Vec::new();
    if len < CHECKPOINT_LEN {
        wrong.push(format!("the file has {len} bytes, at least {CHECKPOINT_LEN} are needed"));
    }
    let offset = marks.queue_offset;
    if offset < 0 || (offset > 0 && offset as u64 >= seen.end) {
        wrong.push(format!("the queues are said to be safe up to {offset}, the log ends at {}", seen.end));
    } else if offset as u64 > store.log_start() && (offset as u64) < seen.end && !seen.has_marked {
        wrong.push(format!("the queues are said to be safe up to {offset}, where no record begins"));
    }
    let times =
        [("log", marks.log_timestamp), ("queues", marks.queue_timestamp), ("index", marks.index_timestamp)];
    for (what, time) in times {
        if time < 0 || (seen.records > 0 && time > seen.newest) {
            wrong.push(format!(
                "the {what} is said to be safe up to the time {time}, the newest record is of {}",
                seen.newest
            ));
        }
    }
    for what in wrong {
        let remedy = "`mqstore repair` writes it anew";
        reporter.say(Severity::Damage, "checkpoint", "checkpoint", what, remedy);
    }
    Ok(())
}
