//! `kill -9` at each fail point: the directory at that instant is what the next start finds.
//!
//! The points are global, so the tests of this file take turns (a `FailScenario` is a lock).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fail::FailScenario;
use parking_lot::Mutex;
use rmq_faults::{
    image,
    lab::{Case, Driver, Work, config, contents, difference, open},
};
use rmq_store::{FlushMode, fault};

const ASYNC: FlushMode = FlushMode::Async { interval_ms: 5 };
/// Images of one point in one run: the first ones and some later ones.
const IMAGES: usize = 6;

/// Works on a store and takes images at every point that is met.
fn images(seed: u64, flush: FlushMode) -> (Driver, Vec<(&'static str, Case)>) {
    let dir = image::temp_dir();
    let root = dir.path().join("store");
    let mut driver = Driver::new(seed, Work { deletes_topics: false, cleans: true });
    let taken = Arc::new(Mutex::new(Vec::new()));
    for point in fault::ALL.iter().copied().filter(|point| point.starts_with("store-")) {
        let (root, history, gate, taken) =
            (root.clone(), driver.history.clone(), driver.gate.clone(), taken.clone());
        let hits = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        fail::cfg_callback(point, move || {
            let hit = hits.fetch_add(1, Ordering::SeqCst);
            // Frequent points are met many times: 0, 1, 7, 49, … and then no more.
            let wanted = done.load(Ordering::SeqCst);
            if wanted >= IMAGES || hit < 7usize.pow(wanted as u32) / 7 {
                return;
            }
            done.fetch_add(1, Ordering::SeqCst);
            // What is acknowledged before the copy begins has to be in it.
            let _nobody_works = gate.lock();
            let moment = history.lock().now();
            let image = image::temp_dir();
            image::copy(&root, image.path());
            let moment = moment.in_log_from(image::log_start(image.path()));
            let what = format!("seed {seed}, {point}, hit {hit}");
            taken.lock().push((point, Case { image, moment, what }));
        })
        .unwrap();
    }
    for life in 0..3 {
        driver.begin_life();
        let store = open(config(&root, flush));
        for _ in 0..250 {
            driver.step(&store);
        }
        if life == 1 {
            store.close();
        }
    }
    fault::ALL.iter().for_each(|point| fail::remove(*point));
    let taken = std::mem::take(&mut *taken.lock());
    (driver, taken)
}

/// Points that a driver's work must meet, or the test shows nothing.
const MET: &[&str] = &[
    fault::APPEND,
    fault::APPENDED,
    fault::LOG_SYNC,
    fault::ROLL,
    fault::ROLL_CREATED,
    fault::ROLLED,
    fault::DISPATCH,
    fault::QUEUE_WRITE,
    fault::QUEUE_SYNC,
    fault::INDEX_PUT,
    fault::INDEX_SLOT,
    fault::INDEX_SYNC,
    fault::CHECKPOINT,
    fault::DELETE_LOG,
    fault::DELETE_QUEUE,
    fault::DELETE_TOPIC,
    fault::RECOVER,
    fault::RECOVER_FORGOTTEN,
    fault::RECOVER_WALK,
    fault::RECOVER_TRUNCATE,
    fault::RECOVER_SYNC,
    fault::CLOSE,
    fault::CLOSE_ABORT,
];

fn nothing_is_lost(flush: FlushMode) {
    let _turn = FailScenario::setup();
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for seed in 0..2 {
        let (driver, cases) = images(seed, flush);
        let history = driver.history.lock();
        for (point, case) in cases {
            let examined = case.examine(&history, flush);
            let verdict = &examined.verdict;
            assert!(verdict.is_clean(), "{}: {verdict}", case.what);
            assert_eq!(examined.unindexed, 0, "{}: not found by key", case.what);
            *met.entry(point).or_default() += 1;
            slowest = slowest.max(examined.opening);
        }
    }
    let images: usize = met.values().sum();
    println!("{flush:?}: {images} images at {} points, slowest start {slowest:?}", met.len());
    for point in MET {
        assert!(met.contains_key(point), "{point} was never met");
    }
}

#[test]
fn a_kill_at_any_point_loses_nothing_with_asynchronous_flushing() {
    nothing_is_lost(ASYNC);
}

#[test]
fn a_kill_at_any_point_loses_nothing_with_synchronous_flushing() {
    nothing_is_lost(FlushMode::Sync);
}

/// Damages a record in the middle of the newest log file that has one, so that recovery has to seal it.
fn damage(root: &std::path::Path) {
    let mut logs: Vec<_> =
        std::fs::read_dir(root.join("commitlog")).unwrap().map(|e| e.unwrap().path()).collect();
    logs.sort();
    let is_used =
        |path: &&std::path::PathBuf| std::fs::read(path).unwrap()[4000..5000].iter().any(|byte| *byte != 0);
    let Some(path) = logs.iter().rev().find(is_used) else {
        return;
    };
    let mut bytes = std::fs::read(path).unwrap();
    bytes[2000..2040].iter_mut().for_each(|byte| *byte ^= 0x5A);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn an_interrupted_recovery_ends_as_one_that_was_not() {
    const POINTS: &[&str] = &[
        fault::RECOVER,
        fault::RECOVER_FORGOTTEN,
        fault::RECOVER_WALK,
        fault::RECOVER_SEAL,
        fault::RECOVER_TRUNCATE,
        fault::RECOVER_SYNC,
        fault::DISPATCH,
        fault::INDEX_PUT,
        fault::INDEX_SLOT,
        fault::LOG_SYNC,
    ];
    let _turn = FailScenario::setup();
    let (_, cases) = images(7, ASYNC);
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, (_, case)) in cases.iter().enumerate().filter(|(number, _)| number % 12 == 5) {
        for (point, hit) in POINTS.iter().flat_map(|point| [(point, 0), (point, 9)]) {
            let work = image::temp_dir();
            let root = work.path().join("store");
            image::copy(case.image.path(), &root);
            if number % 24 == 5 {
                damage(&root);
                // So that the walk meets it.
                std::fs::remove_file(root.join("checkpoint")).unwrap();
            }
            let interrupted = Arc::new(Mutex::new(None));
            let (from, sink, hits) = (root.clone(), interrupted.clone(), AtomicUsize::new(0));
            fail::cfg_callback(*point, move || {
                if hits.fetch_add(1, Ordering::SeqCst) == hit {
                    let image = image::temp_dir();
                    image::copy(&from, image.path());
                    *sink.lock() = Some(image);
                }
            })
            .unwrap();
            let store = open(config(&root, ASYNC));
            fail::remove(*point);
            let expected = contents(&store);
            drop(store);
            let Some(image) = interrupted.lock().take() else {
                continue;
            };
            *met.entry(point).or_default() += 1;
            for start in 0..2 {
                let store = open(config(image.path(), ASYNC));
                let found = contents(&store);
                let what = format!("{}, recovery killed at {point}, hit {hit}, start {start}", case.what);
                assert!(found == expected, "{what}: {}", difference(&expected, &found));
            }
        }
    }
    println!("recovery interrupted: {met:?}");
    for point in POINTS {
        assert!(met.contains_key(point), "{point} was never met");
    }
}
