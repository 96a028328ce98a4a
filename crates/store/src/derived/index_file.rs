//! One index file: a hash table from keys to physical offsets, in Java's layout.
//!
//! ```text
//! 0   8  store time of the first entry, ms     8   8  of the last entry
//! 16  8  physical offset of the first entry    24  8  of the last entry
//! 32  4  slots in use                          36  4  entries + 1
//! 40     slots: i32 number of the newest entry, 0 for none
//! …      entries of 20 bytes: i32 hash, i64 physical offset, i32 seconds since the first entry,
//!        i32 number of the slot's previous entry. Entry 0 is not used.
//! ```

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rmq_proto::message::hash::index_hash;

use crate::{fault, file::mapped_file::MappedTable};

const HEADER_LEN: u64 = 40;
const SLOT_LEN: u64 = 4;
const ENTRY_LEN: u64 = 20;

/// Sizes of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Slots of the hash table.
    pub(crate) slots: u32,
    /// Entries, entry 0 included.
    pub(crate) entries: u32,
}

impl Shape {
    /// Length of the file, bytes.
    pub(crate) fn file_len(self) -> u64 {
        self.entry_at(self.entries)
    }

    /// Finds the sizes of a file that has entries: those with which its header, its first and last entry
    /// and the last one's slot fit. `None` if there are none.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        let len = fs::metadata(path)?.len();
        let mut file = IndexFile::view(path.to_owned(), Self { slots: 1, entries: 2 })?;
        let words = len.saturating_sub(HEADER_LEN) / SLOT_LEN;
        if file.is_empty() || words * SLOT_LEN + HEADER_LEN != len {
            return Ok(None);
        }
        // An entry is as long as five slots.
        let slots = (words % 5..words).step_by(5).filter(|slots| *slots > 0);
        let shapes = slots.map(|slots| Self { slots: slots as u32, entries: ((words - slots) / 5) as u32 });
        for shape in shapes {
            file.shape = shape;
            if file.is_sane() && file.has_its_ends() {
                return Ok(Some(shape));
            }
        }
        Ok(None)
    }

    fn entry_at(self, number: u32) -> u64 {
        HEADER_LEN + u64::from(self.slots) * SLOT_LEN + u64::from(number) * ENTRY_LEN
    }

    fn slot_at(self, slot: u32) -> u64 {
        HEADER_LEN + u64::from(slot) * SLOT_LEN
    }

    /// The slot of a hash, which is not negative.
    pub(crate) fn slot_of(self, hash: i32) -> u32 {
        hash as u32 % self.slots
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Store time of the first entry, ms.
    pub(crate) begin_timestamp: i64,
    /// Store time of the last entry, ms.
    pub(crate) end_timestamp: i64,
    /// Physical offset of the first entry.
    pub(crate) begin_offset: i64,
    /// Physical offset of the last entry.
    pub(crate) end_offset: i64,
    /// Slots that have an entry, as the writer counted them.
    pub(crate) used_slots: i32,
    /// Entries, entry 0 included.
    pub(crate) count: u32,
}

impl Header {
    fn from_bytes(bytes: [u8; HEADER_LEN as usize]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let [begin_timestamp, end_timestamp, begin_offset, end_offset] =
            [0, 1, 2, 3].map(|index| words.get(index).copied().map_or(0, i64::from_be_bytes));
        let [.., u0, u1, u2, u3, c0, c1, c2, c3] = bytes;
        Self {
            begin_timestamp,
            end_timestamp,
            begin_offset,
            end_offset,
            used_slots: i32::from_be_bytes([u0, u1, u2, u3]),
            // Java takes 0 and less for 1: a file that was just created.
            count: i32::from_be_bytes([c0, c1, c2, c3]).max(1) as u32,
        }
    }

    fn to_bytes(self) -> [u8; HEADER_LEN as usize] {
        let mut bytes = [0; HEADER_LEN as usize];
        let longs = [self.begin_timestamp, self.end_timestamp, self.begin_offset, self.end_offset];
        for (place, long) in bytes.chunks_exact_mut(8).zip(longs) {
            place.copy_from_slice(&long.to_be_bytes());
        }
        bytes[32..36].copy_from_slice(&self.used_slots.to_be_bytes());
        bytes[36..].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }
}

