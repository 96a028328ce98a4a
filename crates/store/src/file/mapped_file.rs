//! The only file with unsafe code: memory that shows a file.
//!
//! Log files are written with `pwrite` and read through a mapping. Linux keeps both coherent, a full
//! disk or a bad sector is an error of the write instead of a SIGBUS, and written pages do not count
//! as memory of the process. Index files are hash tables and are written through their mapping, in
//! space that was reserved before.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    slice,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapMut, MmapOptions, UncheckedAdvice};
use rustix::io::Errno;

use super::allocator::Reservation;
use crate::fault;

/// One file of the log.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    start: u64,
    len: u64,
    file: File,
    map: OnceLock<Mmap>,
    seen: OnceLock<Seen>,
    reservation: Reservation,
}

impl MappedFile {
    /// Creates the file that begins at physical offset `start`, with its full length but no blocks.
    pub(crate) fn create(path: PathBuf, start: u64, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        file.set_len(len)?;
        Ok(Self::new(path, start, len, file))
    }

    /// Opens a file that is there and has its length.
    pub(crate) fn open(path: PathBuf, start: u64, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Self::new(path, start, len, file))
    }

    /// Opens a file only to be read; `len` is what it has.
    pub(crate) fn view(path: PathBuf, start: u64, len: u64) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self::new(path, start, len, file))
    }

    fn new(path: PathBuf, start: u64, len: u64, file: File) -> Self {
        Self {
            path,
            start,
            len,
            file,
            map: OnceLock::new(),
            seen: OnceLock::new(),
            reservation: Reservation::new(len),
        }
    }

    /// Physical offset of its first byte.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Physical offset behind its last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.len
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reserves disk space so that a write to these positions can't run out of it; fails rather than
    /// leave less than `keep_free` bytes of the disk to others.
    pub(crate) fn reserve(&self, range: Range<u64>, keep_free: u64) -> io::Result<()> {
        self.reservation.reserve(&self.file, range, keep_free)
    }

    /// Writes at a position in the file. Only bytes that no reader was told of may change.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.reserve(at..at + bytes.len() as u64, 0)?;
        self.file.write_all_at(bytes, at)
    }

    /// Makes all that was written survive a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        fault::sync_file(&self.file)
    }

    /// Likewise, and makes sure of it for a range that has been written since the last sync.
    pub(crate) fn sync_written(&self, range: Range<u64>) -> io::Result<()> {
        self.sync()?;
        super::allocator::confirm_sync(&self.file, range.start, range.end)
    }

    /// Turns everything from a position to the file's end into zeros.
    pub(crate) fn clear_from(&self, at: u64) -> io::Result<()> {
        self.reservation.forget_from(at);
        super::allocator::zero(&self.file, at, self.len - at)
    }

    /// The next range at or behind a position that is not a hole, up to the next hole.
    pub(crate) fn next_data(&self, at: u64) -> Option<Range<u64>> {
        super::allocator::next_data(&self.file, at, self.len)
    }

    /// When it was last written.
    pub(crate) fn modified(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    /// Bytes at a position in the file; cut at the file's end. The caller asks only for bytes that are
    /// written and never change again, or owns the file alone.
    pub(crate) fn bytes(&self, range: Range<u64>) -> io::Result<&[u8]> {
        let map = self.map()?;
        let end = range.end.min(self.len) as usize;
        let start = (range.start as usize).min(end);
        // SAFETY: the range lies inside the mapping, which lives as long as self. Writers change only
        // bytes behind the published end of the log, which callers do not ask for, so nothing changes
        // under the reference. The file is not truncated while it is mapped: this process holds the
        // store's lock and only `clear_from` frees blocks, without changing the length.
        Ok(unsafe { slice::from_raw_parts(map.as_ptr().add(start), end - start) })
    }

    /// Bytes from a position on at which a record should begin. As far as the record says that it reaches,
    /// they can be touched: where they can't be read from the disk, or somebody has cut the file, this is
    /// an error, and touching them would end the process with SIGBUS. (It still would if that happened
    /// less than a release ago.)
    pub(crate) fn record_bytes(&self, range: Range<u64>) -> io::Result<&[u8]> {
        const SIZE_LEN: u64 = 4;
        /// Larger than any record: a damaged size must not have the whole file read.
        const MOST: u64 = 64 * 1024 * 1024;
        let bytes = self.bytes(range.clone())?;
        self.look_at(range.start..range.start + SIZE_LEN)?;
        let size = bytes.first_chunk().map_or(0, |size| u64::from(u32::from_be_bytes(*size)));
        if size <= MOST {
            self.look_at(range.start..range.start + size)?;
        }
        Ok(bytes)
    }

    /// Brings the pages of a range in, once for each window until the next release.
    pub(crate) fn look_at(&self, range: Range<u64>) -> io::Result<()> {
        let (map, seen) = (self.map()?, self.seen.get_or_init(|| Seen::new(self.len)));
        let end = range.end.min(self.len);
        for window in range.start / WINDOW..end.div_ceil(WINDOW) {
            if seen.has(window) {
                continue;
            }
            let at = window * WINDOW;
            let len = WINDOW.min(self.len - at);
            // Only EFAULT says that touching would be a SIGBUS. Kernels before 5.14 say that they can't be
            // asked, and a shortage of memory is no reason to take a record for damaged.
            let looked = map.advise_range(Advice::PopulateRead, at as usize, len as usize);
            if looked.is_err_and(|error| error.raw_os_error() == Some(Errno::FAULT.raw_os_error())) {
                return Err(io::Error::other("its disk can't be read there, or somebody has cut it"));
            }
            seen.put(window);
        }
        Ok(())
    }

    /// Like [`MappedFile::bytes`], keeping the mapping alive instead of borrowing it, so that the
    /// bytes outlive the deletion of the file.
    pub(crate) fn shared(self: &Arc<Self>, range: Range<u64>) -> io::Result<Bytes> {
        self.bytes(range.clone())?;
        let file = self.clone();
        Ok(Bytes::from_owner(Shared { file, range }))
    }

    /// Lets the pages go that readers have touched; the data stays in the page cache.
    pub(crate) fn release_memory(&self) {
        let Some(map) = self.map.get() else {
            return;
        };
        // SAFETY: for a shared mapping of a file, MADV_DONTNEED drops only the page table entries;
        // whoever still reads there gets the same bytes again from the page cache.
        let released = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
        if let Err(error) = released {
            tracing::debug!(%error, "the pages of a log file stay in memory");
        }
        if let Some(seen) = self.seen.get() {
            seen.clear();
        }
    }

    fn map(&self) -> io::Result<&Mmap> {
        if let Some(map) = self.map.get() {
            return Ok(map);
        }
        // SAFETY: the mapping is only read through `bytes`, which says why the bytes it returns do not
        // change; the file is only written by this process, which holds the store's lock.
        let map = unsafe { Mmap::map(&self.file)? };
        if (map.len() as u64) < self.len {
            return Err(io::Error::other("the file is shorter than it was made"));
        }
        Ok(self.map.get_or_init(|| map))
    }
}

