//! Walking a log that may be damaged, without changing it: what recovery would see.

use std::ops::ControlFlow;

use rmq_proto::message::{RecordError, RecordView};

use crate::{
    error::{IoContext, StoreError},
    log::{
        commit_log::CommitLog,
        cursor::{Cursor, Damage, Step},
        recover::{check, next_valid},
    },
};

/// Bytes after which the memory of what was read is given back.
const RELEASE_BYTES: u64 = 16 << 20;

/// What lies at a place of the log.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    /// A valid record.
    Record(RecordView<'a>),
    /// The rest of a file that holds no record.
    Blank { at: u64, next: u64 },
    /// Files that are not there.
    Missing { at: u64, next: u64 },
    /// Bytes between valid records that are none.
    Damaged { at: u64, next: u64, why: Damage },
}

/// Where the walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Behind the last record.
    pub(crate) at: u64,
    /// What lies there instead of a record, unless the file ends there.
    pub(crate) why: Option<Damage>,
}

/// Walks from `from`, where a record begins, to the end of the log or until `each` breaks.
pub(crate) fn walk<E: From<StoreError>>(
    log: &CommitLog,
    from: u64,
    mut each: impl FnMut(Place<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<End, E> {
    let limit = log.files().last().map_or(0, |file| file.end());
    let mut cursor = Cursor::new(log, from);
    let mut last_timestamp = 0;
    let mut release_at = from + RELEASE_BYTES;
    loop {
        let at = cursor.at();
        if at >= release_at {
            log.files().all().iter().for_each(|file| file.release_memory());
            release_at = at + RELEASE_BYTES;
        }
        let step = cursor.step(limit).doing("read", log.files().dir());
        let (place, why) = match step? {
            Step::Record(view) => match check(&view, check_sums) {
                Ok(()) => {
                    last_timestamp = view.store_timestamp();
                    (Some(Place::Record(view)), None)
                }
                Err(damage) => (None, Some(damage)),
            },
            Step::Rolled => (None, None),
            Step::End => return Ok(End { at, why: None }),
            Step::Damaged(damage) => (None, Some(damage)),
        };
        let place = match (place, why) {
            (Some(record), _) => record,
            (None, None) if log.files().at(at).is_some() => Place::Blank { at, next: cursor.at() },
            (None, None) => Place::Missing { at, next: cursor.at() },
            (None, Some(why)) => match next_valid(log, at, last_timestamp) {
                Some(next) => {
                    cursor.go(next);
                    Place::Damaged { at, next, why }
                }
                None => return Ok(End { at, why: Some(why) }),
            },
        };
        if each(place)?.is_break() {
            return Ok(End { at: cursor.at(), why: None });
        }
    }
}

/// Compares a record with all checksums that it has.
pub(super) fn check_sums(view: &RecordView<'_>) -> Result<(), RecordError> {
    view.check_body()?;
    view.check_whole()
}
