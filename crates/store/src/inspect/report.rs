//! What a check says.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know, nothing to do.
    Note,
    /// What a crash leaves behind; the next start puts it right.
    Pending,
    /// Files do not fit together, or records are lost.
    Damage,
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is, for programs: `log.damaged`, `queue.missing`, …
    pub kind: &'static str,
    /// Where: a file, or a place in the log or a queue.
    pub place: String,
    /// What is there.
    pub what: String,
    /// What to do about it; empty if nothing.
    pub remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Pending => "pending",
            Severity::Damage => "DAMAGE",
        };
        write!(f, "{severity:7} {:16} {}: {}", self.kind, self.place, self.what)?;
        match self.remedy {
            "" => Ok(()),
            remedy => write!(f, " -- {remedy}"),
        }
    }
}

/// Hears what a check finds, while it runs.
pub trait Listener {
    /// Something was found.
    fn found(&mut self, finding: Finding);

    /// The log was looked at up to `at` of `end`, physical offsets.
    fn progress(&mut self, at: u64, end: u64) {
        let _ = (at, end);
    }

    /// What is found from now on is what a repair has left.
    fn after_repair(&mut self) {}
}

impl<F: FnMut(Finding)> Listener for F {
    fn found(&mut self, finding: Finding) {
        self(finding);
    }
}

/// What a check saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Physical offset of the log's first byte.
    pub log_start: u64,
    /// Physical offset behind the log's last record.
    pub log_end: u64,
    /// Valid records in the log.
    pub records: u64,
    /// Ranges of the log that are no records, and files of it that are missing.
    pub damaged_ranges: u64,
    /// Bytes in them.
    pub damaged_bytes: u64,
    /// Queues.
    pub queues: u64,
    /// Entries of queues that were compared with their record.
    pub entries: u64,
    /// Entries that stand for records that were lost earlier.
    pub lost: u64,
    /// Index files.
    pub index_files: u64,
    /// Entries of the index that were compared with their record.
    pub index_entries: u64,
    /// Whether the last broker ended without closing the store.
    pub aborted: bool,
    /// Where the next start begins to walk the log, if it does.
    pub next_start_walks_from: Option<u64>,
    /// Findings by severity: damage.
    pub damage: u64,
    /// Findings by severity: left behind by a crash.
    pub pending: u64,
    /// Findings by severity: notes.
    pub notes: u64,
}

impl Summary {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage == 0
    }

    pub(crate) fn count(&mut self, severity: Severity) {
        match severity {
            Severity::Damage => self.damage += 1,
            Severity::Pending => self.pending += 1,
            Severity::Note => self.notes += 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log_start, log_end, records, .. } = self;
        writeln!(
            f,
            "log      {records} records in {log_start}..{log_end}, {} damaged ranges",
            self.damaged_ranges
        )?;
        let Self { queues, entries, lost, .. } = self;
        writeln!(f, "queues   {queues}, {entries} entries compared, {lost} stand for lost records")?;
        writeln!(f, "index    {} files, {} entries compared", self.index_files, self.index_entries)?;
        let closed = if self.aborted { "crashed (there is a file abort)" } else { "closed in order" };
        match self.next_start_walks_from {
            Some(from) => writeln!(f, "state    {closed}; the next start walks the log from {from}")?,
            None => writeln!(f, "state    {closed}")?,
        }
        let Self { damage, pending, notes, .. } = self;
        let verdict = if self.is_sound() { "sound" } else { "damaged" };
        write!(f, "result   {verdict}: {damage} damaged, {pending} left by a crash, {notes} notes")
    }
}
