//! The files of the log, in order. A file's name is the physical offset of its first byte.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;

use super::mapped_file::MappedFile;
use crate::{
    error::{IoContext, StoreError},
    fault,
};

/// A file's name: 20 decimal digits.
pub(crate) fn file_name(start: u64) -> String {
    format!("{start:020}")
}

/// The offset that a file's name says; `None` for names of other things.
pub(crate) fn start_of(name: &str) -> Option<u64> {
    if name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit()) { name.parse().ok() } else { None }
}

/// The offsets and lengths of the files in a directory, in order; empty if there is no directory.
pub(crate) fn list(dir: &Path) -> Result<Vec<(u64, u64)>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing("list", dir)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.doing("list", dir)?;
        if let Some(start) = entry.file_name().to_str().and_then(start_of) {
            let len = entry.metadata().doing("look at", &entry.path())?.len();
            files.push((start, len));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The files of the log.
#[derive(Debug)]
pub(crate) struct MappedFiles {
    dir: PathBuf,
    file_len: u64,
    files: RwLock<VecDeque<Arc<MappedFile>>>,
}

impl MappedFiles {
    /// Opens the files that are there.
    pub(crate) fn load(dir: PathBuf, file_len: u64) -> Result<Self, StoreError> {
        let mut found = list(&dir)?;
        check_spacing(&dir, &found, file_len)?;
        // Java deletes an empty last file too: it was being created.
        if let Some((start, 0)) = found.last().copied() {
            let path = dir.join(file_name(start));
            fs::remove_file(&path).doing("remove", &path)?;
            found.pop();
        }
        let mut files = VecDeque::with_capacity(found.len());
        for (start, len) in found {
            files.push_back(Arc::new(open(&dir, start, len, file_len)?));
        }
        Ok(Self { dir, file_len, files: RwLock::new(files) })
    }

    /// Opens the files that are there only to be read. What is cut or too long is seen as far as it fits.
    pub(crate) fn view(dir: PathBuf, file_len: u64) -> Result<Self, StoreError> {
        let mut found = list(&dir)?;
        // As in `load`: it was being created.
        found.pop_if(|(_, len)| *len == 0);
        let mut files = VecDeque::with_capacity(found.len());
        for (start, len) in found {
            let path = dir.join(file_name(start));
            let file = MappedFile::view(path.clone(), start, len.min(file_len)).doing("open", &path)?;
            files.push_back(Arc::new(file));
        }
        Ok(Self { dir, file_len, files: RwLock::new(files) })
    }

    /// Length of each file.
    pub(crate) fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Where they lie.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file that holds a physical offset.
    pub(crate) fn at(&self, offset: u64) -> Option<Arc<MappedFile>> {
        self.at_or_after(offset).filter(|file| file.start() <= offset)
    }

    /// The file that holds a physical offset or, if there is none, the next one.
    pub(crate) fn at_or_after(&self, offset: u64) -> Option<Arc<MappedFile>> {
        let files = self.files.read();
        let index = files.partition_point(|file| file.end() <= offset);
        files.get(index).cloned()
    }

    /// All files.
    pub(crate) fn all(&self) -> Vec<Arc<MappedFile>> {
        self.files.read().iter().cloned().collect()
    }

    /// The first file.
    pub(crate) fn first(&self) -> Option<Arc<MappedFile>> {
        self.files.read().front().cloned()
    }

    /// The last file.
    pub(crate) fn last(&self) -> Option<Arc<MappedFile>> {
        self.files.read().back().cloned()
    }

    /// The file that begins at `start`, behind all others; created if it is not there.
    pub(crate) fn create(&self, start: u64) -> io::Result<Arc<MappedFile>> {
        if let Some(file) = self.last().filter(|file| file.start() == start) {
            return Ok(file);
        }
        let path = self.dir.join(file_name(start));
        let file = Arc::new(MappedFile::create(path, start, self.file_len)?);
        // Its name must survive a power cut before anything in it is acknowledged.
        fault::sync_dir(&self.dir)?;
        self.files.write().push_back(file.clone());
        Ok(file)
    }

    /// Deletes the files for which `unwanted` holds. Readers keep what they have mapped.
    pub(crate) fn delete(&self, unwanted: impl Fn(&MappedFile) -> bool) -> Result<usize, StoreError> {
        let mut deleted = Vec::new();
        let mut files = self.files.write();
        let mut result = Ok(());
        files.retain(|file| {
            if result.is_err() || !unwanted(file) {
                return true;
            }
            let removed = fault::hit(fault::DELETE_LOG).and_then(|()| fs::remove_file(file.path()));
            result = removed.doing("remove", file.path());
            if result.is_ok() {
                deleted.push(file.clone());
            }
            result.is_err()
        });
        // Their blocks are freed when the last one lets go of them. That takes a while, and nobody waits.
        drop(files);
        result.map(|()| deleted.len())
    }
}

/// Names that are not one file length apart show that the store was made with another length. A gap of
/// several lengths is a lost file, which must not keep the others from being read.
fn check_spacing(dir: &Path, found: &[(u64, u64)], file_len: u64) -> Result<(), StoreError> {
    for pair in found.windows(2) {
        let spacing = pair[1].0 - pair[0].0;
        if !spacing.is_multiple_of(file_len) {
            return Err(wrong_size(dir, pair[0].0, spacing, file_len));
        }
        if spacing > file_len {
            let from = pair[0].0 + file_len;
            tracing::error!(dir = %dir.display(), from, until = pair[1].0, "log files are missing");
        }
    }
    Ok(())
}

fn open(dir: &Path, start: u64, len: u64, file_len: u64) -> Result<MappedFile, StoreError> {
    let path = dir.join(file_name(start));
    if len > file_len {
        return Err(wrong_size(dir, start, len, file_len));
    }
    if len < file_len {
        // Java refuses to start with a file that was cut; what is left of it is still good.
        tracing::warn!(path = %path.display(), len, file_len, "a log file was cut; it is extended");
        return MappedFile::create(path.clone(), start, file_len).doing("extend", &path);
    }
    MappedFile::open(path.clone(), start, file_len).doing("open", &path)
}

fn wrong_size(dir: &Path, start: u64, have: u64, want: u64) -> StoreError {
    StoreError::FileSize { path: dir.join(file_name(start)), have, want, key: "mappedFileSizeCommitLog" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_java() {
        assert_eq!(file_name(1073741824), "00000000001073741824");
        assert_eq!(start_of("00000000001073741824"), Some(1073741824));
        assert_eq!(start_of("1073741824"), None);
        assert_eq!(start_of("99999999999999999999"), None);
    }

    #[test]
    fn files_are_found_by_offset() {
        let dir = tempfile::tempdir().unwrap();
        let files = MappedFiles::load(dir.path().into(), 4096).unwrap();
        assert!(files.at_or_after(0).is_none());
        for start in [4096, 8192, 16384] {
            files.create(start).unwrap();
        }
        assert!(files.at(0).is_none());
        assert_eq!(files.at_or_after(0).unwrap().start(), 4096);
        assert_eq!(files.at(8191).unwrap().start(), 4096);
        assert!(files.at(12288).is_none());
        assert_eq!(files.at_or_after(12288).unwrap().start(), 16384);
        assert!(files.at_or_after(20480).is_none());
        drop(files);
        let files = MappedFiles::load(dir.path().into(), 4096).unwrap();
        assert_eq!(files.all().len(), 3);
        assert_eq!(files.delete(|file| file.start() == 4096).unwrap(), 1);
        assert_eq!(files.first().unwrap().start(), 8192);
    }

    #[test]
    fn another_file_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let files = MappedFiles::load(dir.path().into(), 4096).unwrap();
        files.create(0).unwrap();
        files.create(4096).unwrap();
        assert!(MappedFiles::load(dir.path().into(), 2048).is_err());
        assert!(MappedFiles::load(dir.path().into(), 8192).is_err());
    }

    #[test]
    fn cut_files_are_extended_and_empty_last_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(file_name(0)), [1; 100]).unwrap();
        fs::write(dir.path().join(file_name(4096)), []).unwrap();
        let files = MappedFiles::load(dir.path().into(), 4096).unwrap();
        assert_eq!(files.all().len(), 1);
        let file = files.last().unwrap();
        assert_eq!(file.bytes(99..101).unwrap(), [1, 0]);
    }
}
