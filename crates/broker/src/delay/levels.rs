//! Delay levels: messages wait in one queue per level and are brought home when they are due.
//!
//! In a queue of one level all messages wait equally long, so the first is always due first: one task per
//! level sleeps until then. The queue keeps the due time in place of the tags code. [`crate::divert`] put the
//! messages there, [`WriteGate::store`] takes them back.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rmq_proto::{
    body::DelayOffsets,
    message::{Message, property},
    topic::system,
};
use rmq_store::{Arrival, Clock, DelayLevels, NewRecord, Store, Unit};
use tokio::{sync::Notify, time::sleep};
use tracing::{debug, error, warn};

use super::progress::Progress;
use crate::{
    divert::{Delivery, queue_of_level},
    meta::MetaError,
    produce::WriteGate,
};

/// Messages looked at in one go before other tasks get a turn.
const BATCH: usize = 64;
/// Longest sleep, so that a clock that is set forward is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// First wait after a failed delivery; it doubles up to [`LONGEST_SLEEP`]. Java waits 100 ms each time.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// Rings when a message enters an empty queue of a level. The store rings, so it is made before the store.
#[derive(Debug)]
pub struct Bells(Vec<Notify>);

impl Bells {
    /// One bell per level.
    pub fn new(delays: &DelayLevels) -> Self {
        Self((0..delays.max_level()).map(|_| Notify::new()).collect())
    }

    /// A message arrived in some queue.
    pub fn arrived(&self, arrival: &Arrival<'_>) {
        if arrival.topic != system::SCHEDULE {
            return;
        }
        if let Some(bell) = usize::try_from(arrival.queue_id).ok().and_then(|level| self.0.get(level)) {
            bell.notify_one();
        }
    }
}

/// What [`Levels`] is made of.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct LevelsParts {
    pub gate: Arc<WriteGate>,
    pub store: Arc<Store>,
    pub delays: DelayLevels,
    pub bells: Arc<Bells>,
    pub clock: Clock,
}

/// All delay levels.
#[derive(Debug)]
pub struct Levels {
    parts: LevelsParts,
    progress: Progress,
    running: AtomicBool,
    stopped: Notify,
}

/// What a level does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// More may be due already.
    GoOn,
    /// The first message is due after this long.
    Sleep(Duration),
    /// There is no message.
    Idle,
    /// The first message could not be delivered.
    Retry,
}

impl Levels {
    /// Reads the progress in `directory`. The store must be open, and nobody may write to it yet.
    pub fn open(directory: &Path, parts: LevelsParts) -> Result<Self, MetaError> {
        let progress = Progress::open(directory)?;
        let levels = Self { parts, progress, running: AtomicBool::new(false), stopped: Notify::new() };
        // Before anything new is stored: a message that takes a place below a progress that is too far
        // would be passed over.
        for level in 1..=levels.parts.delays.max_level() {
            levels.corrected(level);
        }
        Ok(levels)
    }

    /// Starts to deliver. Call it within the runtime; a second call does nothing.
    pub fn start(self: &Arc<Self>) {
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        for level in 1..=self.parts.delays.max_level() {
            let levels = self.clone();
            tokio::spawn(async move { levels.deliver(level).await });
        }
    }

    /// Stops delivering.
    pub fn stop(&self) {
        self.running.store(false, Ordering::Release);
        self.stopped.notify_waiters();
    }

    /// Writes the progress, as far as what was delivered is on disk.
    pub fn save(&self) -> Result<(), MetaError> {
        self.progress.save(self.parts.store.flushed_offset())
    }

    /// The progress of each level.
    pub fn snapshot(&self) -> DelayOffsets {
        self.progress.snapshot()
    }

    /// Level, its progress and the end of its queue, for each level that was ever used.
    pub fn progress(&self) -> Vec<(i32, i64, i64)> {
        let offsets = self.snapshot().offset_table;
        offsets.into_iter().map(|(level, offset)| (level, offset, self.range(level).1)).collect()
    }

