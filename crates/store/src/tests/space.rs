//! Disks without space, as far as no file system has to be mounted for it; the rest is in `tests/e2e`.

use std::{
    fs::File,
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use super::*;
use crate::AppendError;

/// More than any disk has.
const EVERYTHING: u64 = u64::MAX / 2;

fn reserving(bytes: u64) -> Retention {
    Retention { disk_reserved_bytes: bytes, ..calm() }
}

#[test]
fn the_reserve_refuses_appends_and_nothing_else() {
    let lab = Lab::new();
    let store = lab.open();
    send(&store, "T", 0, "before");
    store.set_retention(reserving(EVERYTHING));
    for _ in 0..2 {
        let refused = store.append(new_record("T", 0, "x", &[])).unwrap_err();
        let AppendError::DiskFull(why) = &refused else { panic!("{refused}") };
        assert!(why.contains("diskReservedBytes") && why.contains(&EVERYTHING.to_string()), "{why}");
    }
    let batch = store.append_batch(vec![new_record("T", 0, "x", &[])]);
    assert!(matches!(batch, Err(AppendError::DiskFull(_))));
    assert!(matches!(store.append_raw(store.max_physical_offset(), b"x"), Err(AppendError::DiskFull(_))));
    let status = store.status();
    assert!(status.writable && status.disk_full && status.disk_free_bytes > 0);
    assert!(status.refusal.unwrap().contains("disk of the store is full"));
    assert_eq!(bodies(&store, "T", 0), ["before"]);
    // It counts at once, without waiting for the next look.
    store.set_retention(reserving(0));
    assert_eq!(send(&store, "T", 0, "after").queue_offset, 1);
    assert_eq!(store.status().refusal, None);
    store.close();
    assert!(!lab.root().join("abort").exists());
}

#[test]
fn the_log_leaves_the_reserve_alone_between_two_looks() {
    let lab = Lab::new();
    let store = lab.open();
    // What the watch has not seen yet, the allocation of the next file sees.
    store.core_for_tests().log.keep_free(EVERYTHING);
    let refused = store.append(new_record("T", 0, "x", &[])).unwrap_err();
    assert!(matches!(&refused, AppendError::DiskFull(why) if why.contains("diskReservedBytes")), "{refused}");
    store.core_for_tests().log.keep_free(0);
    // Neither an offset nor a byte was lost to the refusal.
    let sent = send(&store, "T", 0, "y");
    assert_eq!((sent.queue_offset, sent.physical_offset), (0, 0));
}

#[test]
fn a_refused_roll_leaves_the_log_as_it_was() {
    let lab = Lab::new();
    let store = lab.open();
    let first = send(&store, "T", 0, &"x".repeat(2000));
    store.core_for_tests().log.keep_free(EVERYTHING);
    assert!(store.append(new_record("T", 0, &"y".repeat(2500), &[])).is_err());
    assert_eq!(store.max_physical_offset(), first.end);
    // What still fits into the space that the file has is taken, and goes behind the last record.
    assert_eq!(send(&store, "T", 0, "z").physical_offset, first.end);
    store.core_for_tests().log.keep_free(0);
    assert_eq!(send(&store, "T", 0, &"y".repeat(2500)).physical_offset, 4096);
    store.close();
    assert_eq!(bodies(&lab.open(), "T", 0).len(), 3);
}

#[test]
fn the_disk_is_looked_at_once_a_second_and_when_the_clock_jumps() {
    let lab = Lab::new();
    let store = lab.open();
    send(&store, "T", 0, "x");
    for jump_ms in [1_000, -3_600_000] {
        // As a disk that something else has filled.
        store.core_for_tests().disk.pretend_full();
        assert!(matches!(store.append(new_record("T", 0, "x", &[])), Err(AppendError::DiskFull(_))));
        lab.tick(jump_ms);
        store.append(new_record("T", 0, "x", &[])).unwrap();
    }
}

#[test]
fn other_refusals_say_what_they_are() {
    let lab = Lab::new();
    let store = lab.open();
    send(&store, "T", 0, "x");
    store.core_for_tests().log.fail("can't sync: the cable is out".into());
    store.set_retention(reserving(EVERYTHING));
    // What lasts until a restart comes before what passes.
    let refused = store.append(new_record("T", 0, "x", &[])).unwrap_err().to_string();
    assert!(refused.contains("read-only") && refused.contains("the cable is out"), "{refused}");
    let status = store.status();
    assert!(!status.writable && !status.disk_full);
    assert_eq!(status.refusal.as_deref(), Some(refused.as_str()));
    store.close();
    assert!(store.status().refusal.unwrap().contains("shutting down"));
}

#[test]
fn an_index_file_with_holes_gets_its_space_before_it_is_written() {
    let lab = Lab::new();
    let config = StoreConfig { index_slots: 500_000, index_entries: 500_000, ..lab.config() };
    let open = || Store::open(config.clone(), Box::new(|_| {})).unwrap();
    let store = open();
    for _ in 0..10 {
        store.append(new_record("T", 0, "x", &[("KEYS", "k")])).unwrap();
    }
    store.close();
    drop(store);
    let path = fs::read_dir(lab.root().join("index")).unwrap().next().unwrap().unwrap().path();
    make_sparse(&path);
    let blocks = || fs::metadata(&path).unwrap().blocks() * 512;
    assert!(blocks() < 1_000_000, "{}", blocks());
    let store = open();
    assert!(blocks() < 1_000_000, "to be read it needs no space");
    store.append(new_record("T", 0, "x", &[("KEYS", "k")])).unwrap();
    assert!(blocks() > 2_000_000, "all slots and the entry: {}", blocks());
    assert_eq!(store.query("T", "k", 64, 0, i64::MAX).records.len(), 11);
}

/// Writes the file again without its zeros, as a copying tool may do.
fn make_sparse(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    let file = File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (number, page) in bytes.chunks(4096).enumerate() {
        if page.iter().any(|byte| *byte != 0) {
            std::os::unix::fs::FileExt::write_all_at(&file, page, number as u64 * 4096).unwrap();
        }
    }
}

/// While it can't be written the index lacks records; later it has them all, each once.
#[test]
fn the_index_makes_up_for_what_it_missed() {
    for restart in [false, true] {
        let lab = Lab::new();
        let store = lab.open();
        let index = lab.root().join("index");
        let send = |number: usize| {
            let unique = format!("u{number}");
            store.append(new_record("T", 0, "x", &[("KEYS", "k j"), ("UNIQ_KEY", &unique)])).unwrap();
        };
        fs::remove_dir(&index).unwrap();
        fs::write(&index, "in the way").unwrap();
        (0..5).for_each(send);
        assert_eq!(bodies(&store, "T", 0).len(), 5, "the queue has them");
        assert!(store.query("T", "k", 64, 0, i64::MAX).records.is_empty());
        let found = |store: &Store| store.query("T", "k", 64, 0, i64::MAX).records.len();
        if restart {
            store.close();
            assert!(lab.root().join("abort").exists(), "the index lacks something");
            fs::remove_file(&index).unwrap();
            let store = lab.open();
            assert_eq!(found(&store), 5);
            continue;
        }
        fs::remove_file(&index).unwrap();
        fs::create_dir(&index).unwrap();
        send(5);
        let since = Instant::now();
        while found(&store) < 6 {
            assert!(since.elapsed() < Duration::from_secs(10), "{}", found(&store));
            std::thread::yield_now();
        }
        send(6);
        assert_eq!(found(&store), 7);
        assert_eq!(store.query("T", "u3", 64, 0, i64::MAX).records.len(), 1);
        store.close();
        assert!(!lab.root().join("abort").exists());
        assert_eq!(found(&lab.open()), 7);
    }
}

/// Touching a page behind the end of its file would end the process with SIGBUS.
#[test]
fn a_log_file_that_somebody_cuts_costs_what_was_in_it() {
    let lab = Lab { file_len: 1 << 20, ..Lab::new() };
    let store = lab.open();
    let places: Vec<_> = (0..900).map(|_| send(&store, "T", 0, &"x".repeat(1000)).physical_offset).collect();
    store.close();
    drop(store);
    let store = lab.open();
    let path = lab.root().join("commitlog/00000000000000000000");
    File::options().write(true).open(path).unwrap().set_len(128 * 1024).unwrap();
    // As the store does each second: what was looked at before is looked at again.
    store.core_for_tests().log.files().all().iter().for_each(|file| file.release_memory());
    let read = |offset| store.read("T", 0, offset, ReadLimits::messages(1), &NoFilter);
    assert_eq!(read(0).records.len(), 1);
    let gone = read(500);
    assert!(gone.records.is_empty() && gone.next_offset > 500, "{gone:?}");
    assert!(store.record_at(places[400]).is_none());
    assert!(store.raw_at(places[300], 5000).is_none());
    assert_eq!(store.record_time("T", 0, 600), None);
    assert!(store.status().damaged_records > 0);
}
