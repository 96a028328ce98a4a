//! Reading entries of many queues, a few files open at a time.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use crate::{
    derived::queue_file::{QueueFile, UNIT_LEN, Unit, units},
    error::{IoContext, StoreError},
    file::mapped_files::file_name,
};

/// Files that are open at once.
const OPEN_FILES: usize = 256;
/// Entries that are read at once.
const BLOCK: usize = 256;

/// Directory of a queue.
pub(crate) fn queue_dir(root: &Path, topic: &str, id: i32) -> PathBuf {
    root.join(topic).join(id.to_string())
}

/// Reads entries by queue and offset.
#[derive(Debug)]
pub(crate) struct QueueReader {
    root: PathBuf,
    units_per_file: i64,
    open: HashMap<usize, OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    start: i64,
    /// `None` if it is not there.
    file: Option<QueueFile>,
    block_at: i64,
    block: Vec<u8>,
}

impl QueueReader {
    /// Of the queues below `root`.
    pub(crate) fn new(root: PathBuf, units_per_file: u64) -> Self {
        Self { root, units_per_file: units_per_file as i64, open: HashMap::new() }
    }

    /// Entries in a file.
    pub(crate) fn units_per_file(&self) -> i64 {
        self.units_per_file
    }

    /// The entry at an offset of a queue, which the caller has given a number; `None` if there is none.
    pub(crate) fn unit(
        &mut self,
        number: usize,
        topic: &str,
        id: i32,
        offset: i64,
    ) -> Result<Option<Unit>, StoreError> {
        let start = offset - offset % self.units_per_file;
        if self.open.get(&number).is_none_or(|open| open.start != start) {
            if self.open.len() >= OPEN_FILES {
                self.open.clear();
            }
            let dir = queue_dir(&self.root, topic, id);
            let opened = open_file(&dir, start)?;
            self.open.insert(number, OpenFile { start, file: opened, block_at: 0, block: Vec::new() });
        }
        let Some(open) = self.open.get_mut(&number) else {
            return Ok(None);
        };
        let Some(file) = &open.file else {
            return Ok(None);
        };
        let index = offset - start;
        let is_read = |at: i64, block: &[u8]| index >= at && index < at + (block.len() / UNIT_LEN) as i64;
        if !is_read(open.block_at, &open.block) {
            let dir = queue_dir(&self.root, topic, id);
            open.block = file.read(index, BLOCK).doing("read", &dir)?;
            open.block_at = index;
        }
        let at = (index - open.block_at) as usize * UNIT_LEN;
        Ok(open.block.get(at..).and_then(|rest| units(rest).next()).filter(Unit::is_valid))
    }
}

fn open_file(dir: &Path, start: i64) -> Result<Option<QueueFile>, StoreError> {
    // An offset that no file can have.
    let Some(byte) = (start as u64).checked_mul(UNIT_LEN as u64) else {
        return Ok(None);
    };
    let path = dir.join(file_name(byte));
    match QueueFile::view(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).doing("open", &path),
    }
}
