//! What a killed process leaves: the directory as it is, since the page cache survives.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// Copies a directory while others may write to it, so that the copy is the state of one instant: it is
/// repeated until nothing has changed meanwhile.
///
/// # Panics
/// When the target can't be written, or the source never rests.
pub fn copy(from: &Path, to: &Path) {
    for _ in 0..1000 {
        if let Ok(before) = read(from)
            && read(from).is_ok_and(|after| after == before)
        {
            write(&before, to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
            return;
        }
    }
    panic!("{} never rests", from.display());
}

/// A temporary directory in memory, if there is such a file system: what is simulated needs no disk that
/// syncs, and examining thousands of images would wait for little else.
///
/// # Panics
/// When none can be made.
pub fn temp_dir() -> TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    dir.expect("a temporary directory can be made")
}

/// Physical offset of the oldest log file in a store's directory; 0 if there is none.
pub fn log_start(root: &Path) -> i64 {
    let names = fs::read_dir(root.join("commitlog")).into_iter().flatten().flatten();
    let starts = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    starts.min().unwrap_or(0)
}

/// Files by their path below the directory; directories have no content.
type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn read(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root.join(&dir))? {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                tree.insert(path.clone(), None);
                dirs.push(path);
            } else {
                tree.insert(path, Some(fs::read(entry.path())?));
            }
        }
    }
    Ok(tree)
}

fn write(tree: &Tree, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for (path, content) in tree {
        match content {
            None => fs::create_dir_all(to.join(path))?,
            Some(bytes) => fs::write(to.join(path), bytes)?,
        }
    }
    Ok(())
}
