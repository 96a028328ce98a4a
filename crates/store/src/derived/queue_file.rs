//! The entries of a queue as bytes, and a file of them.
//!
//! A unit has 20 bytes: `i64` physical offset, `i32` size of the record, `i64` tags code. A file holds
//! a fixed number of units and has its full length from the start; zeros are no units.

use std::{
    fs::{self, File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
};

use crate::{
    fault,
    file::{allocator, mapped_files::file_name},
};

/// Bytes of a unit.
pub(crate) const UNIT_LEN: usize = 20;

/// A queue's entry: where a record lies in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Physical offset of the record.
    pub physical_offset: i64,
    /// Length of the record, bytes.
    pub size: i32,
    /// Hash of the tags; for delayed messages the time of delivery, ms. For both, Java can keep a place in
    /// its `consumequeue_ext` here instead, see [`Unit::is_extended`].
    pub tags_code: i64,
}

impl Unit {
    /// Stands where no record is: before the first record of a queue whose earlier ones were deleted
    /// (Java: physical offset 0), and for records that were lost to damage (physical offset of the
    /// next one, so that offsets keep rising).
    pub(crate) fn filler(physical_offset: i64) -> Self {
        Self { physical_offset, size: i32::MAX, tags_code: 0 }
    }

    /// Whether no record belongs to it.
    pub(crate) fn is_filler(&self) -> bool {
        self.size == i32::MAX
    }

    /// Whether the tags code only says where in `consumequeue_ext` Java keeps the real one
    /// (`enableConsumeQueueExt`): such places are below all hashes and times. The record knows it as well.
    pub(crate) fn is_extended(&self) -> bool {
        self.tags_code < i64::from(i32::MIN)
    }

    /// Whether it is one at all.
    pub(crate) fn is_valid(&self) -> bool {
        self.physical_offset >= 0 && self.size > 0
    }

    /// Physical offset behind the record.
    pub(crate) fn end(&self) -> u64 {
        let size = if self.is_filler() { 0 } else { self.size };
        self.physical_offset.saturating_add(i64::from(size)) as u64
    }

    /// Its bytes.
    pub(crate) fn to_bytes(self) -> [u8; UNIT_LEN] {
        let mut bytes = [0; UNIT_LEN];
        bytes[..8].copy_from_slice(&self.physical_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tags_code.to_be_bytes());
        bytes
    }

    /// The unit of those bytes.
    pub(crate) fn from_bytes(bytes: &[u8; UNIT_LEN]) -> Self {
        let long = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            i64::from_be_bytes(word)
        };
        Self {
            physical_offset: long(0),
            size: i32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            tags_code: long(12),
        }
    }
}

/// The units of some bytes.
pub(crate) fn units(bytes: &[u8]) -> impl Iterator<Item = Unit> {
    let (units, _) = bytes.as_chunks::<UNIT_LEN>();
    units.iter().map(Unit::from_bytes)
}

/// A file of units.
#[derive(Debug)]
pub(crate) struct QueueFile {
    file: File,
    len: u64,
}

