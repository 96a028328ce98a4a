//! Damage to what is not the log, while nothing runs: the start always succeeds and all messages are there.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fastrand::Rng;
use rmq_faults::{
    fleet::{self, Committer, send, sent_offset},
    history::{Contents, History},
    image,
    lab::{Driver, Work, config, contents, difference, open, unindexed},
    message::{Message, key},
};
use rmq_store::{FlushMode, StoreConfig};
use rmq_testkit::{Broker, wire::Connection};

const FLUSH: FlushMode = FlushMode::Async { interval_ms: 10 };

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip,
    Delete,
    Cut,
}

const ALL: [Damage; 3] = [Damage::Flip, Damage::Delete, Damage::Cut];

impl Damage {
    fn inflict(self, path: &Path, random: &mut Rng) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Damage::Delete => return fs::remove_file(path).unwrap(),
            Damage::Flip if !bytes.is_empty() => {
                // Where something is: a flip in the unused rest of a file shows nothing.
                let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
                bytes[random.usize(0..=used)] ^= 1 << random.u8(0..8);
            }
            Damage::Flip => {}
            Damage::Cut => bytes.truncate(random.usize(0..=bytes.len().saturating_sub(1))),
        }
        fs::write(path, bytes).unwrap();
    }
}

/// A stopped store with messages, and what is in it.
fn stopped(root: &Path, clean: bool) -> (History, Contents) {
    let mut driver = Driver::new(3, Work { deletes_topics: false, cleans: false });
    driver.begin_life();
    let store = open(config(root, FLUSH));
    while driver.history.lock().acks() < 200 {
        driver.step(&store);
    }
    if clean {
        store.close();
    }
    drop(store);
    let copy = image::temp_dir();
    image::copy(root, copy.path());
    let found = contents(&open(config(copy.path(), FLUSH)));
    let history = std::mem::take(&mut *driver.history.lock());
    let verdict = history.judge(&history.now(), &found);
    assert!(verdict.is_clean(), "{verdict}");
    (history, found)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Damages one file that `wanted` picks, many times, and reads everything twice.
fn rebuilt(wanted: impl Fn(&Path) -> bool, damages: &[Damage], times: usize, finds_keys: bool) {
    let mut random = Rng::with_seed(5);
    for clean in [true, false] {
        let dir = image::temp_dir();
        let pristine = dir.path().join("pristine");
        let (_, expected) = stopped(&pristine, clean);
        let mut failures = Vec::new();
        for time in 0..times {
            let root = dir.path().join("store");
            fs::remove_dir_all(&root).ok();
            image::copy(&pristine, &root);
            let mut files = files_below(&root);
            files.retain(|path| wanted(path.strip_prefix(&root).unwrap()));
            let Some(path) = random.choice(&files) else {
                continue;
            };
            let damage = damages[time % damages.len()];
            damage.inflict(path, &mut random);
            let what =
                format!("clean {clean}, {damage:?} of {}", path.strip_prefix(&root).unwrap().display());
            // The second start is one after a crash.
            for start in 1..=2 {
                let settings = StoreConfig { checkpoint_interval_ms: u64::MAX, ..config(&root, FLUSH) };
                let store = open(settings);
                let found = contents(&store);
                if found != expected {
                    failures.push(format!("{what}, start {start}: {}", difference(&expected, &found)));
                } else if finds_keys && unindexed(&store, &found, 0) > 0 {
                    failures.push(format!("{what}, start {start}: not all are found by key"));
                }
            }
        }
        assert!(failures.is_empty(), "{} of {times}:\n{}", failures.len(), failures.join("\n"));
    }
}

fn is_queue(path: &Path) -> bool {
    path.starts_with("consumequeue")
}

#[test]
fn a_damaged_unit_of_a_queue_costs_nothing() {
    rebuilt(is_queue, &[Damage::Flip], 60, false);
}

#[test]
fn a_lost_file_of_a_queue_is_made_again() {
    rebuilt(is_queue, &[Damage::Delete], 30, true);
}

#[test]
fn a_cut_file_of_a_queue_is_made_again() {
    rebuilt(is_queue, &[Damage::Cut], 30, true);
}

#[test]
fn damaged_index_files_cost_no_message() {
    rebuilt(|path| path.starts_with("index"), &ALL, 45, false);
}

#[test]
fn a_damaged_checkpoint_costs_nothing() {
    rebuilt(|path| path == Path::new("checkpoint"), &ALL, 60, true);
}

#[test]
fn a_damaged_mark_of_an_unclean_end_costs_nothing() {
    rebuilt(|path| path == Path::new("abort"), &ALL, 12, true);
}

const NOBODY: &str = "127.0.0.1:1";
const TOPIC: &str = "Common";

/// A stopped broker with messages and committed offsets; the last offset that was saved before the newest.
fn stopped_broker() -> (Broker, History, i64) {
    let mut broker = fleet::broker(NOBODY).started();
    let mut history = History::default();
    let mut connection = Connection::open(&broker.addr());
    for number in 0..50 {
        let message = Message::new(key(1, number), TOPIC, 0, 300);
        history.send(&message);
        let reply = send(&mut connection, std::slice::from_ref(&message)).unwrap();
        history.ack(message.key, sent_offset(&reply).unwrap_or_else(|| panic!("{reply:?}")), 0);
    }
    // The copy of a table is one change older than the table: nothing that matters may be the last one.
    let other = Message::new(key(2, 0), "Other", 0, 300);
    assert!(sent_offset(&send(&mut connection, &[other]).unwrap()).is_some());
    let committer = Committer::start(&broker.addr(), 1);
    let config = broker.store_dir().join("config");
    // Two saves at least: the file and its copy.
    rmq_testkit::wait::until("consumer offsets in the copy", Duration::from_secs(30), || {
        fs::read_to_string(config.join("consumerOffset.json.bak")).is_ok_and(|json| json.contains("Common@"))
    });
    broker.stop();
    let stopped = Instant::now();
    // One save at the end and one interval of 200 ms before; a busy machine takes longer.
    let (floor, _) = committer.end(stopped, Duration::from_millis(1500));
    (broker, history, floor.unwrap_or(0))
}

#[test]
fn a_damaged_table_of_the_broker_costs_one_interval_at_most() {
    let (mut broker, history, floor) = stopped_broker();
    let config = broker.store_dir().join("config");
    let keep = image::temp_dir();
    image::copy(&config, keep.path());
    let mut random = Rng::with_seed(9);
    for file in files_below(keep.path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        for damage in ALL {
            fs::remove_dir_all(&config).unwrap();
            image::copy(keep.path(), &config);
            damage.inflict(&config.join(&name), &mut random);
            broker.start();
            let what = format!("{damage:?} of {name}");
            let mut contents = Contents::new();
            fleet::pull_more(&broker.addr(), &[TOPIC.into()], &mut contents);
            let verdict = history.judge(&history.now(), &contents);
            // A flipped bit may leave valid JSON with another topic or number in it, which nobody can see.
            if !matches!(damage, Damage::Flip) {
                assert!(verdict.is_clean(), "{what}: {verdict}");
                let committed = fleet::committed(&broker.addr());
                assert!(committed >= Some(floor), "{what}: {committed:?}, was {floor}");
            }
            broker.stop();
        }
    }
}
