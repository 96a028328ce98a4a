//! When a message must first go elsewhere: delayed ones to the queue of their level.
//!
//! The real topic and queue travel in properties; [`crate::delay`] brings the message home when it is due.

use rmq_proto::{
    code::ResponseCode,
    message::{Properties, flags, property},
    topic,
};
use rmq_store::NewRecord;

use crate::error::Rejection;

/// When a message wants to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivery {
    /// DELAY: the level of delay; 0 or less for none.
    pub delay_level: i32,
    /// It has a delivery time of its own that nobody has looked at yet.
    pub timed: bool,
}

/// Sends `record` to another topic if it shall not be delivered now. `levels` is the highest delay level.
pub fn divert(record: &mut NewRecord, delivery: Delivery, levels: i32) -> Result<(), Rejection> {
    if !flags::is_queued(record.sys_flag) {
        return Ok(());
    }
    if delivery.delay_level > 0 {
        delay(record, delivery.delay_level.min(levels));
    } else if delivery.timed && record.topic != topic::system::TIMER {
        return Err(Rejection::new(
            ResponseCode::MESSAGE_ILLEGAL,
            "messages with a delivery time (TIMER_DELIVER_MS, TIMER_DELAY_MS, TIMER_DELAY_SEC) are not served by this \
             broker; use a delay level",
        ));
    }
    Ok(())
}

/// The queue of a delay level.
pub fn queue_of_level(level: i32) -> i32 {
    level - 1
}

fn delay(record: &mut NewRecord, level: i32) {
    let mut properties = Properties::parse(&String::from_utf8_lossy(&record.properties));
    // Java lets the delay level win over a delivery time.
    for timed in [property::TIMER_DELIVER_MS, property::TIMER_DELAY_SEC, property::TIMER_DELAY_MS] {
        properties.remove(timed);
    }
    properties.set(property::DELAY, level.to_string());
    properties
        .set(property::REAL_TOPIC, std::mem::replace(&mut record.topic, topic::system::SCHEDULE.to_owned()));
    properties.set(property::REAL_QUEUE_ID, record.queue_id.to_string());
    record.properties = properties.encode().into();
    record.queue_id = queue_of_level(level);
}
