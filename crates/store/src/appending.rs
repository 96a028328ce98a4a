//! Appending: a message becomes a record, gets its place, and is written.
//!
//! Encoding and checksum come before the append lock. Comes after `store`; next is `log/commit_log`.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use rmq_proto::message::{Record, flags, properties, property, record};

use crate::{
    config::FlushMode,
    derived::consume_queue::ConsumeQueue,
    error::AppendError,
    store::{Appended, Core, NewRecord},
};

/// An encoded record that waits for its place.
pub(crate) struct Draft {
    bytes: Vec<u8>,
    topic: String,
    queue_id: i32,
    /// Half and rolled back messages have no queue.
    queue: Option<Arc<ConsumeQueue>>,
}

impl Core {
    pub(crate) fn check_closed(&self) -> Result<(), AppendError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(AppendError::Closed);
        }
        Ok(())
    }

    pub(crate) fn check_writable(&self) -> Result<(), AppendError> {
        self.check_closed()?;
        self.log.check_failure()?;
        self.disk.check()
    }

    /// Encodes a record, as far as that goes without its place.
    pub(crate) fn draft(&self, new: NewRecord) -> Result<Draft, AppendError> {
        self.check_writable()?;
        let limit = self.config.max_message_size;
        if new.body.len() > limit {
            return Err(AppendError::BodyTooLarge { size: new.body.len(), limit });
        }
        let queue =
            if flags::is_queued(new.sys_flag) { Some(self.queue(&new.topic, new.queue_id)?) } else { None };
        let properties = match self.config.append_whole_crc {
            true => record::with_room_for_crc(&without_crc(&new.properties)).into(),
            false => new.properties,
        };
        let record = Record {
            topic: &new.topic,
            queue_id: new.queue_id,
            flag: new.flag,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: new.sys_flag,
            born_timestamp: new.born_timestamp,
            born_host: new.born_host,
            store_timestamp: 0,
            store_host: new.store_host,
            reconsume_times: new.reconsume_times,
            prepared_transaction_offset: new.prepared_transaction_offset,
            body: &new.body,
            properties: &properties,
        };
        Ok(Draft { bytes: record.encode()?, topic: new.topic, queue_id: new.queue_id, queue })
    }

    fn queue(&self, topic: &str, id: i32) -> Result<Arc<ConsumeQueue>, AppendError> {
        self.queues
            .get_or_create(topic, id)
            .ok_or_else(|| AppendError::Illegal(format!("there can be no queue {id} of a topic `{topic}`")))
    }

    /// Gives drafts their places and writes them, all or none.
    pub(crate) fn append(&self, mut drafts: impl AsMut<[Draft]>) -> Result<Vec<Appended>, AppendError> {
        let appended = self.append_locked(drafts.as_mut()).inspect_err(|error| self.refused(error))?;
        self.appended();
        Ok(appended)
    }

    /// An append found the disk full before the next look at it.
    pub(crate) fn refused(&self, error: &AppendError) {
        if let AppendError::DiskFull(why) = error {
            self.disk.ran_out(why);
        }
    }

    fn append_locked(&self, drafts: &mut [Draft]) -> Result<Vec<Appended>, AppendError> {
        let mut appender = self.log.appender()?;
        // Asked under the lock: what is appended after this is synced by close.
        self.check_closed()?;
        let size = drafts.iter().map(|draft| draft.bytes.len()).sum();
        let mut at = appender.place(size)? as i64;
        for draft in drafts.iter_mut() {
            self.renew_queue(draft)?;
        }
        let now = self.config.clock.now_ms();
        let mut appended = Vec::with_capacity(drafts.len());
        for draft in drafts.iter_mut() {
            let size = draft.bytes.len() as i32;
            let place = Appended {
                physical_offset: at,
                size,
                // Java: half and rolled back messages have the offset 0.
                queue_offset: draft.queue.as_ref().map_or(0, |queue| queue.take_next()),
                store_timestamp: now,
                end: at + i64::from(size),
            };
            record::place(&mut draft.bytes, place.queue_offset, at, now);
            if self.config.append_whole_crc {
                record::seal(&mut draft.bytes);
            }
            at = place.end;
            appended.push(place);
        }
        let written = match &*drafts {
            [one] => appender.write(&one.bytes, now),
            many => {
                let all: Vec<&[u8]> = many.iter().map(|draft| &draft.bytes[..]).collect();
                appender.write(&all.concat(), now)
            }
        };
        if written.is_err() {
            // Nobody else has taken offsets meanwhile: the append lock is still held.
            let queues = drafts.iter().filter_map(|draft| draft.queue.as_ref());
            queues.for_each(|queue| queue.give_back_next());
        }
        written.map(|()| appended)
    }

    /// The topic may have been deleted since the draft was made.
    fn renew_queue(&self, draft: &mut Draft) -> Result<(), AppendError> {
        if draft.queue.as_ref().is_some_and(|queue| queue.is_deleted()) {
            draft.queue = Some(self.queue(&draft.topic, draft.queue_id)?);
        }
        Ok(())
    }

    /// Makes appended records visible and gets them flushed.
    pub(crate) fn appended(&self) {
        self.flush_bell.ring();
        if self.config.flush != FlushMode::Sync {
            self.dispatch();
        }
    }
}

/// Stored properties without the CRC of another record that a message was taken from.
fn without_crc(properties: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(properties);
    if properties::get(&text, property::CRC32).is_none() {
        return Cow::Borrowed(properties);
    }
    let mut kept = String::with_capacity(text.len());
    let others = properties::pairs(&text).filter(|(key, _)| *key != property::CRC32);
    others.for_each(|(key, value)| properties::append(&mut kept, key, value));
    Cow::Owned(kept.into_bytes())
}