/// A key of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Hash of the key.
    pub(crate) hash: i32,
    /// Physical offset of the record.
    pub(crate) physical_offset: i64,
    /// When it was stored, seconds since the first entry of the file.
    pub(crate) seconds: i32,
    /// Number of the slot's previous entry; 0 for none.
    pub(crate) previous: u32,
}

impl Entry {
    /// What is where no entry was written.
    const NONE: Self = Self { hash: 0, physical_offset: 0, seconds: 0, previous: 0 };

    fn from_bytes(bytes: [u8; ENTRY_LEN as usize]) -> Self {
        let [h0, h1, h2, h3, o0, o1, o2, o3, o4, o5, o6, o7, s0, s1, s2, s3, p0, p1, p2, p3] = bytes;
        let previous = i32::from_be_bytes([p0, p1, p2, p3]);
        Self {
            hash: i32::from_be_bytes([h0, h1, h2, h3]),
            physical_offset: i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
            seconds: i32::from_be_bytes([s0, s1, s2, s3]),
            previous: previous.max(0) as u32,
        }
    }

    fn to_bytes(self) -> [u8; ENTRY_LEN as usize] {
        let mut bytes = [0; ENTRY_LEN as usize];
        bytes[..4].copy_from_slice(&self.hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.physical_offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[16..].copy_from_slice(&self.previous.to_be_bytes());
        bytes
    }
}

/// One index file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    path: PathBuf,
    table: MappedTable,
    shape: Shape,
    header: Header,
    dirty: AtomicBool,
}

impl IndexFile {
    /// Creates a file. Java seeds the header with the end of the previous file.
    pub(crate) fn create(path: PathBuf, shape: Shape, previous: Option<Header>) -> io::Result<Self> {
        let table = MappedTable::open(&path, shape.file_len())?;
        let seed = previous.unwrap_or_default();
        let mut file = Self {
            path,
            table,
            shape,
            header: Header {
                begin_timestamp: seed.end_timestamp,
                end_timestamp: seed.end_timestamp,
                begin_offset: seed.end_offset,
                end_offset: seed.end_offset,
                used_slots: 0,
                count: 1,
            },
            dirty: AtomicBool::new(true),
        };
        file.reserve_head()?;
        file.write_header();
        Ok(file)
    }

    /// Opens a file; `None` if it can't be an index file.
    pub(crate) fn open(path: PathBuf, shape: Shape) -> io::Result<Option<Self>> {
        if fs::metadata(&path)?.len() != shape.file_len() {
            return Ok(None);
        }
        let table = MappedTable::open(&path, shape.file_len())?;
        let file = Self::of(path, table, shape);
        Ok(file.is_sane().then_some(file))
    }

    /// Opens a file only to be read, sane or not.
    pub(crate) fn view(path: PathBuf, shape: Shape) -> io::Result<Self> {
        let table = MappedTable::view(&path)?;
        Ok(Self::of(path, table, shape))
    }

    fn of(path: PathBuf, table: MappedTable, shape: Shape) -> Self {
        let header = Header::from_bytes(table.read(0));
        Self { path, table, shape, header, dirty: AtomicBool::new(false) }
    }

    /// Whether its header can be right.
    pub(crate) fn is_sane(&self) -> bool {
        self.header.count <= self.shape.entries && self.header.begin_offset <= self.header.end_offset
    }

    /// Whether the first and the last entry are those that the header speaks of.
    fn has_its_ends(&self) -> bool {
        let last = self.header.count - 1;
        let newest = self.entry(last);
        self.entry(1).physical_offset == self.header.begin_offset
            && newest.physical_offset == self.header.end_offset
            && newest.hash >= 0
            && self.slot(self.shape.slot_of(newest.hash)) == last
    }

    /// Its sizes.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The slots are filled at random places: their space has to be there before the first entry. A file
    /// from elsewhere may have holes in them, and is not written, nor its space taken, before it must be.
    fn reserve_head(&self) -> io::Result<()> {
        self.table.reserve(0..self.shape.entry_at(1))
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What its header says.
    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// Whether it has no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.header.count <= 1
    }