/// Bytes that are looked at together: as much as the kernel brings in at one page fault.
const WINDOW: u64 = 64 * 1024;

/// The windows of a file whose pages are there.
#[derive(Debug)]
struct Seen(Box<[AtomicU64]>);

impl Seen {
    fn new(len: u64) -> Self {
        let words = len.div_ceil(WINDOW).div_ceil(u64::from(u64::BITS));
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    fn word(&self, window: u64) -> Option<(&AtomicU64, u64)> {
        let (word, bit) = (window / u64::from(u64::BITS), window % u64::from(u64::BITS));
        Some((self.0.get(word as usize)?, 1 << bit))
    }

    fn has(&self, window: u64) -> bool {
        self.word(window).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    fn put(&self, window: u64) {
        if let Some((word, bit)) = self.word(window) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

struct Shared {
    file: Arc<MappedFile>,
    range: Range<u64>,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        // `shared` has already mapped the file, so this does not fail.
        self.file.bytes(self.range.clone()).unwrap_or_default()
    }
}

/// A small file of fixed size that is read and written as memory.
#[derive(Debug)]
pub(crate) struct MappedTable {
    file: Arc<File>,
    map: MmapMut,
    reservation: Reservation,
}

impl MappedTable {
    /// Opens or creates the file with that length.
    pub(crate) fn open(path: &Path, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(len)?;
        // SAFETY: the file belongs to this process, which holds the store's lock; nobody else writes
        // or truncates it while it is mapped. All access goes through &self and &mut self.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Self { file: Arc::new(file), map, reservation: Reservation::new(len) })
    }

    /// Opens the file only to be read, as long as it is: what is written here never reaches it.
    pub(crate) fn view(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        // SAFETY: a private mapping; this process holds the store's lock, so that nobody writes or
        // truncates the file while it is mapped. All access goes through &self and &mut self.
        let map = unsafe { MmapOptions::new().no_reserve_swap().map_copy(&file)? };
        Ok(Self { file: Arc::new(file), map, reservation: Reservation::new(len) })
    }

    /// The file, to be synced without holding on to the table.
    pub(crate) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// `N` bytes at a position; zeros behind the end.
    pub(crate) fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let bytes = self.map.get(at as usize..).and_then(|rest| rest.first_chunk());
        bytes.copied().unwrap_or([0; N])
    }

    /// Writes at a position whose space has been reserved.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        let at = at as usize;
        if let Some(place) = self.map.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Reserves disk space: without it, writing to a full disk would be a SIGBUS.
    pub(crate) fn reserve(&self, range: Range<u64>) -> io::Result<()> {
        self.reservation.reserve(&self.file, range, 0)
    }

    /// Lets the pages go from the process; the data stays in the file.
    pub(crate) fn release_memory(&self) {
        // SAFETY: for a shared mapping of a file, MADV_DONTNEED drops only the page table entries;
        // the contents stay in the page cache and come back at the next access.
        let released = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
        if let Err(error) = released {
            tracing::debug!(%error, "the pages of an index file stay in memory");
        }
    }
}
