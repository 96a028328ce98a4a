//! Disk space: reserved ahead in chunks, given back as holes.
//!
//! Files have their full length from the start, as Java wants it, but no blocks. Space is reserved a
//! chunk at a time, so that a full disk is seen before anything is written.

use std::{
    fs::File,
    io::{self, ErrorKind},
    ops::Range,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{FallocateFlags, SeekFrom},
    io::Errno,
};

use crate::disk::reserve_reached;

/// Reserved at once: large enough to be rare.
const CHUNK: u64 = 16 * 1024 * 1024;
/// Reserved at once where there is no space for a chunk, so that a nearly full disk is used to its end.
const SMALL_CHUNK: u64 = 64 * 1024;

/// What file systems count in.
const BLOCK: u64 = 4096;

/// How far a file's space is reserved.
#[derive(Debug)]
pub(crate) struct Reservation {
    len: u64,
    reserved: AtomicU64,
}

impl Reservation {
    /// Nothing reserved of a file of that length.
    pub(crate) fn new(len: u64) -> Self {
        Self { len, reserved: AtomicU64::new(0) }
    }

    /// Reserves the range that is to be written, and the rest of its last chunk. Fails rather than leave
    /// less than `keep_free` bytes of the disk to others.
    pub(crate) fn reserve(&self, file: &File, range: Range<u64>, keep_free: u64) -> io::Result<()> {
        let Range { start, end } = range;
        let reserved = self.reserved.load(Ordering::Relaxed);
        if end <= reserved {
            return Ok(());
        }
        // What lies before the chunk of the write has been written, or is left as a hole.
        let from = reserved.max(start / CHUNK * CHUNK);
        let until = |chunk| end.next_multiple_of(chunk).min(self.len.max(end));
        // Asked before: a file system that runs out on the way keeps what it has given.
        let stat = rustix::fs::fstatvfs(file)?;
        let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        let fits = |until: u64| until - from <= free_bytes.saturating_sub(keep_free);
        let until = Some(until(CHUNK)).filter(|until| fits(*until)).unwrap_or(until(SMALL_CHUNK));
        if keep_free > 0 && !fits(until) {
            return Err(io::Error::new(ErrorKind::StorageFull, reserve_reached(free_bytes, keep_free)));
        }
        allocate(file, from, until - from)?;
        self.reserved.store(until, Ordering::Relaxed);
        Ok(())
    }

    /// The space from `at` on has been given back.
    pub(crate) fn forget_from(&self, at: u64) {
        self.reserved.fetch_min(at, Ordering::Relaxed);
    }
}

fn allocate(file: &File, at: u64, len: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), at, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => touch(file, at, len),
        other => Ok(other?),
    }
}

/// Where the file system can't reserve, each block is written with what it holds.
fn touch(file: &File, at: u64, len: u64) -> io::Result<()> {
    let mut byte = [0];
    for block in (at..at + len).step_by(BLOCK as usize) {
        if file.read_at(&mut byte, block)? == 0 {
            byte = [0];
        }
        file.write_all_at(&byte, block)?;
    }
    Ok(())
}

/// Whether a sync that has just succeeded can be believed for a range that ends at `end`.
///
/// When ext4 aborts its journal, blocks that are written for the first time may stay marked as unwritten,
/// while a sync of them under way succeeds: after a repair they are zeros. A call that needs the journal
/// tells, and reserving again what is reserved changes nothing. Only new blocks need the journal, so who
/// has written within one block is not asked to pay for this.
pub(crate) fn confirm_sync(file: &File, start: u64, end: u64) -> io::Result<()> {
    if end == 0 || start / BLOCK == (end - 1) / BLOCK && !start.is_multiple_of(BLOCK) {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), end - 1, 1) {
        Err(error @ (Errno::ROFS | Errno::IO)) => Err(error.into()),
        // What else it may say is not about the journal.
        _ => Ok(()),
    }
}

/// Turns a range into zeros, as a hole where the file system can.
pub(crate) fn zero(file: &File, at: u64, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, hole, at, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, at, len),
        other => Ok(other?),
    }
}

fn write_zeros(file: &File, at: u64, len: u64) -> io::Result<()> {
    let zeros = [0; 64 * 1024];
    let mut written = 0;
    while written < len {
        let piece = (len - written).min(zeros.len() as u64);
        file.write_all_at(&zeros[..piece as usize], at + written)?;
        written += piece;
    }
    Ok(())
}

/// The next range at or behind `at` that holds data. Where the file system can't tell, all of it does.
pub(crate) fn next_data(file: &File, at: u64, len: u64) -> Option<Range<u64>> {
    if at >= len {
        return None;
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start.max(at),
        Err(Errno::NXIO) => return None,
        Err(_) => return Some(at..len),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(len);
    Some(start..end.min(len)).filter(|range| !range.is_empty())
}

/// Whether an error says that there is no space.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Whether an error says that the process or the system has too many open files.
pub(crate) fn is_file_limit(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn space_is_reserved_in_chunks_and_given_back() {
        let file = tempfile::tempfile().unwrap();
        let len = 4 * CHUNK;
        file.set_len(len).unwrap();
        let reservation = Reservation::new(len);
        assert_eq!(file.metadata().unwrap().blocks(), 0);
        reservation.reserve(&file, 0..10, 0).unwrap();
        let blocks = file.metadata().unwrap().blocks();
        assert!(blocks * 512 >= CHUNK && blocks * 512 < 2 * CHUNK, "{blocks}");
        file.write_all_at(b"abc", 8192).unwrap();
        zero(&file, 8193, len - 8193).unwrap();
        let mut read = [9; 3];
        file.read_exact_at(&mut read, 8192).unwrap();
        assert_eq!(&read, b"a\0\0");
        assert_eq!(file.metadata().unwrap().len(), len);
    }

    #[test]
    fn data_is_found_between_holes() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"x", 500_000).unwrap();
        let found = next_data(&file, 0, 1 << 20).unwrap();
        assert!(found.contains(&500_000), "{found:?}");
        assert_eq!(next_data(&file, 1 << 20, 1 << 20), None);
    }

    #[test]
    fn to_confirm_a_sync_changes_nothing() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(&[7; 10_000], 0).unwrap();
        let blocks = || file.metadata().unwrap().blocks();
        let before = blocks();
        for (start, end) in [(0, 0), (0, 1), (0, 10_000), (4096, 4097), (5000, 6000), (5000, 10_000)] {
            confirm_sync(&file, start, end).unwrap();
        }
        assert_eq!((blocks(), file.metadata().unwrap().len()), (before, 1 << 20));
        // A file that can't be written at all says other things, which are not about the journal.
        let read_only = File::open("/proc/self/exe").unwrap();
        confirm_sync(&read_only, 0, 10).unwrap();
    }

    #[test]
    fn what_is_touched_stays() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 5000], 0).unwrap();
        touch(&file, 0, 9000).unwrap();
        let mut read = [0; 5000];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(read, [7; 5000]);
    }
}
