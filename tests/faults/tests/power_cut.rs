//! Power cuts: what was not synced is there in part, in any order.

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use fastrand::Rng;
use parking_lot::Mutex;
use rmq_faults::{
    history::{History, Moment},
    image,
    lab::{Case, Driver, Examined, Work, config, open},
    power::{Cut, Disk},
};
use rmq_store::{FlushMode, Store, fault};

const ASYNC: FlushMode = FlushMode::Async { interval_ms: 10 };

/// Cuts in one life of a store: so many at syncs and as many between them.
const CUTS: usize = 7;

/// Sums of many cases.
#[derive(Debug, Default)]
struct Total {
    cuts: usize,
    required: usize,
    returned: usize,
    slowest: Duration,
}

impl Total {
    fn add(&mut self, examined: &Examined) {
        self.cuts += 1;
        self.required += examined.verdict.required;
        self.returned += examined.verdict.returned.len();
        self.slowest = self.slowest.max(examined.opening);
    }
}

/// Takes images of a store whose power is cut, and remembers what has to be in them.
struct Outages {
    history: Arc<Mutex<History>>,
    /// What has to be there until the store is open.
    before: Moment,
    /// What was deleted before need not be there, though its deletion may not have survived.
    log_start: i64,
    store: Mutex<Weak<Store>>,
    state: Mutex<(Rng, Vec<Case>)>,
    name: String,
}

impl Outages {
    fn cut(&self, disk: &Disk, at: &str) {
        let (random, cases) = &mut *self.state.lock();
        let store = self.store.lock().upgrade();
        // Asked first: what is synced from now on may be there, but need not.
        let moment = match &store {
            Some(store) => self.history.lock().durable_to(store.flushed_offset()),
            None => self.before.clone(),
        };
        let (image, how) = (image::temp_dir(), Cut::any(random));
        disk.cut(how, random, image.path()).unwrap();
        // Asked last: what is deleted by now need not be there.
        let log_start = store.map_or(0, |store| store.min_physical_offset()).max(self.log_start);
        let moment = moment.without_deleted(&self.history.lock());
        let what = format!("{}, cut {} at {at}, {how:?}", self.name, cases.len());
        cases.push(Case { image, moment: moment.in_log_from(log_start), what });
    }

    fn count(&self) -> usize {
        self.state.lock().1.len()
    }
}

/// One life of a store, until the power is cut for good. The last case is the end.
fn live(root: &Path, name: String, log_start: i64, driver: &mut Driver, flush: FlushMode) -> Vec<Case> {
    let disk = Disk::new(root).unwrap();
    let before = driver.history.lock().now();
    let outages = Arc::new(Outages {
        history: driver.history.clone(),
        before,
        store: Mutex::default(),
        log_start,
        state: Mutex::new((driver.random().fork(), Vec::new())),
        name,
    });
    let (at_syncs, random) = (outages.clone(), Mutex::new(driver.random().fork()));
    disk.on_sync(move |disk| {
        if random.lock().u8(0..12) == 0 && at_syncs.count() < CUTS {
            at_syncs.cut(disk, "a sync");
        }
    });
    let observed = fault::observe(root, disk.clone());
    let store = open(config(root, flush));
    *outages.store.lock() = Arc::downgrade(&store);
    let steps = driver.random().usize(50..250);
    for step in 0..steps {
        driver.step(&store);
        if driver.random().u8(0..20) == 0 {
            let how = Cut::any(driver.random());
            disk.write_back(how, driver.random()).unwrap();
        }
        if step % (steps / CUTS) == 0 {
            outages.cut(&disk, "work");
        }
    }
    if driver.random().u8(0..4) == 0 {
        store.close();
    }
    disk.ignore_syncs();
    outages.cut(&disk, "the end");
    drop((observed, store));
    let (_, cases) = &mut *outages.state.lock();
    std::mem::take(cases)
}

/// Lives of one store, each ended by a power cut, with more cuts at random moments on the way.
fn lives(seed: u64, flush: FlushMode, work: Work, total: &mut Total) {
    let dir = image::temp_dir();
    let root = dir.path().canonicalize().unwrap();
    let mut driver = Driver::new(seed, work);
    std::fs::create_dir(root.join("0")).unwrap();
    let mut log_start = 0;
    for life in 0..3 {
        driver.begin_life();
        let name = format!("seed {seed}, life {life}");
        let cases = live(&root.join(life.to_string()), name, log_start, &mut driver, flush);
        let mut end = None;
        for case in &cases {
            if std::ptr::eq(case, &cases[cases.len() - 1]) {
                // The store goes on with what the last cut has left.
                image::copy(case.image.path(), &root.join((life + 1).to_string()));
            }
            let examined = case.examine(&driver.history.lock(), flush);
            assert!(examined.verdict.is_clean(), "{}: {}", case.what, examined.verdict);
            assert_eq!(examined.unindexed, 0, "{}: not found by key", case.what);
            total.add(&examined);
            end = Some(examined.contents);
            log_start = case.moment.log_start();
        }
        driver.history.lock().settle(&end.unwrap());
    }
}

fn many_lives(flush: FlushMode, work: Work, seeds: std::ops::Range<u64>) {
    let mut total = Total::default();
    seeds.for_each(|seed| lives(seed, flush, work, &mut total));
    println!("{flush:?}, {work:?}: {total:?}");
    assert!(total.required > 1000, "too little was synced to show anything: {total:?}");
}

/// More seeds on demand: `RMQ_FAULTS_SEEDS=200`.
fn seeds() -> std::ops::Range<u64> {
    let wanted = std::env::var("RMQ_FAULTS_SEEDS").ok().and_then(|text| text.parse().ok());
    0..wanted.unwrap_or(4)
}

const APPENDS: Work = Work { deletes_topics: false, cleans: false };
const EVERYTHING: Work = Work { deletes_topics: true, cleans: true };

#[test]
fn synchronous_flushing_loses_nothing() {
    many_lives(FlushMode::Sync, APPENDS, seeds());
}

#[test]
fn asynchronous_flushing_loses_only_what_was_not_synced() {
    many_lives(ASYNC, APPENDS, seeds());
}

#[test]
fn deleted_topics_and_expired_files_make_no_difference_with_synchronous_flushing() {
    many_lives(FlushMode::Sync, EVERYTHING, seeds());
}

#[test]
fn deleted_topics_and_expired_files_make_no_difference_with_asynchronous_flushing() {
    many_lives(ASYNC, EVERYTHING, seeds());
}
