//! A damaged entry of a queue is found again in the log, where its record lies between those of its
//! neighbours.

use rmq_proto::message::{RecordView, flags};

use super::{consume_queue::ConsumeQueue, dispatch::unit_of, queue_file::Unit};
use crate::{
    config::DelayLevels,
    log::{
        commit_log::CommitLog,
        cursor::{Cursor, Step},
    },
};

/// A reader waits while the log is searched: 64 MiB take some 50 ms. `mqstore repair` has no limit.
const SPAN: u64 = 64 << 20;

/// Whether a record is the one that a queue has at an offset. Its CRC is not checked.
pub(crate) fn belongs(view: &RecordView<'_>, queue: &ConsumeQueue, offset: i64) -> bool {
    view.queue_offset() == offset && view.queue_id() == queue.id() && *view.topic() == **queue.topic()
}

/// Searches the record of a queue offset in the log and puts it right in the queue; `None` if it is not
/// there or too far away.
pub(crate) fn heal(
    log: &CommitLog,
    queue: &ConsumeQueue,
    delay_levels: &DelayLevels,
    offset: i64,
) -> Option<Unit> {
    let leads_there = |offset: i64, unit: &Unit| {
        let record = log.record(unit.physical_offset as u64).unwrap_or_default();
        RecordView::parse(&record).is_ok_and(|view| belongs(&view, queue, offset))
    };
    let right = |offset: i64| queue.unit(offset).filter(|unit| leads_there(offset, unit));
    let from = right(offset - 1).map_or_else(|| log.start(), |unit| unit.end());
    let until = right(offset + 1).map_or_else(|| log.end(), |unit| unit.physical_offset as u64);
    let mut cursor = Cursor::new(log, from);
    let limit = until.min(from + SPAN);
    loop {
        let view = match cursor.step(limit) {
            Ok(Step::Record(view)) => view,
            Ok(Step::Rolled) => continue,
            _ => return None,
        };
        if belongs(&view, queue, offset) && flags::is_queued(view.sys_flag()) && view.check_body().is_ok() {
            let unit = unit_of(&view, delay_levels);
            replace(queue, offset, unit);
            return Some(unit);
        }
    }
}

fn replace(queue: &ConsumeQueue, offset: i64, unit: Unit) {
    let (topic, id) = (queue.topic(), queue.id());
    match queue.replace(offset, unit) {
        Ok(()) => tracing::warn!(%topic, id, offset, "a damaged entry of a queue is healed"),
        Err(error) => tracing::error!(%topic, id, offset, %error, "can't heal a damaged entry of a queue"),
    }
}