    async fn deliver(&self, level: i32) {
        let mut jump = ClockJump::default();
        let mut retry = FIRST_RETRY;
        let Some(bell) = self.parts.bells.0.get(queue_of_level(level) as usize) else { return };
        loop {
            let stopped = self.stopped.notified();
            if !self.running.load(Ordering::Acquire) {
                return;
            }
            let next = self.deliver_due(level, &mut jump).await;
            if next != Next::GoOn {
                self.progress.settle(self.parts.store.flushed_offset());
            }
            let pause = match next {
                Next::GoOn => Duration::ZERO,
                Next::Sleep(pause) => pause.min(LONGEST_SLEEP),
                Next::Retry => retry,
                Next::Idle => Duration::MAX,
            };
            if next == Next::Retry && retry == FIRST_RETRY {
                // It may last as long as a disk is full: said once is enough.
                let why = self.parts.store.status().refusal;
                warn!(level, why, "delayed messages can't be delivered now and are tried again");
            }
            retry = if next == Next::Retry { (retry * 2).min(LONGEST_SLEEP) } else { FIRST_RETRY };
            tokio::select! {
                () = sleep(pause), if next != Next::Idle => {}
                () = bell.notified(), if next == Next::Idle => {}
                () = stopped => return,
            }
        }
    }

    /// Delivers what is due of the next few messages.
    async fn deliver_due(&self, level: i32, jump: &mut ClockJump) -> Next {
        let from = self.corrected(level);
        let units = self.parts.store.queue_units(system::SCHEDULE, queue_of_level(level), from, BATCH);
        if units.is_empty() {
            return Next::Idle;
        }
        let delay_ms = self.parts.delays.delay_ms(level).unwrap_or_default();
        for (offset, unit) in (from..).zip(&units) {
            let wait_ms = jump.wait_ms(unit.tags_code - self.parts.clock.now_ms(), delay_ms, Instant::now());
            if wait_ms > 0 {
                return Next::Sleep(Duration::from_millis(wait_ms as u64));
            }
            if !self.bring_home(level, offset, unit).await {
                return Next::Retry;
            }
        }
        Next::GoOn
    }

    /// The level's offset, moved into its queue if it has left it: retention deletes old messages, and the
    /// queue may be that of another store.
    fn corrected(&self, level: i32) -> i64 {
        let (min, max) = self.range(level);
        let offset = self.progress.get(level);
        let corrected = offset.clamp(min, max.max(min));
        if corrected != offset {
            warn!(level, offset, corrected, "the progress of a delay level was outside of its queue");
            self.progress.correct(level, corrected);
        }
        corrected
    }

    fn range(&self, level: i32) -> (i64, i64) {
        self.parts.store.queue_range(system::SCHEDULE, queue_of_level(level))
    }

    /// Stores the message where it really belongs; `false` if that must be tried again.
    async fn bring_home(&self, level: i32, offset: i64, unit: &Unit) -> bool {
        let Some(record) = self.read(unit) else {
            // Nothing can bring it back, and the messages behind it are to be delivered.
            error!(level, offset, "a delayed message is unreadable and was skipped");
            self.progress.correct(level, offset + 1);
            return true;
        };
        // Java does not wait for the flush either; the progress is written only after it.
        match self.parts.gate.store(record, Delivery::default(), false).await {
            Ok(stored) => {
                self.progress.advance(level, offset + 1, stored.appended.end);
                true
            }
            Err(rejection) => {
                debug!(level, offset, %rejection, "a delayed message could not be delivered yet");
                false
            }
        }
    }

    /// The message as it is to be stored. Java keeps DELAY, REAL_TOPIC and REAL_QID in its properties.
    fn read(&self, unit: &Unit) -> Option<NewRecord> {
        let bytes = self.parts.store.record_at(unit.physical_offset)?;
        let message = Message::decode(&bytes).ok()?;
        let topic = message.properties.get(property::REAL_TOPIC).filter(|topic| *topic != system::HALF)?;
        Some(NewRecord {
            topic: topic.to_owned(),
            queue_id: message.properties.number(property::REAL_QUEUE_ID)?,
            flag: message.flag,
            sys_flag: message.sys_flag,
            born_timestamp: message.born_timestamp,
            born_host: message.born_host,
            store_host: message.store_host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: 0,
            properties: message.properties.encode().into(),
            body: message.body,
        })
    }
}

/// Notices a clock that was set back: a message then seems to wait longer than its level says.
///
/// Java delivers such messages at once, which is too early. Here they wait the level's whole delay from
/// when the jump was noticed; all that were stored before the jump are due by then.
#[derive(Debug, Default)]
struct ClockJump(Option<Instant>);