impl QueueFile {
    /// Opens the file whose first unit has the queue offset `start`; creates it with its full length.
    pub(crate) fn open(dir: &Path, start: i64, units: i64) -> io::Result<Self> {
        let path = dir.join(file_name(start as u64 * UNIT_LEN as u64));
        let len = units as u64 * UNIT_LEN as u64;
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(dir)?;
                let mut options = OpenOptions::new();
                let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
                file.set_len(len)?;
                file
            }
            other => other?,
        };
        Ok(Self { file, len })
    }

    /// Gives a file that was cut, or that is too long, its length.
    pub(crate) fn set_full_len(&self) -> io::Result<()> {
        if self.file.metadata()?.len() != self.len {
            self.file.set_len(self.len)?;
        }
        Ok(())
    }

    /// Opens a file only to be read, as far as it is long.
    pub(crate) fn view(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    /// The next units at or behind an index that are not in a hole of the file, up to the next hole.
    pub(crate) fn next_data(&self, index: i64) -> Option<Range<i64>> {
        let unit = UNIT_LEN as u64;
        let data = allocator::next_data(&self.file, index as u64 * unit, self.len)?;
        let from = ((data.start / unit) as i64).max(index);
        let until = data.end.div_ceil(unit).min(self.len / unit) as i64;
        Some(from..until).filter(|units| !units.is_empty())
    }

    /// Reads up to `count` units from an index on; what is not there is left out.
    pub(crate) fn read(&self, index: i64, count: usize) -> io::Result<Vec<u8>> {
        let at = index as u64 * UNIT_LEN as u64;
        let left = self.len.saturating_sub(at) as usize / UNIT_LEN;
        let mut bytes = vec![0; count.min(left) * UNIT_LEN];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// The unit at an index.
    pub(crate) fn unit(&self, index: i64) -> io::Result<Option<Unit>> {
        Ok(units(&self.read(index, 1)?).next().filter(Unit::is_valid))
    }

    /// Writes units from an index on.
    pub(crate) fn write(&self, index: i64, bytes: &[u8]) -> io::Result<()> {
        fault::hit(fault::QUEUE_WRITE)?;
        self.file.write_all_at(bytes, index as u64 * UNIT_LEN as u64)
    }

    /// Makes what was written survive a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        fault::hit(fault::QUEUE_SYNC)?;
        fault::sync_file(&self.file)
    }

    /// How many units at the file's start satisfy `wanted`, which holds for a first part of them only.
    /// Most queues are short, so the search doubles its way up before it halves.
    pub(crate) fn count(&self, wanted: impl Fn(&Unit) -> bool) -> io::Result<i64> {
        let capacity = self.len as i64 / UNIT_LEN as i64;
        let holds = |index: i64| Ok::<_, io::Error>(self.unit(index)?.is_some_and(|unit| wanted(&unit)));
        let mut high = 1;
        while high <= capacity && holds(high - 1)? {
            high *= 2;
        }
        // Unit high/2 - 1 is wanted (or high is 1), unit high - 1 is not.
        let (mut low, mut high) = (high / 2, (high - 1).min(capacity));
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Turns all units from an index on into zeros, if they are not yet.
    pub(crate) fn clear_from(&self, index: i64) -> io::Result<()> {
        let at = index as u64 * UNIT_LEN as u64;
        let near = self.read(index, 4096 / UNIT_LEN)?;
        let behind = at + near.len() as u64;
        let is_clean = near.iter().all(|byte| *byte == 0)
            && allocator::next_data(&self.file, behind.next_multiple_of(4096), self.len).is_none();
        if is_clean {
            return Ok(());
        }
        allocator::zero(&self.file, at, self.len - at)?;
        // Units that came back after a power cut would count as the queue's last ones.
        fault::sync_file(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(number: i64) -> Unit {
        Unit { physical_offset: number * 100, size: 100, tags_code: number }
    }

    #[test]
    fn a_unit_is_that_of_java() {
        let unit = Unit { physical_offset: 47262164, size: 231, tags_code: 2598919 };
        let golden = [0, 0, 0, 0, 0x02, 0xd1, 0x29, 0xd4, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0x27, 0xa8, 0x07];
        assert_eq!(unit.to_bytes(), golden);
        assert_eq!(Unit::from_bytes(&golden), unit);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(physical_offset in any::<i64>(), size in any::<i32>(), tags_code in any::<i64>()) {
            let unit = Unit { physical_offset, size, tags_code };
            prop_assert_eq!(Unit::from_bytes(&unit.to_bytes()), unit);
        }

        #[test]
        fn what_is_read_is_written_again(bytes in any::<[u8; UNIT_LEN]>()) {
            let unit = Unit::from_bytes(&bytes);
            prop_assert_eq!(unit.to_bytes(), bytes);
        }

        #[test]
        fn no_unit_ends_before_it_begins(near in 0..3i64, size in 1..=i32::MAX) {
            let unit = Unit { physical_offset: i64::MAX - near, size, tags_code: 0 };
            prop_assert!(unit.end() >= unit.physical_offset as u64);
        }
    }

    #[test]
    fn units_are_counted_and_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let file = QueueFile::open(&dir.path().join("t/0"), 1000, 1000).unwrap();
        for used in [0, 1, 2, 3, 7, 8, 9, 500, 999, 1000] {
            for number in 0..1000 {
                let bytes = if number < used { unit(number).to_bytes() } else { [0; 20] };
                file.write(number, &bytes).unwrap();
            }
            assert_eq!(file.count(|_| true).unwrap(), used);
            let below = file.count(|unit| unit.physical_offset < 800).unwrap();
            assert_eq!(below, used.min(8));
            file.clear_from(5).unwrap();
            assert_eq!(file.count(|_| true).unwrap(), used.min(5));
        }
        let path = dir.path().join("t/0").join(file_name(20_000));
        assert_eq!(fs::metadata(path).unwrap().len(), 20_000);
    }
}