    /// Whether no entry fits any more.
    pub(crate) fn is_full(&self) -> bool {
        self.header.count >= self.shape.entries
    }

    /// Adds an entry; false if none fits. The order of the writes keeps the file readable after a
    /// crash at any point: the entry, its slot, the header.
    pub(crate) fn put(&mut self, key: &str, offset: i64, timestamp: i64) -> io::Result<bool> {
        if self.is_full() {
            return Ok(false);
        }
        let number = self.header.count;
        self.reserve_head()?;
        self.table.reserve(self.shape.entry_at(number)..self.shape.entry_at(number + 1))?;
        fault::hit(fault::INDEX_PUT)?;
        let hash = index_hash(key);
        let slot = self.shape.slot_of(hash);
        let previous = self.slot(slot);
        self.write_entry(
            number,
            Entry { hash, physical_offset: offset, seconds: self.seconds(timestamp), previous },
        );
        self.write_slot(slot, number);
        let _ = fault::hit(fault::INDEX_SLOT);
        let header = &mut self.header;
        if number <= 1 {
            header.begin_offset = offset;
            header.begin_timestamp = timestamp;
        }
        header.used_slots += i32::from(previous == 0);
        header.count += 1;
        header.end_offset = offset;
        header.end_timestamp = timestamp;
        self.write_header();
        Ok(true)
    }

    /// Whether a range of time touches the file's. Java's three cases: around it, beginning or ending
    /// in it.
    pub(crate) fn covers(&self, begin: i64, end: i64) -> bool {
        let own = self.header.begin_timestamp..=self.header.end_timestamp;
        (begin < *own.start() && end > *own.end()) || own.contains(&begin) || own.contains(&end)
    }

    /// Adds the physical offsets of entries of a key, newest first, until there are `max`.
    pub(crate) fn find(&self, key: &str, max: usize, begin: i64, end: i64, found: &mut Vec<i64>) {
        let hash = index_hash(key);
        let mut number = self.slot(self.shape.slot_of(hash));
        while number != 0 && found.len() < max {
            let entry = self.entry(number);
            let time = self.header.begin_timestamp.saturating_add(i64::from(entry.seconds) * 1000);
            if entry.seconds < 0 {
                return;
            }
            if entry.hash == hash && (begin..=end).contains(&time) {
                found.push(entry.physical_offset);
            }
            // Chains only go back; anything else is damage and must not become a loop.
            if time < begin || entry.previous >= number {
                return;
            }
            number = entry.previous;
        }
    }

