//! Small settings that operators keep at the name server: namespace → key → value, in one JSON file.
//!
//! The one namespace with a meaning here is [`ORDER_TOPIC_CONFIG`]: which queues an ordered topic has.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};
use rmq_proto::body::KvTable;
use rmq_proto::fastjson;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::error::StartError;

/// Key: an ordered topic; value: its queues, `brokerA:8;brokerB:8`.
pub(crate) const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// The file, as Java writes it.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Contents {
    config_table: Namespaces,
}

/// The settings, in memory and on disk.
#[derive(Debug)]
pub(crate) struct KvStore {
    path: PathBuf,
    table: RwLock<Namespaces>,
    /// One change at a time, so that the file always holds the latest.
    change: Mutex<()>,
}

impl KvStore {
    /// Reads the file, or its backup if the file is damaged. No file: no settings.
    pub(crate) fn open(path: &Path) -> Result<Self, StartError> {
        let table = match read(path) {
            Ok(table) => table,
            Err(error) => {
                let backup = backup_of(path);
                let unusable =
                    |reason: io::Error| StartError::Kv { path: path.to_owned(), reason: reason.to_string() };
                if !backup.exists() {
                    return Err(unusable(error));
                }
                warn!(path = %path.display(), %error, backup = %backup.display(), "reading the backup instead");
                read(&backup).map_err(|_| unusable(error))?
            }
        };
        Ok(Self { path: path.to_owned(), table: RwLock::new(table), change: Mutex::default() })
    }

    /// One value.
    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<String> {
        self.table.read().get(namespace)?.get(key).cloned()
    }

    /// All of a namespace; `None` if nothing was ever put there.
    pub(crate) fn list(&self, namespace: &str) -> Option<KvTable> {
        self.table.read().get(namespace).map(|table| KvTable { table: table.clone() })
    }

    /// Sets a value. It is on disk when this returns; Java would answer success without.
    pub(crate) fn put(&self, namespace: &str, key: &str, value: &str) -> io::Result<()> {
        info!(namespace, key, value, "key-value configuration put");
        self.change(|table| {
            table.entry(namespace.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        })
    }

    /// Removes a value. As in Java an empty namespace stays.
    pub(crate) fn delete(&self, namespace: &str, key: &str) -> io::Result<()> {
        info!(namespace, key, "key-value configuration deleted");
        self.change(|table| {
            table.get_mut(namespace).map(|values| values.remove(key));
        })
    }

    fn change(&self, edit: impl FnOnce(&mut Namespaces)) -> io::Result<()> {
        let _one_at_a_time = self.change.lock();
        let mut contents = Contents { config_table: self.table.read().clone() };
        edit(&mut contents.config_table);
        let json = fastjson::to_vec(&contents).map_err(io::Error::other)?;
        replace_file(&self.path, &json)?;
        *self.table.write() = contents.config_table;
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Namespaces> {
    match fs::read(path) {
        Ok(bytes) => fastjson::from_slice::<Contents>(&bytes)
            .map(|contents| contents.config_table)
            .map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Namespaces::new()),
        Err(error) => Err(error),
    }
}

fn backup_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bak");
    name.into()
}

/// Replaces a file in one step and keeps what it was as `.bak`: a crash leaves the old or the new one.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".tmp");
    let fresh = PathBuf::from(fresh);
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match fs::copy(path, backup_of(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn the_file_is_javas() {
        let folder = folder();
        let path = folder.path().join("namesrv/kvConfig.json");
        let store = KvStore::open(&path).unwrap();
        assert_eq!(store.list("NS"), None);
        store.put("NS", "k", "v").unwrap();
        store.put(ORDER_TOPIC_CONFIG, "T2", "brokerA:8;brokerB:8").unwrap();
        store.delete("NS", "k").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"{"configTable":{"NS":{},"ORDER_TOPIC_CONFIG":{"T2":"brokerA:8;brokerB:8"}}}"#
        );
        let again = KvStore::open(&path).unwrap();
        assert_eq!(again.list("NS"), Some(KvTable::default()));
        assert_eq!(again.get(ORDER_TOPIC_CONFIG, "T2").as_deref(), Some("brokerA:8;brokerB:8"));
        assert_eq!(again.get("NS", "k"), None);
    }

    #[test]
    fn a_damaged_file_is_read_from_its_backup() {
        let folder = folder();
        let path = folder.path().join("kvConfig.json");
        let store = KvStore::open(&path).unwrap();
        store.put("NS", "a", "1").unwrap();
        store.put("NS", "b", "2").unwrap();
        fs::write(&path, "{\"configTable\":{\"NS\":").unwrap();
        assert_eq!(KvStore::open(&path).unwrap().get("NS", "a").as_deref(), Some("1"));
        fs::write(backup_of(&path), "also damaged").unwrap();
        let error = KvStore::open(&path).unwrap_err().to_string();
        assert!(error.contains("kvConfig.json") && error.contains("kvConfigPath"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_written_is_not_kept() {
        let folder = folder();
        let path = folder.path().join("kvConfig.json");
        let store = KvStore::open(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(store.put("NS", "a", "1").is_err());
        assert_eq!(store.get("NS", "a"), None);
    }
}
