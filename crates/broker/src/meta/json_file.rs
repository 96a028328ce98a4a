//! One JSON file of the `config` directory: replaced atomically, with the former version kept as `.bak`.
//!
//! Java renames the file to `.bak` and then writes a new one, so a crash between leaves only the copy. Here the
//! new text is complete and synced under another name before it takes the place of the old one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rmq_proto::fastjson;
use rmq_store::fault;
use serde::{Serialize, de::DeserializeOwned};
use tracing::{error, info, warn};

use super::strangers::Strangers;

/// A file of the `config` directory could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct MetaError {
    path: String,
    reason: String,
}

impl MetaError {
    pub(crate) fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.display().to_string(), reason: reason.to_string() }
    }
}

/// Where a table is written, and which of its changes have been.
#[derive(Debug)]
pub struct Sheet {
    path: PathBuf,
    changed: AtomicU64,
    saved: AtomicU64,
    failing: AtomicBool,
    turn: tokio::sync::Mutex<()>,
    writing: Mutex<()>,
    strangers: Mutex<Strangers>,
}

impl Sheet {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            changed: AtomicU64::new(0),
            saved: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            turn: tokio::sync::Mutex::new(()),
            writing: Mutex::new(()),
            strangers: Mutex::default(),
        }
    }

    /// Notes a change. Call it after the table holds the change.
    pub(crate) fn touch(&self) -> u64 {
        self.changed.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(crate) fn version(&self) -> u64 {
        self.changed.load(Ordering::Acquire)
    }

    pub(crate) fn is_saved(&self, version: u64) -> bool {
        self.saved.load(Ordering::Acquire) >= version
    }

    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Reads the file; falls back to its `.bak`. A file that can't be parsed is set aside, not deleted as in Java.
    pub(crate) fn read<T: DeserializeOwned + Serialize>(&self) -> Result<Option<T>, MetaError> {
        let damaged = match self.parsed(&self.path) {
            Ok(Some(value)) => return Ok(Some(value)),
            Ok(None) => None,
            Err(Unreadable::Io(error)) => return Err(MetaError::new(&self.path, error)),
            Err(Unreadable::Damaged(reason)) => Some(reason),
        };
        if let Some(reason) = &damaged {
            self.set_aside(reason)?;
        }
        let copy = with_suffix(&self.path, ".bak");
        match self.parsed(&copy) {
            Ok(Some(value)) => {
                warn!(
                    "{} is missing or damaged; going on from the copy {}",
                    self.path.display(),
                    copy.display()
                );
                Ok(Some(value))
            }
            Ok(None) => {
                if damaged.is_some() {
                    error!(
                        "{} is damaged and there is no copy: starting with an empty table",
                        self.path.display()
                    );
                }
                Ok(None)
            }
            Err(Unreadable::Damaged(reason)) => {
                error!(
                    "{} and its copy are damaged ({reason}): starting with an empty table",
                    self.path.display()
                );
                Ok(None)
            }
            Err(Unreadable::Io(error)) => Err(MetaError::new(&copy, error)),
        }
    }

    /// `None` if there is no such file or it is empty.
    fn parsed<T: DeserializeOwned + Serialize>(&self, path: &Path) -> Result<Option<T>, Unreadable> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Unreadable::Io(error)),
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let damaged = |error: fastjson::Error| Unreadable::Damaged(error.to_string());
        let value = fastjson::from_slice(&bytes).map_err(damaged)?;
        *self.strangers.lock() = Strangers::of(&bytes, &value).map_err(damaged)?;
        info!("loaded {}", path.display());
        Ok(Some(value))
    }

    fn set_aside(&self, reason: &str) -> Result<(), MetaError> {
        let aside = with_suffix(&self.path, ".damaged");
        fs::rename(&self.path, &aside).map_err(|error| MetaError::new(&self.path, error))?;
        error!("{} can't be parsed ({reason}); it was set aside as {}", self.path.display(), aside.display());
        Ok(())
    }

    /// Writes the text if something changed since the last write.
    pub(crate) fn write(&self, text: impl FnOnce() -> Result<String, MetaError>) -> Result<(), MetaError> {
        let _alone = self.writing.lock();
        let version = self.version();
        if self.is_saved(version) {
            return Ok(());
        }
        let text = text()?;
        let text = self.strangers.lock().put_back(text).map_err(|error| MetaError::new(&self.path, error))?;
        let written = self.replace(text.as_bytes()).map_err(|error| MetaError::new(&self.path, error));
        // It is tried again every few seconds: said once is enough.
        match (&written, self.failing.swap(written.is_err(), Ordering::AcqRel)) {
            (Err(error), false) => warn!("can't be written, and will be tried again: {error}"),
            (Ok(()), true) => info!("{} can be written again", self.path.display()),
            _ => {}
        }
        written?;
        self.saved.store(version, Ordering::Release);
        Ok(())
    }

    /// The new text comes first: without space for it, both the file and its copy stay what they were.
    fn replace(&self, content: &[u8]) -> io::Result<()> {
        fault::hit(fault::PERSIST)?;
        let fresh = Fresh::write(&self.path, content)?;
        self.keep_copy()?;
        fault::hit(fault::PERSIST_COPIED)?;
        fresh.take_its_place(&self.path)
    }

    /// Makes the present file the `.bak`, without a moment in which there is no file.
    fn keep_copy(&self) -> io::Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let (copy, fresh) = (with_suffix(&self.path, ".bak"), with_suffix(&self.path, ".bak.tmp"));
        remove_if_there(&fresh)?;
        match fs::hard_link(&self.path, &fresh) {
            Ok(()) => fs::rename(&fresh, &copy),
            // Some file systems have no links.
            Err(_) => fs::copy(&self.path, &fresh).and_then(|_| fs::rename(&fresh, &copy)),
        }
    }
}

