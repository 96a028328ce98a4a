//! `checkpoint`: how far everything is safe on disk, 48 bytes in a file of 4096.
//!
//! ```text
//! 0   8  store time of the last synced record, ms
//! 8   8  store time of the last record in synced queues, ms
//! 16  8  store time of the last record in synced index files, ms
//! 24  8  offset flushed by the master      32  8  confirmed offset
//! 40  8  physical offset of the last record in synced queues (0 by older brokers)
//! ```

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    error::{IoContext, StoreError},
    fault,
};

const FILE_LEN: u64 = 4096;
const LEN: usize = 48;

/// What the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Store time of the last synced record, ms.
    pub(crate) log_timestamp: i64,
    /// Store time of the last record in synced queues, ms.
    pub(crate) queue_timestamp: i64,
    /// Store time of the last record in synced index files, ms.
    pub(crate) index_timestamp: i64,
    /// Kept for Java.
    pub(crate) master_flushed_offset: i64,
    /// Kept for Java.
    pub(crate) confirm_offset: i64,
    /// Physical offset of the last record that is in synced queues: its start, as Java keeps it.
    pub(crate) queue_offset: i64,
}

impl Marks {
    /// What the file below `root` says, without opening it for writing; `None` if there is none. What is
    /// missing of it counts as 0.
    pub(crate) fn read(root: &Path) -> Result<Option<Self>, StoreError> {
        let path = root.join("checkpoint");
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.doing("open", &path)?,
        };
        let mut bytes = Vec::with_capacity(LEN);
        file.take(LEN as u64).read_to_end(&mut bytes).doing("read", &path)?;
        bytes.resize(LEN, 0);
        Ok(bytes.first_chunk().map(Self::from_bytes))
    }

    fn from_bytes(bytes: &[u8; LEN]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |index: usize| words.get(index).copied().map_or(0, i64::from_be_bytes);
        Self {
            log_timestamp: word(0),
            queue_timestamp: word(1),
            index_timestamp: word(2),
            master_flushed_offset: word(3),
            confirm_offset: word(4),
            queue_offset: word(5),
        }
    }

    fn to_bytes(self) -> [u8; LEN] {
        let words = [
            self.log_timestamp,
            self.queue_timestamp,
            self.index_timestamp,
            self.master_flushed_offset,
            self.confirm_offset,
            self.queue_offset,
        ];
        let mut bytes = [0; LEN];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    file: File,
    path: PathBuf,
    marks: Marks,
}

impl Checkpoint {
    /// Opens or creates it. What is missing counts as 0, which only makes recovery look further back.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("checkpoint");
        let open = || -> io::Result<(File, Marks)> {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            file.set_len(FILE_LEN)?;
            let mut bytes = [0; LEN];
            file.read_exact_at(&mut bytes, 0)?;
            Ok((file, Marks::from_bytes(&bytes)))
        };
        let (file, marks) = open().doing("open", &path)?;
        Ok(Self { file, path, marks })
    }

    /// What it says.
    pub(crate) fn marks(&self) -> Marks {
        self.marks
    }

    /// Says that nothing derived is safe. To be called before derived files are made again: should that
    /// be interrupted, the next start must not trust what is there.
    pub(crate) fn forget(&mut self) -> Result<(), StoreError> {
        let Marks { master_flushed_offset, confirm_offset, .. } = self.marks;
        self.save(Marks { master_flushed_offset, confirm_offset, ..Marks::default() })
    }

    /// Writes and syncs it, if anything changed.
    pub(crate) fn save(&mut self, marks: Marks) -> Result<(), StoreError> {
        if marks == self.marks {
            return Ok(());
        }
        let write = || {
            fault::hit(fault::CHECKPOINT)?;
            self.file.write_all_at(&marks.to_bytes(), 0)?;
            fault::sync_file(&self.file)
        };
        write().doing("write", &self.path)?;
        self.marks = marks;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_have_javas_places() {
        let dir = tempfile::tempdir().unwrap();
        let mut checkpoint = Checkpoint::open(dir.path()).unwrap();
        assert_eq!(checkpoint.marks(), Marks::default());
        let marks = Marks {
            log_timestamp: 1,
            queue_timestamp: 2,
            index_timestamp: 3,
            master_flushed_offset: 4,
            confirm_offset: 5,
            queue_offset: 6,
        };
        checkpoint.save(marks).unwrap();
        let bytes = std::fs::read(dir.path().join("checkpoint")).unwrap();
        assert_eq!(bytes.len(), 4096);
        for (index, word) in bytes[..LEN].chunks(8).enumerate() {
            assert_eq!(word, (index as i64 + 1).to_be_bytes());
        }
        drop(checkpoint);
        assert_eq!(Marks::read(dir.path()).unwrap(), Some(marks));
        assert_eq!(Checkpoint::open(dir.path()).unwrap().marks(), marks);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(bytes in proptest::collection::vec(any::<u8>(), LEN)) {
            let bytes: [u8; LEN] = bytes.try_into().unwrap();
            prop_assert_eq!(Marks::from_bytes(&bytes).to_bytes(), bytes);
        }
    }

    #[test]
    fn a_cut_file_is_read_as_zeros() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Marks::read(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join("checkpoint"), [1; 10]).unwrap();
        assert_eq!(Marks::read(dir.path()).unwrap().unwrap().log_timestamp, 0x0101010101010101);
        let marks = Checkpoint::open(dir.path()).unwrap().marks();
        assert_eq!(marks.log_timestamp, 0x0101010101010101);
        assert_eq!(marks.queue_offset, 0);
    }
}
