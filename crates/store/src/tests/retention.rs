use std::{
    collections::VecDeque,
    sync::atomic::AtomicBool,
    time::{SystemTime, UNIX_EPOCH},
};

use super::*;
use crate::ReadStatus;

/// A store with four files, of which the first ones are expired.
fn aged() -> (Lab, Arc<Store>) {
    let lab = Lab::new();
    let store = lab.open();
    for number in 0..12 {
        let body = format!("{number}{}", "x".repeat(1000));
        store.append(new_record("T", 0, &body, &[("KEYS", "k")])).unwrap();
    }
    let end = store.max_physical_offset();
    store.core_for_tests().log.flushed().reached_blocking(end).unwrap();
    (lab, store)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn expired_files_go_and_everything_follows() {
    let (lab, store) = aged();
    let held = store.read("T", 0, 0, ReadLimits::messages(1), &NoFilter);
    lab.now_ms.store(now() + 73 * 3_600_000, Ordering::SeqCst);
    store.clean();
    assert_eq!(store.min_physical_offset(), 0, "not the hour");
    lab.now_ms.store(now() + 71 * 3_600_000, Ordering::SeqCst);
    store.clean_now();
    assert_eq!(store.min_physical_offset(), 0, "not expired yet");
    lab.now_ms.store(now() + 73 * 3_600_000, Ordering::SeqCst);
    store.clean_now();
    assert_eq!(store.min_physical_offset(), 12288, "never the last file");
    assert_eq!(store.queue_range("T", 0), (9, 12));
    let small = store.read("T", 0, 3, ReadLimits::messages(1), &NoFilter);
    assert_eq!((small.status, small.next_offset), (ReadStatus::OffsetTooSmall, 9));
    assert_eq!(bodies(&store, "T", 0).len(), 3);
    assert_eq!(store.query("T", "k", 99, 0, i64::MAX).records.len(), 3);
    // What was read before is still there.
    assert!(Message::decode(&held.records[0]).is_ok());
    store.close();
    let store = lab.open();
    assert_eq!(store.queue_range("T", 0), (9, 12));
    assert_eq!(store.min_physical_offset(), 12288);
}

#[test]
fn only_so_many_files_go_at_once() {
    let lab = Lab::new();
    let store = Store::open(
        StoreConfig {
            retention: Retention { delete_files_max: 1, file_reserved_time_h: 0, ..calm() },
            ..lab.config()
        },
        Box::new(|_| {}),
    )
    .unwrap();
    for _ in 0..12 {
        send(&store, "T", 0, &"x".repeat(1000));
    }
    let end = store.max_physical_offset();
    store.core_for_tests().log.flushed().reached_blocking(end).unwrap();
    lab.now_ms.store(now() + 1000, Ordering::SeqCst);
    store.clean_now();
    assert_eq!(store.min_physical_offset(), 4096);
}

#[test]
fn a_queue_without_records_keeps_its_offset() {
    let lab = Lab::new();
    let retention = Retention { file_reserved_time_h: 0, ..calm() };
    // Its units are only in memory when its records go.
    let config = StoreConfig { retention, queue_flush_interval_ms: 3_600_000, ..lab.config() };
    let store = Store::open(config, Box::new(|_| {})).unwrap();
    send(&store, "old", 0, "x");
    send(&store, "old", 0, "x");
    for _ in 0..6 {
        send(&store, "T", 0, &"x".repeat(1000));
    }
    let end = store.max_physical_offset();
    store.core_for_tests().log.flushed().reached_blocking(end).unwrap();
    lab.now_ms.store(now() + 1000, Ordering::SeqCst);
    store.clean_now();
    assert_eq!(store.queue_range("old", 0), (2, 2));
    let read = store.read("old", 0, 0, ReadLimits::messages(1), &NoFilter);
    assert_eq!((read.status, read.next_offset), (ReadStatus::OffsetTooSmall, 2));
    drop(store);
    let store = lab.open();
    assert_eq!(store.queue_range("old", 0), (2, 2));
    assert_eq!(send(&store, "old", 0, "y").queue_offset, 2);
}

#[test]
fn a_log_above_its_limit_loses_its_oldest_files() {
    let (_lab, store) = aged();
    store.set_retention(Retention { max_log_bytes: 3 * 4096, ..calm() });
    store.clean();
    assert_eq!(store.min_physical_offset(), 4096, "12 records of a third of a file each, at most 3 files");
    store.set_retention(Retention { max_log_bytes: 1, ..calm() });
    store.clean();
    assert_eq!(store.min_physical_offset(), 12288, "never the last file");
    store.set_retention(calm());
    store.clean();
    assert_eq!(bodies(&store, "T", 0).len(), 3);
}

#[test]
fn an_operators_wish_lasts_twenty_runs() {
    let lab = Lab::new();
    let retention = Retention { file_reserved_time_h: 0, delete_files_max: 1, ..calm() };
    let store = Store::open(StoreConfig { retention, ..lab.config() }, Box::new(|_| {})).unwrap();
    for _ in 0..90 {
        send(&store, "T", 0, &"x".repeat(1000));
    }
    let end = store.max_physical_offset();
    store.core_for_tests().log.flushed().reached_blocking(end).unwrap();
    lab.now_ms.store(now() + 1000, Ordering::SeqCst);
    store.clean();
    assert_eq!(store.min_physical_offset(), 0, "nobody has asked");
    store.clean_now();
    assert_eq!(store.min_physical_offset(), 4096);
    (0..25).for_each(|_| store.clean());
    assert_eq!(store.min_physical_offset(), 20 * 4096);
}

#[test]
fn what_a_crash_left_of_queues_goes_at_the_next_run() {
    let lab = Lab::new();
    // Four units in a queue file, three records in a log file.
    let config = StoreConfig { mapped_file_size_consume_queue: 80, ..lab.config() };
    let open = || Store::open(config.clone(), Box::new(|_| {})).unwrap();
    let store = open();
    for _ in 0..12 {
        send(&store, "T", 0, &"x".repeat(1000));
    }
    store.close();
    drop(store);
    // As if it had ended between the deletion of log files and that of queue files.
    for start in ["00000000000000000000", "00000000000000004096"] {
        fs::remove_file(lab.root().join("commitlog").join(start)).unwrap();
    }
    let first = lab.root().join("consumequeue/T/0/00000000000000000000");
    let store = open();
    assert_eq!(store.queue_range("T", 0), (6, 12));
    assert!(first.exists());
    store.clean();
    assert!(!first.exists());
    assert_eq!(store.queue_range("T", 0), (6, 12));
    assert_eq!(bodies(&store, "T", 0).len(), 6);
}

/// Readers that pull, ask for keys and hold on to what they got, while files go under them.
#[test]
fn readers_go_on_while_files_are_deleted() {
    let lab = Lab::new();
    // 20 units in a queue file and 20 records in a log file.
    let config = StoreConfig { retention: Retention { max_log_bytes: 3 * 4096, ..calm() }, ..lab.config() };
    let store = Store::open(config, Box::new(|_| {})).unwrap();
    let body = |number: i64| format!("{number:04}{}", "x".repeat(60));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (store, done, body) = (&store, &done, &body);
            scope.spawn(move || {
                let (mut offset, mut held, mut last_min) = (0, VecDeque::new(), 0);
                while !done.load(Ordering::SeqCst) {
                    let read = store.read("T", 0, offset, ReadLimits::messages(8), &NoFilter);
                    assert!(read.min_offset >= last_min, "{} after {last_min}", read.min_offset);
                    last_min = read.min_offset;
                    match read.status {
                        ReadStatus::OffsetTooSmall => assert_eq!(read.next_offset, read.min_offset),
                        ReadStatus::Found => assert!(read.next_offset > offset),
                        _ => {}
                    }
                    offset = read.next_offset.max(0);
                    if reader == 0 && read.status == ReadStatus::OffsetOverflowOne {
                        // Old data again and again, as far behind as it gets.
                        offset = read.min_offset;
                    }
                    held.extend(read.records);
                    held.extend(store.query("T", "k", 8, 0, i64::MAX).records);
                    while held.len() > 500 {
                        let record = held.pop_front().unwrap();
                        let message = Message::decode(&record).unwrap();
                        assert_eq!(message.body, body(message.queue_offset));
                    }
                }
            });
        }
        for number in 0..1500 {
            store.append(new_record("T", 0, &body(number), &[("KEYS", "k")])).unwrap();
            if number % 20 == 0 {
                store.clean();
            }
        }
        let end = store.max_physical_offset();
        store.core_for_tests().log.flushed().reached_blocking(end).unwrap();
        store.clean();
        done.store(true, Ordering::SeqCst);
    });
    let (min, max) = store.queue_range("T", 0);
    assert!(min > 1000 && max == 1500, "{min} {max}");
    assert_eq!(bodies(&store, "T", 0).len() as i64, max - min);
    assert_eq!(store.status().damaged_records, 0);
    // Queue files go with their records; the one that holds the first is the oldest.
    let files = fs::read_dir(lab.root().join("consumequeue/T/0")).unwrap();
    let oldest = files.map(|file| file.unwrap().file_name().into_string().unwrap()).min().unwrap();
    assert_eq!(oldest.parse::<i64>().unwrap(), min / 20 * 400);
    store.close();
    assert_eq!(lab.open().queue_range("T", 0), (min, max));
}