enum Unreadable {
    Io(io::Error),
    Damaged(String),
}

/// Puts a new content in the place of a file: both a crash before and one after leave a whole file.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    Fresh::write(path, content)?.take_its_place(path)
}

/// A complete and synced file beside the one that it is to replace; gone again if it does not.
struct Fresh(PathBuf);

impl Fresh {
    fn write(path: &Path, content: &[u8]) -> io::Result<Self> {
        fs::create_dir_all(directory(path))?;
        let fresh = Self(with_suffix(path, ".tmp"));
        let mut file = File::create(&fresh.0)?;
        file.write_all(content)?;
        fault::sync_file(&file)?;
        fault::hit(fault::PERSIST_WRITTEN)?;
        Ok(fresh)
    }

    fn take_its_place(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.0, path)?;
        fault::hit(fault::PERSIST_RENAMED)?;
        fault::sync_dir(directory(path))
    }
}

impl Drop for Fresh {
    /// On a full disk, half a file would take the last of the space.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Table = BTreeMap<String, i32>;

    fn sheet(dir: &tempfile::TempDir) -> Sheet {
        Sheet::new(dir.path().join("config/t.json"))
    }

    fn put(sheet: &Sheet, text: &str) {
        sheet.touch();
        sheet.write(|| Ok(text.to_owned())).unwrap();
    }

    #[test]
    fn the_former_version_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let sheet = sheet(&dir);
        assert_eq!(sheet.read::<Table>().unwrap(), None);
        put(&sheet, r#"{"a":1}"#);
        put(&sheet, r#"{"a":2}"#);
        assert_eq!(sheet.read::<Table>().unwrap().unwrap()["a"], 2);
        let copy = with_suffix(&sheet.path, ".bak");
        assert_eq!(sheet.parsed::<Table>(&copy).ok().flatten().unwrap()["a"], 1);
    }

    /// As on a full disk: the new text can't be written, and the file and its copy stay what they were.
    #[test]
    fn a_failed_write_changes_nothing_and_is_made_up_for() {
        let dir = tempfile::tempdir().unwrap();
        let sheet = sheet(&dir);
        put(&sheet, r#"{"a":1}"#);
        put(&sheet, r#"{"a":2}"#);
        let in_the_way = with_suffix(&sheet.path, ".tmp");
        fs::create_dir(&in_the_way).unwrap();
        sheet.touch();
        for _ in 0..2 {
            assert!(sheet.write(|| Ok(r#"{"a":3}"#.to_owned())).is_err());
        }
        assert_eq!(sheet.read::<Table>().unwrap().unwrap()["a"], 2);
        let copy = || sheet.parsed::<Table>(&with_suffix(&sheet.path, ".bak")).ok().flatten().unwrap()["a"];
        assert_eq!(copy(), 1);
        fs::remove_dir(&in_the_way).unwrap();
        sheet.write(|| Ok(r#"{"a":3}"#.to_owned())).unwrap();
        assert_eq!((sheet.read::<Table>().unwrap().unwrap()["a"], copy()), (3, 2));
    }

    #[test]
    fn nothing_is_written_without_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let sheet = sheet(&dir);
        sheet.write(|| panic!("nothing changed")).unwrap();
        put(&sheet, "{}");
        sheet.write(|| panic!("nothing changed since")).unwrap();
    }

    #[test]
    fn a_damaged_empty_or_missing_file_falls_back_to_the_copy() {
        for damage in [Some("{\"a\":"), Some(""), None] {
            let dir = tempfile::tempdir().unwrap();
            let sheet = sheet(&dir);
            put(&sheet, r#"{"a":1}"#);
            put(&sheet, r#"{"a":2}"#);
            match damage {
                Some(text) => fs::write(&sheet.path, text).unwrap(),
                None => fs::remove_file(&sheet.path).unwrap(),
            }
            assert_eq!(sheet.read::<Table>().unwrap().unwrap()["a"], 1, "{damage:?}");
        }
    }

    #[test]
    fn damage_without_a_copy_starts_empty_but_keeps_the_evidence() {
        let dir = tempfile::tempdir().unwrap();
        let sheet = sheet(&dir);
        put(&sheet, "{}");
        fs::write(&sheet.path, "no json").unwrap();
        assert_eq!(sheet.read::<Table>().unwrap(), None);
        assert_eq!(fs::read_to_string(with_suffix(&sheet.path, ".damaged")).unwrap(), "no json");
    }
}
