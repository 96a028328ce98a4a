//! `kill -9` of a broker under load, at random points, again and again.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use parking_lot::Mutex;
use rmq_testkit::{Flavor, NameServer, wait};
use serde::Serialize;

use crate::{
    fleet::{self, Committer, Senders},
    history::{Contents, History, Verdict},
};

/// Senders of each round.
const SENDERS: u32 = 4;
/// The persist interval of consumer offsets (200 ms, see `fleet::broker`) and what a busy machine adds.
const OFFSETS_AGE: Duration = Duration::from_millis(700);
/// Acknowledgements that a round waits for at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often the broker is killed.
    pub rounds: u32,
    /// `SYNC_FLUSH` or `ASYNC_FLUSH`.
    pub flush: String,
    /// Start of all chance.
    pub seed: u64,
    /// Whether each round is told on standard error.
    pub verbose: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the names are those of `Verdict`")]
pub struct Report {
    pub flush: String,
    pub rounds: u32,
    pub seed: u64,
    pub acknowledged: usize,
    pub found: usize,
    pub lost: usize,
    pub duplicated: usize,
    pub out_of_order: usize,
    pub corrupt: usize,
    pub never_sent: usize,
    pub moved: usize,
    /// A consumer offset that had to be there at the end, since it was committed long enough before.
    pub offset_floor: Option<i64>,
    /// Rounds after which a committed consumer offset was older than its persist interval allows.
    pub offsets_back: usize,
    /// From the start of the process to serving, after a kill.
    pub ready_ms_max: u128,
    pub ready_ms_median: u128,
    /// The verdict in words, if something is wrong.
    pub wrong: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} rounds, {} acknowledged, {} found, {} lost, {} duplicated, {} out of order, {} corrupt, \
             {} never sent, {} at another offset; consumer offsets too far back {} times; \
             ready again after {} ms (median), {} ms (max)",
            self.flush,
            self.rounds,
            self.acknowledged,
            self.found,
            self.lost,
            self.duplicated,
            self.out_of_order,
            self.corrupt,
            self.never_sent,
            self.moved,
            self.offsets_back,
            self.ready_ms_median,
            self.ready_ms_max
        )?;
        self.wrong.iter().try_for_each(|wrong| write!(f, "\n{wrong}"))
    }
}

impl Report {
    fn new(plan: &Plan, verdict: &Verdict, mut ready: Vec<Duration>, same: bool) -> Self {
        ready.sort();
        let wrong = (!verdict.is_clean()).then(|| verdict.to_string());
        let changed = (!same).then(|| "what was read after a round was not there at the end".to_owned());
        Self {
            flush: plan.flush.clone(),
            rounds: plan.rounds,
            seed: plan.seed,
            acknowledged: verdict.required,
            found: verdict.found,
            lost: verdict.lost.len(),
            duplicated: verdict.duplicated.len(),
            out_of_order: verdict.out_of_order.len(),
            corrupt: verdict.corrupt.len(),
            never_sent: verdict.never_sent.len(),
            moved: verdict.moved.len(),
            offset_floor: None,
            offsets_back: 0,
            ready_ms_max: ready.last().map_or(0, Duration::as_millis),
            ready_ms_median: ready.get(ready.len() / 2).map_or(0, Duration::as_millis),
            wrong: wrong.or(changed),
        }
    }

    /// Whether nothing is lost or wrong, and the broker was ready again in time.
    pub fn passes(&self) -> bool {
        // In an unoptimised build on a busy machine only gross mistakes are caught.
        let ready_ms = if cfg!(debug_assertions) { 10_000 } else { 2_000 };
        self.wrong.is_none()
            && self.offsets_back == 0
            && self.offset_floor.is_some()
            && self.ready_ms_max <= ready_ms
    }
}

/// Kills the broker as often as planned, and reads everything after each kill and at the end.
///
/// # Panics
/// When a daemon does not start, or takes no messages.
pub fn run(plan: &Plan) -> Report {
    let namesrv = NameServer::start_new(Flavor::Ours);
    let mut broker = fleet::broker(&namesrv.addr()).set("flushDiskType", &plan.flush).started();
    let addr = broker.addr();
    let history: Arc<Mutex<History>> = Arc::default();
    let mut random = Rng::with_seed(plan.seed);
    let topics: Vec<_> = (0..SENDERS).map(|n| format!("Own{n}")).chain(["Common".into()]).collect();
    let mut contents = Contents::new();
    let (mut ready, mut offsets_back, mut floor, mut next) = (Vec::new(), 0, None, 1);
    for round in 0..plan.rounds {
        let target = history.lock().acks() + random.usize(50..1500);
        let senders = Senders::start(&addr, &history, round * SENDERS, SENDERS, random.u64(..));
        let committer = Committer::start(&addr, next);
        wait::until("messages to be acknowledged", PATIENCE, || history.lock().acks() >= target);
        broker.kill();
        let killed = Instant::now();
        senders.stop();
        let (accepted, following) = committer.end(killed, OFFSETS_AGE);
        (floor, next) = (floor.max(accepted), following);

        let started = Instant::now();
        broker.start();
        ready.push(started.elapsed());
        fleet::pull_more(&addr, &topics, &mut contents);
        let back = fleet::committed(&addr) < floor;
        offsets_back += usize::from(back);
        if plan.verbose {
            let acks = history.lock().acks();
            eprintln!("round {}: {acks} acknowledged, ready after {:?}", round + 1, ready[ready.len() - 1]);
        }
    }
    let mut again = Contents::new();
    fleet::pull_more(&addr, &topics, &mut again);
    let history = history.lock();
    let verdict = history.judge(&history.now(), &again);
    let report = Report::new(plan, &verdict, ready, again == contents);
    Report { offset_floor: floor, offsets_back, ..report }
}
