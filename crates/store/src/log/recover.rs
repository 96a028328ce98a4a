//! Finding the log's end after a start, and healing what lies before it.
//!
//! A record that is not valid is either the torn tail of a crash or damage in the middle. Java takes
//! everything behind it for garbage and deletes it. Here the log is searched for a valid record that
//! says itself that it belongs where it lies: if there is one, the damaged bytes are sealed into a
//! record that no queue shows, and everything behind them stays; if there is none, the log ends.

use std::{net::SocketAddr, sync::Arc};

use rmq_proto::message::{
    Record, RecordError, RecordView, flags,
    record::{BLANK_LEN, FIXED_LEN, MAGIC_BLANK},
};

use super::{
    commit_log::CommitLog,
    cursor::{Cursor, Damage, Step},
};
use crate::{
    error::{IoContext, StoreError},
    fault,
    file::mapped_file::MappedFile,
};

/// Topic of the record that seals a damaged range.
const SEAL_TOPIC: &str = "RMQ_SYS_DAMAGED_RANGE";
/// A seal is never smaller: nor is a record, so a damaged range of whole records always has room.
const SEAL_MIN: u64 = FIXED_LEN as u64 + 1;
/// How often progress is logged.
const PROGRESS_BYTES: u64 = 1 << 30;

/// What recovery found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Where the log ends.
    pub(crate) end: u64,
    /// Records looked at.
    pub(crate) records: u64,
    /// Damaged ranges between valid records.
    pub(crate) damaged_ranges: u64,
    /// Bytes in them.
    pub(crate) damaged_bytes: u64,
    /// Store time of the last record, ms.
    pub(crate) last_timestamp: i64,
}

/// Walks from `from`, where a record begins, to the end; hands each valid record to `each`.
pub(crate) fn recover(
    log: &CommitLog,
    from: u64,
    check_sums: impl Fn(&RecordView<'_>) -> Result<(), RecordError>,
    mut each: impl FnMut(&RecordView<'_>),
) -> Result<Recovered, StoreError> {
    let limit = log.files().last().map_or(0, |file| file.end());
    let mut cursor = Cursor::new(log, from);
    let mut found = Recovered { end: from, ..Recovered::default() };
    let mut report_at = from + PROGRESS_BYTES;
    loop {
        if cursor.at() >= report_at {
            tracing::info!(at = cursor.at(), limit, "recovering the log");
            report_at = cursor.at() + PROGRESS_BYTES;
        }
        let at = cursor.at();
        fault::hit(fault::RECOVER_WALK).doing("read", log.files().dir())?;
        let damage = match cursor.step(limit).doing("read", log.files().dir())? {
            Step::Record(view) => match check(&view, &check_sums) {
                Ok(()) => {
                    found.records += 1;
                    found.last_timestamp = view.store_timestamp();
                    found.end = at + view.size() as u64;
                    each(&view);
                    continue;
                }
                Err(damage) => damage,
            },
            Step::Rolled => {
                found.end = cursor.at();
                continue;
            }
            Step::End => break,
            Step::Damaged(damage) => damage,
        };
        let Some(next) = next_valid(log, at, found.last_timestamp) else {
            tracing::info!(at, %damage, "the log ends here");
            found.end = at;
            break;
        };
        tracing::error!(at, next, %damage, "damaged bytes in the log are sealed and skipped");
        seal(log, at, next, found.last_timestamp)?;
        found.damaged_ranges += 1;
        found.damaged_bytes += next - at;
        cursor.go(next);
    }
    Ok(found)
}

/// Whether a record that was found is whole.
pub(crate) fn check(
    view: &RecordView<'_>,
    check_sums: impl Fn(&RecordView<'_>) -> Result<(), RecordError>,
) -> Result<(), Damage> {
    // A write that was cut short leaves zeros. The CRC covers the body only, but neither a topic nor
    // stored properties end with a zero.
    if view.bytes().ends_with(&[0]) && !view.properties().is_empty() || view.topic().ends_with('\0') {
        return Err(Damage::Torn);
    }
    if has_lost_sector(view) {
        return Err(Damage::Torn);
    }
    Ok(check_sums(view)?)
}

/// Whether a whole sector of the properties is zeros. A power cut can leave out any sector of what was
/// not synced, and no checksum covers these; nobody sends properties with so many zeros.
fn has_lost_sector(view: &RecordView<'_>) -> bool {
    const SECTOR: usize = 512;
    let (bytes, start) = (view.bytes(), view.physical_offset() as usize);
    let tail = bytes.len() - view.properties_bytes().len();
    let first = (start + tail).next_multiple_of(SECTOR) - start;
    let sectors = bytes.get(first..).unwrap_or_default().chunks_exact(SECTOR);
    sectors.into_iter().any(|sector| sector.iter().all(|byte| *byte == 0))
}

/// The first valid record behind damage at `at`. Records older than the last valid one are what an
/// earlier life of the store left behind its end (Java does not clear it): they are dead.
pub(crate) fn next_valid(log: &CommitLog, at: u64, not_before: i64) -> Option<u64> {
    let file = log.files().at(at)?;
    let is_alive = |file: &MappedFile, offset: u64| {
        valid_at(file, offset).is_some_and(|timestamp| timestamp >= not_before)
    };
    // If only the body is damaged, the next record is where the size says. Asking there first keeps
    // records inside a body from being taken for real.
    let bytes = file.bytes(at - file.start()..file.end() - file.start()).ok()?;
    if let Ok(view) = RecordView::parse(bytes) {
        let next = at + view.size() as u64;
        if is_alive(&file, next) {
            return Some(next);
        }
    }
    let in_file =
        |file: &Arc<MappedFile>, from: u64| candidates(file, from).find(|offset| is_alive(file, *offset));
    if let Some(next) = in_file(&file, at + SEAL_MIN) {
        return Some(next);
    }
    let behind = log.files().all().into_iter().filter(|other| other.start() > at);
    behind.into_iter().find_map(|file| in_file(&file, file.start()))
}

/// Store time of the record at a physical offset, if it is valid and belongs there.
fn valid_at(file: &MappedFile, offset: u64) -> Option<i64> {
    let end = file.end() - file.start();
    let bytes = file.bytes(offset.checked_sub(file.start())?..end).ok()?;
    let view = RecordView::parse(bytes).ok()?;
    let is_valid = view.physical_offset() == offset as i64 && view.check_body().is_ok();
    is_valid.then(|| view.store_timestamp())
}

/// Physical offsets at or behind `from` where the magic of a record lies in the right place. Holes are
/// skipped, so that the empty rest of a file costs nothing.
fn candidates(file: &MappedFile, from: u64) -> impl Iterator<Item = u64> {
    const MAGIC: [u8; 3] = [0xDA, 0xA3, 0x20];
    let mut range = file.next_data(from.saturating_sub(file.start()));
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let data = range.clone()?;
            at = at.max(data.start);
            let bytes = file.bytes(at..data.end).ok()?;
            if let Some(index) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) {
                at += index as u64 + 1;
                let offset = (file.start() + at - 1).checked_sub(4);
                match offset.filter(|offset| *offset >= from) {
                    Some(offset) => return Some(offset),
                    None => continue,
                }
            }
            range = file.next_data(data.end);
        }
    })
}

