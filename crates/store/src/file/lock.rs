//! `lock` and `abort`: one process at a time, and whether the last one ended well.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, fcntl_lock, flock},
    io::Errno,
};

use crate::{
    error::{IoContext, StoreError},
    fault,
};

/// Holds the store's directory until it is dropped.
#[derive(Debug)]
pub(crate) struct DirLock(File);

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing the file is not enough while a process that is being spawned still shares it.
        if let Err(error) = flock(&self.0, FlockOperation::Unlock) {
            tracing::warn!(%error, "the lock of the store is only released when the process ends");
        }
    }
}

impl DirLock {
    /// Takes the lock of a store's root directory. Java locks byte 0 with fcntl, which the whole-file
    /// lock here includes; flock comes on top because fcntl does not see other openers in one process.
    pub(crate) fn take(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .doing("open", &path)?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive)
            .and_then(|()| fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive));
        match locked {
            Err(Errno::WOULDBLOCK | Errno::ACCESS) => return Err(StoreError::Locked(root.into())),
            other => other.doing("lock", &path)?,
        }
        if file.metadata().doing("look at", &path)?.len() == 0 {
            file.write_all(b"lock").doing("write", &path)?;
        }
        Ok(Self(file))
    }
}

/// Keeps a broker from starting while a stopped store is looked at; several may look at once. Creates no
/// file: `None` if there is no lock file, or if the system lets nobody lock it.
pub(crate) fn share(root: &Path) -> Result<Option<DirLock>, StoreError> {
    let path = root.join("lock");
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.doing("open", &path)?,
    };
    let locked = flock(&file, FlockOperation::NonBlockingLockShared)
        .and_then(|()| fcntl_lock(&file, FlockOperation::NonBlockingLockShared));
    match locked {
        Err(Errno::WOULDBLOCK | Errno::ACCESS) => Err(StoreError::Locked(root.into())),
        Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS) => Ok(None),
        other => other.map(|()| Some(DirLock(file))).doing("lock", &path),
    }
}

/// Whether the last process that had the store did not close it.
pub(crate) fn was_aborted(root: &Path) -> bool {
    root.join("abort").exists()
}

/// Says that the store is in use, until [`remove_abort`]. Java writes its process id too.
pub(crate) fn create_abort(root: &Path) -> Result<(), StoreError> {
    let path = root.join("abort");
    let mut file = File::create(&path).doing("create", &path)?;
    // That it is there is what counts: a full disk must not keep a store from being read.
    if let Err(error) = file.write_all(std::process::id().to_string().as_bytes()) {
        tracing::warn!(%error, path = %path.display(), "the file has no process id");
    }
    sync_dir(root)
}

/// Says that the store was closed in order.
pub(crate) fn remove_abort(root: &Path) -> Result<(), StoreError> {
    let path = root.join("abort");
    fault::hit(fault::CLOSE_ABORT).and_then(|()| fs::remove_file(&path)).doing("remove", &path)
}

/// Creates a directory that survives a power cut, with what it lies in; and makes sure of the files in
/// it, which a killed process may have created just before.
pub(crate) fn create_dir(dir: &Path) -> Result<(), StoreError> {
    let above: Vec<_> = dir.ancestors().skip(1).take_while(|above| !above.as_os_str().is_empty()).collect();
    let exists = above.iter().position(|above| above.exists()).unwrap_or(above.len());
    let was_there = dir.exists();
    fs::create_dir_all(dir).doing("create", dir)?;
    if !was_there {
        above.iter().take(exists + 1).try_for_each(|above| sync_dir(above))?;
    }
    sync_dir(dir)
}

/// Makes the creation and removal of files in a directory survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    fault::sync_dir(dir).doing("sync", dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::take(dir.path()).unwrap();
        assert!(matches!(DirLock::take(dir.path()), Err(StoreError::Locked(_))));
        assert_eq!(fs::read(dir.path().join("lock")).unwrap(), b"lock");
        drop(held);
        DirLock::take(dir.path()).unwrap();
    }

    #[test]
    fn who_only_looks_keeps_owners_out() {
        let dir = tempfile::tempdir().unwrap();
        assert!(share(dir.path()).unwrap().is_none());
        let owner = DirLock::take(dir.path()).unwrap();
        assert!(matches!(share(dir.path()), Err(StoreError::Locked(_))));
        drop(owner);
        let looking = [share(dir.path()).unwrap(), share(dir.path()).unwrap()];
        assert!(matches!(DirLock::take(dir.path()), Err(StoreError::Locked(_))));
        drop(looking);
        DirLock::take(dir.path()).unwrap();
    }

    #[test]
    fn abort_tells_how_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!was_aborted(dir.path()));
        create_abort(dir.path()).unwrap();
        assert!(was_aborted(dir.path()));
        remove_abort(dir.path()).unwrap();
        assert!(!was_aborted(dir.path()));
    }
}
