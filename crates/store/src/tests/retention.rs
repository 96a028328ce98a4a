use std::time::{SystemTime, UNIX_EPOCH};

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
    lab.now_ms.store(now() + 71 * 3_600_000, Ordering::SeqCst);
    store.clean_now();
    assert_eq!(store.min_physical_offset(), 0, "not expired yet");
    lab.now_ms.store(now() + 73 * 3_600_000, Ordering::SeqCst);
    store.clean();
    assert_eq!(store.min_physical_offset(), 0, "not the hour");
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
        StoreConfig { delete_files_max: 1, file_reserved_time_h: 0, ..lab.config() },
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
    let store =
        Store::open(StoreConfig { file_reserved_time_h: 0, ..lab.config() }, Box::new(|_| {})).unwrap();
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
fn a_full_disk_refuses_appends_until_there_is_space() {
    let lab = Lab::new();
    let store = lab.open();
    store.core_for_tests().disk_full.store(true, Ordering::SeqCst);
    store.core_for_tests().disk_looked_at_ms.store(lab.tick(0), Ordering::SeqCst);
    let refused = store.append(new_record("T", 0, "x", &[])).unwrap_err();
    assert!(matches!(refused, crate::AppendError::DiskFull(_)), "{refused}");
    assert!(store.status().disk_full);
    // A second later the disk is looked at again; the test's own disk decides.
    lab.tick(1001);
    let again = store.append(new_record("T", 0, "x", &[]));
    assert_eq!(again.is_ok(), !store.status().disk_full);
}