/// Makes the damaged bytes readable as something to skip, for us and for Java: a blank to the file's
/// end, or a rolled back record around them. They stay where they are, as its body.
fn seal(log: &CommitLog, at: u64, next: u64, timestamp: i64) -> Result<(), StoreError> {
    let Some(file) = log.files().at(at) else {
        return Ok(());
    };
    let write = |bytes: &[u8]| {
        fault::hit(fault::RECOVER_SEAL).doing("seal damaged bytes in", file.path())?;
        file.write(at - file.start(), bytes)
            .and_then(|()| file.sync())
            .doing("seal damaged bytes in", file.path())
    };
    if next >= file.end() {
        let rest = file.end() - at;
        if rest < BLANK_LEN as u64 {
            return Ok(());
        }
        let mut blank = (rest as i32).to_be_bytes().to_vec();
        blank.extend(MAGIC_BLANK.to_be_bytes());
        return write(&blank);
    }
    let len = (next - at) as usize;
    let topic = &SEAL_TOPIC[..SEAL_TOPIC.len().min(len - FIXED_LEN)];
    let body_len = len - FIXED_LEN - topic.len();
    let body_at = at - file.start() + FIXED_LEN as u64 - 3;
    let body = file.bytes(body_at..body_at + body_len as u64).doing("read", file.path())?;
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let record = Record {
        topic,
        queue_id: 0,
        flag: 0,
        queue_offset: 0,
        physical_offset: at as i64,
        sys_flag: flags::TRANSACTION_ROLLBACK,
        born_timestamp: timestamp,
        born_host: nowhere,
        store_timestamp: timestamp,
        store_host: nowhere,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[],
    };
    match record.encode() {
        Ok(bytes) => write(&bytes),
        Err(error) => Err(StoreError::Config(format!("can't seal {len} damaged bytes: {error}"))),
    }
}