    /// Forgets the entries of records at or behind `limit`. Everything below it was synced; what lies
    /// behind it may be there in part. Returns how many entries are left.
    pub(crate) fn truncate(&mut self, limit: i64) -> io::Result<u32> {
        let is_kept = |entry: Entry| entry != Entry::NONE && (0..limit).contains(&entry.physical_offset);
        let (mut low, mut high) = (1, self.header.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_kept(self.entry(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low < self.header.count || self.has_wild_slot() {
            // Slots and entries may be written again, and those of a file from elsewhere may be holes.
            self.table.reserve(0..self.shape.entry_at(self.header.count))?;
            self.cut(low);
        }
        Ok(self.header.count - 1)
    }

    /// Whether a slot was written whose entry the header does not know, as a crash between the two leaves.
    fn has_wild_slot(&self) -> bool {
        let stored = |slot| u32::from_be_bytes(self.table.read(self.shape.slot_at(slot)));
        (0..self.shape.slots).any(|slot| stored(slot) >= self.header.count.max(1))
    }

    /// Keeps the entries below `count` only. What lies behind may be there in part, a slot without its
    /// entry or half an entry, so nothing of it is followed: slots that lead there are looked for anew.
    fn cut(&mut self, count: u32) {
        let mut lost = HashSet::new();
        let mut behind = self.header.count;
        for slot in 0..self.shape.slots {
            let number = u32::from_be_bytes(self.table.read(self.shape.slot_at(slot)));
            if number >= count {
                behind = behind.max(number.saturating_add(1));
                self.write_slot(slot, 0);
                lost.insert(slot);
            }
        }
        // After the next crash they would be taken for entries of that time. What is zero is left alone: it
        // may have no space on the disk.
        for number in count..behind.min(self.shape.entries) {
            if self.entry(number) != Entry::NONE {
                self.write_entry(number, Entry::NONE);
            }
        }
        self.header.count = count;
        for number in (1..count).rev() {
            if lost.is_empty() {
                break;
            }
            let slot = self.shape.slot_of(self.entry(number).hash.max(0));
            if lost.remove(&slot) {
                self.write_slot(slot, number);
            }
        }
        let used = (0..self.shape.slots).filter(|slot| self.slot(*slot) != 0).count();
        self.header.used_slots = used as i32;
        let last = self.entry(count - 1);
        if count > 1 {
            self.header.end_offset = last.physical_offset;
            // The entry knows its second only; the end of it covers the record.
            let end = self.header.begin_timestamp.saturating_add(i64::from(last.seconds) * 1000 + 999);
            self.header.end_timestamp = self.header.end_timestamp.min(end);
        }
        self.write_header();
    }

    /// The file, if it has to be synced; the caller does it, without holding on to this.
    pub(crate) fn take_dirty(&self) -> Option<Arc<File>> {
        self.dirty.swap(false, Ordering::SeqCst).then(|| self.table.file())
    }

    /// The sync failed: it has to be done again.
    pub(crate) fn set_dirty(&self) {
        self.dirty.store(true, Ordering::SeqCst);
    }

    /// Lets go of the memory: what is written is rarely read.
    pub(crate) fn release_memory(&self) {
        self.table.release_memory();
    }

    /// What an entry keeps of a store time.
    pub(crate) fn seconds(&self, timestamp: i64) -> i32 {
        let begin = self.header.begin_timestamp;
        if begin <= 0 {
            return 0;
        }
        let seconds = timestamp.saturating_sub(begin) / 1000;
        seconds.clamp(0, i64::from(i32::MAX)) as i32
    }

    /// The newest entry of a slot; 0 for none and for numbers that no entry has.
    pub(crate) fn slot(&self, slot: u32) -> u32 {
        let number = i32::from_be_bytes(self.table.read(self.shape.slot_at(slot)));
        u32::try_from(number).ok().filter(|number| *number < self.header.count).unwrap_or(0)
    }

    fn write_slot(&mut self, slot: u32, number: u32) {
        self.table.write(self.shape.slot_at(slot), &number.to_be_bytes());
    }

    /// The entry with a number; zeros behind the end of the file.
    pub(crate) fn entry(&self, number: u32) -> Entry {
        Entry::from_bytes(self.table.read(self.shape.entry_at(number)))
    }

    fn write_entry(&mut self, number: u32, entry: Entry) {
        self.table.write(self.shape.entry_at(number), &entry.to_bytes());
    }

    fn write_header(&mut self) {
        self.table.write(0, &self.header.to_bytes());
        self.set_dirty();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPE: Shape = Shape { slots: 5, entries: 100 };

    fn find(file: &IndexFile, key: &str) -> Vec<i64> {
        let mut found = Vec::new();
        file.find(key, 99, 0, i64::MAX, &mut found);
        found
    }

    #[test]
    fn the_full_size_is_that_of_java() {
        let shape = Shape { slots: 5_000_000, entries: 20_000_000 };
        assert_eq!(shape.file_len(), 420_000_040);
        assert_eq!(shape.entry_at(0), 20_000_040);
        assert_eq!(shape.slot_of(1688201051), 3201051);
    }

    #[test]
    fn sizes_are_found_from_what_is_in_the_file() {
        for (slots, entries) in [(5, 100), (100, 1000), (7, 10), (1, 64)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("i");
            let shape = Shape { slots, entries };
            let mut file = IndexFile::create(path.clone(), shape, None).unwrap();
            assert_eq!(Shape::of(&path).unwrap(), None, "an empty file shows nothing");
            for number in 0..5 {
                file.put(&format!("T#{number}"), 1000 + number * 100, 1_000_000).unwrap();
            }
            assert_eq!(Shape::of(&path).unwrap(), Some(shape));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            hash in any::<i32>(), physical_offset in any::<i64>(), seconds in any::<i32>(),
            previous in 0..=i32::MAX as u32, times in any::<[i64; 4]>(), used_slots in any::<i32>(),
            count in 1..=i32::MAX as u32,
        ) {
            let entry = Entry { hash, physical_offset, seconds, previous };
            prop_assert_eq!(Entry::from_bytes(entry.to_bytes()), entry);
            let [begin_timestamp, end_timestamp, begin_offset, end_offset] = times;
            let header =
                Header { begin_timestamp, end_timestamp, begin_offset, end_offset, used_slots, count };
            prop_assert_eq!(Header::from_bytes(header.to_bytes()), header);
        }
    }

    #[test]
    fn an_entry_byte_by_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i");
        let mut file = IndexFile::create(path.clone(), SHAPE, None).unwrap();
        assert!(file.put("WIREREF_T1#k1", 77, 10_000).unwrap());
        assert!(file.put("WIREREF_T1#k1", 99, 15_500).unwrap());
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, SHAPE.file_len());
        let slot = 1688201051 % 5;
        let slots = &bytes[40..60];
        assert_eq!(slots[slot * 4..slot * 4 + 4], [0, 0, 0, 2]);
        let mut expected = 1688201051i32.to_be_bytes().to_vec();
        expected.extend(99i64.to_be_bytes());
        expected.extend(5i32.to_be_bytes());
        expected.extend(1i32.to_be_bytes());
        assert_eq!(bytes[60 + 40..60 + 60], expected);
        let mut header = Vec::new();
        for long in [10_000i64, 15_500, 77, 99] {
            header.extend(long.to_be_bytes());
        }
        header.extend([0, 0, 0, 1, 0, 0, 0, 3]);
        assert_eq!(bytes[..40], header);
    }

    #[test]
    fn keys_are_found_newest_first_and_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = IndexFile::create(dir.path().join("i"), SHAPE, None).unwrap();
        for number in 0..30 {
            file.put(&format!("T#{}", number % 3), number, 1000 + number * 1000).unwrap();
        }
        let every_third: Vec<i64> = (0..30).rev().filter(|number| number % 3 == 1).collect();
        assert_eq!(find(&file, "T#1"), every_third);
        let mut found = Vec::new();
        file.find("T#1", 2, 5_000, 12_000, &mut found);
        assert_eq!(found, [10, 7]);
        assert!(find(&file, "T#9").is_empty());
    }

    #[test]
    fn truncation_forgets_only_what_is_behind() {
        for damage in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("i");
            let mut file = IndexFile::create(path.clone(), SHAPE, None).unwrap();
            for number in 0..20 {
                file.put(&format!("T#{}", number % 4), number * 10, 1000).unwrap();
            }
            if damage {
                // Entries that a power cut has kept from the disk.
                for number in 13..=20 {
                    file.write_entry(number, Entry { hash: 0, physical_offset: 0, seconds: 0, previous: 0 });
                }
            }
            assert_eq!(file.truncate(120).unwrap(), 12);
            drop(file);
            let mut file = IndexFile::open(path, SHAPE).unwrap().unwrap();
            assert_eq!(find(&file, "T#1"), [90, 50, 10]);
            assert_eq!(file.header().end_offset, 110);
            file.put("T#1", 130, 2000).unwrap();
            assert_eq!(find(&file, "T#1"), [130, 90, 50, 10]);
        }
    }

    #[test]
    fn damaged_chains_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = IndexFile::create(dir.path().join("i"), SHAPE, None).unwrap();
        file.put("T#1", 10, 1000).unwrap();
        file.put("T#1", 20, 1000).unwrap();
        let mut entry = file.entry(2);
        entry.previous = 2;
        file.write_entry(2, entry);
        assert_eq!(find(&file, "T#1"), [20]);
    }

    #[test]
    fn a_full_file_takes_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = IndexFile::create(dir.path().join("i"), Shape { slots: 2, entries: 3 }, None).unwrap();
        assert!(file.put("a", 1, 1).unwrap());
        assert!(file.put("b", 2, 2).unwrap());
        assert!(!file.put("c", 3, 3).unwrap());
        let next = IndexFile::create(dir.path().join("j"), SHAPE, Some(file.header())).unwrap();
        assert_eq!(next.header().begin_offset, 2);
        assert_eq!(next.header().end_timestamp, 2);
    }
}
