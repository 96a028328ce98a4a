//! Every periodic task of the broker: its name, when it runs, what it calls. Nothing else starts periodic work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{Days, Local, NaiveTime};
use rmq_store::Store;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tracing::{debug, trace, warn};

use crate::clients::consumers::Consumers;
use crate::clients::producers::Producers;
use crate::clients::queue_locks::QueueLocks;
use crate::config::LiveConfig;
use crate::counters::{Counters, Span};
use crate::delay::levels::Levels;
use crate::meta::{Groups, MetaError, Offsets, Saved, Topics, now_ms};

/// What the periodic tasks work on.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each field is a room of that name")]
pub struct Rooms {
    pub config: Arc<LiveConfig>,
    pub topics: Arc<Topics>,
    pub groups: Arc<Groups>,
    pub offsets: Arc<Offsets>,
    pub producers: Arc<Producers>,
    pub consumers: Arc<Consumers>,
    pub queue_locks: Arc<QueueLocks>,
    pub counters: Arc<Counters>,
    pub levels: Arc<Levels>,
    pub store: Arc<Store>,
}

/// When a task runs.
#[derive(Clone, Copy, Debug)]
enum When {
    /// Each so often.
    Every(Duration),
    /// The same, but first only after a while.
    EveryAfter(Duration, Duration),
    /// At midnight of local time.
    Midnight,
}

struct Job {
    name: &'static str,
    when: When,
    /// It waits for the disk or walks large tables, so it needs a thread of its own.
    blocks: bool,
    run: fn(&Rooms),
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The table.
fn jobs(rooms: &Rooms) -> Vec<Job> {
    let config = rooms.config.get();
    let quick = |name, when, run| Job { name, when, blocks: false, run };
    let slow = |name, when, run| Job { name, when, blocks: true, run };
    let offsets_period = Duration::from_millis(config.flush_consumer_offset_interval as u64);
    let delays_period = Duration::from_millis(config.flush_delay_offset_interval as u64);
    vec![
        quick("forget silent clients", When::Every(seconds(10)), |rooms| {
            rooms.producers.scan_idle(Instant::now());
            rooms.consumers.scan_idle(Instant::now());
        }),
        slow("save consumer offsets", When::Every(offsets_period), |rooms| saved(rooms.offsets.save_now())),
        // Whoever changes topics or groups saves them; this makes up for what failed or had no time.
        slow("save topics and groups", When::Every(seconds(5)), |rooms| {
            saved(rooms.topics.save_now());
            saved(rooms.groups.save_now());
        }),
        slow("save delay progress", When::Every(delays_period), |rooms| saved(rooms.levels.save())),
        // Java: the first time after a minute, so that a broker that was started by mistake can be stopped.
        slow("delete expired files", When::EveryAfter(seconds(60), seconds(10)), |rooms| rooms.store.clean()),
        quick("sample rates", When::Every(seconds(1)), |rooms| rooms.counters.sample_second(now_ms())),
        slow("sample the minute", When::Every(seconds(10)), |rooms| {
            rooms.counters.sample(Span::Minute, now_ms())
        }),
        slow("sample the hour", When::Every(seconds(600)), |rooms| {
            rooms.counters.sample(Span::Hour, now_ms())
        }),
        slow("sample the day", When::Every(seconds(3600)), |rooms| {
            rooms.counters.sample(Span::Day, now_ms())
        }),
        quick("end a minute's latencies", When::Every(seconds(60)), |rooms| rooms.counters.end_minute()),
        quick("end the day", When::Midnight, |rooms| rooms.counters.end_day()),
    ]
}

fn saved(result: Result<(), MetaError>) {
    if let Err(error) = result {
        // The table itself has warned of it, once.
        debug!("{error}");
    }
}

/// The running tasks; dropping them stops them.
#[derive(Debug)]
pub struct Jobs(Vec<JoinHandle<()>>);

impl Jobs {
    /// Starts all tasks. Call it within the runtime.
    pub fn start(rooms: &Rooms) -> Self {
        Self(jobs(rooms).into_iter().map(|job| tokio::spawn(repeat(job, rooms.clone()))).collect())
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn repeat(job: Job, rooms: Rooms) {
    let (first, period) = match job.when {
        When::Every(period) => (period, period),
        When::EveryAfter(first, period) => (first, period),
        When::Midnight => loop {
            sleep(until_midnight()).await;
            run(&job, &rooms).await;
        },
    };
    let mut ticks = interval_at(tokio::time::Instant::now() + first, period);
    // After a stop of the whole process there is nothing to make up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        run(&job, &rooms).await;
    }
}

async fn run(job: &Job, rooms: &Rooms) {
    trace!("{}", job.name);
    if !job.blocks {
        return (job.run)(rooms);
    }
    let (work, rooms) = (job.run, rooms.clone());
    if tokio::task::spawn_blocking(move || work(&rooms)).await.is_err_and(|error| error.is_panic()) {
        warn!("the task `{}` failed and runs again at its time", job.name);
    }
}

fn until_midnight() -> Duration {
    let now = Local::now();
    let midnight = now.date_naive().checked_add_days(Days::new(1)).map(|day| day.and_time(NaiveTime::MIN));
    // A day on which the clocks change has 23 or 25 hours, and midnight may not exist.
    let at = midnight.and_then(|midnight| midnight.and_local_timezone(Local).earliest());
    at.and_then(|at| (at - now).to_std().ok()).unwrap_or(seconds(24 * 3600)).max(seconds(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_is_at_most_a_long_day_away() {
        let wait = until_midnight();
        assert!(wait >= seconds(1) && wait <= seconds(25 * 3600), "{wait:?}");
    }
}