impl ClockJump {
    /// How long to wait for a message that is due after `due_ms` by the clock.
    fn wait_ms(&mut self, due_ms: i64, delay_ms: i64, now: Instant) -> i64 {
        if due_ms <= delay_ms {
            self.0 = None;
            return due_ms;
        }
        let noticed = *self.0.get_or_insert(now);
        delay_ms - now.saturating_duration_since(noticed).as_millis() as i64
    }
}

#[cfg(test)]
mod tests {
    use rmq_proto::header::send::SendRequest;

    use super::*;
    use crate::{
        config::BrokerConfig,
        meta::Saved,
        produce::fixture::{Rooms, client_addr, config, send_request},
    };

    async fn send(rooms: &Rooms, level: &str) {
        rooms.topic("t", 2);
        let ask = SendRequest { queue_id: 1, ..send_request("t", &[("TAGS", "A"), ("DELAY", level)]) };
        rooms.write.send(&ask, "later".into(), client_addr(), 513).await.unwrap();
    }

    async fn arrived(rooms: &Rooms, count: usize) -> Vec<Message> {
        for _ in 0..2_000 {
            let messages = rooms.messages("t", 1);
            if messages.len() >= count {
                return messages;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("the delayed messages never arrived");
    }

    #[tokio::test]
    async fn messages_come_home_when_due_and_not_before() {
        let rooms = Rooms::with(BrokerConfig { message_delay_level: "1s 2s".to_owned(), ..config() });
        rooms.levels.start();
        for level in ["2", "1", "1"] {
            send(&rooms, level).await;
        }
        let home = arrived(&rooms, 3).await;
        let levels: Vec<_> = home.iter().map(|message| message.properties.delay_level()).collect();
        assert_eq!(levels, [1, 1, 2]);
        for (message, waiting) in home.iter().zip([("0", 1_000), ("0", 1_000), ("1", 2_000)]) {
            let sent = message.born_timestamp;
            let stored = rooms.messages(system::SCHEDULE, waiting.0.parse().unwrap());
            let first = stored.iter().map(|waiting| waiting.store_timestamp).min().unwrap();
            assert!(message.store_timestamp >= first + waiting.1, "sent {sent}");
            assert_eq!(message.properties.get("REAL_TOPIC"), Some("t"), "Java keeps it");
        }
        assert_eq!(rooms.levels.progress(), [(1, 2, 2), (2, 1, 1)]);
    }

    #[tokio::test]
    async fn a_restart_goes_on_where_it_was() {
        let fast = || BrokerConfig { message_delay_level: "1s".to_owned(), ..config() };
        let rooms = Rooms::with(fast());
        rooms.levels.start();
        send(&rooms, "1").await;
        arrived(&rooms, 1).await;
        rooms.levels.stop();
        send(&rooms, "1").await;
        rooms.store.close();
        rooms.levels.save().unwrap();
        rooms.topics.save_now().unwrap();
        let rooms = Rooms::reopen(fast(), rooms.directory);
        assert_eq!(rooms.levels.progress(), [(1, 1, 2)]);
        rooms.levels.start();
        assert_eq!(arrived(&rooms, 2).await.len(), 2);
    }

    #[tokio::test]
    async fn progress_outside_of_the_queue_is_corrected_before_messages_come() {
        let fast = || BrokerConfig { message_delay_level: "1s".to_owned(), ..config() };
        let rooms = Rooms::with(fast());
        rooms.levels.progress.advance(1, 99, 0);
        rooms.store.close();
        rooms.levels.save().unwrap();
        let rooms = Rooms::reopen(fast(), rooms.directory);
        assert_eq!(rooms.levels.progress(), [(1, 0, 0)]);
        send(&rooms, "1").await;
        rooms.levels.start();
        arrived(&rooms, 1).await;
    }

    #[test]
    fn a_clock_that_is_set_back_delays_once() {
        let mut jump = ClockJump::default();
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(jump.wait_ms(900, 1_000, start), 900);
        assert_eq!(jump.wait_ms(3_600_000, 1_000, start), 1_000);
        assert_eq!(jump.wait_ms(3_599_600, 1_000, after(400)), 600);
        assert_eq!(jump.wait_ms(3_599_000, 1_000, after(1_000)), 0);
        assert_eq!(jump.wait_ms(3_599_500, 1_000, after(1_000)), 0, "the next one need not wait again");
        assert_eq!(jump.wait_ms(300, 1_000, after(1_100)), 300);
        assert_eq!(jump.wait_ms(2_000, 1_000, after(9_000)), 1_000, "a second jump");
    }
}
