//! `queues`: which queues there were, and how long each was. A file of our own; Java does not look at it.
//!
//! A queue whose directory was deleted, or whose files were cut, looks like one that was always so. Then its
//! offsets would begin anew, while consumers go on where they were. So the store notes the queues with each
//! checkpoint, and compares when it is opened.
//!
//! ```text
//! queues 1 <log start> <boot id of the machine>
//! <queue> <first unit that is there> <next offset> <physical offset behind the last record>
//!     <when the last file changed, ns> <topic>
//! …
//! crc32 <of all lines above, hexadecimal>
//! ```
//! A queue whose last file has not changed since is taken as it was: of 800,000 idle queues none is read.
//! After a crash this holds only if the machine has not been started anew: a power cut may take back when a
//! file was changed, but not what was written to it.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{dispatch::LIGHT_PREFIX, queues::Queues};
use crate::{
    error::{IoContext, StoreError},
    fault,
    file::lock::sync_dir,
};

/// What is known of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// The first unit that is there.
    pub(crate) first: i64,
    /// The next offset.
    pub(crate) next: i64,
    /// Physical offset behind the last record.
    pub(crate) indexed: u64,
    /// When the last file was changed, ns since the epoch; 0 if there is none.
    pub(crate) changed_ns: u64,
}

/// The queues of an earlier moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    log_start: u64,
    boot: String,
    rows: HashMap<(String, i32), Row>,
}

/// Differs after each start of the machine; empty if it can't be told.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn path(root: &Path) -> PathBuf {
    root.join("queues")
}

impl Roster {
    /// Reads the file. One that is not there, or damaged, knows no queue.
    pub(crate) fn read(root: &Path) -> Result<Self, StoreError> {
        let path = path(root);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.doing("read", &path)?,
        };
        let roster = Self::parse(&bytes);
        if roster.is_none() {
            tracing::warn!(path = %path.display(), "the list of queues is damaged and not used");
        }
        Ok(roster.unwrap_or_default())
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let (lines, crc) = text.split_at(text.rfind("crc32 ")?);
        let crc = u32::from_str_radix(crc.strip_prefix("crc32 ")?.trim_end(), 16).ok()?;
        if crc != crc32fast::hash(lines.as_bytes()) {
            return None;
        }
        let mut lines = lines.lines();
        let (log_start, boot) = lines.next()?.strip_prefix("queues 1 ")?.split_once(' ')?;
        let row = |line: &str| {
            let mut words = line.splitn(6, ' ');
            let id = words.next()?.parse().ok()?;
            let row = Row {
                first: words.next()?.parse().ok()?,
                next: words.next()?.parse().ok()?,
                indexed: words.next()?.parse().ok()?,
                changed_ns: words.next()?.parse().ok()?,
            };
            Some(((words.next()?.to_owned(), id), row))
        };
        let rows = lines.map(row).collect::<Option<_>>()?;
        Some(Self { log_start: log_start.parse().ok()?, boot: boot.to_owned(), rows })
    }

    /// The queues as they are, to be saved once the log is synced as far as it is now.
    pub(crate) fn note(queues: &Queues, log_start: u64) -> String {
        let mut text = format!("queues 1 {log_start} {}\n", boot_id());
        for queue in queues.all() {
            // A name with a line break is possible in the log only, and not worth a format. Light queues get
            // their offsets from Java.
            if !queue.topic().contains('\n') && !queue.topic().starts_with(LIGHT_PREFIX) {
                let Row { first, next, indexed, changed_ns } = queue.row();
                let _ =
                    writeln!(text, "{} {first} {next} {indexed} {changed_ns} {}", queue.id(), queue.topic());
            }
        }
        let crc = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc32 {crc:08x}");
        text
    }

    /// Writes what was noted.
    pub(crate) fn save(root: &Path, noted: &str) -> Result<(), StoreError> {
        let (path, fresh) = (path(root), root.join("queues.tmp"));
        let replace = || -> io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(noted.as_bytes())?;
            fault::sync_file(&file)?;
            fs::rename(&fresh, &path)
        };
        replace().doing("write", &path)?;
        sync_dir(root)
    }

    /// From now on queues may be fewer.
    pub(crate) fn delete(root: &Path) -> Result<(), StoreError> {
        let path = path(root);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.doing("remove", &path).and_then(|()| sync_dir(root)),
        }
    }

    /// Whether the machine has been running since.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        !self.boot.is_empty() && self.boot == boot_id()
    }

    /// What is known of a queue.
    pub(crate) fn row(&self, topic: &str, id: i32) -> Option<Row> {
        // The key of a map of pairs can't be borrowed in parts.
        self.rows.get(&(topic.to_owned(), id)).copied()
    }

    /// A queue that has lost units, if there is one.
    pub(crate) fn lost(&self, queues: &Queues, log_start: u64) -> Option<String> {
        let is_less = |((topic, id), row): (&(String, i32), &Row)| {
            let (first, next) = queues.get(topic, *id).map_or((0, 0), |queue| queue.extent());
            // Files at the beginning of a queue go only with files of the log.
            let is_less = next < row.next || (first > row.first && log_start == self.log_start);
            is_less.then(|| format!("{topic}/{id}"))
        };
        self.rows.iter().find_map(is_less)
    }

    /// Keeps every queue from giving offsets again that it has given, should their records be lost.
    pub(crate) fn fill(&self, queues: &Queues) {
        for ((topic, id), row) in &self.rows {
            if row.next > 0
                && let Some(queue) = queues.get_or_create(topic, *id)
                && queue.fill_to(row.next)
            {
                queues.activate(&queue);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreConfig, derived::queue_file::Unit, file::checkpoint::Checkpoint};

    fn queues(dir: &tempfile::TempDir) -> Queues {
        let mut checkpoint = Checkpoint::open(dir.path()).unwrap();
        Queues::load(&StoreConfig::new(dir.path()), &mut checkpoint, &Roster::default()).unwrap().0
    }

    fn fill(queues: &Queues, topic: &str, units: i64) {
        let queue = queues.get_or_create(topic, 1).unwrap();
        for number in 0..units {
            queue.put(number, Unit { physical_offset: number * 100, size: 100, tags_code: 0 });
        }
    }

    #[test]
    fn a_shorter_or_missing_queue_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Roster::read(dir.path()).unwrap(), Roster::default());
        let before = queues(&dir);
        fill(&before, "T", 3);
        fill(&before, "name with spaces", 2);
        Roster::save(dir.path(), &Roster::note(&before, 0)).unwrap();
        let roster = Roster::read(dir.path()).unwrap();
        assert_eq!(roster.lost(&before, 0), None);
        let after = queues(&dir);
        fill(&after, "T", 3);
        assert_eq!(roster.lost(&after, 0).unwrap(), "name with spaces/1");
        fill(&after, "name with spaces", 9);
        assert_eq!(roster.lost(&after, 0), None);
    }

    #[test]
    fn a_damaged_list_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let before = queues(&dir);
        fill(&before, "T", 3);
        Roster::save(dir.path(), &Roster::note(&before, 0)).unwrap();
        let good = fs::read(path(dir.path())).unwrap();
        for byte in 0..good.len() - 1 {
            let mut bytes = good.clone();
            bytes[byte] ^= 1;
            assert!(Roster::parse(&bytes).is_none(), "byte {byte}");
            assert!(Roster::parse(&good[..byte]).is_none(), "cut at {byte}");
        }
        Roster::delete(dir.path()).unwrap();
        Roster::delete(dir.path()).unwrap();
        assert_eq!(Roster::read(dir.path()).unwrap(), Roster::default());
    }
}
